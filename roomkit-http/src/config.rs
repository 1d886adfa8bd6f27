//! The settings of the door, as they are written.

use serde::Deserialize;

/// The settings of the door.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Which web pages may connect: origins as `https://app.example.com`, `same-origin`, or `*` for
    /// all. Default: `["same-origin"]`. What is no browser sends no origin and is not asked for one.
    pub allowed_origins: Vec<String>,
    /// By which names clients may ask for this server, such as `calls.example.com`, or `*` for all; by
    /// default any, or those of the machine where it is `local`. A list is for these, `localhost`,
    /// addresses, and the hosts of `allowed_origins`. What sends no `Host` is no browser and is not asked for one.
    pub allowed_hosts: Vec<String>,
    /// Whether only programs and browsers on this machine are meant, and nobody has to say who it is;
    /// default false. Then `allowed_hosts` is a list though it be empty, unless all pages may connect:
    /// a page of anybody's, open in a browser here, could else give its own name this machine's address
    /// and pass for one of this server's (DNS rebinding).
    pub local: bool,
    /// Sessions the process takes at a time; default 1000.
    pub max_sessions: usize,
    /// Sessions of one client address (see `ipv6_prefix`) at a time; default 100.
    pub max_sessions_per_address: usize,
    /// How many bits of an IPv6 address count for limits per address, 32 to 128; default 56. A line
    /// usually has a /56 of its own, sometimes a /64 or a /48.
    pub ipv6_prefix: u8,
    /// How long a client may take to become a session, in ms; default 10 000. Here it bounds the
    /// authentication; transports bound their own handshakes by it.
    pub handshake_ms: u64,
    /// What `Retry-After` says to those refused for lack of room, in seconds; default 10.
    pub retry_after_seconds: u64,
    /// How many reverse proxies of your own stand before this server; default 0. The client's
    /// address is then that many places from the right in `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// Whether clients reach this server by https alone, because it ends TLS itself; default false: it
    /// is not known, as behind a proxy. If it is, a page that came over http is of another origin.
    pub https: bool,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            allowed_origins: vec!["same-origin".into()],
            allowed_hosts: Vec::new(),
            local: false,
            max_sessions: 1000,
            max_sessions_per_address: 100,
            ipv6_prefix: 56,
            handshake_ms: 10_000,
            retry_after_seconds: 10,
            trusted_proxies: 0,
            https: false,
        }
    }
}
