//! Whose certificates are trusted.

use std::{fmt, path::Path, sync::Arc};

use roomkit_core::registry::ConfigError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The certificate authorities that may vouch for a server: the public ones, and those added.
#[derive(Clone)]
pub struct Roots {
    store: RootCertStore,
    added: usize,
}

impl Default for Roots {
    fn default() -> Self {
        Self::public()
    }
}

impl Roots {
    /// The public certificate authorities.
    pub fn public() -> Self {
        Self {
            store: RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
            added: 0,
        }
    }

    /// Adds those of a file, in PEM (any number) or DER (one); `field` is the setting that names
    /// it, for errors. Reads the file now.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn with_file(self, field: &str, path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| {
            ConfigError::field(
                field,
                format!(
                    "the file `{}` cannot be read ({error}); name a file of PEM or DER certificates",
                    path.display()
                ),
            )
        })?;
        self.with_certificates(field, &bytes)
    }

    /// Adds certificates in PEM (any number) or DER (one); `field` is the setting that holds them,
    /// for errors.
    ///
    /// # Errors
    /// When there is no certificate in them, or one that cannot be read.
    pub fn with_certificates(mut self, field: &str, bytes: &[u8]) -> Result<Self, ConfigError> {
        let wrong = |problem: &dyn fmt::Display| {
            ConfigError::field(
                field,
                format!("{problem}; it takes certificates of authorities in PEM, or one in DER"),
            )
        };
        let is_pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
        let certificates: Vec<CertificateDer<'_>> = if is_pem {
            CertificateDer::pem_slice_iter(bytes)
                .collect::<Result<_, _>>()
                .map_err(|error| wrong(&format_args!("holds broken PEM ({error})")))?
        } else {
            vec![CertificateDer::from(bytes)]
        };
        if certificates.is_empty() {
            return Err(wrong(&"holds no certificate"));
        }
        for certificate in certificates {
            self.store
                .add(certificate.into_owned())
                .map_err(|error| wrong(&format_args!("holds what is no certificate ({error})")))?;
            self.added += 1;
        }
        Ok(self)
    }

    /// The TLS settings of all connections. `ring` by name, because a program with two crypto
    /// providers has no default one.
    ///
    /// # Errors
    /// When this build of `ring` lacks what TLS needs, which does not happen.
    pub fn client_config(self) -> Result<Arc<ClientConfig>, ConfigError> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::field("tls", format!("is not available: {error}")))?
            .with_root_certificates(self.store)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("added", &self.added)
            .finish_non_exhaustive()
    }
}
