//! The way out through an HTTP proxy, where there is no other: it is asked for a tunnel, and TLS and
//! WebSocket go through that as they would without it.

use std::{env, fmt, io, net::IpAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use roomkit_core::{
    provider::{
        ProviderError,
        ProviderErrorKind::{self, Authentication, InvalidConfig, Network, Protocol, RateLimited},
    },
    registry::ConfigError,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use url::{Host, Url};

use crate::{Endpoint, tcp::Place};

/// The longest answer that is read, in bytes.
const HEAD_LIMIT: u64 = 8 * 1024;

/// An HTTP proxy. Neither `Debug` nor an error shows the password in its URL (contract X1).
#[derive(Clone)]
pub struct Proxy {
    /// The setting or variable it comes from, for errors.
    field: &'static str,
    /// Without user and password.
    url: Url,
    /// User and password, as they are sent.
    credentials: Option<SecretString>,
    /// Of the environment: the hosts that are reached without it.
    spared: Option<Vec<String>>,
}

impl Proxy {
    /// The proxy at `url`: `http://host:port` or `http://user:password@host:port`; the scheme may be
    /// left out. All endpoints are reached through it. `field` is the setting that holds the URL, for
    /// errors.
    ///
    /// # Errors
    /// When it is no such URL. The message does not repeat it.
    pub fn new(field: &'static str, url: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| {
            let remedy = "it takes an HTTP proxy, such as `http://user:password@proxy.example.com:3128`, with \
                          `%2F` and the like for what a URL does not hold in a password";
            ConfigError::field(field, format!("{problem}; {remedy}"))
        };
        let parsed = match url.trim() {
            url if url.contains("://") => Url::parse(url),
            url => Url::parse(&format!("http://{url}")),
        };
        let mut url = parsed.map_err(|error| wrong(&format!("is not a URL ({error})")))?;
        if url.scheme() != "http" {
            return Err(wrong(&format!("has the scheme `{}`", url.scheme())));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("holds more than a host and a port"));
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let both = [decoded(user), decoded(password.unwrap_or_default())].join(&b':');
                Some(BASE64_STANDARD.encode(both).into())
            }
        };
        // A URL with a host takes both.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self {
            field,
            url,
            credentials,
            spared: None,
        })
    }

    /// The proxy of the environment variable `https_proxy` or `HTTPS_PROXY`, for `wss://` endpoints
    /// only. Hosts of this machine are reached without it, and those of `no_proxy` or `NO_PROXY`: names,
    /// which stand for what is below them too, addresses and networks such as `10.0.0.0/8`, all with or without a
    /// port, with commas between; `*` is all.
    ///
    /// # Errors
    /// When the variable holds no such proxy. The message names it.
    pub fn from_env() -> Result<Option<Self>, ConfigError> {
        Self::of_variables(|name| env::var(name).ok())
    }

    fn of_variables(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let filled = |name: &'static str| {
            let value = get(name).filter(|value| !value.trim().is_empty());
            value.map(|value| (name, value))
        };
        let Some((name, url)) = filled("https_proxy").or_else(|| filled("HTTPS_PROXY")) else {
            return Ok(None);
        };
        let spared = filled("no_proxy").or_else(|| filled("NO_PROXY"));
        let spared = spared.map(|(_, hosts)| hosts).unwrap_or_default();
        let spared = spared.split(',').map(|host| {
            let host = host.trim().trim_start_matches("*.").trim_start_matches('.');
            host.trim_matches(['[', ']']).to_ascii_lowercase()
        });
        let spared: Vec<String> = spared.filter(|host| !host.is_empty()).collect();
        if spared.iter().any(|host| host == "*") {
            return Ok(None);
        }
        Ok(Some(Self {
            spared: Some(spared),
            ..Self::new(name, &url)?
        }))
    }

    /// Whether this endpoint is reached through it.
    pub(crate) fn is_for(&self, endpoint: &Endpoint) -> bool {
        let Some(spared) = &self.spared else {
            return true;
        };
        let host = endpoint.place().host;
        let (is_here, name) = match host {
            Host::Domain(name) => (
                name == "localhost" || name.ends_with(".localhost"),
                name.to_owned(),
            ),
            Host::Ipv4(address) => (address.is_loopback(), address.to_string()),
            Host::Ipv6(address) => (address.is_loopback(), address.to_string()),
        };
        let port = endpoint.place().port.to_string();
        let is_spared = |spared: &String| {
            let spared = match spared.rsplit_once(':') {
                Some((host, of)) if of == port && !host.contains(':') => host,
                _ => spared,
            };
            let above = name.strip_suffix(spared);
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
                || is_within(&name, spared)
        };
        endpoint.url().scheme() == "wss" && !is_here && !spared.iter().any(is_spared)
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            host: self.url.host().unwrap_or(Host::Domain("")),
            port: self.url.port_or_known_default().unwrap_or(80),
            field: self.field,
        }
    }

    /// Has the proxy connect the stream to the endpoint. What comes after its answer is left unread.
    pub(crate) async fn tunnel(
        &self,
        stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
        endpoint: &Endpoint,
    ) -> Result<(), ProviderError> {
        let broke = |error: &io::Error| {
            self.failed(Network, "proxy", &format!("broke the connection ({error})"))
        };
        let target = endpoint.authority();
        let credentials = self.credentials.as_ref().map(|credentials| {
            let credentials = credentials.expose_secret();
            format!("Proxy-Authorization: Basic {credentials}\r\n")
        });
        let credentials = credentials.unwrap_or_default();
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
        let written = stream.write_all(request.as_bytes()).await;
        written.map_err(|error| broke(&error))?;
        let mut head = stream.take(HEAD_LIMIT);
        let mut status = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = head.read_until(b'\n', &mut line).await;
            read.map_err(|error| broke(&error))?;
            let Some(text) = line.strip_suffix(b"\n") else {
                return Err(if head.limit() == 0 {
                    self.failed(Protocol, "proxy", "answers with more than 8 KiB")
                } else {
                    self.failed(Network, "proxy", "closed the connection without an answer")
                });
            };
            match status {
                None => match status_of(text) {
                    Some(code) => status = Some(code),
                    None => return Err(self.failed(Protocol, "proxy", "speaks no HTTP/1.1")),
                },
                Some(code) if text.trim_ascii().is_empty() => {
                    return self.answered(code, endpoint);
                }
                Some(_) => {}
            }
        }
    }

    fn answered(&self, status: u16, endpoint: &Endpoint) -> Result<(), ProviderError> {
        let target = endpoint.authority();
        let field = endpoint.field;
        let (kind, problem) = match status {
            200..300 => return Ok(()),
            407 if self.credentials.is_some() => (
                Authentication,
                "refuses the user and password of its URL (407)".to_owned(),
            ),
            407 => (
                Authentication,
                "wants a user and password (407): `http://user:password@host:port`".to_owned(),
            ),
            429 => (RateLimited, "is asked too often (429)".to_owned()),
            400..500 => (
                InvalidConfig,
                format!("lets nobody through to {target} ({status}): have that allowed there"),
            ),
            _ => (
                Network,
                format!(
                    "has no connection to {target} ({status}); check host and port of `{field}`"
                ),
            ),
        };
        Err(self.failed(kind, &format!("proxy_{status}"), &problem))
    }

    fn failed(&self, kind: ProviderErrorKind, code: &str, problem: &str) -> ProviderError {
        ProviderError::new(kind, format!("{self} {problem}")).with_code(code)
    }
}

