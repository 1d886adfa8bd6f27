//! The transport's settings.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use roomkit_core::{audio::check_rate, error::ConfigError};
use rtc::ice::url::{ProtoType, SchemeType, Url};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;

use crate::net::Announced;

/// The settings of a [`WebRtcRealtimeTransport`](crate::WebRtcRealtimeTransport).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebRtcTransportConfig {
    /// Rate at which the AI hears the callers, in Hz. Default: what the provider takes, decoded
    /// straight to it.
    pub input_sample_rate: Option<u32>,
    /// Rate of the AI's voice before it is encoded, in Hz. Default: what the provider gives.
    pub output_sample_rate: Option<u32>,
    /// Bits per second of the AI's voice in Opus; default 32 000.
    pub bitrate: u32,
    /// How far ahead of real time the AI's voice is sent, in ms (contract A5); default 20, which is
    /// one packet. More is beyond recall when the user interrupts, and a browser, that has a buffer
    /// of its own, speeds it up to get rid of it.
    pub lead_ms: u64,

    /// The UDP port of all callers; default 0, a free one.
    pub udp_port: u16,
    /// On which local addresses callers may come: IP addresses or names of interfaces. Default: all
    /// but loopback and link-local ones; loopback alone where there is nothing else.
    pub interfaces: Vec<String>,
    /// Whether IPv6 addresses are used as well; default true.
    pub ipv6: bool,
    /// Public addresses to tell callers instead of the local ones of the same family, for a server
    /// behind a NAT that forwards the port one to one: `IP`, or `IP:PORT` (`[IPv6]:PORT`) where the
    /// port outside is another one.
    pub announce: Vec<String>,
    /// STUN and TURN servers this server asks for addresses of its own, over UDP. With a TURN server each
    /// caller has a port of its own, because a relay knows its users by their port.
    pub ice_servers: Vec<IceServer>,
    /// STUN and TURN servers that callers are told to use, at `GET {path}/webrtc/config`.
    pub client_ice_servers: Vec<IceServer>,

    /// How long a caller may take from its offer to a connection, in ms; default 60 000.
    pub connect_timeout_ms: u64,
    /// How long a connected caller waits for a session, in ms; default 30 000.
    pub session_timeout_ms: u64,
    /// How long a connection may be silent before it is given up, in ms; default 12 000. Until
    /// then the caller may come back by an ICE restart.
    pub disconnect_timeout_ms: u64,

    /// The largest offer, in bytes of SDP; default 65 536.
    pub max_sdp_bytes: usize,
    /// How many ICE candidates of a caller are looked at; default 64.
    pub max_candidates: usize,
    /// The largest message on the data channel, in bytes; default 65 536. Larger ones are dropped.
    pub max_message_bytes: usize,
    /// How deep a caller's JSON may be nested; default 32. What is deeper is dropped.
    pub max_json_depth: usize,
}

impl Default for WebRtcTransportConfig {
    fn default() -> Self {
        Self {
            input_sample_rate: None,
            output_sample_rate: None,
            bitrate: 32_000,
            lead_ms: 20,
            udp_port: 0,
            interfaces: Vec::new(),
            ipv6: true,
            announce: Vec::new(),
            ice_servers: Vec::new(),
            client_ice_servers: Vec::new(),
            connect_timeout_ms: 60_000,
            session_timeout_ms: 30_000,
            disconnect_timeout_ms: 12_000,
            max_sdp_bytes: 64 * 1024,
            max_candidates: 64,
            max_message_bytes: 64 * 1024,
            max_json_depth: 32,
        }
    }
}

/// A STUN or TURN server, as browsers write it (`RTCIceServer`).
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// Its URLs, such as `stun:stun.example.com:3478` or `turn:turn.example.com?transport=udp`.
    pub urls: Vec<String>,
    /// The user, for TURN.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The password, for TURN.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "password"
    )]
    pub credential: String,
}

/// serde's own message would show what it refuses (contract X1).
fn password<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        _ => Err(D::Error::custom(
            "a password must be a string; put it into quotes",
        )),
    }
}

