//! Runs a call: one task that owns both links and the machine.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::BoxStream,
};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{Instant, Sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    gate::{ToolContext, Toolbox},
    io::{Action, Command, Input, Moment, News, Permissions, ToolAnswer, ToolRequest},
    machine::{Call, CallSettings},
    outbox::{ClientWire, Outbox, ProviderWire},
    publisher::{FromPublisher, Publisher, ToPublisher},
};
use crate::{
    audio::{Resampler, level_dbfs},
    client_protocol::ServerMessage,
    error::{ProviderError, ProviderErrorKind, StartError, TransportError},
    event::EndReason,
    framework::{FrameworkEvent, FrameworkEventKind},
    hook::{HookScope, Trigger},
    id::CallId,
    kit::WeakRoomKit,
    provider::{
        ProviderCapabilities, ProviderCommand, ProviderConnection, ProviderEvent,
        RealtimeVoiceProvider, Role, SessionSetup,
    },
    session::RealtimeSession,
    transport::{ClientCommand, ClientEvent, ClientLink, LinkInfo, RealtimeAudioTransport},
    voice::Observers,
};

/// A peer that has not taken one command in this time is gone for all practical purposes.
const STALL: Duration = Duration::from_secs(10);
/// How long a link may take to close.
const CLOSE: Duration = Duration::from_secs(2);
/// How long the last words may take to be told before the client is let go.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long hooks may take after the session is over.
const LAST_HOOKS: Duration = Duration::from_secs(35);
/// News that may wait for hooks and observers; partials only use half of it.
const NEWS: usize = 1024;
/// At most ten levels a second.
const LEVEL_EVERY: Duration = Duration::from_millis(100);

/// What all sessions of a channel have in common.
pub(crate) struct Shared {
    pub(crate) provider: Arc<dyn RealtimeVoiceProvider>,
    pub(crate) transport: Arc<dyn RealtimeAudioTransport>,
    pub(crate) observers: Observers,
    pub(crate) emit_transcription_events: bool,
    pub(crate) emit_partials: bool,
    pub(crate) connect_timeout: Duration,
}

/// The permissions of a binding, shared with its sessions: read for every frame (contract A7).
#[derive(Debug)]
pub(crate) struct PermissionCell(AtomicU8);

impl PermissionCell {
    pub(crate) fn new(permissions: Permissions) -> Self {
        Self(AtomicU8::new(Self::bits(permissions)))
    }

    pub(crate) fn set(&self, permissions: Permissions) {
        self.0.store(Self::bits(permissions), Ordering::Release);
    }

    fn get(&self) -> Permissions {
        let bits = self.0.load(Ordering::Acquire);
        Permissions {
            microphone: bits & 1 != 0,
            voice: bits & 2 != 0,
        }
    }

    fn bits(permissions: Permissions) -> u8 {
        u8::from(permissions.microphone) | u8::from(permissions.voice) << 1
    }
}

/// All a session needs to run.
pub(crate) struct NewCall {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: RealtimeSession,
    pub(crate) kit: WeakRoomKit,
    pub(crate) scope: HookScope,
    pub(crate) settings: CallSettings,
    pub(crate) permissions: Arc<PermissionCell>,
    /// Closed when the channel is dropped, which ends the session.
    pub(crate) mailbox: mpsc::Receiver<Command>,
    pub(crate) idle: watch::Sender<bool>,
    pub(crate) link: ClientLink,
    pub(crate) toolbox: Arc<Toolbox>,
    pub(crate) setup: SessionSetup,
    /// Told when the session is active, or why it never will be. Its receiver's end takes the
    /// start back.
    pub(crate) ready: oneshot::Sender<Result<(), StartError>>,
}

