//! Where traces go: to a collector that speaks OpenTelemetry's protocol over HTTP.

#[cfg(feature = "otel")]
mod client;
#[cfg(feature = "otel")]
mod export;

use std::{fmt, path::PathBuf};

use axum::http::{Uri, uri::Authority};
use roomkit::error::ConfigError;
#[cfg(feature = "otel")]
use roomkit_dial::Roots;
use serde::Deserialize;

#[cfg(feature = "otel")]
pub(crate) use export::Traces;

/// Traces for a collector; needs a server that was built with the feature `otel`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtelConfig {
    /// Where the collector listens for OTLP over HTTP, such as `http://localhost:4318`, to which
    /// `/v1/traces` is added.
    pub endpoint: String,
    /// Further authorities for an `https` endpoint: a file of certificates in PEM, or of one in DER.
    pub ca_file: Option<PathBuf>,
    /// What this server is called there; default `roomkit-server`.
    #[serde(default = "default_name")]
    pub service_name: String,
}

fn default_name() -> String {
    "roomkit-server".into()
}

impl OtelConfig {
    /// Finds out whether traces can be sent with this.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !cfg!(feature = "otel") {
            let problem = "this server was built without it; build it with `--features otel`, or \
                           leave the table out";
            return Err(ConfigError::field("otel", problem));
        }
        let url = self.url()?;
        if self.ca_file.is_some() && url.starts_with("http://") {
            let problem = "is for an `https` endpoint, and this one is `http`; leave it out";
            return Err(ConfigError::field("otel.ca_file", problem));
        }
        #[cfg(feature = "otel")]
        self.roots()?;
        Ok(())
    }

    /// Who may vouch for the collector.
    #[cfg(feature = "otel")]
    fn roots(&self) -> Result<Roots, ConfigError> {
        let roots = Roots::public();
        match &self.ca_file {
            Some(path) => roots.with_file("otel.ca_file", path),
            None => Ok(roots),
        }
    }

    /// Which collector it is, without the path: that may hold a key.
    pub(crate) fn place(&self) -> String {
        let end = self.endpoint.find("://").map_or(0, |scheme| scheme + 3);
        let (scheme, rest) = self.endpoint.split_at(end);
        let host = rest.split('/').next().unwrap_or_default();
        format!("{scheme}{host}")
    }

    /// Where traces are posted to.
    fn url(&self) -> Result<String, ConfigError> {
        // The value is not shown, because people write passwords there (contract X1).
        let refused = || {
            let problem = "is no URL of a collector; write `http://` or `https://`, a host, and \
                           neither user nor query, such as `http://localhost:4318`";
            ConfigError::field("otel.endpoint", problem)
        };
        let uri: Uri = self.endpoint.parse().map_err(|_| refused())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.authority().map(Authority::as_str).unwrap_or_default();
        let usable = matches!(scheme, "http" | "https")
            && !host.is_empty()
            && !host.contains('@')
            && uri.query().is_none();
        if !usable {
            return Err(refused());
        }
        let base = self.endpoint.trim_end_matches('/');
        Ok(format!("{base}/v1/traces"))
    }
}

impl fmt::Debug for OtelConfig {
    /// Without the endpoint's path (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelConfig")
            .field("endpoint", &self.place())
            .field("ca_file", &self.ca_file)
            .field("service_name", &self.service_name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str) -> Result<String, String> {
        let config = OtelConfig {
            endpoint: endpoint.into(),
            ca_file: None,
            service_name: default_name(),
        };
        config.url().map_err(|error| error.to_string())
    }

    #[test]
    fn traces_have_a_path_beneath_the_endpoint() {
        for (endpoint, expected) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://a.example/", "https://a.example/v1/traces"),
            ("https://a.example/otlp", "https://a.example/otlp/v1/traces"),
        ] {
            assert_eq!(url(endpoint).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn x1_what_is_no_endpoint_is_refused_and_not_shown() {
        for endpoint in [
            "",
            "hunter2",
            "localhost:4318",
            "/hunter2",
            "ftp://hunter2",
            "http://me:hunter2@a.example",
            "https://a.example?key=hunter2",
            "http://a b",
        ] {
            let refused = url(endpoint).unwrap_err();
            assert!(refused.starts_with("otel.endpoint: "), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_server_without_it_says_how_to_get_it() {
        let config: OtelConfig = toml::from_str("endpoint = 'http://localhost:4318'").unwrap();
        let refused = config.check().unwrap_err().to_string();
        assert!(refused.contains("--features otel"), "{refused}");
    }
}