impl IceServer {
    pub(crate) fn is_relay(&self) -> bool {
        self.urls
            .iter()
            .filter_map(|url| Url::parse_url(url).ok())
            .any(|url| matches!(url.scheme, SchemeType::Turn | SchemeType::Turns))
    }
}

/// Without the password (contract X1).
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// Bits per second that Opus can make speech of.
const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=128_000;

impl WebRtcTransportConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (field, rate) in [
            ("input_sample_rate", self.input_sample_rate),
            ("output_sample_rate", self.output_sample_rate),
        ] {
            if let Some(rate) = rate {
                check_rate(field, rate)?;
            }
        }
        if !BITRATES.contains(&self.bitrate) {
            let (low, high) = (BITRATES.start(), BITRATES.end());
            let problem = format!("{} bit/s; must be from {low} to {high}", self.bitrate);
            return Err(ConfigError::field("bitrate", problem));
        }
        if !(20..=1000).contains(&self.lead_ms) {
            let problem = format!("{} ms; must be from 20 to 1000", self.lead_ms);
            return Err(ConfigError::field("lead_ms", problem));
        }
        for (field, value) in [
            ("connect_timeout_ms", self.connect_timeout_ms as usize),
            ("session_timeout_ms", self.session_timeout_ms as usize),
            ("max_sdp_bytes", self.max_sdp_bytes),
            ("max_message_bytes", self.max_message_bytes),
            ("max_json_depth", self.max_json_depth),
        ] {
            if value == 0 {
                return Err(ConfigError::field(field, "is 0; nothing would pass"));
            }
        }
        if self.disconnect_timeout_ms < 5_000 {
            let problem = format!(
                "{} ms; must be at least 5000, or a hiccup of the network ends the call",
                self.disconnect_timeout_ms
            );
            return Err(ConfigError::field("disconnect_timeout_ms", problem));
        }
        check_servers("ice_servers", Asker::Server, &self.ice_servers)?;
        check_servers(
            "client_ice_servers",
            Asker::Client,
            &self.client_ice_servers,
        )?;
        self.announced().map(drop)
    }

    pub(crate) fn announced(&self) -> Result<Vec<Announced>, ConfigError> {
        let announced = self.announce.iter().map(|address| {
            Announced::from_str(address).map_err(|problem| {
                ConfigError::field("announce", format!("`{address}`: {problem}"))
            })
        });
        announced.collect()
    }

    /// Whether callers need ports of their own.
    pub(crate) fn uses_relays(&self) -> bool {
        self.ice_servers.iter().any(IceServer::is_relay)
    }

    pub(crate) fn lead(&self) -> Duration {
        Duration::from_millis(self.lead_ms)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms)
    }

    pub(crate) fn disconnect_timeout(&self) -> Duration {
        Duration::from_millis(self.disconnect_timeout_ms)
    }

    /// Whether this local address may be used.
    pub(crate) fn allows(&self, interface: &str, address: IpAddr) -> bool {
        if address.is_ipv6() && !self.ipv6 {
            return false;
        }
        self.interfaces.iter().any(|allowed| {
            allowed == interface || allowed.parse::<IpAddr>().is_ok_and(|ip| ip == address)
        })
    }
}

/// Who is to ask a STUN or TURN server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// By the WebRTC library, which leaves out what it cannot ask.
    Server,
    Client,
}

