//! Where to dial: a URL and headers, checked when the provider is built.

use std::fmt;

use http::{HeaderName, HeaderValue};
use roomkit_core::registry::ConfigError;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::{Redactor, tcp::Place};

/// Headers that the handshake is made of.
const HANDSHAKE: [&str; 6] = [
    "connection",
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
];

/// A WebSocket URL and the headers that go with it. `Debug` shows neither the URL's query nor a
/// header's value (contract X1).
#[derive(Clone)]
pub struct Endpoint {
    /// The setting the URL comes from, for errors.
    pub(crate) field: &'static str,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    secrets: Vec<SecretString>,
}

impl Endpoint {
    /// The endpoint at `url`; `field` is the setting that holds it, for errors.
    ///
    /// # Errors
    /// When it is no `ws://` or `wss://` URL with a host, or holds a user or password. The value
    /// is not repeated: gateways take keys in the query.
    pub fn new(field: &'static str, url: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::field(field, problem);
        let mut url = Url::parse(url)
            .map_err(|error| wrong(&format!("is not a URL ({error}); it begins with `wss://`")))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(wrong(&format!(
                "has the scheme `{}`; use `wss://`, or `ws://` for a server nearby",
                url.scheme()
            )));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("names no host; `wss://voice.example.com/v1` does"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "holds a user or password; put credentials into the settings for keys or headers",
            ));
        }
        url.set_fragment(None);
        Ok(Self {
            field,
            url,
            headers: Vec::new(),
            secrets: Vec::new(),
        })
    }

    /// Adds a parameter to the URL's query, unless the URL has one of that name.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        if !self.url.query_pairs().any(|(known, _)| known == name) {
            self.url.query_pairs_mut().append_pair(name, value);
        }
        self
    }

    /// Adds a header. The value counts as a secret from now on; `field` is the setting that holds
    /// it, for errors.
    ///
    /// # Errors
    /// When name or value cannot stand in a header.
    pub fn with_header(
        self,
        field: &str,
        name: &str,
        value: SecretString,
    ) -> Result<Self, ConfigError> {
        self.with_credential(field, name, "", value)
    }

    /// Adds a header of the form `prefix secret`, such as `Authorization: Bearer sk-...`.
    ///
    /// # Errors
    /// When name, prefix or secret cannot stand in a header.
    pub fn with_credential(
        mut self,
        field: &str,
        name: &str,
        prefix: &str,
        secret: SecretString,
    ) -> Result<Self, ConfigError> {
        let text = match prefix {
            "" => secret.expose_secret().to_owned(),
            prefix => format!("{prefix} {}", secret.expose_secret()),
        };
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(
            HeaderValue::from_str(&text)
                .ok()
                .filter(|_| is_plain(&text)),
        );
        let Some((name, mut value)) = header else {
            return Err(ConfigError::field(
                field,
                "is not a valid HTTP header; use a name of letters and hyphens and a value of \
                 printable ASCII",
            ));
        };
        if HANDSHAKE.contains(&name.as_str()) {
            return Err(ConfigError::field(
                field,
                format!("`{name}` belongs to the WebSocket handshake; leave it out"),
            ));
        }
        value.set_sensitive(true);
        self.headers.push((name, value));
        self.secrets.push(secret);
        Ok(self)
    }

    /// Adds a secret to the URL's query, for vendors that take no header.
    #[must_use]
    pub fn with_secret_query(mut self, name: &str, secret: SecretString) -> Self {
        self = self.with_query(name, secret.expose_secret());
        self.secrets.push(secret);
        self
    }

    /// Adds a secret that is told to the vendor in another way, so that it is taken out of texts
    /// like the others.
    #[must_use]
    pub fn with_secret(mut self, secret: SecretString) -> Self {
        self.secrets.push(secret);
        self
    }

    /// The URL. It may hold a secret in its query: never show it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What takes this endpoint's secrets out of texts.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.secrets.clone())
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Host and port, as they may be shown.
    pub(crate) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.port())
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            host: self.url.host().unwrap_or(Host::Domain("")),
            port: self.port(),
            field: self.field,
        }
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }
}

/// As much of a URL as may be shown, whatever was given for one: neither what stands before the host,
/// which may be a password, nor the query, which may hold a key (contract X1).
pub fn shown_url(url: &str) -> String {
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    match shown.rsplit_once('@') {
        None => shown.to_owned(),
        Some((before, after)) => match before.split_once("://") {
            None => after.to_owned(),
            Some((scheme, _)) => format!("{scheme}://{after}"),
        },
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Endpoint")
            .field("scheme", &self.url.scheme())
            .field("authority", &self.authority())
            .field("path", &self.url.path())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| (0x20..0x7F).contains(&byte))
}
