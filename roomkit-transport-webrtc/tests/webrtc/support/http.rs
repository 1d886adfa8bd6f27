//! One HTTP request on a connection of its own.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

/// Where requests go, and what they all say.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    /// Before all paths.
    pub(crate) path: String,
    /// Lines of all requests' heads.
    pub(crate) headers: String,
    /// After the path of offers, with its question mark.
    pub(crate) query: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            path: path.to_owned(),
            headers: String::new(),
            query: String::new(),
        }
    }

    /// The same with a line in the heads of its requests.
    pub(crate) fn with_header(&self, line: &str) -> Self {
        let mut http = self.clone();
        http.headers.push_str(line);
        http.headers.push_str("\r\n");
        http
    }

    /// The same with this query at its offers.
    pub(crate) fn with_query(&self, query: &str) -> Self {
        let mut http = self.clone();
        http.query = format!("?{query}");
        http
    }

    /// An offer or a candidate, as FastRTC's clients send it.
    pub(crate) async fn offer(&self, body: &Value) -> Answer {
        let path = format!("/webrtc/offer{}", self.query);
        self.send("POST", &path, "application/json", &body.to_string())
            .await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Answer {
        let Self {
            address,
            path: root,
            headers,
            ..
        } = self;
        let length = body.len();
        let request = format!(
            "{method} {root}{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             {headers}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    /// Sends these bytes, and reads until the server has no more to say.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(request).await.unwrap();
        let mut answer = String::new();
        soon(tcp.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The status, and the error's name in FastRTC's shape.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["status"], "failed", "{json}");
        assert!(json["meta"]["message"].is_string(), "{json}");
        let error = json["meta"]["error"].as_str().expect("a name");
        (self.status, error.to_owned())
    }

    /// The SDP of an answer to an offer.
    pub(crate) fn sdp(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        let json = self.json();
        assert_eq!(json["type"], "answer");
        json["sdp"].as_str().unwrap().to_owned()
    }
}
