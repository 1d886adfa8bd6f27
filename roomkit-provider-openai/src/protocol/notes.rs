//! What the two halves of a connection must know of each other: the decoder, what was asked for, and
//! the encoder, what became of it.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::remember;

/// Notes that encoder and decoder of one connection leave each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Changes without an answer, which come in their order.
    changes: VecDeque<Sender>,
    /// Requests for a response without an answer. They are answered in their order, too, but the vendor
    /// begins responses nobody asked for as well.
    requests: VecDeque<Sender>,
    /// The ids of what the host wrote itself.
    written: VecDeque<String>,
    /// Answers to the engine's: whether each was taken.
    told: VecDeque<bool>,
    /// The host has asked for a response outside the conversation.
    has_asides: bool,
    /// The user's last turn was too short for the vendor, and whether nothing else is to be answered.
    short_turn: Option<bool>,
}

/// Who sent something: the engine, or the host, who wrote it itself under this id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Engine,
    Host(String),
}

impl Notes {
    /// A change of the engine's is sent.
    pub(super) fn ask(&self) {
        remember(&mut self.state().changes, Sender::Engine);
    }

    /// A request of the engine's for a response is sent.
    pub(super) fn request(&self) {
        remember(&mut self.state().requests, Sender::Engine);
    }

    /// The host sends what it wrote itself under this id, an event of this type.
    pub(super) fn written(&self, kind: &str, id: &str) {
        let mut state = self.state();
        match kind {
            "session.update" => remember(&mut state.changes, Sender::Host(id.to_owned())),
            "response.create" => remember(&mut state.requests, Sender::Host(id.to_owned())),
            _ => {}
        }
        remember(&mut state.written, id.to_owned());
    }

    /// The vendor has taken the next change; whether it is the engine's.
    pub(super) fn taken(&self) -> bool {
        let mut state = self.state();
        if let Some(Sender::Host(_)) = state.changes.pop_front() {
            return false;
        }
        remember(&mut state.told, true);
        true
    }

    /// The vendor has refused a change and does not say which: it is the next, since answers come in
    /// order. Whose it is, if one is open.
    pub(super) fn refused_next(&self) -> Option<Sender> {
        let mut state = self.state();
        let sender = state.changes.pop_front()?;
        if sender == Sender::Engine {
            remember(&mut state.told, false);
        }
        Some(sender)
    }

    /// The vendor has refused a change of the engine's.
    pub(super) fn refused(&self) {
        let mut state = self.state();
        forget(&mut state.changes, &Sender::Engine);
        remember(&mut state.told, false);
    }

    /// The vendor has begun a response.
    pub(super) fn began(&self) {
        self.state().requests.pop_front();
    }

    /// The vendor has refused a request for a response and does not say which: whether it is the
    /// engine's.
    pub(super) fn refused_next_request(&self) -> bool {
        !matches!(self.state().requests.pop_front(), Some(Sender::Host(_)))
    }

    /// The vendor has refused a request of the engine's for a response.
    pub(super) fn refused_request(&self) {
        forget(&mut self.state().requests, &Sender::Engine);
    }

    /// The vendor has refused what has this id; whether it is something that the host wrote.
    pub(super) fn refused_host(&self, id: &str) -> bool {
        let mut state = self.state();
        if !state.written.iter().any(|known| known == id) {
            return false;
        }
        let sender = Sender::Host(id.to_owned());
        forget(&mut state.changes, &sender);
        forget(&mut state.requests, &sender);
        true
    }

    /// Answers to the engine's changes since the last time.
    pub(super) fn take(&self) -> VecDeque<bool> {
        mem::take(&mut self.state().told)
    }

    /// The host asks for a response outside the conversation.
    pub(super) fn ask_aside(&self) {
        self.state().has_asides = true;
    }

    /// Whether the host has asked for such responses.
    pub(super) fn has_asides(&self) -> bool {
        self.state().has_asides
    }

    /// The user's turn is too short for the vendor to take. `passes`: nobody is to answer.
    pub(super) fn short_turn(&self, passes: bool) {
        self.state().short_turn = Some(passes);
    }

    /// The model was given something else to answer.
    pub(super) fn given(&self) {
        if let Some(passes) = &mut self.state().short_turn {
            *passes = false;
        }
    }

    /// The vendor has refused a turn of the user: whether nobody is to answer it, if it was known to be
    /// too short.
    pub(super) fn take_short_turn(&self) -> Option<bool> {
        self.state().short_turn.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what was open longest of this sender's.
fn forget(open: &mut VecDeque<Sender>, sender: &Sender) {
    if let Some(place) = open.iter().position(|it| it == sender) {
        open.remove(place);
    }
}
