//! The socket: dialled, brought to the point where the vendor is ready, then split into the sink
//! and the stream of events. There is no task behind it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    stream::{self, BoxStream, SplitSink, SplitStream},
};
use roomkit_core::provider::{
    ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, ProviderSink,
};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{
    config::Endpoint,
    error::{self, Redactor},
    protocol::{Decoder, Encoder, Handshake, kind_of},
};

/// The socket clears this much memory before every read and keeps it for as long as it lives; its
/// default of 128 KiB was a sixth of a session's CPU time and most of its memory.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// A ping goes along with what is sent, this often at most.
const PING_EVERY: Duration = Duration::from_secs(15);
/// After a ping the vendor must be heard of within this time, by whatever it sends (contract H5).
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An open WebSocket to the vendor.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The TLS settings of all connections: the public roots, and `ring` by name, because a program
/// with two crypto providers has no default one.
pub(crate) fn tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Opens the socket. The vendor says only afterwards whether it likes the key.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    tls: Arc<rustls::ClientConfig>,
    max_message_bytes: usize,
    redactor: &Redactor,
) -> Result<Socket, ProviderError> {
    let failed = |error| error::socket(&error, redactor);
    let mut request = endpoint
        .url
        .as_str()
        .into_client_request()
        .map_err(failed)?;
    for (name, value) in &endpoint.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(value.expose_secret()).ok());
        let Some((name, mut value)) = header else {
            let message = format!("`headers.{name}` is not a valid HTTP header");
            return Err(ProviderError::new(
                ProviderErrorKind::InvalidConfig,
                message,
            ));
        };
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    let connector = Connector::Rustls(tls);
    let (socket, _) = connect_async_tls_with_config(request, Some(limits), true, Some(connector))
        .await
        .map_err(failed)?;
    Ok(socket)
}

/// Waits for an event that carries the session and returns the session's id. An `error` or the end
/// of the socket before it is the vendor's refusal.
pub(crate) async fn await_session(
    socket: &mut Socket,
    wanted: &str,
    redactor: &Redactor,
) -> Result<Option<String>, ProviderError> {
    loop {
        let message = match socket.next().await {
            None => return Err(error::closed(None, "", redactor)),
            Some(Err(error)) => return Err(error::socket(&error, redactor)),
            Some(Ok(message)) => message,
        };
        let frame = match &message {
            Message::Text(text) => text.as_str(),
            Message::Close(frame) => return Err(closed(frame.as_ref(), redactor)),
            _ => continue,
        };
        let kind = kind_of(frame).unwrap_or_default();
        if kind != wanted && kind != "error" {
            continue;
        }
        let event: Handshake<'_> = serde_json::from_str(frame).unwrap_or_default();
        if kind == wanted {
            let id = event.session.and_then(|session| session.id);
            return Ok(id
                .map(|id| id.as_str().to_owned())
                .filter(|id| !id.is_empty()));
        }
        let error = event
            .error
            .unwrap_or_default()
            .as_vendor_error()
            .classify(redactor);
        return Err(match error.kind() {
            // Nothing has been asked yet but to be set up like this.
            ProviderErrorKind::InvalidRequest => {
                ProviderError::new(ProviderErrorKind::InvalidConfig, error.message())
                    .with_code(error.code())
            }
            _ => error,
        });
    }
}

/// Sends one frame before the socket is split.
pub(crate) async fn send(
    socket: &mut Socket,
    frame: String,
    redactor: &Redactor,
) -> Result<(), ProviderError> {
    socket
        .send(Message::text(frame))
        .await
        .map_err(|error| error::socket(&error, redactor))
}

/// Makes the two halves of a connection of a socket whose session is ready.
pub(crate) fn split(
    socket: Socket,
    encoder: Encoder,
    decoder: Decoder,
    redactor: Redactor,
) -> (Box<dyn ProviderSink>, BoxStream<'static, ProviderEvent>) {
    let (write, read) = socket.split();
    let (sink_lives, sink_gone) = oneshot::channel();
    let link = Arc::new(Link::new());
    let sink = Sink {
        write,
        encoder,
        redactor: redactor.clone(),
        link: Arc::clone(&link),
        last_ping: Instant::now(),
        _lives: sink_lives,
    };
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events {
        read,
        decoder,
        redactor,
        link,
        sink_gone,
        look,
        pending: VecDeque::new(),
        last_error: None,
    };
    (Box::new(sink), events.into_stream())
}

/// What the two halves know of each other.
struct Link {
    /// We said goodbye.
    closing: AtomicBool,
    /// The oldest ping since which nothing came, in ms after `start`; 0: there is none.
    unanswered: AtomicU64,
    start: Instant,
}