impl NewCall {
    /// Runs the session to its end. A defect in here, or in a plugin, ends this session and no
    /// other (contract S8).
    pub(crate) async fn run(self) {
        let session = self.session.clone();
        let driver = Driver::new(self);
        if AssertUnwindSafe(driver.run()).catch_unwind().await.is_err() {
            session.end();
            tracing::error!(session_id = %session.id(), "a session ended by a panic");
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    session: RealtimeSession,
    kit: WeakRoomKit,
    scope: HookScope,
    call: Call,
    /// The call's zero.
    began: Instant,
    active_since: Option<Instant>,

    link: LinkInfo,
    client: Outbox<ClientWire>,
    client_events: BoxStream<'static, ClientEvent>,

    connecting: Option<BoxFuture<'static, Result<ProviderConnection, ProviderError>>>,
    provider: Option<Provider>,
    inbound: Option<Resampler>,
    outbound: Option<Resampler>,

    permission_cell: Arc<PermissionCell>,
    permissions: Permissions,
    mailbox: mpsc::Receiver<Command>,
    idle: watch::Sender<bool>,
    ready: Option<oneshot::Sender<Result<(), StartError>>>,

    toolbox: Arc<Toolbox>,
    tools: JoinSet<(CallId, ToolAnswer)>,
    running: HashMap<CallId, (AbortHandle, CancellationToken)>,

    to_publisher: mpsc::Sender<ToPublisher>,
    from_publisher: mpsc::Receiver<FromPublisher>,
    publisher: JoinHandle<()>,
    audio_tap: Option<AudioTap>,
    levels: [Option<Moment>; 2],

    timer: std::pin::Pin<Box<Sleep>>,
    timer_is_set: bool,
    warned_of_early_audio: bool,
}

struct Provider {
    outbox: Outbox<ProviderWire>,
    events: BoxStream<'static, ProviderEvent>,
}

/// Feeds the observers of the AI's audio, in a task of its own; it may miss what is too fast.
struct AudioTap {
    queue: mpsc::Sender<Bytes>,
    task: JoinHandle<()>,
}

/// What the task of a call waits for.
enum Happening {
    Client(Option<ClientEvent>),
    Provider(Option<ProviderEvent>),
    Mailbox(Option<Command>),
    Publisher(FromPublisher),
    Tool(CallId, ToolAnswer),
    Connected(Result<ProviderConnection, ProviderError>),
    ClientSent(Result<(), TransportError>),
    ProviderSent(Result<(), ProviderError>),
    StartAbandoned,
    Timer,
}

impl Driver {
    fn new(new: NewCall) -> Self {
        let NewCall {
            shared,
            session,
            kit,
            scope,
            settings,
            permissions,
            ..
        } = new;
        let began = Instant::now();
        let (to_publisher, news) = mpsc::channel(NEWS);
        let (call, from_publisher) = mpsc::channel(64);
        let publisher = Publisher {
            shared: Arc::clone(&shared),
            session: session.clone(),
            kit: kit.clone(),
            scope: scope.clone(),
            began: Timestamp::now(),
            call,
        };
        let setup = new.setup;
        let provider = Arc::clone(&shared.provider);
        let limit = shared.connect_timeout;
        let connecting = async move {
            timeout(limit, provider.connect(setup))
                .await
                .unwrap_or_else(|_| {
                    let problem = format!("the provider was not ready within {limit:?}");
                    Err(ProviderError::new(ProviderErrorKind::Timeout, problem))
                })
        };
        Self {
            audio_tap: AudioTap::start(&shared, &session),
            shared,
            session,
            kit,
            scope,
            call: Call::new(settings, permissions.get()),
            began,
            active_since: None,
            link: new.link.info,
            client: Outbox::new(ClientWire(new.link.sink)),
            client_events: new.link.events,
            connecting: Some(connecting.boxed()),
            provider: None,
            inbound: None,
            outbound: None,
            permissions: permissions.get(),
            permission_cell: permissions,
            mailbox: new.mailbox,
            idle: new.idle,
            ready: Some(new.ready),
            toolbox: new.toolbox,
            tools: JoinSet::new(),
            running: HashMap::new(),
            to_publisher,
            from_publisher,
            publisher: tokio::spawn(publisher.run(news)),
            levels: [None; 2],
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_is_set: false,
            warned_of_early_audio: false,
        }
    }

    async fn run(mut self) {
        let lived = AssertUnwindSafe(self.live()).catch_unwind().await;
        let end = lived.unwrap_or_else(|_| {
            tracing::error!(session_id = %self.session.id(), "a plugin panicked");
            self.feed(Input::Command(Command::End(EndReason::Internal)));
            self.act();
            End::Reason(EndReason::Internal)
        });
        self.finish(end).await;
    }

    /// From the start to what ends it.
    async fn live(&mut self) -> End {
        loop {
            let happening = self.next().await;
            let permissions = self.permission_cell.get();
            if permissions != self.permissions {
                self.permissions = permissions;
                self.feed(Input::Permissions(permissions));
            }
            if let Err(end) = self.take(happening).await {
                return end;
            }
            if let Some(reason) = self.act() {
                return End::Reason(reason);
            }
            if self.send_at_once()
                && let Some(reason) = self.act()
            {
                return End::Reason(reason);
            }
        }
    }

    /// Waits for the next thing to happen.
    async fn next(&mut self) -> Happening {
        self.set_timer();
        let (provider_sends, provider_events) = match &mut self.provider {
            Some(provider) => (
                (!provider.outbox.is_idle()).then(|| provider.outbox.drive()),
                Some(provider.events.next()),
            ),
            None => (None, None),
        };
        tokio::select! {
            Some(event) = OptionFuture::from(provider_events) => Happening::Provider(event),
            event = self.client_events.next() => Happening::Client(event),
            Some(sent) = OptionFuture::from(provider_sends) => Happening::ProviderSent(sent),
            sent = self.client.drive(), if !self.client.is_idle() => Happening::ClientSent(sent),
            command = self.mailbox.recv() => Happening::Mailbox(command),
            Some(message) = self.from_publisher.recv() => Happening::Publisher(message),
            Some(Ok((call_id, answer))) = self.tools.join_next(), if !self.tools.is_empty() => {
                Happening::Tool(call_id, answer)
            }
            Some(connected) = OptionFuture::from(self.connecting.as_mut()) => {
                Happening::Connected(connected)
            }
            Some(()) = OptionFuture::from(self.ready.as_mut().map(oneshot::Sender::closed)) => {
                Happening::StartAbandoned
            }
            () = &mut self.timer, if self.timer_is_set => Happening::Timer,
        }
    }

    /// Hands it to the machine. `Err`: the call is over.
    async fn take(&mut self, happening: Happening) -> Result<(), End> {
        match happening {
            Happening::Client(Some(event)) => {
                if let ClientEvent::Audio(pcm) = &event {
                    self.measure(Role::User, pcm);
                }
                self.feed(Input::Client(event));
            }
            Happening::Client(None) => self.feed(Input::ClientGone),
            Happening::Provider(event) => {
                self.feed(Input::Provider(
                    event.unwrap_or(ProviderEvent::Closed(None)),
                ));
            }
            Happening::Mailbox(Some(command)) => self.feed(Input::Command(command)),
            Happening::Mailbox(None) => {
                self.feed(Input::Command(Command::End(EndReason::Shutdown)));
            }
            Happening::Publisher(FromPublisher::Client(message)) => {
                self.send_to_client(ClientCommand::Message(message));
            }
            Happening::Publisher(FromPublisher::ToolCleared(call_id)) => {
                self.feed(Input::ToolCleared(call_id));
            }
            Happening::Tool(call_id, answer) => {
                self.running.remove(&call_id);
                self.feed(Input::ToolFinished(call_id, answer));
            }
            Happening::Connected(connected) => {
                self.connecting = None;
                let connection = connected.map_err(|error| End::Failed(error.into()))?;
                return self.connected(connection).await;
            }
            Happening::ClientSent(sent) => {
                if sent.is_err() {
                    self.feed(Input::ClientGone);
                }
            }
            Happening::ProviderSent(sent) => {
                if let Err(error) = sent {
                    self.provider_send_failed(error);
                }
            }
            Happening::StartAbandoned => {
                self.ready = None;
                self.feed(Input::Command(Command::End(EndReason::Host)));
            }
            Happening::Timer => {
                self.timer_is_set = false;
                self.check_stalls();
                self.feed(Input::Tick);
            }
        }
        Ok(())
    }

    /// Sends what the peers take without waiting, which is nearly always all of it; the rest goes
    /// on in [`next`](Self::next). True: a send failed, and the machine was told.
    fn send_at_once(&mut self) -> bool {
        let client = self.client.drive().now_or_never();
        let provider = self
            .provider
            .as_mut()
            .and_then(|provider| provider.outbox.drive().now_or_never());
        let client_failed = matches!(client, Some(Err(_)));
        if client_failed {
            self.feed(Input::ClientGone);
        }
        if let Some(Err(error)) = provider {
            self.provider_send_failed(error);
            return true;
        }
        client_failed
    }

    fn feed(&mut self, input: Input) {
        self.call.handle(self.began.elapsed(), input);
    }

    /// Does what the machine wants done. `Some`: the call is over.
    fn act(&mut self) -> Option<EndReason> {
        while let Some(action) = self.call.poll() {
            match action {
                Action::ToProvider(command) => self.send_to_provider(command),
                Action::ToClient(command) => self.send_to_client(command),
                Action::Publish(publication) => {
                    let partial = matches!(publication.what, News::Partial { .. });
                    self.tell(ToPublisher::News(publication), partial);
                }
                Action::StartTool(request) => self.start_tool(request),
                Action::CancelTool(call_id) => {
                    if let Some((task, cancelled)) = self.running.remove(&call_id) {
                        cancelled.cancel();
                        task.abort();
                    }
                }
                Action::Idle(idle) => {
                    self.idle.send_replace(idle);
                }
                Action::Dropped(reason) => self.dropped(reason),
                Action::End(reason) => return Some(reason),
            }
        }
        None
    }

    // ----- the start

    /// The provider is ready: the client is told, then held audio goes, then everything is live.
    async fn connected(&mut self, connection: ProviderConnection) -> Result<(), End> {
        let ProviderConnection { info, sink, events } = connection;
        let capabilities = &info.capabilities;
        self.resample(capabilities);
        self.session
            .set_provider_session_id(info.provider_session_id.clone());
        self.provider = Some(Provider {
            outbox: Outbox::new(ProviderWire(sink)),
            events,
        });
        let Some(ready) = self.ready.take() else {
            return Ok(());
        };

        let session = &self.session;
        let started = ServerMessage::SessionStarted {
            session_id: session.id().clone(),
            room_id: session.room_id().clone(),
            participant_id: session.participant_id().clone(),
            channel_id: session.channel_id().clone(),
            input_sample_rate: self.link.input_rate,
            output_sample_rate: self.link.output_rate,
            input_encoding: self.link.input_encoding.clone(),
            output_encoding: self.link.output_encoding.clone(),
        };
        self.send_to_client(ClientCommand::Message(started));
        let announced = timeout(STALL, self.client.drive())
            .await
            .unwrap_or_else(|_| {
                Err(TransportError::Disconnected(
                    "it does not take what is sent to it".into(),
                ))
            });
        self.ready = Some(ready);
        announced.map_err(|error| End::Failed(StartError::Announce(error)))?;

        if !self.session.activate() {
            return Err(End::Failed(StartError::Ended(
                "it was ended from elsewhere".into(),
            )));
        }
        self.active_since = Some(Instant::now());
        metrics::counter!("roomkit_sessions_started_total").increment(1);
        metrics::gauge!("roomkit_sessions_active").increment(1.0);
        self.announce(FrameworkEventKind::SessionStarted, |event| event);
        self.tell(ToPublisher::Started, false);
        self.feed(Input::Connected(info));
        let told = self
            .ready
            .take()
            .is_some_and(|ready| ready.send(Ok(())).is_ok());
        if !told {
            self.feed(Input::Command(Command::End(EndReason::Host)));
        }
        Ok(())
    }

    /// Puts a resampler where the two legs differ, and nowhere else (contract A2).
    fn resample(&mut self, provider: &ProviderCapabilities) {
        self.inbound = Resampler::new(self.link.input_rate, provider.input_rate);
        self.outbound = Resampler::new(provider.output_rate, self.link.output_rate);
    }

    // ----- ways out

    fn send_to_provider(&mut self, mut command: ProviderCommand) {
        let Some(provider) = &mut self.provider else {
            return;
        };
        let mut dropped = false;
        let pushed = if let ProviderCommand::Audio(pcm) = &mut command {
            if let Some(resampler) = &mut self.inbound {
                *pcm = resampler.process(pcm);
                if pcm.is_empty() {
                    return;
                }
            }
            provider
                .outbox
                .push_dropping_oldest(command)
                .map(|oldest| dropped = oldest)
        } else {
            provider.outbox.push(command)
        };
        if dropped {
            self.dropped("provider_slow");
        }
        if pushed.is_err() {
            self.feed(Input::Command(Command::End(EndReason::ProviderTooSlow)));
        }
    }

    fn send_to_client(&mut self, mut command: ClientCommand) {
        match &mut command {
            ClientCommand::Audio(pcm) => {
                self.measure(Role::Assistant, pcm);
                if let Some(tap) = &self.audio_tap
                    && tap.queue.try_send(pcm.clone()).is_err()
                {
                    self.dropped("audio_observer_slow");
                }
                if let Some(resampler) = &mut self.outbound {
                    *pcm = resampler.process(pcm);
                    if pcm.is_empty() {
                        return;
                    }
                }
            }
            ClientCommand::EndOfResponse => {
                if let Some(tail) = self.outbound.as_mut().map(Resampler::flush)
                    && !tail.is_empty()
                {
                    self.push_to_client(ClientCommand::Audio(tail));
                }
            }
            ClientCommand::Clear => {
                self.client.drop_audio();
                if let Some(resampler) = &mut self.outbound {
                    resampler.reset();
                }
            }
            ClientCommand::Message(_) => {}
        }
        self.push_to_client(command);
    }

    fn push_to_client(&mut self, command: ClientCommand) {
        if self.client.push(command).is_err() {
            self.feed(Input::Command(Command::End(EndReason::ClientTooSlow)));
        }
    }

    fn tell(&mut self, message: ToPublisher, expendable: bool) {
        if expendable && self.to_publisher.capacity() < NEWS / 2 {
            self.dropped("host_slow");
        } else if self.to_publisher.try_send(message).is_err() {
            self.feed(Input::Command(Command::End(EndReason::HostTooSlow)));
        }
    }

    /// A send that failed because of what was sent is reported; any other means that the
    /// connection is gone, for which the provider's own last word is the better reason.
    fn provider_send_failed(&mut self, error: ProviderError) {
        let about_the_command = matches!(
            error.kind(),
            ProviderErrorKind::Unsupported
                | ProviderErrorKind::InvalidRequest
                | ProviderErrorKind::InvalidConfig
        );
        if about_the_command {
            return self.feed(Input::Provider(ProviderEvent::Error(error)));
        }
        let mut last = None;
        if let Some(provider) = &mut self.provider {
            while let Some(Some(event)) = provider.events.next().now_or_never() {
                if let ProviderEvent::Closed(Some(reason)) = event {
                    last = Some(reason);
                }
            }
        }
        self.feed(Input::Provider(ProviderEvent::Closed(Some(
            last.unwrap_or(error),
        ))));
    }

    // ----- tools

    fn start_tool(&mut self, request: ToolRequest) {
        let Some(kit) = self.kit.upgrade() else {
            return;
        };
        let context = ToolContext {
            kit,
            scope: self.scope.clone(),
            session: self.session.clone(),
            toolbox: Arc::clone(&self.toolbox),
        };
        let call_id = request.call_id.clone();
        let cancelled = CancellationToken::new();
        let run = context.run(request, cancelled.clone());
        let id = call_id.clone();
        let task = self.tools.spawn(async move { (id, run.await) });
        self.running.insert(call_id, (task, cancelled));
    }

    // ----- the clock

    /// Sets the timer if something is due earlier than it is set to; a timer that rings too early
    /// costs less than setting it for every frame.
    fn set_timer(&mut self) {
        let now = Instant::now();
        let machine = self
            .call
            .next_wake(now - self.began)
            .map(|wake| self.began + wake);
        let sends = [
            self.client.sending_since(),
            self.provider
                .as_ref()
                .and_then(|provider| provider.outbox.sending_since()),
        ];
        let stall = sends.into_iter().flatten().min().map(|since| since + STALL);
        let Some(due) = [machine, stall].into_iter().flatten().min() else {
            return;
        };
        if !self.timer_is_set || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
            self.timer_is_set = true;
        }
    }

    fn check_stalls(&mut self) {
        let stalled = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() >= STALL);
        if stalled(self.client.sending_since()) {
            self.feed(Input::Command(Command::End(EndReason::ClientTooSlow)));
        }
        if stalled(
            self.provider
                .as_ref()
                .and_then(|provider| provider.outbox.sending_since()),
        ) {
            self.feed(Input::Command(Command::End(EndReason::ProviderTooSlow)));
        }
    }

