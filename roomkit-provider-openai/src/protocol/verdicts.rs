//! What became of changes of a connection's settings. The vendor answers them in their order, and the
//! decoder reads that; the encoder has to know what the next change is made to.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use super::remember;

/// Whether each change was taken, as the decoder tells the encoder of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdicts(Arc<Mutex<VecDeque<bool>>>);

impl Verdicts {
    pub(super) fn tell(&self, is_taken: bool) {
        remember(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
            is_taken,
        );
    }

    /// Those since the last time.
    pub(super) fn take(&self) -> VecDeque<bool> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