/// The status in the first line of an answer.
fn status_of(line: &[u8]) -> Option<u16> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let is_http = words.next()?.starts_with("HTTP/1.");
    words.next()?.parse().ok().filter(|_| is_http)
}

/// Whether it is an address of a network such as `10.0.0.0/8`.
fn is_within(name: &str, network: &str) -> bool {
    let bits = |address: &str| -> Option<(u32, u128)> {
        Some(match address.parse().ok()? {
            IpAddr::V4(address) => (32, address.to_bits().into()),
            IpAddr::V6(address) => (128, address.to_bits()),
        })
    };
    let Some((network, length)) = network.split_once('/') else {
        return false;
    };
    match (bits(name), bits(network), length.parse::<u32>()) {
        (Some((size, name)), Some((of, network)), Ok(length)) if size == of && length <= size => {
            (name ^ network).checked_shr(size - length).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// What stands in a part of a URL.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        if let Some((high, low)) = escaped.filter(|_| *byte == b'%') {
            decoded.push((high * 16 + low) as u8);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    decoded
}

/// As errors name it.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { host, port, field } = self.place();
        write!(f, "the proxy {host}:{port} (`{field}`)")
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &self.url.as_str())
            .field("credentials", &self.credentials)
            .field("spared", &self.spared)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Option<Proxy>, ConfigError> {
        Proxy::of_variables(|name| {
            let row = variables.iter().find(|(known, _)| *known == name);
            row.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_is_reached_through_a_proxy() {
        let hosts = "example.com, .internal,10.0.0.7,*.corp.example,[fd00::1],172.16.0.0/12,fd01::/16,lab:8443";
        let proxy = environment(&[("HTTPS_PROXY", "proxy:3128"), ("NO_PROXY", hosts)]);
        let proxy = proxy.unwrap().unwrap();
        assert_eq!(proxy.to_string(), "the proxy proxy:3128 (`HTTPS_PROXY`)");
        for (url, is_for) in [
            ("wss://api.openai.com/v1", true),
            ("wss://notexample.com", true),
            ("wss://10.0.0.8", true),
            ("wss://example.com", false),
            ("wss://voice.EXAMPLE.com", false),
            ("wss://a.internal", false),
            ("wss://x.corp.example", false),
            ("wss://10.0.0.7", false),
            ("wss://[fd00::1]", false),
            ("wss://172.31.255.1", false),
            ("wss://172.32.0.1", true),
            ("wss://[fd01::9]", false),
            ("wss://[fd02::9]", true),
            ("wss://lab:8443", false),
            ("wss://lab", true),
            ("wss://localhost", false),
            ("wss://127.0.0.1", false),
            ("wss://[::1]", false),
            ("ws://api.openai.com/v1", false),
        ] {
            let endpoint = Endpoint::new("base_url", url).unwrap();
            assert_eq!(proxy.is_for(&endpoint), is_for, "{url}");
        }
        let none = environment(&[("https_proxy", "socks5://p"), ("no_proxy", "*")]);
        assert!(none.unwrap().is_none());
        assert!(environment(&[("HTTPS_PROXY", " ")]).unwrap().is_none());
        let both = environment(&[("HTTPS_PROXY", "http://a"), ("https_proxy", "http://b")]);
        let both = both.unwrap().unwrap();
        assert_eq!(both.to_string(), "the proxy b:80 (`https_proxy`)");
        let error = environment(&[("HTTPS_PROXY", "socks5://p")]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("HTTPS_PROXY: has the scheme `socks5`")
        );
    }

    #[test]
    fn x1_a_proxy_shows_no_password() {
        let proxy = Proxy::new("proxy", "http://me:hun%74er%2F2%@proxy:3128").unwrap();
        let sent = proxy.credentials.as_ref().unwrap().expose_secret();
        assert_eq!(BASE64_STANDARD.decode(sent).unwrap(), b"me:hunter/2%");
        for shown in [format!("{proxy:?}"), proxy.to_string()] {
            assert!(shown.contains("proxy:3128"), "{shown}");
            assert!(!shown.contains("hun") && !shown.contains(sent), "{shown}");
        }
        for (url, problem) in [
            ("http://me:hunter2@", "is not a URL"),
            ("me:hunter2@host:port", "is not a URL"),
            ("https://me:hunter2@proxy", "has the scheme `https`"),
            ("http://me:hunter2@proxy/path", "holds more than a host"),
            ("http://proxy?key=hunter2", "holds more than a host"),
        ] {
            let error = Proxy::new("proxy", url).unwrap_err().to_string();
            assert!(error.starts_with(&format!("proxy: {problem}")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
