//! Audio and marks of turns in a row.

use bytes::Bytes;

use crate::{call::queue::Queue, provider::ProviderCommand};

/// What goes the way of the user's voice. Much smaller than a command, and hundreds are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::call) enum Piece {
    Audio(Bytes),
    /// A manual turn begins.
    Begins,
    /// A manual turn ends.
    Ends,
}

impl Piece {
    /// Bytes of audio; marks have none.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Audio(pcm) => pcm.len(),
            Self::Begins | Self::Ends => 0,
        }
    }
}

impl From<Piece> for ProviderCommand {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Audio(pcm) => Self::Audio(pcm),
            Piece::Begins => Self::ActivityStart,
            Piece::Ends => Self::ActivityEnd,
        }
    }
}

/// Pieces in order, and how much audio is among them.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pieces: Queue<Piece>,
    /// Of audio.
    pub(super) bytes: usize,
}

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn push_back(&mut self, piece: Piece) {
        self.bytes += piece.bytes();
        self.pieces.push_back(piece);
    }

    pub(super) fn push_front(&mut self, piece: Piece) {
        self.bytes += piece.bytes();
        self.pieces.push_front(piece);
    }

    pub(super) fn pop_front(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.bytes();
        Some(piece)
    }

    pub(super) fn forget_marks(&mut self) {
        self.pieces.retain(|piece| matches!(piece, Piece::Audio(_)));
    }

    /// Drops the oldest audio until no more than `limit` bytes are left; marks stay. Gives how
    /// many pieces were dropped.
    pub(super) fn shrink_to(&mut self, limit: usize) -> usize {
        let mut dropped = 0;
        while self.bytes > limit {
            let Some(piece) = self.pieces.take_first(|piece| piece.bytes() > 0) else {
                break;
            };
            self.bytes -= piece.bytes();
            dropped += 1;
        }
        dropped
    }
}
