//! The beginning of a call: what it needs, and the step from connecting to live.

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
use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::{
    AudioTap, Bell, Driver, End, Events, NEWS, Provider, REPORTS, STALL, links::connect,
    recording::recorder,
};
use crate::{
    audio::Resampler,
    call::{
        io::{Command, Input, Moment, Permissions},
        machine::{Call, CallSettings, Opening},
        outbox::{ClientWire, Outbox, ProviderWire},
        publisher::{HalfSaid, Publisher, ToPublisher, as_told},
        spans::{self, Spans},
    },
    client_protocol::ServerMessage,
    error::{StartError, TransportError},
    event::EndReason,
    framework::FrameworkEventKind,
    hook::HookScope,
    kit::WeakRoomKit,
    provider::{ProviderCapabilities, ProviderConnection, RealtimeVoiceProvider},
    recording::{RecordingSink, RecordingState},
    session::{RealtimeSession, RealtimeSessionState},
    tool::Reporter,
    transport::{ClientCommand, ClientLink, RealtimeAudioTransport},
    voice::{Agents, Observers},
};

/// What all sessions of a channel have in common.
pub(crate) struct Shared {
    pub(crate) provider: Arc<dyn RealtimeVoiceProvider>,
    pub(crate) transport: Arc<dyn RealtimeAudioTransport>,
    pub(crate) observers: Observers,
    pub(crate) agents: Arc<Agents>,
    pub(crate) emit_transcription_events: bool,
    pub(crate) emit_partials: bool,
    pub(crate) client_stats: bool,
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

    pub(super) fn get(&self) -> Permissions {
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
    pub(crate) mailbox: mpsc::Receiver<Box<Command>>,
    pub(crate) idle: watch::Sender<bool>,
    pub(crate) link: ClientLink,
    /// What the session is, and what it begins with.
    pub(crate) opening: Opening,
    /// Where it is recorded to, if it may be.
    pub(crate) recording: Option<Arc<dyn RecordingSink>>,
    /// Told when the session is active, or why it never will be. Its receiver's end takes the
    /// start back.
    pub(crate) ready: oneshot::Sender<Result<(), StartError>>,
    /// Dropped when the session is over but for the last hooks, so that the channel knows.
    pub(crate) registered: Box<dyn Send>,
}

impl NewCall {
    /// Runs the session to its end. A defect in here, or in a plugin, ends this session and no
    /// other (contract S8).
    pub(crate) fn run(self: Box<Self>) -> impl Future<Output = ()> + Send + 'static {
        let session = self.session.clone();
        let Shared {
            provider,
            transport,
            ..
        } = &*self.shared;
        let by = self.link.info.transport.as_deref();
        let span = spans::session(&session, &**provider, by.unwrap_or(transport.name()));
        let whole = span.clone();
        let run = async move {
            let driver = Driver::new(self, whole);
            if AssertUnwindSafe(driver.run()).catch_unwind().await.is_err() {
                session.end();
                tracing::error!(session_id = %session.id(), "a session ended by a panic");
            }
        };
        run.instrument(span)
    }
}

