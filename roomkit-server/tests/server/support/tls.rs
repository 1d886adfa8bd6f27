//! Certificates, and a client that trusts one of them.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Answer, exchange, program::File, request_text, soon};

/// The name the certificates are for.
pub(crate) const NAME: &str = "localhost";

/// A certificate and its key, in one file that goes with the test.
pub(crate) struct Identity {
    pub(crate) pem: String,
    pub(crate) cert: CertificateDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let CertifiedKey { cert, signing_key } = made;
        Self {
            pem: format!("{}{}", cert.pem(), signing_key.serialize_pem()),
            cert: cert.der().clone(),
        }
    }

    pub(crate) fn file(&self, name: &str) -> File {
        File::new(name, &self.pem)
    }

    /// A connection to a server that has to show this certificate.
    pub(crate) async fn connect(&self, address: SocketAddr) -> std::io::Result<Stream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        soon(connector.connect(name, socket)).await
    }

    pub(crate) async fn request(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let socket = self.connect(address).await.unwrap();
        let host = format!("{NAME}:{}", address.port());
        let text = request_text(&host, method, path, headers, body);
        exchange(socket, text.as_bytes()).await
    }
}

pub(crate) type Stream = TlsStream<TcpStream>;