    // ----- measures

    fn measure(&mut self, who: Role, pcm: &[u8]) {
        let at = self.began.elapsed();
        let last = &mut self.levels[usize::from(who == Role::Assistant)];
        if last.is_some_and(|last| at < last + LEVEL_EVERY) {
            return;
        }
        let hooked = self.kit.upgrade().is_some_and(|kit| {
            let (room, channel) = (self.session.room_id(), self.session.channel_id());
            kit.hooks().is_hooked(Trigger::AudioLevel, room, channel)
        });
        if hooked {
            *last = Some(at);
            self.tell(
                ToPublisher::Level {
                    at,
                    who,
                    level_dbfs: level_dbfs(pcm),
                },
                true,
            );
        }
    }

    fn dropped(&mut self, reason: &'static str) {
        metrics::counter!("roomkit_dropped_total", "reason" => reason).increment(1);
        if reason == "early_audio" && !std::mem::replace(&mut self.warned_of_early_audio, true) {
            tracing::warn!(
                session_id = %self.session.id(),
                "the client sends more audio than is kept while the provider connects"
            );
        }
    }

    fn announce(
        &self,
        kind: FrameworkEventKind,
        fill: impl FnOnce(FrameworkEvent) -> FrameworkEvent,
    ) {
        if let Some(kit) = self.kit.upgrade() {
            let event = FrameworkEvent::new(kind)
                .room(self.session.room_id())
                .channel(self.session.channel_id())
                .session(self.session.id())
                .data("participant_id", self.session.participant_id().as_str())
                .data("provider", self.shared.provider.name());
            kit.emit(fill(event));
        }
    }

