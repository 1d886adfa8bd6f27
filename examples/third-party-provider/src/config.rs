//! What the provider is told.

use std::time::Duration;

use roomkit_core::{audio::check_rate, registry::ConfigError};
use serde::Deserialize;

/// How to reach the vendor.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TinCanConfig {
    /// `host:port` of the vendor.
    pub address: String,
    /// Rate of the audio both ways, in Hz: 8000 to 48 000, and a multiple of 25.
    pub sample_rate: u32,
    /// How long a connection may take to get ready, in ms.
    pub connect_timeout_ms: u64,
}

impl Default for TinCanConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:7070".into(),
            sample_rate: 16_000,
            connect_timeout_ms: 5_000,
        }
    }
}

impl TinCanConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !self.address.contains(':') {
            let problem = format!("is `{}`; write host and port, as `host:7070`", self.address);
            return Err(ConfigError::field("address", problem));
        }
        // The engine takes no other rates: between them a resampler would be costly.
        check_rate("sample_rate", self.sample_rate)?;
        if self.connect_timeout_ms == 0 {
            let problem = "is 0, so that no connection could ever be made; 5000 is usual";
            return Err(ConfigError::field("connect_timeout_ms", problem));
        }
        Ok(())
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}
