//! Runs a call: one task that owns both links and the machine.

mod bell;
mod finish;
mod links;
mod recording;
mod start;
mod tools;
mod wait;

use std::{collections::HashMap, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, Sleep},
};
use tokio_util::task::AbortOnDropHandle;

use bell::{Bell, Events};
use tools::Running;
use wait::Happening;

pub(crate) use start::{NewCall, PermissionCell, Shared};

use super::{
    gate::Finished,
    io::{Action, Command, Input, Moment, News, Permissions},
    machine::Call,
    outbox::{ClientWire, Outbox, ProviderWire},
    publisher::{Ended, FromPublisher, ToPublisher},
    spans::Spans,
};
use crate::{
    audio::Resampler,
    error::{ProviderError, StartError},
    event::EndReason,
    hook::HookScope,
    id::CallId,
    kit::WeakRoomKit,
    provider::{ProviderConnection, ProviderEvent, Role},
    recording::{RECORDING_ENDS, Recorder, RecordingState},
    session::RealtimeSession,
    tool::Reporter,
    transport::{ClientCommand, ClientEvent, LinkInfo},
};

/// A peer that has not taken one command in this time is gone for all practical purposes.
const STALL: Duration = Duration::from_secs(10);
/// How long a link may take to close.
const CLOSE: Duration = Duration::from_secs(2);
/// The same for a provider connection that another one waits for.
const HANG_UP: Duration = Duration::from_millis(500);
/// How long the last words may take to be told before the client is let go.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the end of a session may take, but for hooks: its last words, its recording, and links that
/// do not close.
pub(crate) const ENDING: Duration = LAST_WORDS
    .saturating_add(RECORDING_ENDS)
    .saturating_add(CLOSE);
/// News that may wait for hooks and observers; partials only use half of it.
const NEWS: usize = 1024;
/// Progress of tools that may wait for the call.
const REPORTS: usize = 64;
/// At most ten levels a second.
const LEVEL_EVERY: Duration = Duration::from_millis(100);

struct Driver {
    shared: Arc<Shared>,
    session: RealtimeSession,
    kit: WeakRoomKit,
    scope: HookScope,
    call: Call,
    /// The call's zero.
    began: Instant,
    /// When the task woke up, or began to go on after a wait.
    now: Moment,
    active_since: Option<Instant>,

    link: LinkInfo,
    client: Outbox<ClientWire>,
    client_events: Events<ClientEvent>,

    connecting: Option<BoxFuture<'static, Result<ProviderConnection, ProviderError>>>,
    provider: Option<Provider>,
    /// The last provider connection that was left, on its way out.
    hanging_up: Option<JoinHandle<()>>,
    inbound: Option<Resampler>,
    outbound: Option<Resampler>,

    permission_cell: Arc<PermissionCell>,
    permissions: Permissions,
    mailbox: mpsc::Receiver<Box<Command>>,
    idle: watch::Sender<bool>,
    ready: Option<oneshot::Sender<Result<(), StartError>>>,
    registered: Box<dyn Send>,

    spans: Spans,
    tools: JoinSet<(CallId, Option<Finished>)>,
    running: HashMap<CallId, Running>,
    reporter: Reporter,
    reports: mpsc::Receiver<Box<(u64, String)>>,

    to_publisher: mpsc::Sender<Box<ToPublisher>>,
    to_hooks: oneshot::Sender<Ended>,
    from_publisher: mpsc::Receiver<FromPublisher>,
    publisher: JoinHandle<()>,
    audio_tap: Option<AudioTap>,
    levels: [Option<Moment>; 2],
    recorder: Option<Recorder>,
    /// Whether the call is recorded, as far as it was told.
    recording: RecordingState,

    /// How many frames came without anybody else being asked.
    in_a_row: u32,
    /// Of all who are waited for, except the links.
    others_bell: Bell,
    timer: Pin<Box<Sleep>>,
    timer_is_set: bool,
    warned_of_early_audio: bool,
}

struct Provider {
    outbox: Outbox<ProviderWire>,
    events: Events<ProviderEvent>,
}

/// Feeds the observers of the AI's audio, in a task of its own; it may miss what is too fast.
struct AudioTap {
    queue: mpsc::Sender<Bytes>,
    task: AbortOnDropHandle<()>,
}

