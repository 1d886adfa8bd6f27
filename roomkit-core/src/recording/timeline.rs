//! Brings both sides of a call together: stereo, without gaps, from the recording's beginning.

use std::time::Duration;

use bytes::Bytes;

use super::track::{LATEST, Track};
use crate::{
    audio::BYTES_PER_SAMPLE,
    call::{Moment, Sound},
};

/// Audio is taken in blocks of this length.
pub(super) const BLOCK: Duration = Duration::from_millis(200);
/// So long after it was said or heard audio is taken, because until then it may still come.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// Whose audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Left.
    Caller,
    /// Right.
    Ai,
}

/// Two tracks on one clock.
#[derive(Debug)]
pub(super) struct Timeline {
    rate: u32,
    /// The recording's beginning on the call's clock.
    zero: Moment,
    caller: Track,
    ai: Track,
    /// Samples of each side that were taken.
    taken: u64,
}

impl Timeline {
    pub(super) fn new(rate: u32, zero: Moment) -> Self {
        Self {
            rate,
            zero,
            caller: Track::new(rate),
            ai: Track::new(rate),
            taken: 0,
        }
    }

    /// The time since the recording's beginning.
    pub(super) fn time(&self, at: Moment) -> Duration {
        at.saturating_sub(self.zero)
    }

    /// How much was taken.
    pub(super) fn length(&self) -> Duration {
        let rate = u64::from(self.rate);
        let rest = self.taken % rate * 1_000_000_000 / rate;
        Duration::from_secs(self.taken / rate) + Duration::from_nanos(rest)
    }

    /// Adds what was said or heard. False: it came too late, and was left out.
    pub(super) fn push(&mut self, sound: &Sound) -> bool {
        let place = samples_in(self.time(sound.begins), self.rate);
        let track = match sound.side {
            Side::Caller => &mut self.caller,
            Side::Ai => &mut self.ai,
        };
        track.push(place, sound.follows, sound.rate, &sound.pcm)
    }

    /// The next block, if all of it is before `now` by the time that audio may still take to come.
    pub(super) fn next_block(&mut self, now: Moment) -> Option<Bytes> {
        let block = samples_in(BLOCK, self.rate);
        let settled = samples_in(self.time(now.saturating_sub(PATIENCE)), self.rate);
        (self.taken + block <= settled).then(|| self.take(block))
    }

    /// At the end: the next block of what is left before that moment, and of what was said before it and
    /// is behind because it came too late for its place.
    pub(super) fn last_block(&mut self, end: Moment) -> Option<Bytes> {
        let end = samples_in(self.time(end), self.rate);
        let behind = self.caller.end().max(self.ai.end());
        let last = behind.clamp(end, end + samples_in(LATEST, self.rate));
        let left = last.saturating_sub(self.taken);
        let block = left.min(samples_in(BLOCK, self.rate));
        (block > 0).then(|| self.take(block))
    }

    fn take(&mut self, count: u64) -> Bytes {
        self.taken += count;
        let count = count as usize;
        let mut stereo = Vec::with_capacity(count * 2 * BYTES_PER_SAMPLE);
        for (left, right) in self.caller.take(count).zip(self.ai.take(count)) {
            stereo.extend_from_slice(&left.to_le_bytes());
            stereo.extend_from_slice(&right.to_le_bytes());
        }
        stereo.into()
    }
}

pub(super) fn samples_in(time: Duration, rate: u32) -> u64 {
    (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u64
}
#[cfg(test)]
mod tests;
