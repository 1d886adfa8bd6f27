//! Starts sessions: whole, or not at all (contract S1).

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak, atomic::Ordering},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    REALTIME_VOICE,
    channel::{Inner, Live, RealtimeVoiceChannel},
    in_room::permissions_of,
    options::SessionOptions,
    recording::recording_of,
    update::check_setup,
};
use crate::{
    call::{Command, Entry, NewCall, Opening, PermissionCell, Setup, ToolsOf},
    error::{ConfigError, RoomError, StartError},
    event::EndReason,
    id::{ParticipantId, RoomId},
    kit::{RoomKit, WeakRoomKit},
    recording::{Consent, RecordingState},
    room::{LiveRoom, RoomStatus},
    session::RealtimeSession,
    transport::{AudioOffer, Connection, TransportError},
};

/// Commands a session may have waiting.
const MAILBOX: usize = 256;

/// Takes a session out of the channel's list when it is over, however that came about.
struct Registered {
    channel: Weak<Inner>,
    session: RealtimeSession,
    since: u64,
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

/// Ends a session that nobody was given: the call may have told that it is active just before the
/// future that was to hear it is dropped.
struct Unclaimed(Option<mpsc::Sender<Box<Command>>>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(mailbox) = self.0.take() {
            // If it is not active yet, it learns of this by the end of who waits for it, too.
            let _ = mailbox.try_send(Box::new(Command::End(EndReason::Host)));
        }
    }
}

impl RealtimeVoiceChannel {
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
        let inner = self.inner();
        if inner.closed.load(Ordering::Acquire) {
            return Err(StartError::Closed);
        }
        let kit = inner.kit()?;
        let record = kit.room(&room).await?;
        if record.status != RoomStatus::Active {
            return Err(RoomError::Closed(room).into());
        }
        let mut binding = kit.binding(&room, &inner.id).await?;
        let recording = recording_of(inner.recording.as_ref(), &options)?;
        inner.follow_sources();
        let listing = inner.sources.changes();
        let agent = options.agent.as_ref().or(inner.first_agent.as_ref());
        let agent = agent.map(|agent| inner.agent(agent)).transpose();
        let agent = agent.map_err(|error| ConfigError::field("agent", error.to_string()))?;
        let agents = &inner.shared.agents;
        let shares_tools = agent.as_ref().is_some_and(|agent| agent.shares_tools());
        if shares_tools || agents.share_tools() {
            // Its model may hand the caller to one of them at any time.
            inner.list_tools().await?;
        }
        let (toolbox, tools_of) = match (&options.tools, &agent) {
            (Some(tools), _) => (inner.toolbox(Entry::all(tools.clone())?)?, ToolsOf::Session),
            (None, Some(agent)) => agents.tools(agent)?,
            (None, None) => (inner.channel_toolbox().await?, ToolsOf::Channel),
        };

        let session = RealtimeSession::new(&room, participant, &inner.id, options.metadata.clone());
        if let Some(recording) = &recording {
            session.set_recording(RecordingState::Waiting);
            if recording.terms.consent == Consent::Given {
                session.grant_recording();
            }
        }
        let mut setup = inner.setup.clone();
        setup.session_id = session.id().clone();
        if let Some(agent) = &agent {
            agent.apply(&mut setup);
        }
        setup.tools = Arc::clone(toolbox.definitions());
        options.apply(&mut setup);
        check_setup(&setup, &*inner.shared.provider)?;
        let interruptions = setup.interruptions;
        let greeting = options.greeting.clone();
        let name = agent.as_ref().map(|agent| Arc::clone(&agent.name));
        session.set_agent(name.clone());
        let greeting = greeting
            .or_else(|| agent.and_then(|agent| agent.greeting.clone()))
            .or_else(|| inner.greeting.clone());

        let permissions = Arc::new(PermissionCell::new(permissions_of(&binding)));
        let (mailbox, commands) = mpsc::channel(MAILBOX);
        let (idle, is_idle) = watch::channel(true);
        let (ending, ended) = (CancellationToken::new(), CancellationToken::new());
        let timeline = kit.live_room(&room).await?;
        let live = Live {
            session: session.clone(),
            since: 0,
            mailbox: mailbox.clone(),
            permissions: Arc::clone(&permissions),
            idle: is_idle,
            ending: ending.clone(),
            ended: ended.clone(),
        };
        let registered = inner.register(live, &timeline)?;
        if inner.sources.changes() != listing {
            // They changed between the listing and the moment the session could be found.
            inner.sources.tell_again();
        }
        let scope = kit.hooks().scope(&room, &inner.id, REALTIME_VOICE);
        // The room may have been closed, the channel detached or its permissions changed just before
        // the session could be found by that. A look may also be older than a change that the session
        // has been told of, so there is one more after each.
        loop {
            let now = kit.binding(&room, &inner.id).await?;
            if Arc::ptr_eq(&now, &binding) {
                break;
            }
            permissions.set(permissions_of(&now));
            binding = now;
        }
        let history = match inner.seed {
            Some(seed) => seed.read(&kit, &binding, registered.since).await?,
            None => Vec::new(),
        };
        let opening = Opening {
            setup: Setup::new(setup, toolbox, tools_of, name),
            history,
            greeting,
        };

        let capabilities = inner.shared.provider.capabilities();
        let offer = AudioOffer {
            input_rate: capabilities.input_rate,
            output_rate: capabilities.output_rate,
        };
        let limit = inner.shared.connect_timeout;
        let accepting = inner.shared.transport.accept(&session, connection, offer);
        let link = tokio::select! {
            accepted = timeout(limit, accepting) => accepted.unwrap_or_else(|_| {
                let problem = format!("the transport did not accept it within {limit:?}");
                Err(TransportError::Refused(problem))
            })?,
            () = ending.cancelled() => {
                return Err(StartError::Ended("before its client was there".into()));
            }
        };
        link.info.check_rates().map_err(TransportError::from)?;
        session.add_metadata(&link.info.metadata);
        let mut call = inner.call.clone();
        call.interruptions = interruptions;
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
            scope,
            settings: call,
            permissions,
            mailbox: commands,
            idle,
            link,
            opening,
            recording: recording.map(|recording| recording.sink),
            ready,
            registered: Box::new(registered),
        };
        drop(kit);
        let mut unclaimed = Unclaimed(Some(mailbox));
        inner.tasks.spawn(Box::new(task).run());
        match is_ready.await {
            Ok(Ok(())) => {
                unclaimed.0 = None;
                Ok(session)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Ended("it failed inside".into())),
        }
    }
}

impl Inner {
    fn kit(&self) -> Result<RoomKit, StartError> {
        let kit = self.kit.get().and_then(WeakRoomKit::upgrade);
        kit.ok_or_else(|| RoomError::ChannelNotRegistered(self.id.clone()).into())
    }

    fn register(
        self: &Arc<Self>,
        mut live: Live,
        timeline: &LiveRoom,
    ) -> Result<Registered, StartError> {
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
        if self.seed.is_some() {
            // While nobody can look for sessions: what is written before is its history, what is written
            // later finds it.
            live.since = timeline.next_index();
        }
        let since = live.since;
        sessions.insert(session.id().clone(), live);
        Ok(Registered {
            channel: Arc::downgrade(self),
            session,
            since,
            ended,
        })
    }
}
