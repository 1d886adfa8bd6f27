//! Audio helpers: lengths and times of PCM16, the streaming resampler, G.711, how fast audio may
//! come.
//!
//! Inside roomkit audio is always PCM16 little-endian mono (contract A1); only its rate differs.

mod allowance;
pub mod g711;
mod resample;

use std::{ops::RangeInclusive, time::Duration};

pub use allowance::Allowance;
pub use resample::Resampler;

use crate::error::ConfigError;

/// The rate assumed before a provider has told its own, in Hz.
pub(crate) const DEFAULT_RATE: u32 = 24_000;

/// Bytes of one PCM16 mono sample.
pub const BYTES_PER_SAMPLE: usize = 2;

/// Rates that a client, a provider or a recording may have, in Hz.
const RATES: RangeInclusive<u32> = 8_000..=48_000;

/// What they are multiples of, in Hz. Between others a resampler may need millions of taps; as it is,
/// none has more than a hundred thousand.
const RATE_STEP: u32 = 25;

/// Refuses a rate, in Hz, that nobody can mean, or that would make a resampler costly; the error names
/// the field it came from. For the settings of plugins: the engine checks what a provider says that it
/// can by the same rule.
///
/// # Errors
///
/// When it is not from 8000 to 48 000, or no multiple of 25.
pub fn check_rate(field: &str, rate: u32) -> Result<u32, ConfigError> {
    if RATES.contains(&rate) && rate.is_multiple_of(RATE_STEP) {
        return Ok(rate);
    }
    let (low, high) = (RATES.start(), RATES.end());
    Err(ConfigError::field(
        field,
        format!("{rate} Hz; must be from {low} to {high}, and a multiple of {RATE_STEP}"),
    ))
}

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

/// The level of PCM16 audio in dBFS: root mean square against full scale, −60 at the least.
pub fn level_dbfs(pcm: &[u8]) -> f32 {
    let mut sum = 0.0_f64;
    for sample in pcm.chunks_exact(BYTES_PER_SAMPLE) {
        sum += f64::from(i16::from_le_bytes([sample[0], sample[1]])).powi(2);
    }
    let samples = (pcm.len() / BYTES_PER_SAMPLE).max(1) as f64;
    let level = 10.0 * (sum / samples / 32_768.0_f64.powi(2)).log10();
    level.max(-60.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_times() {
        assert_eq!(duration_of(960, 24_000), Duration::from_millis(20));
        assert_eq!(duration_of(961, 24_000), Duration::from_millis(20));
        assert_eq!(bytes_for(Duration::from_millis(20), 24_000), 960);
        assert_eq!(bytes_for(Duration::from_micros(1), 24_000), 0);
        assert_eq!(
            duration_of(960, 0),
            Duration::from_secs(480),
            "a rate of 0 does not panic"
        );
    }

    #[test]
    fn a2_rates_are_chosen_among_those_that_are_easy_to_resample() {
        for rate in [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000] {
            assert_eq!(check_rate("r", rate).unwrap(), rate);
        }
        for rate in [0, 7_975, 8_001, 47_999, 48_025] {
            let error = check_rate("r", rate).unwrap_err().to_string();
            let remedy = format!("r: {rate} Hz; must be from 8000 to 48000, and a multiple of 25");
            assert_eq!(error, remedy);
        }
    }

    #[test]
    fn levels() {
        assert!((level_dbfs(&[]) + 60.0).abs() < 0.01);
        assert!((level_dbfs(&[0; 64]) + 60.0).abs() < 0.01);
        let full: Vec<u8> = [i16::MAX, i16::MIN]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        assert!(level_dbfs(&full).abs() < 0.01);
    }
}
