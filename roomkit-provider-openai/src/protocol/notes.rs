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
    /// Changes without an answer, which come in their order: the engine's, and by their ids those that
    /// the host wrote itself.
    open: VecDeque<Change>,
    /// Answers to the engine's: whether each was taken.
    told: VecDeque<bool>,
    /// The host has asked for a response outside the conversation.
    has_asides: bool,
    /// The user's last turn was too short for the vendor, and whether nothing else is to be answered.
    short_turn: Option<bool>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Engines,
    Hosts(String),
}

impl Notes {
    /// A change of the engine's is sent.
    pub(super) fn ask(&self) {
        remember(&mut self.state().open, Change::Engines);
    }

    /// A change that the host wrote itself is sent under this id.
    pub(super) fn ask_for_host(&self, id: &str) {
        remember(&mut self.state().open, Change::Hosts(id.to_owned()));
    }

    /// The vendor has taken the next change; whether it is the engine's.
    pub(super) fn taken(&self) -> bool {
        let mut state = self.state();
        if let Some(Change::Hosts(_)) = state.open.pop_front() {
            return false;
        }
        remember(&mut state.told, true);
        true
    }

    /// The vendor has refused a change and does not say which: it is the next, since answers come in
    /// order. Whether it is the engine's.
    pub(super) fn refused_next(&self) -> bool {
        let mut state = self.state();
        if state.open.pop_front() != Some(Change::Engines) {
            return false;
        }
        remember(&mut state.told, false);
        true
    }

    /// The vendor has refused a change of the engine's.
    pub(super) fn refused(&self) {
        let mut state = self.state();
        if let Some(place) = state.open.iter().position(|it| *it == Change::Engines) {
            state.open.remove(place);
        }
        remember(&mut state.told, false);
    }

    /// The vendor has refused what has this id; whether it is a change that the host wrote.
    pub(super) fn refused_host(&self, id: &str) -> bool {
        let open = &mut self.state().open;
        let is_it = |change: &Change| matches!(change, Change::Hosts(known) if known == id);
        let place = open.iter().position(is_it);
        place.and_then(|place| open.remove(place)).is_some()
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
