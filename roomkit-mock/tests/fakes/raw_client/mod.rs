//! WebSocket clients that know nothing but JSON: what they see is the wire.

#[cfg(feature = "fake-gemini")]
pub(crate) mod gemini;
#[cfg(feature = "fake-openai")]
mod openai;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

#[cfg(feature = "fake-openai")]
pub(crate) use openai::*;

/// Only to fail a test that would hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the server did next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    Event(Value),
    NotJson(Vec<u8>),
    Closed {
        code: u16,
        reason: String,
    },
    /// The connection ended without a close frame.
    Dropped,
}

pub(crate) struct Socket {
    pub(crate) inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whether the last message came in a binary frame.
    pub(crate) binary: bool,
}

impl Socket {
    pub(crate) async fn dial(url: String, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(*name, value);
        }
        let (inner, _) = tokio_tungstenite::connect_async(request).await?;
        let binary = false;
        Ok(Self { inner, binary })
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.inner.send(message).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Next {
        loop {
            let message = tokio::time::timeout(LIMIT, self.inner.next())
                .await
                .expect("the server went quiet");
            let bytes = match message {
                Some(Ok(Message::Text(text))) => {
                    self.binary = false;
                    text.as_bytes().to_vec()
                }
                Some(Ok(Message::Binary(bytes))) => {
                    self.binary = true;
                    bytes.to_vec()
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.expect("a close frame with a code");
                    // The answer waits in the socket; a server that is gone does not want it.
                    let _ = self.inner.flush().await;
                    return Next::Closed {
                        code: frame.code.into(),
                        reason: frame.reason.as_str().to_owned(),
                    };
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Next::Dropped,
            };
            return match serde_json::from_slice(&bytes) {
                Ok(event) => Next::Event(event),
                Err(_) => Next::NotJson(bytes),
            };
        }
    }
}

/// A square wave of PCM16 at this many samples per millisecond.
pub(crate) fn wave(samples_per_ms: usize, milliseconds: usize) -> Vec<u8> {
    (0..samples_per_ms * milliseconds)
        .flat_map(|index| (if index / 50 % 2 == 0 { 6000_i16 } else { -6000 }).to_le_bytes())
        .collect()
}
