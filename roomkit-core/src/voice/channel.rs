//! The voice channel: starts sessions, passes the room's words to them, ends them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    agent::AgentRef,
    agents::{Agents, Ground, Known},
    builder::RealtimeVoiceChannelBuilder,
    observers::Observers,
    seed::HistorySeed,
    sources::Sources,
    update::check_setup,
};
use crate::{
    call::{CallSettings, Command, ENDING, Entry, PermissionCell, Shared, Toolbox, telling},
    error::{ConfigError, UpdateError},
    event::EndReason,
    id::{ChannelId, RoomId, SessionId},
    kit::WeakRoomKit,
    provider::{RealtimeVoiceProvider, SessionSetup, UpdateWay},
    recording::Recording,
    session::RealtimeSession,
    tool::{ToolHandler, ToolSearch},
    transport::RealtimeAudioTransport,
};

/// Puts a speech-to-speech AI into rooms. A cheap handle: clones are the same channel.
///
/// When the last handle is dropped its sessions end; a [`RoomKit`](crate::RoomKit) it is registered with keeps one.
/// What the channel itself keeps, such as a tool or an observer, should keep a
/// [`WeakRealtimeVoiceChannel`]: with a handle it would keep the channel, and its calls, for ever.
#[derive(Clone)]
pub struct RealtimeVoiceChannel(Arc<Inner>);

/// A voice channel that may be gone. What tools, observers and transports keep of theirs.
#[derive(Clone)]
pub struct WeakRealtimeVoiceChannel(Weak<Inner>);

pub(super) struct Inner {
    pub(super) id: ChannelId,
    pub(super) shared: Arc<Shared>,
    pub(super) setup: SessionSetup,
    pub(super) tools: Vec<Arc<Entry>>,
    pub(super) sources: Sources,
    pub(super) tool_handler: Option<Arc<dyn ToolHandler>>,
    /// Only where the provider can be told of what was found.
    pub(super) tool_search: Option<ToolSearch>,
    /// The tools of every session that has none of its own, when no source has to be asked.
    pub(super) toolbox: Option<Arc<Toolbox>>,
    pub(super) call: CallSettings,
    pub(super) lead: Option<Duration>,
    pub(super) max_sessions: Option<usize>,
    pub(super) inject_ai_text: bool,
    pub(super) seed: Option<HistorySeed>,
    pub(super) recording: Option<Recording>,
    pub(super) greeting: Option<String>,
    pub(super) first_agent: Option<AgentRef>,
    pub(super) kit: OnceLock<WeakRoomKit>,
    pub(super) closed: AtomicBool,
    sessions: Mutex<HashMap<SessionId, Live>>,
    pub(super) tasks: TaskTracker,
}

/// A session that has not ended, as its channel sees it.
pub(super) struct Live {
    pub(super) session: RealtimeSession,
    /// The first event of its room that it is told of as it comes; what was before it knows, if anything.
    pub(super) since: u64,
    /// The only senders, but for those of starts; when the channel goes, the sessions notice it by this.
    /// In boxes, as all that is sent over a session's queues: one has room for 32 from the beginning.
    pub(super) mailbox: mpsc::Sender<Box<Command>>,
    pub(super) permissions: Arc<PermissionCell>,
    pub(super) idle: watch::Receiver<bool>,
    /// It is to end: for a start whose transport waits for the client, when nobody reads the mailbox yet.
    pub(super) ending: CancellationToken,
    pub(super) ended: CancellationToken,
}

impl Live {
    /// Waits until it is idle after all that it was asked before this call.
    fn waits_for_idle(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mailbox, mut idle) = (self.mailbox.downgrade(), self.idle.clone());
        async move {
            let (reached, mark) = oneshot::channel();
            if let Some(mailbox) = mailbox.upgrade()
                && mailbox.send(Box::new(Command::Mark(reached))).await.is_ok()
            {
                drop(mailbox);
                let _ = mark.await;
            }
            // An error means that the session is over, and silent for ever.
            let _ = idle.wait_for(|idle| *idle).await;
        }
    }
}