impl Link {
    fn new() -> Self {
        Self {
            closing: AtomicBool::new(false),
            unanswered: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn pinged(&self) {
        // An older ping without an answer counts on.
        let _ = self.unanswered.compare_exchange(
            0,
            self.now().max(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn heard(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        let pinged = self.unanswered.load(Ordering::Relaxed);
        pinged != 0 && u128::from(self.now().saturating_sub(pinged)) > SILENCE_LIMIT.as_millis()
    }
}

struct Sink {
    write: SplitSink<Socket, Message>,
    encoder: Encoder,
    redactor: Redactor,
    link: Arc<Link>,
    last_ping: Instant,
    /// Dropped with the sink, which ends the events and with them the socket.
    _lives: oneshot::Sender<()>,
}

#[async_trait]
impl ProviderSink for Sink {
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError> {
        let Some(frame) = self.encoder.encode(&command)? else {
            return Ok(());
        };
        let failed = |error| error::socket(&error, &self.redactor);
        if self.last_ping.elapsed() >= PING_EVERY {
            self.last_ping = Instant::now();
            let ping = Message::Ping(bytes::Bytes::new());
            self.write.feed(ping).await.map_err(failed)?;
            self.link.pinged();
        }
        self.write.send(Message::text(frame)).await.map_err(failed)
    }

    async fn close(&mut self) {
        self.link.closing.store(true, Ordering::Relaxed);
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        // Whatever goes wrong here, the connection is over.
        let _ = self.write.send(Message::Close(Some(goodbye))).await;
    }
}

struct Events {
    read: SplitStream<Socket>,
    decoder: Decoder,
    redactor: Redactor,
    link: Arc<Link>,
    sink_gone: oneshot::Receiver<()>,
    look: Interval,
    /// What the last frame meant, as far as it has not been told.
    pending: VecDeque<ProviderEvent>,
    /// The event before this one, if it was an error: often the reason why the socket ends.
    last_error: Option<ProviderError>,
}

impl Events {
    fn into_stream(self) -> BoxStream<'static, ProviderEvent> {
        stream::unfold(Some(self), |events| async {
            let mut events = events?;
            let event = events.next().await;
            // The read half goes with the last event, and the socket with it.
            let rest = (!matches!(event, ProviderEvent::Closed(_))).then_some(events);
            Some((event, rest))
        })
        .boxed()
    }

    async fn next(&mut self) -> ProviderEvent {
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.last_error = match &event {
                    ProviderEvent::Error(error) => Some(error.clone()),
                    _ => None,
                };
                return event;
            }
            let message = tokio::select! {
                biased;
                _ = &mut self.sink_gone => return ProviderEvent::Closed(None),
                message = self.read.next() => message,
                _ = self.look.tick() => {
                    if self.link.is_silent() {
                        return self.closed(ProviderError::new(
                            ProviderErrorKind::Network,
                            "the vendor has not been heard of for 45 s, not even a pong",
                        ));
                    }
                    continue;
                }
            };
            self.link.heard();
            match message {
                Some(Ok(Message::Text(frame))) => self.decoder.decode(&frame, &mut self.pending),
                // No server should, and some do.
                Some(Ok(Message::Binary(frame))) => {
                    let text = std::str::from_utf8(&frame).unwrap_or_default();
                    self.decoder.decode(text, &mut self.pending);
                }
                // The pong is on its way: reading on flushes it.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    // Reading once more flushes our half of the closing handshake.
                    let _ = self.read.next().now_or_never();
                    return self.closed(closed(frame.as_ref(), &self.redactor));
                }
                Some(Err(error)) => return self.closed(error::socket(&error, &self.redactor)),
                None => return self.closed(error::closed(None, "", &self.redactor)),
            }
        }
    }

    fn closed(&mut self, error: ProviderError) -> ProviderEvent {
        if self.link.closing.load(Ordering::Relaxed) {
            return ProviderEvent::Closed(None);
        }
        let announced = self.last_error.take().filter(|last| {
            !matches!(
                last.kind(),
                ProviderErrorKind::InvalidRequest | ProviderErrorKind::Protocol
            )
        });
        ProviderEvent::Closed(Some(match announced {
            // The close itself says little; the error right before it says why.
            Some(announced) if error.code().starts_with("ws_") => announced,
            _ => error,
        }))
    }
}

fn closed(frame: Option<&CloseFrame>, redactor: &Redactor) -> ProviderError {
    match frame {
        Some(frame) => error::closed(Some(frame.code.into()), &frame.reason, redactor),
        None => error::closed(Some(1005), "", redactor),
    }
}
