//! The socket: lines out, lines in.

use std::collections::VecDeque;

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use roomkit_core::provider::{
    ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, ProviderSink, SessionSetup,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::{
    config::TinCanConfig,
    protocol::{self, FromVendor, ToVendor},
};

/// The two halves of a connection.
pub(crate) type Halves = (Box<dyn ProviderSink>, BoxStream<'static, ProviderEvent>);

/// Opens a connection and returns when the vendor is *ready*, which is later than connected.
pub(crate) async fn open(
    config: &TinCanConfig,
    setup: &SessionSetup,
) -> Result<Halves, ProviderError> {
    timeout(config.connect_timeout(), ready(config, setup))
        .await
        .unwrap_or_else(|_| {
            let problem = format!("not ready within {} ms", config.connect_timeout_ms);
            Err(ProviderError::new(ProviderErrorKind::Timeout, problem))
        })
}

async fn ready(config: &TinCanConfig, setup: &SessionSetup) -> Result<Halves, ProviderError> {
    let socket = TcpStream::connect(&config.address).await.map_err(gone)?;
    let (read, write) = socket.into_split();
    let mut sink = TinCanSink { write };
    sink.line(&protocol::hello(config.sample_rate, setup))
        .await?;
    let mut lines = BufReader::new(read).lines();
    loop {
        let Some(line) = lines.next_line().await.map_err(gone)? else {
            return Err(lost("the vendor hung up before it was ready"));
        };
        match serde_json::from_str(&line) {
            Ok(FromVendor::Ready) => break,
            Ok(FromVendor::Refused { why }) => return Err(protocol::refusal(&why)),
            _ => {}
        }
    }
    Ok((Box::new(sink), events(lines)))
}

struct TinCanSink {
    write: OwnedWriteHalf,
}

impl TinCanSink {
    async fn line(&mut self, message: &ToVendor) -> Result<(), ProviderError> {
        let mut line = serde_json::to_vec(message).map_err(|error| {
            ProviderError::new(ProviderErrorKind::InvalidRequest, error.to_string())
        })?;
        line.push(b'\n');
        self.write.write_all(&line).await.map_err(gone)
    }
}

#[async_trait]
impl ProviderSink for TinCanSink {
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError> {
        match protocol::encode(command)? {
            Some(message) => self.line(&message).await,
            None => Ok(()),
        }
    }

    async fn close(&mut self) {
        // Whatever goes wrong here, the connection is over.
        let _ = self.line(&ToVendor::Bye).await;
        let _ = self.write.shutdown().await;
    }
}

/// The vendor's lines as events; the last one is [`ProviderEvent::Closed`] and says why.
fn events(lines: Lines<BufReader<OwnedReadHalf>>) -> BoxStream<'static, ProviderEvent> {
    let start = Some((lines, VecDeque::new()));
    stream::unfold(start, |state| async {
        let (mut lines, mut pending) = state?;
        loop {
            if let Some(event) = pending.pop_front() {
                let is_last = matches!(event, ProviderEvent::Closed(_));
                return Some((event, (!is_last).then_some((lines, pending))));
            }
            match lines.next_line().await {
                Ok(Some(line)) => pending.extend(protocol::decode(&line)),
                Ok(None) => {
                    let error = lost("the vendor hung up");
                    pending.push_back(ProviderEvent::Closed(Some(error)));
                }
                Err(error) => pending.push_back(ProviderEvent::Closed(Some(gone(error)))),
            }
        }
    })
    .boxed()
}

fn lost(problem: &str) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Network, problem)
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
fn gone(error: std::io::Error) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Network, error.to_string())
}