impl WeakRealtimeVoiceChannel {
    /// The channel, if it still exists.
    pub fn upgrade(&self) -> Option<RealtimeVoiceChannel> {
        self.0.upgrade().map(RealtimeVoiceChannel)
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
            mut setup,
            tools,
            tool_sources,
            tool_handler,
            ..
        } = builder;
        let mut shared = builder.shared;
        let updates = shared.provider.capabilities().updates;
        let is_told = updates.tools == UpdateWay::Live;
        let tool_search = builder.tool_search.filter(|_| is_told);
        let tools = Entry::all(tools)?;
        let toolbox = Toolbox::of(tools.clone(), tool_handler.as_ref())?;
        let toolbox = Arc::new(toolbox.searched(tool_search.as_ref())?);
        setup.tools = Arc::clone(toolbox.definitions());
        check_setup(&setup, &*shared.provider)?;
        let ground = Ground {
            setup: &setup,
            provider: &*shared.provider,
            tool_handler: tool_handler.as_ref(),
            tool_search: tool_search.as_ref(),
        };
        let agents = Agents::new(&builder.agents, &ground)?;
        let first_agent = builder.first_agent.map(AgentRef::from);
        if let Some(agent) = &first_agent {
            let unknown = |error: UpdateError| ConfigError::field("first_agent", error.to_string());
            agents.find(agent, &ground).map_err(unknown)?;
        }
        shared.agents = Arc::new(agents);
        Ok(Self(Arc::new(Inner {
            id,
            shared: Arc::new(shared),
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
            greeting: builder.greeting,
            first_agent,
            kit: OnceLock::new(),
            closed: AtomicBool::new(false),
            sessions: Mutex::new(HashMap::new()),
            tasks: TaskTracker::new(),
        })))
    }

    /// A handle that does not keep the channel alive.
    pub fn downgrade(&self) -> WeakRealtimeVoiceChannel {
        WeakRealtimeVoiceChannel(Arc::downgrade(&self.0))
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

    /// Ends a session and returns when it is over. Ending it twice is no error (contract S3).
    pub async fn end_session(&self, session: &RealtimeSession) {
        self.0
            .end_all(EndReason::Host, |live| live.id() == session.id())
            .await;
    }

    /// Ends a session by itself once its call is over: it is idle (contract A8), nothing is owed, and no
    /// tool is running, not even one [during which the conversation may go on](crate::tool::ToolRules). If
    /// that is not so within `limit`, it ends then (contract S11). Returns at once: this is for a tool by
    /// which the AI hangs up. It says goodbye to the tool's result, and is heard to the end.
    ///
    /// Nobody has to wait for it, and nothing takes it back: the session ends also if the tool that asked
    /// for it is cancelled or runs out of time. Of several limits the earliest counts. A session that is not
    /// active yet becomes so and says its greeting first; its limit counts from when its client was accepted.
    ///
    /// ```
    /// # use std::{sync::{Arc, OnceLock}, time::Duration};
    /// use roomkit_core::{WeakRealtimeVoiceChannel, tool::{Tool, ToolDefinition}};
    /// use serde_json::json;
    ///
    /// // Filled by `voice.downgrade()` once the channel is built.
    /// let voice: Arc<OnceLock<WeakRealtimeVoiceChannel>> = Arc::default();
    /// # let of_tool = Arc::clone(&voice);
    /// let hang_up = Tool::new(
    ///     ToolDefinition::new("hang_up", "Ends the call.", json!({"type": "object"})),
    ///     move |session, _, _| {
    ///         let voice = of_tool.get().and_then(WeakRealtimeVoiceChannel::upgrade);
    ///         async move {
    ///             if let Some(voice) = voice {
    ///                 voice.end_session_when_idle(&session, Duration::from_secs(15));
    ///             }
    ///             Ok("say goodbye now".into())
    ///         }
    ///     },
    /// );
    /// ```
    pub fn end_session_when_idle(&self, session: &RealtimeSession, limit: Duration) {
        let sessions = self.0.sessions();
        let Some(mailbox) = sessions.get(session.id()).map(|live| live.mailbox.clone()) else {
            return;
        };
        drop(sessions);
        let asked = mailbox.try_send(Box::new(Command::EndWhenOver(limit)));
        if let Err(TrySendError::Full(command)) = asked {
            // It waits behind what the session was asked before. An error means that it is over.
            let waits = async move { drop(mailbox.send(command).await) };
            self.0.tasks.spawn(waits);
        }
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
    /// (contract A8), after all that they were asked before this call. False: that was not so within
    /// `limit`. A tool must not wait for it: its own call is among what runs
    /// ([`end_session_when_idle`](Self::end_session_when_idle) does not make it wait).
    pub async fn wait_idle(&self, room: impl Into<RoomId>, limit: Duration) -> bool {
        let room = room.into();
        let waits: Vec<_> = self
            .0
            .sessions()
            .values()
            .filter(|live| *live.session.room_id() == room)
            .map(Live::waits_for_idle)
            .collect();
        timeout(limit, join_all(waits)).await.is_ok()
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(super) fn observers(&self) -> &Observers {
        &self.0.shared.observers
    }
}

impl Inner {
    /// The agent that is meant.
    pub(super) fn agent(&self, agent: &AgentRef) -> Result<Arc<Known>, UpdateError> {
        let ground = Ground {
            setup: &self.setup,
            provider: &*self.shared.provider,
            tool_handler: self.tool_handler.as_ref(),
            tool_search: self.tool_search.as_ref(),
        };
        self.shared.agents.find(agent, &ground)
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
                live.ending.cancel();
                let waits = asking.as_ref() != Some(live.session.id());
                (live.mailbox.clone(), live.ended.clone(), waits)
            })
            .collect();
        let ends = ending.into_iter().map(|(mailbox, ended, waits)| {
            let reason = reason.clone();
            async move {
                let _ = mailbox.send(Box::new(Command::End(reason))).await;
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

impl fmt::Debug for WeakRealtimeVoiceChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakRealtimeVoiceChannel")
            .finish_non_exhaustive()
    }
}
