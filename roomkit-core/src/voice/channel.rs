//! The voice channel: starts sessions, passes the room's words to them, ends them.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    REALTIME_VOICE, builder::RealtimeVoiceChannelBuilder, in_room::permissions_of,
    observers::Observers, options::SessionOptions, recording::recording_of, seed::HistorySeed,
    sources::Sources,
};
use crate::{
    call::{CallSettings, Command, NewCall, PermissionCell, Shared, Toolbox, telling},
    error::{ConfigError, RoomError, StartError},
    event::EndReason,
    hook::HookScope,
    id::{ChannelId, ParticipantId, RoomId, SessionId},
    kit::{RoomKit, WeakRoomKit},
    provider::{RealtimeVoiceProvider, SessionSetup},
    recording::Recording,
    room::RoomStatus,
    session::RealtimeSession,
    tool::{Tool, ToolHandler, ToolSearch},
    transport::{AudioOffer, Connection, RealtimeAudioTransport, TransportError},
};

/// Commands a session may have waiting.
const MAILBOX: usize = 256;
/// How long the end of a session is waited for.
const ENDING: Duration = Duration::from_secs(15);

/// Puts a speech-to-speech AI into rooms. A cheap handle: clones are the same channel.
///
/// When the last handle is dropped its sessions end; a [`RoomKit`] it is registered with keeps one.
#[derive(Clone)]
pub struct RealtimeVoiceChannel(Arc<Inner>);

pub(super) struct Inner {
    pub(super) id: ChannelId,
    pub(super) shared: Arc<Shared>,
    setup: SessionSetup,
    pub(super) tools: Vec<Tool>,
    pub(super) sources: Sources,
    pub(super) tool_handler: Option<Arc<dyn ToolHandler>>,
    /// Only where the provider can be told of what was found.
    pub(super) tool_search: Option<ToolSearch>,
    /// The tools of every session that has none of its own, when no source has to be asked.
    pub(super) toolbox: Option<Arc<Toolbox>>,
    call: CallSettings,
    lead: Option<Duration>,
    max_sessions: Option<usize>,
    pub(super) inject_ai_text: bool,
    seed: Option<HistorySeed>,
    recording: Option<Recording>,
    pub(super) kit: OnceLock<WeakRoomKit>,
    pub(super) closed: AtomicBool,
    sessions: Mutex<HashMap<SessionId, Live>>,
    pub(super) tasks: TaskTracker,
}

/// A session that has not ended, as its channel sees it.
pub(super) struct Live {
    pub(super) session: RealtimeSession,
    /// The only senders; when the channel goes, the sessions notice it by this.
    pub(super) mailbox: mpsc::Sender<Command>,
    pub(super) permissions: Arc<PermissionCell>,
    idle: watch::Receiver<bool>,
    ended: CancellationToken,
    /// Its tools are the channel's, and change with them.
    pub(super) follows_sources: bool,
}

/// Takes a session out of the channel's list when it is over, however that came about.
struct Registered {
    channel: Weak<Inner>,
    session: RealtimeSession,
    ended: CancellationToken,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.end();
        if let Some(channel) = self.channel.upgrade() {
            channel.sessions().remove(self.session.id());
        }
        self.ended.cancel();
    }
}

impl RealtimeVoiceChannel {
    /// Begins a channel: its id, whose voice it is, and how callers reach it.
    pub fn builder(
        id: impl Into<ChannelId>,
        provider: Arc<dyn RealtimeVoiceProvider>,
        transport: Arc<dyn RealtimeAudioTransport>,
    ) -> RealtimeVoiceChannelBuilder {
        RealtimeVoiceChannelBuilder::new(id.into(), provider, transport)
    }

