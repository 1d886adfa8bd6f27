//! What the door goes by, besides the number of places: made anew when its settings change.

use std::time::Duration;

use roomkit_core::error::ConfigError;

use crate::{config::AdmissionConfig, names::NamePolicy, origin::OriginPolicy};

/// Settings as they are used.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) names: NamePolicy,
    pub(crate) origins: OriginPolicy,
    pub(crate) handshake: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) trusted_proxies: usize,
    pub(crate) ipv6_prefix: u8,
}

impl Rules {
    /// Checks all settings, those of places included.
    pub(crate) fn read(config: &AdmissionConfig) -> Result<Self, ConfigError> {
        for (field, value) in [
            ("max_sessions", config.max_sessions as u64),
            (
                "max_sessions_per_address",
                config.max_sessions_per_address as u64,
            ),
            ("handshake_ms", config.handshake_ms),
        ] {
            if value == 0 {
                return Err(ConfigError::field(field, "is 0; must be at least 1"));
            }
        }
        if !(32..=128).contains(&config.ipv6_prefix) {
            let problem = format!(
                "is {}; must be 32 to 128, such as 56 for the network of one line",
                config.ipv6_prefix
            );
            return Err(ConfigError::field("ipv6_prefix", problem));
        }
        Ok(Self {
            names: NamePolicy::read(config)?,
            origins: OriginPolicy::parse(&config.allowed_origins, config.https)?,
            handshake: Duration::from_millis(config.handshake_ms),
            retry_after: Duration::from_secs(config.retry_after_seconds),
            trusted_proxies: config.trusted_proxies,
            ipv6_prefix: config.ipv6_prefix,
        })
    }
}
