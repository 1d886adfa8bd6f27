//! What became of changes of a connection's settings. The vendor answers them in their order, and the
//! decoder reads that; the encoder has to know what the next change is made to.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::remember;

/// Whether each change was taken, as the decoder tells the encoder of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdicts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Changes without an answer: the engine's, and by their ids those that the host wrote itself.
    open: VecDeque<Change>,
    /// Answers to the engine's.
    told: VecDeque<bool>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Engines,
    Hosts(String),
}

impl Verdicts {
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

    /// Those since the last time.
    pub(super) fn take(&self) -> VecDeque<bool> {
        mem::take(&mut self.state().told)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
