//! Audio helpers: lengths and times of PCM16, the streaming resampler, G.711.
//!
//! Inside roomkit audio is always PCM16 little-endian mono (contract A1); only its rate differs.

use std::time::Duration;

/// The rate assumed before a provider has told its own, in Hz.
pub(crate) const DEFAULT_RATE: u32 = 24_000;

/// Bytes of one PCM16 mono sample.
pub const BYTES_PER_SAMPLE: usize = 2;

/// How long `bytes` bytes of PCM16 mono play at `rate` Hz.
pub fn duration_of(bytes: usize, rate: u32) -> Duration {
    let samples = (bytes / BYTES_PER_SAMPLE) as u64;
    Duration::from_nanos(samples * 1_000_000_000 / u64::from(rate.max(1)))
}

/// How many bytes of PCM16 mono play for `duration` at `rate` Hz; always a whole number of samples.
pub fn bytes_for(duration: Duration, rate: u32) -> usize {
    let samples = duration.as_nanos() * u128::from(rate) / 1_000_000_000;
    samples as usize * BYTES_PER_SAMPLE
}
