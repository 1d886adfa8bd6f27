//! `wss://` with an authority of one's own, from `ca_file` to a session.

use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roomkit_core::provider::{ProviderErrorKind, RealtimeVoiceProvider};
use roomkit_mock::fake_openai::FakeOpenAi;
use roomkit_provider_openai::{OpenAIConfig, OpenAIRealtimeProvider};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{KEY, setup};

#[tokio::test]
async fn a_server_with_an_authority_of_ones_own_is_reached_by_its_file() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let ca_file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openai_authority.der");
    std::fs::write(&ca_file, issuer.der()).unwrap();

    // A proxy that takes TLS off before the fake, as there is in front of many servers.
    let server = FakeOpenAi::builder().api_key(KEY).start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = server.address();
    let proxy = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut outer) = acceptor.accept(stream).await {
                let mut inner = TcpStream::connect(behind).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut outer, &mut inner).await });
            }
        }
    });

    let base_url = format!("wss://localhost:{port}/v1/realtime");
    let connect = async |mut config: serde_json::Value| {
        config["api_key"] = KEY.into();
        config["base_url"] = base_url.as_str().into();
        let config: OpenAIConfig = serde_json::from_value(config).unwrap();
        let provider = OpenAIRealtimeProvider::new(config).unwrap();
        provider.connect(setup()).await
    };
    let connection = connect(json!({ "ca_file": ca_file })).await.unwrap();
    assert!(connection.info.provider_session_id.is_some());
    let error = connect(json!({})).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig);
    assert!(error.message().contains("`ca_file`"), "{error}");
    proxy.abort();
}
