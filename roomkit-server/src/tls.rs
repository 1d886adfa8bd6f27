//! TLS that the server ends itself: its certificate, and the one that takes its place.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use metrics::gauge;
use roomkit::error::ConfigError;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use x509_parser::parse_x509_certificate;

/// The server's certificate; with it, the server speaks https and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// A PEM file with the certificate, followed by those that lead from it to a known authority.
    pub cert: PathBuf,
    /// A PEM file with the certificate's private key (PKCS #8, PKCS #1 or SEC1), not encrypted. May be
    /// the same file.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Reads both files.
    pub(crate) fn load(&self) -> Result<Certificate, ConfigError> {
        let chain = self.chain()?;
        let expires = chain.iter().filter_map(expires).min();
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| {
            let none = "it holds no private key that is not encrypted";
            refused("tls.key", &self.key, error, none)
        })?;
        let unusable = |error: rustls::Error| {
            let key = self.key.display();
            let problem = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("{key}: this is not the key of the certificate in `tls.cert`")
                }
                error => format!("{key}: certificate or key cannot be used: {error}"),
            };
            ConfigError::field("tls.key", problem)
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Certificate {
            acceptor: Arc::new(config).into(),
            expires,
        })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let none = "it holds no certificate";
        let read = |error| refused("tls.cert", &self.cert, error, none);
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.cert)
            .map_err(read)?
            .collect::<Result<_, _>>()
            .map_err(read)?;
        if chain.is_empty() {
            return Err(read(pem::Error::NoItemsFound));
        }
        Ok(chain)
    }
}

/// What stands in a file is not shown, nor what is no path to one: it may be a key (contract X1).
fn refused(field: &str, file: &Path, error: pem::Error, none: &str) -> ConfigError {
    if file.to_string_lossy().contains("-----BEGIN") {
        let problem = "must be the path of a PEM file, not what stands in it";
        return ConfigError::field(field, problem);
    }
    let problem = match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("{none}; give a PEM file"),
        _ => "is no PEM file".into(),
    };
    ConfigError::field(field, format!("{}: {problem}", file.display()))
}

/// When a certificate expires, in seconds of Unix time, if that can be read.
fn expires(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, read) = parse_x509_certificate(certificate).ok()?;
    Some(read.validity().not_after.timestamp())
}

/// A certificate with its key, ready to be shown to clients.
pub(crate) struct Certificate {
    acceptor: TlsAcceptor,
    /// When the first of its chain does.
    expires: Option<i64>,
}

impl Certificate {
    /// It is what clients are shown from now on, which whoever watches the server should know.
    fn in_force(self) -> TlsAcceptor {
        if let Some(expires) = self.expires {
            gauge!("roomkit_server_certificate_expiry_timestamp_seconds").set(expires as f64);
        }
        self.acceptor
    }
}

/// The certificate in force. A cheap handle: clones show the same one.
#[derive(Clone)]
pub(crate) struct Tls(Arc<RwLock<TlsAcceptor>>);

impl Tls {
    pub(crate) fn new(certificate: Certificate) -> Self {
        Self(Arc::new(RwLock::new(certificate.in_force())))
    }

    /// Shows this one to all who connect from now on.
    pub(crate) fn replace(&self, certificate: Certificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate.in_force();
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let acceptor = self.0.read().unwrap_or_else(PoisonError::into_inner);
        acceptor.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

#[cfg(test)]
mod tests;
