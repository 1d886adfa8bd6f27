//! What the connections of one server share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::builder::Options;
use super::memory::{Conversation, Sessions, Snapshot};
use super::script::{Reply, UserTranscript};
use crate::fake::handle::{Command, Order};
use crate::fake::server::Registry;

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) options: Options,
    pub(crate) registry: Arc<Registry>,
    state: Mutex<HubState>,
}

#[derive(Debug, Default)]
struct HubState {
    replies: VecDeque<Reply>,
    transcripts: VecDeque<UserTranscript>,
    sessions: Sessions,
    memories: HashMap<usize, Memory>,
}

/// What one connection knows and has given out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) conversation: Conversation,
    pub(crate) resumed_from: Option<String>,
    pub(crate) handles: Vec<String>,
}

impl Hub {
    pub(crate) fn new(
        options: Options,
        registry: Arc<Registry>,
        replies: VecDeque<Reply>,
        transcripts: VecDeque<UserTranscript>,
    ) -> Self {
        Self {
            options,
            registry,
            state: Mutex::new(HubState {
                replies,
                transcripts,
                ..HubState::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue_reply(&self, reply: Reply) {
        self.lock().replies.push_back(reply);
    }

    pub(crate) fn queue_transcript(&self, transcript: UserTranscript) {
        self.lock().transcripts.push_back(transcript);
    }

    pub(crate) fn next_reply(&self) -> Option<Reply> {
        self.lock().replies.pop_front()
    }

    pub(crate) fn next_transcript(&self) -> UserTranscript {
        let queued = self.lock().transcripts.pop_front();
        queued.unwrap_or_else(|| self.options.transcript.clone())
    }

    pub(crate) fn expire_handles(&self) {
        self.lock().sessions.expire_all();
    }

    pub(crate) fn memory(&self, connection: usize) -> Memory {
        let state = self.lock();
        state.memories.get(&connection).cloned().unwrap_or_default()
    }

    /// The session behind a handle that is still good.
    pub(crate) fn find_handle(&self, handle: &str) -> Option<Snapshot> {
        let lifetime = self.options.handle_lifetime;
        self.lock().sessions.find(handle, lifetime).cloned()
    }

    /// A new handle for what `connection` knows now.
    pub(crate) fn issue_handle(&self, connection: usize, session: &str, model: &str) -> String {
        let mut state = self.lock();
        let memory = state.memories.entry(connection).or_default();
        let turns = memory.conversation.turns();
        let handle = state.sessions.issue(session, model, turns);
        if let Some(memory) = state.memories.get_mut(&connection) {
            memory.handles.push(handle.clone());
        }
        handle
    }

    /// Whether the session is on another connection that has not ended. If so, `connection` is
    /// told when one ends.
    pub(crate) fn is_carried_elsewhere(&self, session: &str, connection: usize) -> bool {
        let carrier = {
            let mut state = self.lock();
            match state.sessions.carrier(session) {
                Some(carrier) if carrier != connection => {
                    // Before the look: an end in between is not missed.
                    state.sessions.wait(connection);
                    carrier
                }
                _ => return false,
            }
        };
        let carrier = self.registry.find(carrier);
        carrier.is_some_and(|carrier| carrier.closure().is_none())
    }

    /// The session goes on, or begins, on this connection.
    pub(crate) fn carry(&self, session: &str, connection: usize, memory: Memory) {
        let mut state = self.lock();
        state.sessions.carry(session, connection);
        state.memories.insert(connection, memory);
    }

    /// Tells those that wait that a connection has ended.
    pub(crate) fn connection_ended(&self, index: usize) {
        let waiting = {
            let mut state = self.lock();
            if !self.options.common.record_events {
                state.memories.remove(&index);
            }
            state.sessions.take_waiting()
        };
        let waiting = waiting.into_iter();
        for connection in waiting.filter_map(|index| self.registry.find(index)) {
            connection.command(Command::Order(Order::Look));
        }
    }
}
