//! What was sent and may have to be heard again.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;

use super::lane::Piece;

/// Room is made for at least so many bytes at a time: some frames. Doubling it, as it would be by
/// itself, leaves half of it unused in every call.
const STEP: usize = 8 * 1024;

/// Pieces in order, their audio in one run of bytes. Every call keeps some, all the time: as many
/// small allocations they would take up more memory, and leave holes in what the process has.
#[derive(Default)]
pub(super) struct Sent {
    pcm: VecDeque<u8>,
    /// How many bytes of audio there are most of the time, once some are. Room for them is made at
    /// once, for growing there bit by bit leaves holes in what the process has, and never given back.
    usual: usize,
    parts: VecDeque<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// So many pieces of this length, for frames are mostly alike.
    Audio {
        bytes: usize,
        pieces: usize,
    },
    Begins,
    Ends,
}

impl Sent {
    /// How much audio there is.
    pub(super) fn bytes(&self) -> usize {
        self.pcm.len()
    }

    pub(super) fn expect(&mut self, usual: usize) {
        self.usual = usual;
    }

    pub(super) fn push(&mut self, piece: &Piece) {
        match piece {
            Piece::Audio(pcm) => {
                if self.pcm.capacity() - self.pcm.len() < pcm.len() {
                    let usual = self.usual.saturating_sub(self.pcm.len());
                    let step = usual.max(STEP).max(self.pcm.len() / 4);
                    self.pcm.reserve_exact(pcm.len().max(step));
                }
                self.pcm.extend(&pcm[..]);
                match self.parts.back_mut() {
                    Some(Part::Audio { bytes, pieces }) if *bytes == pcm.len() => *pieces += 1,
                    _ => self.parts.push_back(Part::Audio {
                        bytes: pcm.len(),
                        pieces: 1,
                    }),
                }
            }
            Piece::Begins => self.parts.push_back(Part::Begins),
            Piece::Ends => self.parts.push_back(Part::Ends),
        }
    }

    /// All of it, as it was.
    pub(super) fn into_pieces(mut self) -> impl Iterator<Item = Piece> {
        let mut pcm = Bytes::copy_from_slice(self.pcm.make_contiguous());
        let pieces = self.parts.into_iter().flat_map(|part| {
            let times = match part {
                Part::Audio { pieces, .. } => pieces,
                Part::Begins | Part::Ends => 1,
            };
            std::iter::repeat_n(part, times)
        });
        pieces.map(move |part| match part {
            Part::Audio { bytes, .. } => Piece::Audio(pcm.split_to(bytes)),
            Part::Begins => Piece::Begins,
            Part::Ends => Piece::Ends,
        })
    }

    /// Forgets whole pieces of audio from the front as long as `needed` bytes stay; not past a
    /// mark, for what follows one is a turn that is not settled.
    pub(super) fn forget_to(&mut self, needed: usize) {
        while let Some(Part::Audio { bytes, .. }) = self.parts.front()
            && self.pcm.len() - bytes >= needed
        {
            self.forget(0);
        }
        // After a long wait for a connection there may have been much.
        let spare = self.usual.max(STEP);
        if self.pcm.capacity() > spare.max(2 * self.pcm.len() + STEP) {
            self.pcm.shrink_to(spare.max(self.pcm.len() + STEP));
        }
    }

    /// Forgets everything up to the end of the first manual turn, if it has one.
    pub(super) fn forget_turn(&mut self) {
        if self.parts.contains(&Part::Ends) {
            while self.forget(0) != Some(Part::Ends) {}
        }
    }

    /// Drops the oldest audio until no more than `limit` bytes are left; marks stay. Gives how
    /// many pieces were dropped.
    pub(super) fn shrink_to(&mut self, limit: usize) -> usize {
        let mut dropped = 0;
        while self.pcm.len() > limit {
            let is_audio = |part: &Part| matches!(part, Part::Audio { bytes, .. } if *bytes > 0);
            let Some(oldest) = self.parts.iter().position(is_audio) else {
                break;
            };
            self.forget(oldest);
            dropped += 1;
        }
        dropped
    }

    /// Forgets the first piece of a part, before which there is no audio. Gives that part.
    fn forget(&mut self, place: usize) -> Option<Part> {
        let part = self.parts.get_mut(place)?;
        let forgotten = *part;
        match part {
            Part::Audio { bytes, pieces } => {
                self.pcm.drain(..*bytes);
                *pieces -= 1;
                if *pieces == 0 {
                    self.parts.remove(place);
                }
            }
            Part::Begins | Part::Ends => {
                self.parts.remove(place);
            }
        }
        Some(forgotten)
    }
}

impl fmt::Debug for Sent {
    /// Without the audio (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent")
            .field("parts", &self.parts.len())
            .field("bytes", &self.pcm.len())
            .finish_non_exhaustive()
    }
}
