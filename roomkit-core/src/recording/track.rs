//! One side of a recording: what was said, brought to the recording's rate and put where it belongs
//! in time.
//!
//! Audio comes over a network, so its time of arrival says only when it was said at the latest. As
//! long as it comes about when it must, pieces are joined as they are. After a gap silence is put
//! between them; if the audio was only late, the next pieces come in a burst, and the silence is
//! taken out again. Audio that is later than that is kept all the same, up to a bound, and the
//! pauses in it are left out until it has caught up.

use std::{collections::VecDeque, time::Duration};

use crate::audio::{BYTES_PER_SAMPLE, Resampler, level_dbfs};

/// By so much a piece may seem early or late and still be joined to the one before.
const JITTER: Duration = Duration::from_millis(60);
/// The same where it is known to follow: only how late it is heard is not exactly known.
const FOLLOWING: Duration = Duration::from_secs(1);
/// Audio is recorded so late at most; what is later is left out. Transports let no more than this
/// through at once (contract C5).
pub(super) const LATEST: Duration = Duration::from_secs(5);
/// What is less loud than this is a pause, in dBFS.
const QUIET: f32 = -50.0;

/// Samples, each at its place. Places are counted in samples since the recording began.
#[derive(Debug)]
pub(super) struct Track {
    rate: u32,
    /// The rate of what comes, once something has.
    from_rate: u32,
    resampler: Option<Resampler>,
    samples: VecDeque<i16>,
    /// The place of the first of them; what is before it has been taken.
    start: u64,
    gap: Option<Gap>,
}

/// The last silence that was put between two pieces.
#[derive(Debug, Clone, Copy)]
struct Gap {
    start: u64,
    end: u64,
}

impl Track {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate,
            from_rate: rate,
            resampler: None,
            samples: VecDeque::new(),
            start: 0,
            gap: None,
        }
    }

    /// Adds PCM16 mono at `rate` that began at this place. `follows`: it is known to go on where
    /// the piece before ends. False: it came too late, and was left out.
    pub(super) fn push(&mut self, place: u64, follows: bool, rate: u32, pcm: &[u8]) -> bool {
        if rate != self.from_rate {
            self.flush();
            self.from_rate = rate;
            self.resampler = Resampler::new(rate, self.rate);
        }
        let tolerance = self.samples_in(if follows { FOLLOWING } else { JITTER });
        if place > self.end() + tolerance {
            self.flush();
            self.silence_until(place);
        } else if self.end() > place {
            self.take_back_silence(self.end() - place);
            let late = self.end().saturating_sub(place);
            if late > self.samples_in(LATEST) {
                return false;
            }
            if late > tolerance && level_dbfs(pcm) < QUIET {
                return true;
            }
        }
        match &mut self.resampler {
            Some(resampler) => {
                let pcm = resampler.process(pcm);
                self.append(&pcm);
            }
            None => self.append(pcm),
        }
        true
    }

    /// Takes so many samples from the front; where there are none, silence.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = i16> {
        if self.samples.len() < count {
            self.flush();
        }
        let there = count.min(self.samples.len());
        self.start += count as u64;
        let silence = std::iter::repeat_n(0, count - there);
        self.samples.drain(..there).chain(silence)
    }

    /// The place after the last sample.
    pub(super) fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    fn append(&mut self, pcm: &[u8]) {
        let samples = pcm.chunks_exact(BYTES_PER_SAMPLE);
        self.samples
            .extend(samples.map(|sample| i16::from_le_bytes([sample[0], sample[1]])));
    }

    /// What the resampler holds back belongs before what comes after a gap.
    fn flush(&mut self) {
        if let Some(tail) = self.resampler.as_mut().map(Resampler::flush)
            && !self.samples.is_empty()
        {
            self.append(&tail);
        }
    }

    fn silence_until(&mut self, place: u64) {
        let start = self.end();
        let missing = place.saturating_sub(start) as usize;
        self.samples.extend(std::iter::repeat_n(0, missing));
        self.gap = Some(Gap { start, end: place });
    }

    /// Takes out up to so many samples of the last silence, as far as they are still here.
    fn take_back_silence(&mut self, samples: u64) {
        let Some(gap) = &mut self.gap else {
            return;
        };
        let start = gap.start.max(self.start);
        let count = samples.min(gap.end.saturating_sub(start));
        let first = (start - self.start) as usize;
        self.samples.drain(first..first + count as usize);
        gap.end -= count;
        if gap.end <= start {
            self.gap = None;
        }
    }

    fn samples_in(&self, time: Duration) -> u64 {
        super::timeline::samples_in(time, self.rate)
    }
}
