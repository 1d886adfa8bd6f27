//! What a host says of its files.

use std::path::PathBuf;

use roomkit_core::{audio::check_client_rate, error::ConfigError};
use serde::Deserialize;

/// Recordings as WAV files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WavConfig {
    /// Where the files go.
    pub directory: PathBuf,
    /// Samples of each side in a second; default 24 000.
    #[serde(default = "wav_rate")]
    pub sample_rate: u32,
}

impl WavConfig {
    /// Files in this directory, at 24 kHz.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            sample_rate: wav_rate(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_client_rate("sample_rate", self.sample_rate).map(drop)
    }
}

fn wav_rate() -> u32 {
    24_000
}

/// Recordings as Ogg Opus files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OggOpusConfig {
    /// Where the files go.
    pub directory: PathBuf,
    /// Bits per second for both sides together; default 64 000.
    #[serde(default = "opus_bitrate")]
    pub bitrate: u32,
    /// How much work the encoder does, 0 to 10; default 5.
    #[serde(default = "opus_complexity")]
    pub complexity: u8,
}

impl OggOpusConfig {
    /// Files in this directory, at 64 kbit/s.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            bitrate: opus_bitrate(),
            complexity: opus_complexity(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
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
    5
}
