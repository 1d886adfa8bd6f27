//! `[limits]`: who may connect, and how many.

use roomkit::{error::ConfigError, http::AdmissionConfig};
use serde::Deserialize;

/// Who may connect, and how many: the fields of [`AdmissionConfig`], and those for rooms,
/// dashboards and load.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Which web pages may connect; default `["same-origin"]`.
    pub allowed_origins: Vec<String>,
    /// By which names the server may be asked, beside `localhost`, addresses, and the hosts of
    /// `allowed_origins`; by default any, or no others while it listens on loopback alone, asks nobody
    /// for a token, and has no `trusted_proxies`.
    pub allowed_hosts: Vec<String>,
    /// Calls the server takes at a time; default 1000.
    pub max_sessions: usize,
    /// Calls of one client address at a time; default 100.
    pub max_sessions_per_address: usize,
    /// How many bits of an IPv6 address count for limits per address; default 56.
    pub ipv6_prefix: u8,
    /// Rooms that may be open at a time; default 10 000.
    pub max_rooms: usize,
    /// Open rooms that calls of one client address have made; default a tenth of `max_rooms`, or
    /// `max_sessions_per_address` if that is more.
    pub max_rooms_per_address: Option<usize>,
    /// Dashboards of one client address at a time; default 64.
    pub max_dashboards_per_address: usize,
    /// How busy the server's threads may be when it takes a call, as a share of their time over two
    /// seconds; default 0.9. 1 takes calls under any load.
    pub max_load: f64,
    /// How late its timers may wake when it takes a call, in ms, as what one in twenty is above over
    /// two seconds; default 100. 0 takes calls however late they are.
    pub max_timer_lateness_ms: u64,
    /// How long a client may take to become a call, in ms; default 10 000.
    pub handshake_ms: u64,
    /// What `Retry-After` says to those refused for lack of room, in seconds; default 10.
    pub retry_after_seconds: u64,
    /// How many reverse proxies of your own stand before this server; default 0.
    pub trusted_proxies: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let admission = AdmissionConfig::default();
        Self {
            allowed_origins: admission.allowed_origins,
            allowed_hosts: admission.allowed_hosts,
            max_sessions: admission.max_sessions,
            max_sessions_per_address: admission.max_sessions_per_address,
            ipv6_prefix: admission.ipv6_prefix,
            max_rooms: 10_000,
            max_rooms_per_address: None,
            max_dashboards_per_address: 64,
            max_load: 0.9,
            max_timer_lateness_ms: 100,
            handshake_ms: admission.handshake_ms,
            retry_after_seconds: admission.retry_after_seconds,
            trusted_proxies: admission.trusted_proxies,
        }
    }
}

impl LimitsConfig {
    /// How many of the rooms that are open one client may have made.
    pub(crate) fn rooms_per_address(&self) -> usize {
        let share = self.max_rooms / 10;
        self.max_rooms_per_address
            .unwrap_or_else(|| share.max(self.max_sessions_per_address))
    }

    pub(super) fn admission(&self) -> Result<AdmissionConfig, ConfigError> {
        for (field, limit) in [
            ("limits.max_rooms", self.max_rooms),
            (
                "limits.max_rooms_per_address",
                self.max_rooms_per_address.unwrap_or(1),
            ),
            (
                "limits.max_dashboards_per_address",
                self.max_dashboards_per_address,
            ),
        ] {
            if limit == 0 {
                return Err(ConfigError::field(field, "is 0; must be at least 1"));
            }
        }
        if !(self.max_load > 0.0 && self.max_load <= 1.0) {
            let problem = format!("is {}; must be above 0 and at most 1", self.max_load);
            return Err(ConfigError::field("limits.max_load", problem));
        }
        Ok(AdmissionConfig {
            allowed_origins: self.allowed_origins.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            max_sessions: self.max_sessions,
            max_sessions_per_address: self.max_sessions_per_address,
            ipv6_prefix: self.ipv6_prefix,
            handshake_ms: self.handshake_ms,
            retry_after_seconds: self.retry_after_seconds,
            trusted_proxies: self.trusted_proxies,
            ..AdmissionConfig::default()
        })
    }
}
