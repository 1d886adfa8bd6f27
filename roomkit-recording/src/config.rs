//! What a host says of its files.

use std::path::PathBuf;

use roomkit_core::{audio::check_rate, error::ConfigError};
use serde::Deserialize;

/// The rates at which Opus is encoded.
const OPUS_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Recordings as WAV files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WavConfig {
    /// Where the files go.
    pub directory: PathBuf,
    /// Samples of each side in a second; default 24 000.
    #[serde(default = "sample_rate")]
    pub sample_rate: u32,
}

impl WavConfig {
    /// Files in this directory, at 24 kHz.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            sample_rate: sample_rate(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_rate("sample_rate", self.sample_rate).map(drop)
    }
}

fn sample_rate() -> u32 {
    24_000
}

/// Recordings as Ogg Opus files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OggOpusConfig {
    /// Where the files go.
    pub directory: PathBuf,
    /// The encoder's input rate in Hz, one of those that Opus knows; default 24 000, which is what most
    /// AIs speak, so that nothing is resampled.
    #[serde(default = "sample_rate")]
    pub sample_rate: u32,
    /// Bits per second for both sides together; default 64 000.
    #[serde(default = "opus_bitrate")]
    pub bitrate: u32,
    /// How much work the encoder does, 0 to 10; default 1. From 0 to 5 the work nearly doubles.
    #[serde(default = "opus_complexity")]
    pub complexity: u8,
}

impl OggOpusConfig {
    /// Files in this directory, at 64 kbit/s.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            sample_rate: sample_rate(),
            bitrate: opus_bitrate(),
            complexity: opus_complexity(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !OPUS_RATES.contains(&self.sample_rate) {
            let problem = format!("{} Hz; must be one of {OPUS_RATES:?}", self.sample_rate);
            return Err(ConfigError::field("sample_rate", problem));
        }
        if !(16_000..=256_000).contains(&self.bitrate) {
            let problem = format!("is {}; must be from 16000 to 256000", self.bitrate);
            return Err(ConfigError::field("bitrate", problem));
        }
        if self.complexity > 10 {
            let problem = format!("is {}; must be from 0 to 10", self.complexity);
            return Err(ConfigError::field("complexity", problem));
        }
        Ok(())
    }
}

fn opus_bitrate() -> u32 {
    64_000
}

fn opus_complexity() -> u8 {
    1
}
