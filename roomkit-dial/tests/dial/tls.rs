//! TLS against a server with an authority of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use roomkit_dial::{DialOptions, Roots};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Peer, deadline, dialer};

/// A server whose certificate, for `localhost`, is signed by an authority nobody knows.
pub(crate) struct SecureServer {
    pub(crate) listener: TcpListener,
    acceptor: TlsAcceptor,
    pub(crate) authority: CertificateDer<'static>,
}

impl SecureServer {
    pub(crate) async fn bind() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority: issuer.der().clone(),
        }
    }

    pub(crate) fn url(&self, host: &str) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!("wss://{host}:{port}/v1")
    }

    pub(crate) async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await?;
        self.acceptor.accept(stream).await
    }

    /// How dialling it fails.
    async fn refused(&self, host: &str, roots: Roots) -> ProviderError {
        let mut options = DialOptions::default();
        options.roots = roots;
        let dialer = dialer(&self.url(host), options);
        let deadline = deadline();
        let (_, outcome) = tokio::join!(self.accept(), dialer.dial(&deadline));
        outcome.map(|_| ()).unwrap_err()
    }
}

fn pem(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let encoded = BASE64_STANDARD.encode(certificate);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join("\n");
    format!("# ours\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n").into_bytes()
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn an_authority_of_our_own_is_trusted_from_a_file_of_either_form() {
    let server = SecureServer::bind().await;
    for (name, bytes) in [
        ("authority.pem", pem(&server.authority)),
        ("authority.der", server.authority.to_vec()),
    ] {
        let mut options = DialOptions::default();
        options.roots = Roots::public()
            .with_file("ca_file", &file(name, &bytes))
            .unwrap();
        let dialer = dialer(&server.url("localhost"), options);
        let script = async {
            let mut peer = Peer::upgrade(server.accept().await.unwrap()).await;
            peer.send(Message::text("hello")).await;
            peer.next().await
        };
        let client = async {
            let mut socket = dialer.dial(&deadline()).await.unwrap();
            assert_eq!(socket.receive().await.unwrap().as_str(), "hello");
            socket.send("good day").await.unwrap();
        };
        let (said, ()) = tokio::join!(script, client);
        assert_eq!(said, Some(Message::text("good day")));
    }
}

#[tokio::test]
async fn h3_a_certificate_that_is_not_trusted_names_what_to_check() {
    let server = SecureServer::bind().await;
    let unknown = server.refused("localhost", Roots::public()).await;
    let trusted = Roots::public()
        .with_certificates("ca_file", &server.authority)
        .unwrap();
    let wrong_name = server.refused("127.0.0.1", trusted).await;
    for error in [unknown, wrong_name] {
        assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig, "{error}");
        assert_eq!(error.code(), "tls_certificate");
        for part in ["`base_url`", "`ca_file`", "clock"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[tokio::test]
async fn h3_a_server_without_tls_is_told_from_one_that_hangs_up() {
    let server = SecureServer::bind().await;
    let dialer = dialer(&server.url("localhost"), DialOptions::default());
    let deadline = deadline();
    for (answer, kind) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            ProviderErrorKind::InvalidConfig,
        ),
        ("", ProviderErrorKind::Network),
    ] {
        let script = async {
            let (mut stream, _) = server.listener.accept().await.unwrap();
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            assert_eq!(hello[..2], [0x16, 0x03], "a TLS handshake record");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let (outcome, ()) = tokio::join!(dialer.dial(&deadline), script);
        let error = outcome.map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, "tls"), "{error}");
        assert!(error.message().contains("check the port"), "{error}");
    }
}

#[test]
fn a_file_without_certificates_names_field_and_remedy() {
    let nowhere = Path::new("no/such/file.pem");
    let error = Roots::public().with_file("ca_file", nowhere).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("ca_file: the file `no/such/file.pem` cannot be read"));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    for (bytes, problem) in [
        (&b"hello"[..], "holds what is no certificate"),
        (&b""[..], "holds what is no certificate"),
        (broken.as_bytes(), "holds broken PEM"),
        (key.as_bytes(), "holds no certificate"),
    ] {
        let error = Roots::public().with_certificates("ca_file", bytes);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("ca_file: "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
}