    pub(super) fn new(builder: RealtimeVoiceChannelBuilder) -> Result<Self, ConfigError> {
        let RealtimeVoiceChannelBuilder {
            id,
            setup,
            tools,
            tool_sources,
            tool_handler,
            ..
        } = builder;
        let updates = builder.shared.provider.capabilities().updates;
        let tool_search = builder.tool_search.filter(|_| updates);
        let toolbox = Toolbox::new(tools.clone(), tool_handler.as_ref())?;
        let toolbox = Arc::new(toolbox.searched(tool_search.as_ref())?);
        Ok(Self(Arc::new(Inner {
            id,
            shared: Arc::new(builder.shared),
            setup,
            toolbox: tool_sources.is_empty().then_some(toolbox),
            tools,
            sources: Sources::new(tool_sources),
            tool_handler,
            tool_search,
            call: builder.call,
            lead: builder.lead,
            max_sessions: builder.max_sessions,
            inject_ai_text: builder.inject_ai_text,
            seed: builder.seed,
            recording: builder.recording,
            kit: OnceLock::new(),
            closed: AtomicBool::new(false),
            sessions: Mutex::new(HashMap::new()),
            tasks: TaskTracker::new(),
        })))
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<dyn RealtimeVoiceProvider> {
        &self.0.shared.provider
    }

    /// The transport.
    pub fn transport(&self) -> &Arc<dyn RealtimeAudioTransport> {
        &self.0.shared.transport
    }

    // ----- sessions

    /// Starts a session: whole, or not at all (contract S1). Dropping the future takes it back.
    pub async fn start_session(
        &self,
        room: impl Into<RoomId>,
        participant: impl Into<ParticipantId>,
        connection: impl Into<Connection>,
    ) -> Result<RealtimeSession, StartError> {
        self.start_session_with(room, participant, connection, SessionOptions::new())
            .await
    }

    /// Starts a session that differs from the channel's settings.
    pub async fn start_session_with(
        &self,
        room: impl Into<RoomId>,
        participant: impl Into<ParticipantId>,
        connection: impl Into<Connection>,
        options: SessionOptions,
    ) -> Result<RealtimeSession, StartError> {
        let (room, connection) = (room.into(), connection.into());
        let inner = &self.0;
        if inner.closed.load(Ordering::Acquire) {
            return Err(StartError::Closed);
        }
        let kit = inner.kit()?;
        let record = kit.room(&room).await?;
        if record.status != RoomStatus::Active {
            return Err(RoomError::Closed(room).into());
        }
        let binding = kit.binding(&room, &inner.id).await?;
        let recording = recording_of(inner.recording.as_ref(), &options)?;
        inner.follow_sources();
        let listing = inner.sources.changes();
        let toolbox = inner.toolbox(&options).await?;

        let session = RealtimeSession::new(&room, participant, &inner.id, options.metadata.clone());
        let mut setup = inner.setup.clone();
        setup.session_id = session.id().clone();
        setup.tools = toolbox.definitions().to_vec();
        options.apply(&mut setup);
        if let Some(seed) = inner.seed {
            setup.history = seed.read(&kit, &room, &inner.id).await?;
        }

        let permissions = Arc::new(PermissionCell::new(permissions_of(&binding)));
        let (mailbox, commands) = mpsc::channel(MAILBOX);
        let (idle, is_idle) = watch::channel(true);
        let ended = CancellationToken::new();
        let registered = inner.register(Live {
            session: session.clone(),
            mailbox,
            permissions: Arc::clone(&permissions),
            idle: is_idle,
            ended: ended.clone(),
            follows_sources: options.tools.is_none(),
        })?;
        if inner.sources.changes() != listing {
            // They changed between the listing and the moment the session could be found.
            inner.sources.tell_again();
        }
        // The room may have been closed, or the channel detached, just before the session could be
        // found by that.
        permissions.set(permissions_of(&*kit.binding(&room, &inner.id).await?));

        let capabilities = inner.shared.provider.capabilities();
        let offer = AudioOffer {
            input_rate: capabilities.input_rate,
            output_rate: capabilities.output_rate,
        };
        let limit = inner.shared.connect_timeout;
        let accepting = inner.shared.transport.accept(&session, connection, offer);
        let link = timeout(limit, accepting).await.unwrap_or_else(|_| {
            let problem = format!("the transport did not accept it within {limit:?}");
            Err(TransportError::Refused(problem))
        })?;
        session.merge_metadata(link.info.metadata.clone());
        let mut call = inner.call.clone();
        call.lead = inner.lead.unwrap_or(link.info.lead);
        call.jitter_buffer = link.info.jitter_buffer;
        call.input_rate = link.info.input_rate;
        call.recording = recording.as_ref().map(|recording| recording.terms);
        call.seed = RandomState::new().hash_one(session.id());

        let (ready, is_ready) = oneshot::channel();
        let task = NewCall {
            shared: Arc::clone(&inner.shared),
            session: session.clone(),
            kit: kit.downgrade(),
            scope: HookScope::new(&room, &inner.id, REALTIME_VOICE),
            settings: call,
            permissions,
            mailbox: commands,
            idle,
            link,
            toolbox,
            recording: recording.map(|recording| recording.sink),
            setup,
            ready,
            registered: Box::new(registered),
        };
        drop(kit);
        inner.tasks.spawn(task.run());
        match is_ready.await {
            Ok(Ok(())) => Ok(session),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Ended("it failed inside".into())),
        }
    }

