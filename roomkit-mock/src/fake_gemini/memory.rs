//! What a session remembers, and the handles it can be taken up again from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// Who a [`Turn`] is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The user, in speech or text.
    User,
    /// The model.
    Model,
    /// A tool: the text is its response as JSON.
    Tool,
}

/// One turn of a conversation as the server remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who it is from.
    pub speaker: Speaker,
    /// What was said or written. Of speech, what the transcription made of it.
    pub text: String,
    /// The speech in it, in milliseconds.
    pub audio_ms: u64,
    /// Whether a turn of the model was cut off.
    pub interrupted: bool,
}

impl Turn {
    pub(crate) fn new(speaker: Speaker, text: impl Into<String>) -> Self {
        Self {
            speaker,
            text: text.into(),
            audio_ms: 0,
            interrupted: false,
        }
    }
}

/// A conversation, shared by the connection that leads it and the handles that look at it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation(Arc<Mutex<Vec<Turn>>>);

impl Conversation {
    pub(crate) fn from_turns(turns: Vec<Turn>) -> Self {
        Self(Arc::new(Mutex::new(turns)))
    }

    pub(crate) fn push(&self, turn: Turn) {
        self.lock().push(turn);
    }

    pub(crate) fn turns(&self) -> Vec<Turn> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session at the moment a handle for it was issued.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) session: String,
    pub(crate) model: String,
    pub(crate) turns: Vec<Turn>,
    issued: Instant,
}

/// The sessions of a server.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    handles: HashMap<String, Snapshot>,
    /// The connection a session was last seen on.
    carriers: HashMap<String, usize>,
    /// Connections that wait for another to end.
    waiting: Vec<usize>,
    issued: u64,
}

impl Sessions {
    /// A new handle for a session.
    pub(crate) fn issue(&mut self, session: &str, model: &str, turns: Vec<Turn>) -> String {
        self.issued += 1;
        let handle = format!("Cih{session}x{}", self.issued);
        let snapshot = Snapshot {
            session: session.to_owned(),
            model: model.to_owned(),
            turns,
            issued: Instant::now(),
        };
        self.handles.insert(handle.clone(), snapshot);
        handle
    }

    /// What the handle stands for, unless it is older than `lifetime`.
    pub(crate) fn find(&self, handle: &str, lifetime: Duration) -> Option<&Snapshot> {
        let found = self.handles.get(handle)?;
        (found.issued.elapsed() < lifetime).then_some(found)
    }

    pub(crate) fn expire_all(&mut self) {
        self.handles.clear();
    }

    pub(crate) fn carrier(&self, session: &str) -> Option<usize> {
        self.carriers.get(session).copied()
    }

    pub(crate) fn carry(&mut self, session: &str, connection: usize) {
        self.carriers.insert(session.to_owned(), connection);
    }

    pub(crate) fn wait(&mut self, connection: usize) {
        self.waiting.push(connection);
    }

    pub(crate) fn take_waiting(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.waiting)
    }
}