fn check_servers(field: &str, asker: Asker, servers: &[IceServer]) -> Result<(), ConfigError> {
    for server in servers {
        if [&server.username, &server.credential]
            .iter()
            .any(|it| it.contains(char::is_control))
        {
            let problem =
                "`username` or `credential` has a control character, such as a line break";
            return Err(ConfigError::field(field, problem));
        }
        if server.urls.is_empty() {
            return Err(ConfigError::field(field, "a server without `urls`"));
        }
        for url in &server.urls {
            let read = Url::parse_url(url)
                .ok()
                .filter(|read| !read.host.is_empty());
            let Some(read) = read.filter(|_| !url.contains(char::is_control)) else {
                let problem =
                    format!("`{url}` is no server; write `stun:HOST[:PORT]` or `turn:HOST[:PORT]`");
                return Err(ConfigError::field(field, problem));
            };
            let is_udp = !read.is_secure() && read.proto == ProtoType::Udp;
            if asker == Asker::Server && !is_udp {
                let problem = format!(
                    "`{url}` is not asked over UDP, and this server asks none otherwise; write `stun:HOST[:PORT]` or \
                     `turn:HOST[:PORT]`, and this one into `client_ice_servers` if clients are to use it"
                );
                return Err(ConfigError::field(field, problem));
            }
            let is_relay = matches!(read.scheme, SchemeType::Turn | SchemeType::Turns);
            if is_relay && (server.username.is_empty() || server.credential.is_empty()) {
                let problem = format!("`{url}` needs `username` and `credential`");
                return Err(ConfigError::field(field, problem));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_config_that_cannot_work_names_its_field() {
        for (config, field) in [
            (json!({"input_sample_rate": 7999}), "input_sample_rate"),
            (json!({"output_sample_rate": 48001}), "output_sample_rate"),
            (json!({"bitrate": 500}), "bitrate"),
            (json!({"lead_ms": 10}), "lead_ms"),
            (json!({"connect_timeout_ms": 0}), "connect_timeout_ms"),
            (json!({"disconnect_timeout_ms": 1}), "disconnect_timeout_ms"),
            (json!({"max_sdp_bytes": 0}), "max_sdp_bytes"),
            (json!({"announce": ["example.com"]}), "announce"),
            (json!({"ice_servers": [{"urls": []}]}), "ice_servers"),
            (
                json!({"ice_servers": [{"urls": ["http://a"]}]}),
                "ice_servers",
            ),
            (
                json!({"client_ice_servers": [{"urls": ["turn:a"], "username": "u"}]}),
                "client_ice_servers",
            ),
        ] {
            let config: WebRtcTransportConfig = serde_json::from_value(config).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        let typo = serde_json::from_value::<WebRtcTransportConfig>(json!({"lead": 1}));
        assert!(typo.unwrap_err().to_string().contains("`lead`"));
        WebRtcTransportConfig::default().check().unwrap();
    }

    #[test]
    fn a_server_that_cannot_be_asked_is_refused() {
        let with = |field: &str, url: &str| {
            let server = json!({"urls": [url], "username": "u", "credential": "c"});
            let config = json!({field: [server]});
            let config: WebRtcTransportConfig = serde_json::from_value(config).unwrap();
            config.check().map_err(|error| error.to_string())
        };
        for url in [
            "stun:a",
            "stun:192.0.2.1:3478",
            "turn:[2001:db8::1]:3479",
            "turn:a?transport=udp",
        ] {
            with("ice_servers", url).unwrap();
            with("client_ice_servers", url).unwrap();
        }
        for url in ["stuns:a", "turns:a:443", "turn:a?transport=tcp"] {
            let error = with("ice_servers", url).unwrap_err();
            assert!(error.starts_with("ice_servers: "), "{error}");
            assert!(error.contains(&format!("`{url}`")), "{error}");
            with("client_ice_servers", url).unwrap();
        }
        for url in [
            "stun:",
            "stun:a?transport=udp",
            "turn://a",
            "turn:a?transport=sctp",
            "turn:a:99999",
            "stun",
            "",
            "stun:a\n",
        ] {
            for field in ["ice_servers", "client_ice_servers"] {
                let error = with(field, url).unwrap_err();
                assert!(error.starts_with(field), "{url}: {error}");
            }
        }
    }

    #[test]
    fn x1_a_relays_password_is_not_shown() {
        let server = IceServer {
            urls: vec!["turn:a".into()],
            username: "u".into(),
            credential: "s3cret".into(),
        };
        assert!(!format!("{server:?}").contains("s3cret"));
    }
}