    /// Ends a session and returns when it is over. Ending it twice is no error (contract S3).
    pub async fn end_session(&self, session: &RealtimeSession) {
        self.0
            .end_all(EndReason::Host, |live| live.id() == session.id())
            .await;
    }

    /// The sessions that have not ended.
    pub fn sessions(&self) -> Vec<RealtimeSession> {
        self.0
            .sessions()
            .values()
            .map(|live| live.session.clone())
            .collect()
    }

    /// The sessions of a room that have not ended.
    pub fn room_sessions(&self, room: impl Into<RoomId>) -> Vec<RealtimeSession> {
        let room = room.into();
        let mut sessions = self.sessions();
        sessions.retain(|session| *session.room_id() == room);
        sessions
    }

    /// Waits until nothing runs, nothing is audible and nobody speaks in any session of the room
    /// (contract A8). False: that was not so within `limit`.
    pub async fn wait_idle(&self, room: impl Into<RoomId>, limit: Duration) -> bool {
        let room = room.into();
        let waits: Vec<_> = self
            .0
            .sessions()
            .values()
            .filter(|live| *live.session.room_id() == room)
            .map(|live| live.idle.clone())
            .collect();
        let all = join_all(waits.into_iter().map(|mut idle| async move {
            // An error means that the session is over, and silent for ever.
            let _ = idle.wait_for(|idle| *idle).await;
        }));
        timeout(limit, all).await.is_ok()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn observers(&self) -> &Observers {
        &self.0.shared.observers
    }
}

impl Inner {
    fn kit(&self) -> Result<RoomKit, StartError> {
        let kit = self.kit.get().and_then(WeakRoomKit::upgrade);
        kit.ok_or_else(|| RoomError::ChannelNotRegistered(self.id.clone()).into())
    }

    fn register(self: &Arc<Self>, live: Live) -> Result<Registered, StartError> {
        let (session, ended) = (live.session.clone(), live.ended.clone());
        let mut sessions = self.sessions();
        if self.closed.load(Ordering::Acquire) {
            return Err(StartError::Closed);
        }
        if let Some(limit) = self.max_sessions
            && sessions.len() >= limit
        {
            return Err(StartError::TooManySessions(limit));
        }
        sessions.insert(session.id().clone(), live);
        Ok(Registered {
            channel: Arc::downgrade(self),
            session,
            ended,
        })
    }

    /// Ends the sessions that are meant and returns when they are over; but one whose own hook or
    /// observer asks for it ends only after that has returned.
    pub(super) async fn end_all(
        &self,
        reason: EndReason,
        meant: impl Fn(&RealtimeSession) -> bool,
    ) {
        let asking = telling();
        let ending: Vec<_> = self
            .sessions()
            .values()
            .filter(|live| meant(&live.session))
            .map(|live| {
                let waits = asking.as_ref() != Some(live.session.id());
                (live.mailbox.clone(), live.ended.clone(), waits)
            })
            .collect();
        let ends = ending.into_iter().map(|(mailbox, ended, waits)| {
            let reason = reason.clone();
            async move {
                let _ = mailbox.send(Command::End(reason)).await;
                drop(mailbox);
                if waits {
                    ended.cancelled().await;
                }
            }
        });
        if timeout(ENDING, join_all(ends)).await.is_err() {
            tracing::error!(channel_id = %self.id, "sessions did not end in time");
        }
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Live>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RealtimeVoiceChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeVoiceChannel")
            .field("id", &self.0.id)
            .field("provider", &self.0.shared.provider.name())
            .field("transport", &self.0.shared.transport.name())
            .finish_non_exhaustive()
    }
}
