//! Through an HTTP proxy, and every way in which that fails.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use roomkit_dial::{Deadline, DialOptions, Proxy, Roots};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    support::{Peer, Server, deadline, dialer},
    tls::SecureServer,
};

struct ProxyServer(TcpListener);

impl ProxyServer {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn options(&self, credentials: &str) -> DialOptions {
        let address = self.0.local_addr().unwrap();
        let mut options = DialOptions::default();
        let url = format!("http://{credentials}{address}");
        options.proxy = Some(Proxy::new("proxy", &url).unwrap());
        options
    }

    /// Takes a request, byte by byte: what comes after it is not the proxy's.
    async fn accept(&self) -> (TcpStream, String) {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }

    /// Connects a client to this address, wherever it wants to go, and gives its request.
    async fn tunnel(&self, to: &TcpListener) -> String {
        let (mut client, head) = self.accept().await;
        let mut server = TcpStream::connect(to.local_addr().unwrap()).await.unwrap();
        let answer = "HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n";
        client.write_all(answer.as_bytes()).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut server).await;
        head
    }

    /// How dialling fails with a proxy that answers with these bytes and is done.
    async fn refused(&self, credentials: &str, answer: &[u8]) -> ProviderError {
        let dialer = dialer("ws://vendor.invalid/v1", self.options(credentials));
        let script = async {
            let (mut stream, _) = self.accept().await;
            stream.write_all(answer).await.unwrap();
        };
        let deadline = deadline();
        let (dialled, ()) = tokio::join!(dialer.dial(&deadline), script);
        dialled.map(|_| ()).unwrap_err()
    }
}

#[tokio::test]
async fn tls_and_websocket_go_through_a_proxy_that_is_told_where_to_and_who_asks() {
    let (server, proxy) = (SecureServer::bind().await, ProxyServer::bind().await);
    let mut options = proxy.options("me:hunter%2F2@");
    let roots = Roots::public().with_certificates("ca_file", &server.authority);
    options.roots = roots.unwrap();
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
    let (said, (), head) = tokio::join!(script, client, proxy.tunnel(&server.listener));
    assert_eq!(said, Some(Message::text("good day")));
    let port = server.listener.local_addr().unwrap().port();
    let expected = format!(
        "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\
         Proxy-Authorization: Basic {}\r\n\r\n",
        BASE64_STANDARD.encode("me:hunter/2")
    );
    assert_eq!(head, expected);
}

#[tokio::test]
async fn only_the_proxy_has_to_know_the_name_and_all_endpoints_are_reached_through_it() {
    let (server, proxy) = (Server::bind().await, ProxyServer::bind().await);
    let first = dialer("ws://elsewhere.invalid/v1", proxy.options(""));
    let endpoint = roomkit_dial::Endpoint::new("base_url", "ws://vendor.invalid/v1");
    let dialer = first.for_endpoint(endpoint.unwrap());
    let script = async { drop(server.accept().await) };
    let client = async { dialer.dial(&deadline()).await.map(drop).unwrap() };
    let ((), (), head) = tokio::join!(script, client, proxy.tunnel(&server.listener));
    let expected = "CONNECT vendor.invalid:80 HTTP/1.1\r\nHost: vendor.invalid:80\r\n\r\n";
    assert_eq!(head, expected);
}

#[tokio::test]
async fn x1_h3_what_a_proxy_refuses_names_the_proxy_and_its_setting() {
    use ProviderErrorKind::{Authentication, InvalidConfig, Network, Protocol, RateLimited};

    let long = format!("HTTP/1.1 200 OK\r\nVia: {}\r\n\r\n", "A".repeat(9000));
    let wants = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 9\r\n\r\n";
    let table = [
        ("", wants, Authentication, "proxy_407", "wants a user"),
        (
            "me:hunter2@",
            wants,
            Authentication,
            "proxy_407",
            "refuses the user",
        ),
        (
            "",
            "HTTP/1.1 403 Forbidden\n\n",
            InvalidConfig,
            "proxy_403",
            "vendor.invalid:80",
        ),
        (
            "",
            "HTTP/1.0 429\r\n\r\n",
            RateLimited,
            "proxy_429",
            "too often",
        ),
        (
            "me:hunter2@",
            "HTTP/1.1 502 Bad\r\n\r\n",
            Network,
            "proxy_502",
            "`base_url`",
        ),
        ("me:hunter2@", "", Network, "proxy", "without an answer"),
        (
            "",
            "HTTP/1.1 200 OK\r\nVia",
            Network,
            "proxy",
            "without an answer",
        ),
        (
            "",
            "SSH-2.0-server\r\n",
            Protocol,
            "proxy",
            "speaks no HTTP",
        ),
        ("", "\r\n", Protocol, "proxy", "speaks no HTTP"),
        ("", &long, Protocol, "proxy", "8 KiB"),
    ];
    let proxy = ProxyServer::bind().await;
    let address = proxy.0.local_addr().unwrap();
    for (credentials, answer, kind, code, told) in table {
        let error = proxy.refused(credentials, answer.as_bytes()).await;
        assert_eq!((error.kind(), error.code()), (kind, code), "{error}");
        let named = format!("the proxy {address} (`proxy`) ");
        assert!(error.message().starts_with(&named), "{error}");
        assert!(error.message().contains(told), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn x1_h3_a_proxy_that_is_not_there_or_silent_is_named() {
    let proxy = ProxyServer::bind().await;
    let options = proxy.options("me:hunter2@");
    let dialer = dialer("wss://vendor.invalid/v1", options);
    let deadline = Deadline::after(Duration::from_millis(50), "connect_timeout_ms");
    let silent = dialer.dial(&deadline).await.map(drop).unwrap_err();
    drop(proxy);
    let absent = dialer
        .dial(&crate::support::deadline())
        .await
        .map(drop)
        .unwrap_err();
    for (error, told) in [(silent, "through the proxy"), (absent, "nobody listens")] {
        let of = (error.kind(), error.code());
        assert_eq!(of, (ProviderErrorKind::Network, "connect"), "{error}");
        assert!(error.message().contains(told), "{error}");
        assert!(error.message().contains("`proxy`"), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }
}