    // ----- the end

    /// Takes everything down, each step whether or not the one before it worked (contract S3).
    async fn finish(mut self, end: End) {
        self.session.end();
        drop(self.client_events);
        self.mailbox.close();
        for (task, cancelled) in self.running.into_values() {
            cancelled.cancel();
            task.abort();
        }
        drop(self.tools);
        drop(self.connecting);

        let (reason, failure) = match end {
            End::Reason(reason) => (reason, None),
            End::Failed(error) => (EndReason::Provider("start_failed".into()), Some(error)),
        };
        let duration = self
            .active_since
            .map_or(Duration::ZERO, |since| since.elapsed());
        let usage = self.call.usage();
        let closing_provider = self.provider.map(|provider| {
            // Beside the rest: the client need not wait for the vendor's goodbye.
            tokio::spawn(async move {
                let closed = timeout(CLOSE, async {
                    if let Some(mut sink) = provider.outbox.into_wire().await {
                        sink.0.close().await;
                    }
                });
                let _ = closed.await;
            })
        });

        if self.active_since.is_some() {
            let ended = ToPublisher::Ended {
                reason: reason.clone(),
                duration,
                usage,
            };
            let _ = self.to_publisher.try_send(ended);
        }
        drop(self.to_publisher);
        // The publisher's last words for the client; it drops its end when it has no more.
        let client = &mut self.client;
        let from_publisher = &mut self.from_publisher;
        let last_words = async {
            while let Some(message) = from_publisher.recv().await {
                if let FromPublisher::Client(message) = message {
                    let _ = client.push(ClientCommand::Message(message));
                }
            }
        };
        let _ = timeout(LAST_WORDS, last_words).await;
        drop(self.from_publisher);

        let goodbye = match &failure {
            Some(error) => ServerMessage::Error {
                code: error.code().into(),
                message: error.to_string(),
            },
            None => ServerMessage::SessionEnded {
                reason: reason.as_str().into(),
            },
        };
        self.client.drop_audio();
        let closed = timeout(CLOSE, async {
            let _ = self.client.push(ClientCommand::Message(goodbye));
            // What cannot be sent to a client that is gone is no reason not to close the link.
            while !self.client.is_idle() && self.client.drive().await.is_ok() {}
            if let Some(mut sink) = self.client.into_wire().await {
                sink.0.close(reason.as_str()).await;
            }
        });
        let _ = closed.await;
        if let Some(task) = closing_provider {
            let _ = task.await;
        }

        if self.active_since.is_some() {
            metrics::counter!("roomkit_sessions_ended_total", "reason" => reason.as_str().to_owned())
                .increment(1);
            metrics::gauge!("roomkit_sessions_active").decrement(1.0);
            if let Some(kit) = self.kit.upgrade() {
                kit.emit(
                    FrameworkEvent::new(FrameworkEventKind::SessionEnded)
                        .room(self.session.room_id())
                        .channel(self.session.channel_id())
                        .session(self.session.id())
                        .data("participant_id", self.session.participant_id().as_str())
                        .data("reason", reason.as_str())
                        .data("duration_ms", duration.as_millis() as u64),
                );
            }
        }
        tracing::info!(
            session_id = %self.session.id(), reason = reason.as_str(), ?duration, "session ended"
        );
        if let Some(ready) = self.ready {
            let error = failure.unwrap_or_else(|| StartError::Ended(reason.as_str().into()));
            let _ = ready.send(Err(error));
        }
        if let Some(tap) = self.audio_tap {
            tap.task.abort();
        }
        self.idle.send_replace(true);
        drop(self.idle);
        let mut publisher = self.publisher;
        if timeout(LAST_HOOKS, &mut publisher).await.is_err() {
            publisher.abort();
        }
    }
}

/// How a call comes to its end.
enum End {
    Reason(EndReason),
    /// It never started.
    Failed(StartError),
}

impl AudioTap {
    fn start(shared: &Arc<Shared>, session: &RealtimeSession) -> Option<Self> {
        if shared.observers.audio.is_empty() {
            return None;
        }
        let (queue, mut audio) = mpsc::channel::<Bytes>(256);
        let (shared, session) = (Arc::clone(shared), session.clone());
        let task = tokio::spawn(async move {
            while let Some(pcm) = audio.recv().await {
                shared.observers.audio.tell(|| (session.clone(), pcm)).await;
            }
        });
        Some(Self { queue, task })
    }
}
