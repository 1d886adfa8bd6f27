//! What the two halves of a connection must know of each other: the vendor reports an interruption
//! in the same words whether the user spoke or we did.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// We sent something that stops a running answer.
const INTERRUPTS: u8 = 1;
/// The host said that the user has finished speaking.
const SPOKE: u8 = 2;
/// The model was given something that it is to answer.
const GIVEN: u8 = 4;

/// Notes that encoder and decoder of one connection leave each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Ours(Arc<AtomicU8>);

impl Ours {
    /// What is about to be sent stops a running answer.
    pub(super) fn interrupts(&self) {
        self.0.fetch_or(INTERRUPTS, Ordering::Relaxed);
    }

    /// An activity ends, whose words are due.
    pub(super) fn spoke(&self) {
        self.0.fetch_or(SPOKE | GIVEN, Ordering::Relaxed);
    }

    /// What is about to be sent is to be answered.
    pub(super) fn gives(&self) {
        self.0.fetch_or(GIVEN, Ordering::Relaxed);
    }

    /// Whether an interruption is our own. The note is gone then.
    pub(super) fn take_interruption(&self) -> bool {
        self.take(INTERRUPTS)
    }

    /// Whether an activity has ended whose words or answer are due.
    pub(super) fn has_spoken(&self) -> bool {
        self.has(SPOKE)
    }

    /// Whether an activity has ended since the last time. The note is gone then.
    pub(super) fn take_spoke(&self) -> bool {
        self.take(SPOKE)
    }

    /// Whether the model was given something to answer since that was last forgotten.
    pub(super) fn has_given(&self) -> bool {
        self.has(GIVEN)
    }

    /// A turn has ended: what comes now is about what is given from here on.
    pub(super) fn forget_given(&self) {
        self.take(GIVEN);
    }

    fn has(&self, note: u8) -> bool {
        self.0.load(Ordering::Relaxed) & note != 0
    }

    fn take(&self, note: u8) -> bool {
        self.0.fetch_and(!note, Ordering::Relaxed) & note != 0
    }
}