impl Driver {
    /// Boxed, because each function of a task that takes a driver for itself would make room for one
    /// more, for as long as the call lasts.
    pub(super) fn new(new: Box<NewCall>, whole: Span) -> Box<Self> {
        let new = *new;
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
        let (to_hooks, ended) = oneshot::channel();
        let (call, from_publisher) = mpsc::channel(64);
        let (reports, from_tools) = mpsc::channel(REPORTS);
        let recorder = new
            .recording
            .map(|sink| recorder(sink, &shared, &session, began));
        let publisher = Publisher {
            shared: Arc::clone(&shared),
            session: session.clone(),
            kit: kit.clone(),
            scope: scope.clone(),
            began: Timestamp::now(),
            recording: recorder.as_ref().map(|recorder| recorder.queue.clone()),
            call,
            half_said: HalfSaid::default(),
        };
        let mut first = new.opening.setup.wanted();
        first.history.clone_from(&new.opening.history);
        let provider = Arc::clone(&shared.provider);
        let spans = Spans::new(whole, &session, &provider);
        let connecting = spans.connecting(connect(provider, first, shared.connect_timeout));
        Box::new(Self {
            audio_tap: AudioTap::start(&shared, &session),
            shared,
            session,
            kit,
            scope,
            call: Call::new(settings, permissions.get(), new.opening),
            began,
            now: Moment::ZERO,
            active_since: None,
            link: new.link.info,
            client: Outbox::new(ClientWire(new.link.sink)),
            client_events: Events::new(new.link.events),
            connecting: Some(connecting.boxed()),
            provider: None,
            hanging_up: None,
            inbound: None,
            outbound: None,
            permissions: permissions.get(),
            permission_cell: permissions,
            mailbox: new.mailbox,
            idle: new.idle,
            ready: Some(new.ready),
            registered: new.registered,
            spans,
            tools: JoinSet::new(),
            running: HashMap::new(),
            reporter: Reporter::new(reports),
            reports: from_tools,
            to_publisher,
            to_hooks,
            from_publisher,
            publisher: tokio::spawn(publisher.run(news, ended).in_current_span()),
            levels: [None; 2],
            recorder,
            recording: RecordingState::Off,
            in_a_row: 0,
            others_bell: Bell::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_is_set: false,
            warned_of_early_audio: false,
        })
    }

    /// The provider is ready: the client is told, if it is the first connection; then held audio
    /// goes, then everything is live.
    pub(super) async fn connected(&mut self, connection: ProviderConnection) -> Result<(), End> {
        let ProviderConnection { info, sink, events } = connection;
        self.hang_up();
        self.resample(&info.capabilities);
        self.recorder_expects(&info.capabilities);
        self.session
            .set_provider_session_id(info.provider_session_id.clone());
        self.session
            .set_manual_turns(info.capabilities.manual_turns);
        let outbox = Outbox::new(ProviderWire(sink));
        let events = Events::new(events);
        self.provider = Some(Provider { outbox, events });
        if self.active_since.is_some() {
            self.feed(Input::Connected(info));
            return Ok(());
        }
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
        self.now = self.began.elapsed();

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
        // The host may ask as soon as it knows that the session is active.
        self.session.set_recording(self.call.recording());
        let told = self
            .ready
            .take()
            .is_some_and(|ready| ready.send(Ok(())).is_ok());
        if !told {
            self.feed(Input::Command(Command::End(EndReason::Host)));
        }
        Ok(())
    }

    /// Puts a resampler where the two legs differ, and nowhere else (contract A2). What the previous
    /// connection said may still be on its way to the client: none of it is lost (contract H1).
    fn resample(&mut self, provider: &ProviderCapabilities) {
        self.inbound = Resampler::new(self.link.input_rate, provider.input_rate);
        let (from, to) = (provider.output_rate, self.link.output_rate);
        let stays = |outbound: &Resampler| outbound.rates() == (from, to);
        if !self.outbound.as_ref().is_some_and(stays) {
            self.send_tail();
            self.outbound = Resampler::new(from, to);
        }
    }
}

impl AudioTap {
    pub(super) fn start(shared: &Arc<Shared>, session: &RealtimeSession) -> Option<Self> {
        if shared.observers.audio.is_empty() {
            return None;
        }
        let (queue, mut audio) = mpsc::channel::<Bytes>(256);
        let (shared, session) = (Arc::clone(shared), session.clone());
        let telling = session.clone();
        let tell = async move {
            // What waits when the session is over nobody is told.
            while let Some(pcm) = audio.recv().await
                && session.state() != RealtimeSessionState::Ended
            {
                shared.observers.audio.tell(|| (session.clone(), pcm)).await;
            }
        };
        let task = tokio::spawn(as_told(&telling, tell).in_current_span());
        Some(Self {
            queue,
            task: AbortOnDropHandle::new(task),
        })
    }
}
