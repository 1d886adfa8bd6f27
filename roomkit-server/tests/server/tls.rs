//! A server that ends TLS itself.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::support::{
    TestServer,
    program::{File, Running, is_refusal, output},
    request, soon,
    tls::{Identity, NAME, Stream},
};

/// A server with this certificate.
async fn server(identity: &Identity, name: &str, more: &str) -> (TestServer, File) {
    let pem = identity.file(name);
    let path = pem.path();
    let tls = format!("{more}\n[tls]\ncert = '{path}'\nkey = '{path}'");
    (TestServer::start(&tls).await, pem)
}

async fn web_socket(identity: &Identity, address: SocketAddr) -> WebSocketStream<Stream> {
    let socket = identity.connect(address).await.unwrap();
    let url = format!("wss://{NAME}:{}/ws", address.port());
    let mut request = url.into_client_request().unwrap();
    let origin = format!("https://{NAME}:{}", address.port());
    request
        .headers_mut()
        .insert("origin", origin.parse().unwrap());
    client_async(request, socket).await.unwrap().0
}

/// The next message of this type.
async fn until(socket: &mut WebSocketStream<Stream>, kind: &str) -> Value {
    loop {
        let message = soon(socket.next()).await.unwrap().unwrap();
        if let Message::Text(text) = message {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == kind {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn what_works_over_http_works_over_https() {
    let identity = Identity::new();
    let (server, _pem) = server(&identity, "works", "").await;
    let address = server.address;

    let socket = identity.connect(address).await.unwrap();
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    drop(socket);
    let page = identity.request(address, "GET", "/", "", "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html"), "{}", page.body);

    let mut caller = web_socket(&identity, address).await;
    until(&mut caller, "session_started").await;
    let text = json!({"type": "text", "text": "over TLS"}).to_string();
    caller.send(Message::text(text)).await.unwrap();
    loop {
        let said = until(&mut caller, "transcription").await;
        if said["role"] == "assistant" && said["is_final"] == true {
            assert_eq!(said["text"], "You said: over TLS");
            break;
        }
    }
    caller.close(None).await.unwrap();

    let offer = json!({"sdp": OFFER, "type": "offer", "webrtc_id": "a-caller"}).to_string();
    let kind = "content-type: application/json\r\n";
    let path = "/rtc/webrtc/offer";
    let answer = identity.request(address, "POST", path, kind, &offer).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["type"], "answer");
}

/// What a browser would send, without a browser behind it.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=mid:0\r\n\
    a=sendrecv\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:\
    17:18:19:1A:1B:1C:1D:1E:1F\r\na=rtpmap:111 opus/48000/2\r\n";

#[tokio::test]
async fn x3_a_page_that_came_over_http_is_of_another_origin() {
    let identity = Identity::new();
    let (server, _pem) = server(&identity, "origin", "").await;
    let address = server.address;
    for (scheme, status) in [("https", 200), ("http", 403)] {
        let origin = format!("origin: {scheme}://{NAME}:{}\r\n", address.port());
        let answer = identity.request(address, "GET", "/rooms", &origin, "");
        assert_eq!(answer.await.status, status, "{scheme}");
    }
}

#[tokio::test]
async fn x5_who_speaks_no_tls_is_let_go_and_the_next_one_is_served() {
    let identity = Identity::new();
    let (server, _pem) = server(&identity, "plain", "").await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    soon(plain.read_to_end(&mut answer)).await.unwrap();
    // A TLS alert, and nothing of the page.
    assert_eq!((answer.first(), answer.len()), (Some(&21), 7), "{answer:?}");
    let page = identity.request(server.address, "GET", "/", "", "").await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn c5_who_says_nothing_is_cut_off_in_handshake_time_and_after() {
    let identity = Identity::new();
    let limits = "[limits]\nhandshake_ms = 200";
    let (server, _pem) = server(&identity, "silent", limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut nothing = Vec::new();
    soon(silent.read_to_end(&mut nothing)).await.unwrap();
    assert!(nothing.is_empty());
    // Nor is a handshake alone a request. Such an end comes without a goodbye.
    let mut agreed = identity.connect(server.address).await.unwrap();
    let _ = soon(agreed.read_to_end(&mut nothing)).await;
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn x7_a_hang_up_takes_another_certificate_and_leaves_calls_alone() {
    let (old, new) = (Identity::new(), Identity::new());
    let pem = old.file("swap");
    // By flags alone: its file is no reason to hear the signal, the certificate is.
    let arguments = ["--tls-cert", pem.path(), "--tls-key", pem.path()];
    let (server, mut log) = Running::with_lines(&arguments).await;
    assert!(server.is_https, "it says so");
    let mut caller = web_socket(&old, server.address).await;
    until(&mut caller, "session_started").await;

    pem.write(&new.pem);
    server.signal("HUP").await;
    log.until("the configuration was read again").await;
    assert!(old.connect(server.address).await.is_err());
    let page = new.request(server.address, "GET", "/", "", "").await;
    assert_eq!(page.status, 200);
    let ping = json!({"type": "ping"}).to_string();
    caller.send(Message::text(ping)).await.unwrap();
    until(&mut caller, "pong").await;

    // Half a certificate, as while it is being written.
    pem.write(&old.pem[..200]);
    server.signal("HUP").await;
    let lines = log.until("all stays as it was").await;
    assert!(lines.last().unwrap().contains("tls.cert"), "{lines:?}");
    assert!(new.connect(server.address).await.is_ok());
    caller.close(None).await.unwrap();
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_by_start_and_check() {
    let pem = Identity::new().file("good");
    let empty = File::new("empty-pem", "");
    for (cert, key, named) in [
        ("/nowhere/cert.pem", pem.path(), ["tls.cert", "/nowhere"]),
        (pem.path(), empty.path(), ["tls.key", "no private key"]),
        (empty.path(), pem.path(), ["tls.cert", "no certificate"]),
    ] {
        let flags = ["--tls-cert", cert, "--tls-key", key];
        is_refusal(&output(&flags).await, 2, &named);
        let check = [&["check-config"], &flags[..]].concat();
        is_refusal(&output(&check).await, 2, &named);
    }
    let flags = ["--tls-cert", pem.path(), "--tls-key", pem.path()];
    let check = [&["check-config"], &flags[..]].concat();
    let checked = output(&check).await;
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("https://127.0.0.1:8080"), "{said}");
    let half = File::new("half", "[tls]\ncert = 'a'");
    let refused = output(&["--config", half.path()]).await;
    is_refusal(&refused, 2, &["line 1", "key"]);
}

#[tokio::test]
async fn a_server_without_a_certificate_speaks_http() {
    let server = TestServer::start("").await;
    assert!(Identity::new().connect(server.address).await.is_err());
    let page = request(server.address, "GET", "/", &[], "").await;
    assert_eq!(page.status, 200);
}
