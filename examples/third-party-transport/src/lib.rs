//! A transport crate as a third party would publish it. It depends on `roomkit-core` and on nothing
//! else of roomkit.
//!
//! *Pipe* brings calls over any byte stream: a TCP connection, a Unix socket, a serial line. Both
//! ways it sends frames: one byte that says what it is, four bytes of length (big endian), and the
//! content. `a` is audio (PCM16 mono), `m` a message of the client protocol in JSON (but for its
//! `audio`), `e` the end.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use roomkit_core::{
    RealtimeSession,
    audio::{Allowance, duration_of},
    client_protocol::{ClientMessage, MessageLimits},
    registry::{ConfigError, TransportPlugin, inventory, read_config},
    transport::{
        AudioOffer, ClientCommand, ClientEvent, ClientLink, ClientSink, Connection, DropReason,
        LinkInfo, RealtimeAudioTransport, TransportError,
    },
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

/// The name hosts ask for.
pub const NAME: &str = "pipe";

inventory::submit! { PLUGIN }

/// The descriptor, for programs that register plugins by hand.
pub const PLUGIN: TransportPlugin = TransportPlugin {
    name: NAME,
    about: "an example: calls over any byte stream",
    build: |config| Ok(Arc::new(PipeTransport::new(read_config(config)?)?)),
};

/// The settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipeConfig {
    /// The largest frame taken from a client, in bytes: 2 to 1 MiB.
    pub max_frame_bytes: u32,
}

impl Default for PipeConfig {
    fn default() -> Self {
        Self {
            max_frame_bytes: 64 * 1024,
        }
    }
}

/// The transport.
#[derive(Debug)]
pub struct PipeTransport {
    config: PipeConfig,
}

impl PipeTransport {
    /// A transport with these settings.
    ///
    /// # Errors
    ///
    /// When a field holds something it must not; the error names the field and what would do.
    pub fn new(config: PipeConfig) -> Result<Self, ConfigError> {
        if !(2..=1 << 20).contains(&config.max_frame_bytes) {
            let problem = format!("is {}; give it 2 to 1048576", config.max_frame_bytes);
            return Err(ConfigError::field("max_frame_bytes", problem));
        }
        Ok(Self { config })
    }
}

/// A client's connection. Pass it to `start_session`.
pub struct Pipe {
    read: Box<dyn AsyncRead + Send + Unpin>,
    write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Pipe {
    /// The two halves of a byte stream.
    pub fn new(
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self {
            read: Box::new(read),
            write: Box::new(write),
        }
    }
}

impl From<Pipe> for Connection {
    fn from(pipe: Pipe) -> Self {
        Self::new(pipe)
    }
}

#[async_trait]
impl RealtimeAudioTransport for PipeTransport {
    fn name(&self) -> &str {
        NAME
    }

    async fn accept(
        &self,
        _session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let Pipe { read, write } = connection.downcast()?;
        Ok(ClientLink {
            // The provider's own rates: this client has no wish, so nothing is resampled.
            info: LinkInfo::new(offer.input_rate, offer.output_rate),
            sink: Box::new(PipeSink(write)),
            events: Reader::new(read, self.config.max_frame_bytes, offer.input_rate).events(),
        })
    }
}

struct PipeSink(Box<dyn AsyncWrite + Send + Unpin>);

#[async_trait]
impl ClientSink for PipeSink {
    async fn send(&mut self, command: ClientCommand) -> Result<(), TransportError> {
        let (kind, content) = match command {
            ClientCommand::Audio(pcm) => (b'a', pcm),
            ClientCommand::Message(message) => {
                let json = serde_json::to_vec(&message)
                    .map_err(|error| TransportError::Disconnected(error.to_string()))?;
                (b'm', Bytes::from(json))
            }
            ClientCommand::Clear => (b'm', Bytes::from_static(br#"{"type":"clear_audio"}"#)),
            // Every frame is sent as it comes, so nothing waits to be flushed.
            _ => return Ok(()),
        };
        let gone = |error: std::io::Error| TransportError::Disconnected(error.to_string());
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        self.0.write_u8(kind).await.map_err(gone)?;
        self.0.write_u32(length).await.map_err(gone)?;
        self.0.write_all(&content).await.map_err(gone)?;
        self.0.flush().await.map_err(gone)
    }

    async fn close(&mut self, _reason: &str) {
        // Whatever goes wrong here, the link is over.
        let _ = self.0.shutdown().await;
    }
}

/// Reads what the client sends, within the limits that a transport has to hold it to.
struct Reader {
    read: Box<dyn AsyncRead + Send + Unpin>,
    max_frame: u32,
    /// What a message may be; the same on every wire.
    limits: MessageLimits,
    /// How much faster than real time its audio may come.
    allowance: Allowance,
    rate: u32,
    began: Instant,
}

impl Reader {
    fn new(read: Box<dyn AsyncRead + Send + Unpin>, max_frame: u32, rate: u32) -> Self {
        Self {
            read,
            max_frame,
            limits: MessageLimits::default(),
            allowance: Allowance::new(),
            rate,
            began: Instant::now(),
        }
    }

    /// What the client says; ends when it is gone.
    fn events(self) -> BoxStream<'static, ClientEvent> {
        stream::unfold(Some(self), |reader| async {
            let mut reader = reader?;
            let event = reader.next().await?;
            let is_last = matches!(event, ClientEvent::Violation(_));
            Some((event, (!is_last).then_some(reader)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<ClientEvent> {
        loop {
            let kind = self.read.read_u8().await.ok()?;
            let length = self.read.read_u32().await.ok()?;
            if length > self.max_frame {
                // What follows cannot be skipped safely, so the call ends with a reason.
                let rule = format!("a frame of {length} bytes; {} is the most", self.max_frame);
                return Some(ClientEvent::Violation(rule));
            }
            let mut content = vec![0; length as usize];
            self.read.read_exact(&mut content).await.ok()?;
            let event = match kind {
                b'a' => Some(self.audio(content.into())),
                b'm' => self.message(&content),
                b'e' => Some(ClientEvent::End),
                _ => Some(ClientEvent::Dropped(DropReason::Undecodable)),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// What a message says; `None` for one of a later version, which is passed over.
    fn message(&self, content: &[u8]) -> Option<ClientEvent> {
        let Ok(text) = str::from_utf8(content) else {
            return Some(ClientEvent::Dropped(DropReason::Undecodable));
        };
        match self.limits.read(text) {
            Ok(ClientMessage::Event(event)) => Some(event),
            // It has frames of its own here.
            Ok(ClientMessage::Audio(_)) => Some(ClientEvent::Dropped(DropReason::Undecodable)),
            Ok(_) => None,
            Err(reason) => Some(ClientEvent::Dropped(reason)),
        }
    }

    fn audio(&mut self, pcm: Bytes) -> ClientEvent {
        let length = duration_of(pcm.len(), self.rate);
        if pcm.len() % 2 == 1 {
            ClientEvent::Dropped(DropReason::OddLength)
        } else if !self.allowance.take(length, self.began.elapsed()) {
            ClientEvent::Dropped(DropReason::TooFast)
        } else {
            ClientEvent::Audio(pcm)
        }
    }
}