impl Driver {
    async fn run(mut self: Box<Self>) {
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
            self.now = self.began.elapsed();
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

    /// Hands it to the machine. `Err`: the call is over.
    async fn take(&mut self, happening: Happening) -> Result<(), End> {
        match happening {
            Happening::Client(Some(event)) => {
                if let ClientEvent::Audio(pcm) | ClientEvent::Filling(pcm) = &event {
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
            Happening::Mailbox(Some(command)) => {
                if let Some(command) = self.checked(*command) {
                    self.feed(Input::Command(command));
                }
            }
            Happening::Mailbox(None) => {
                self.feed(Input::Command(Command::End(EndReason::Shutdown)));
            }
            Happening::Publisher(Some(FromPublisher::Client(message))) => {
                self.send_to_client(ClientCommand::Message(*message));
            }
            Happening::Publisher(Some(FromPublisher::ToolCleared(serial))) => {
                self.feed(Input::ToolCleared(serial));
            }
            Happening::Publisher(None) => {
                self.feed(Input::Command(Command::End(self.why_nobody_is_told())));
            }
            Happening::Tool(task, call_id, finished) => {
                self.tool_finished(task, call_id, finished);
            }
            Happening::ToolDropped => {}
            Happening::Progress(serial, progress) => {
                self.feed(Input::ToolProgress(serial, progress));
            }
            Happening::Connected(connected) => {
                self.connecting = None;
                match connected {
                    Ok(connection) => return self.connected(connection).await,
                    Err(error) if self.active_since.is_none() => {
                        return Err(End::Failed(error.into()));
                    }
                    Err(error) => self.feed(Input::DialFailed(error)),
                }
            }
            Happening::ClientSent(sent) => {
                if sent.is_err() {
                    self.feed(Input::ClientGone);
                }
            }
            Happening::ProviderSent(sent) => {
                if let Err(failure) = sent {
                    self.provider_send_failed(failure);
                }
            }
            Happening::RecordingFailed(error) => self.recording_failed(error),
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
        let client = self.client.drive_at_once();
        let provider = self
            .provider
            .as_mut()
            .and_then(|provider| provider.outbox.drive_at_once());
        let client_failed = matches!(client, Some(Err(_)));
        if client_failed {
            self.feed(Input::ClientGone);
        }
        if let Some(Err(failure)) = provider {
            self.provider_send_failed(failure);
            return true;
        }
        client_failed
    }

    fn feed(&mut self, input: Input) {
        self.call.handle(self.now, input);
    }

    /// Does what the machine wants done. `Some`: the call is over.
    fn act(&mut self) -> Option<EndReason> {
        while let Some(action) = self.call.poll() {
            if !matches!(action, Action::ToProvider(_) | Action::ToClient(_)) {
                // There may be somebody new: a tool, a connection.
                self.others_bell.ask_anyway();
            }
            match action {
                Action::ToProvider(command) => self.send_to_provider(command),
                Action::Dial(dial) => self.dial(*dial),
                Action::HangUp => self.hang_up(),
                Action::ToClient(command) => self.send_to_client(command),
                Action::Publish(publication) => {
                    if let News::AgentChanged { to, .. } = &publication.what {
                        self.session.set_agent(to.clone());
                    }
                    let partial = matches!(
                        publication.what,
                        News::Partial { .. } | News::ToolProgress { .. }
                    );
                    self.tell(ToPublisher::News(publication), partial);
                }
                Action::StartTool(request) => self.start_tool(request),
                Action::CancelTool { call_id, expired } => self.cancel_tool(&call_id, expired),
                Action::Idle(idle) => {
                    self.idle.send_replace(idle);
                }
                Action::Stats(stats) => self.count(*stats),
                Action::Recording(state, by, since) => self.recording_changed(state, by, since),
                Action::Record(sound) => self.record(sound),
                Action::Trace(milestone) => self.spans.pass(milestone),
                Action::Dropped(reason) => self.dropped(reason),
                Action::DroppedHeld(pieces) => {
                    metrics::counter!("roomkit_dropped_total", "reason" => "held_audio")
                        .increment(pieces as u64);
                }
                Action::End(reason) => return Some(reason),
            }
        }
        None
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
            self.provider_stalled();
        }
    }
}

/// How a call comes to its end.
enum End {
    Reason(EndReason),
    /// It never started.
    Failed(StartError),
}
