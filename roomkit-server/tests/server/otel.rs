//! Traces that reach a collector.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post, serve::Listener};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{
    Socket,
    program::{File, Running, is_refusal, output, program},
    soon,
    tls::{Identity, NAME},
};

/// What a collector was sent, as text and headers: names and values of OTLP are readable as they are.
type Batches = mpsc::UnboundedReceiver<(HeaderMap, String)>;

/// A collector, and its endpoint.
async fn collector() -> (String, Batches) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (endpoint, collect(listener))
}

/// The same over TLS.
async fn tls_collector(identity: &Identity) -> (String, Batches) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(server_config(identity)));
    let received = collect(TlsListener(listener, acceptor));
    (format!("https://{NAME}:{port}"), received)
}

/// For a server that shows it.
fn server_config(identity: &Identity) -> ServerConfig {
    let key = PrivateKeyDer::from_pem_slice(identity.pem.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.clone()], key)
        .unwrap()
}

struct TlsListener(TcpListener, TlsAcceptor);

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, address) = self.0.accept().await.unwrap();
            // Who does not trust the certificate hangs up.
            if let Ok(stream) = self.1.accept(socket).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn collect<L: Listener<Addr: std::fmt::Debug>>(listener: L) -> Batches {
    let (batches, received) = mpsc::unbounded_channel();
    let take =
        async |State(batches): State<mpsc::UnboundedSender<_>>, headers: HeaderMap, body: Bytes| {
            let text = String::from_utf8_lossy(&body).into_owned();
            batches.send((headers, text)).unwrap();
        };
    let routes = Router::new().route("/v1/traces", post(take));
    let serving = axum::serve(listener, routes.with_state(batches));
    tokio::spawn(async move { serving.await });
    received
}

/// A call in which something is said.
async fn call(server: &Running) {
    let mut caller = Socket::open(server.address, "/ws?room=lobby", &[])
        .await
        .unwrap();
    caller.until("session_started").await;
    caller
        .send(json!({"type": "text", "text": "tell nobody"}))
        .await;
    caller.words("assistant", "tell nobody").await;
    caller.hang_up().await;
}

/// A collector that takes nothing: a call works all the same, and the log tells.
async fn costs_no_call_and_is_in_the_log(file: &File) {
    let (server, log) = Running::with_log(&["--config", file.path()]).await;
    call(&server).await;
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));
    let log = soon(log).await.unwrap();
    let told = |line: &str| line.contains("ERROR") && line.contains("opentelemetry");
    assert!(log.lines().any(told), "{log}");
}

#[tokio::test]
async fn x6_the_spans_of_calls_are_sent_before_the_end_and_no_words() {
    let (endpoint, mut received) = collector().await;
    // Traces are sent whatever is logged.
    let settings =
        format!("log = 'off'\n[otel]\nendpoint = '{endpoint}'\nservice_name = 'night-desk'");
    let file = File::new("otel", &settings);
    let server = Running::start(&["--config", file.path()]).await;
    call(&server).await;
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));

    let mut sent = String::new();
    received.close();
    while let Some((headers, batch)) = soon(received.recv()).await {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        sent.push_str(&batch);
    }
    for part in [
        "night-desk",
        "service.version",
        "roomkit.session",
        "roomkit.connect",
        "roomkit.response.status",
        "gen_ai.provider.name",
        "echo",
        "gen_ai.conversation.id",
        "roomkit.room.id",
        "lobby",
        "roomkit.session.end_reason",
        "websocket",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    // A name, and a value of two bytes that begins as a whole number does, not as text.
    let number = "roomkit.session.turns\u{12}\u{2}\u{18}";
    assert!(sent.contains(number), "no number: {sent}");
    for absent in ["tell nobody", "webrtc"] {
        assert!(!sent.contains(absent), "{absent}: {sent}");
    }
}

#[tokio::test]
async fn x1_headers_for_the_collector_come_from_the_environment() {
    let (endpoint, mut received) = collector().await;
    let settings = format!("log = 'trace'\n[otel]\nendpoint = '{endpoint}'");
    let file = File::new("otel-key", &settings);
    let mut command = program(&["--listen", "127.0.0.1:0", "--config", file.path()]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hunter2");
    let (server, log) = Running::of(command).await;
    call(&server).await;
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));
    let (headers, _) = soon(received.recv()).await.unwrap();
    assert_eq!(headers["x-api-key"], "hunter2");
    let log = soon(log).await.unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn traces_go_over_tls_to_whom_an_authority_vouches_for() {
    let identity = Identity::new();
    let (endpoint, mut received) = tls_collector(&identity).await;
    let file = File::new("otel-tls", &format!("[otel]\nendpoint = '{endpoint}'"));
    costs_no_call_and_is_in_the_log(&file).await;
    assert!(received.try_recv().is_err());

    let authority = identity.file("otel-authority");
    file.write(&format!(
        "[otel]\nendpoint = '{endpoint}'\nca_file = '{}'",
        authority.path()
    ));
    let server = Running::start(&["--config", file.path()]).await;
    call(&server).await;
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));
    let (_, batch) = soon(received.recv()).await.unwrap();
    assert!(batch.contains("roomkit.session"), "{batch}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_no_call_and_is_in_the_log() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let file = File::new("otel-none", &format!("[otel]\nendpoint = '{endpoint}'"));
    costs_no_call_and_is_in_the_log(&file).await;
}

#[tokio::test]
async fn x4_a_collector_that_never_answers_does_not_keep_the_server_from_its_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let file = File::new("otel-mute", &format!("[otel]\nendpoint = '{endpoint}'"));
    let (server, log) = Running::with_log(&["--config", file.path()]).await;
    call(&server).await;
    server.signal("TERM").await;
    let _connection = soon(silent.accept()).await.unwrap();
    assert_eq!(server.exit_code().await, Some(0));
    let log = soon(log).await.unwrap();
    assert!(log.contains("the last traces could not be sent"), "{log}");
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused_by_start_and_check() {
    let file = File::new("otel-wrong", "[otel]\nendpoint = 'localhost:4318'");
    let named = ["otel.endpoint", "http://localhost:4318"];
    is_refusal(&output(&["--config", file.path()]).await, 2, &named);
    let check = ["check-config", "--config", file.path()];
    is_refusal(&output(&check).await, 2, &named);
    file.write("[otel]\nendpoint = 'https://localhost:4318'\nca_file = '/no/such.pem'");
    is_refusal(&output(&check).await, 2, &["otel.ca_file", "/no/such.pem"]);
    file.write("[otel]\nendpoint = 'http://localhost:4318'\nca_file = '/a.pem'");
    is_refusal(&output(&check).await, 2, &["otel.ca_file", "https"]);
    file.write("[otel]\nendpoint = 'http://localhost:4318/secret'");
    let checked = output(&check).await;
    let said = String::from_utf8(checked.stdout).unwrap();
    let line = "traces       to http://localhost:4318 as roomkit-server\n";
    assert!(said.contains(line), "{said}");
}
