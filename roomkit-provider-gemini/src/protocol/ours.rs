//! What the two halves of a connection must know of each other: the vendor reports an interruption
//! in the same words whether the user spoke or we did, and must not be asked twice for one answer.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// We sent something that stops a running answer.
const INTERRUPTS: u8 = 1;
/// The host said that the user has finished speaking.
const SPOKE: u8 = 2;

/// The model was asked to answer, and has not begun to.
const ASKED: u8 = 4;

/// Notes that encoder and decoder of one connection leave each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Ours(Arc<AtomicU8>);

impl Ours {
    /// What is about to be sent stops a running answer.
    pub(super) fn interrupts(&self) {
        self.0.fetch_or(INTERRUPTS, Ordering::Relaxed);
    }

    /// An activity ends, whose words and answer are due.
    pub(super) fn spoke(&self) {
        self.0.fetch_or(SPOKE | ASKED, Ordering::Relaxed);
    }

    /// Whether the end of an activity has asked for an answer that has not begun.
    pub(super) fn has_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ASKED != 0
    }

    /// The model takes its turn.
    pub(super) fn answered(&self) {
        self.take(ASKED);
    }

    /// Whether an interruption is our own. The note is gone then.
    pub(super) fn take_interruption(&self) -> bool {
        self.take(INTERRUPTS)
    }

    /// Whether an activity has ended whose words or answer are due.
    pub(super) fn has_spoken(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SPOKE != 0
    }

    /// Whether an activity has ended since the last time. The note is gone then.
    pub(super) fn take_spoke(&self) -> bool {
        self.take(SPOKE)
    }

    fn take(&self, note: u8) -> bool {
        self.0.fetch_and(!note, Ordering::Relaxed) & note != 0
    }
}
