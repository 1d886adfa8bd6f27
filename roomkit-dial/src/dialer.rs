//! From a name to an open socket, one step after the other, so that an error can say which step
//! failed and what to look at.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use roomkit_core::{
    provider::{
        ProviderError,
        ProviderErrorKind::{InvalidConfig, Network, Protocol},
    },
    registry::ConfigError,
};
use tokio::{
    io::BufReader,
    net::{TcpStream, lookup_host},
    time::sleep,
};
use tokio_tungstenite::{
    Connector, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, protocol::WebSocketConfig},
};
use url::Host;

use crate::{Deadline, Endpoint, ErrorTable, Redactor, Roots, Socket, socket::Context};

/// What is read from the connection at once: a frame of speech or two. Of a message that is longer,
/// the rest is read past this buffer.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// The socket clears the memory it may read into, at each attempt: this much, and the size of a
/// message that has begun. It reads from the buffer above, which nobody clears. Its default of
/// 128 KiB was a sixth of a session's CPU time and most of its memory.
const READ_AT_ONCE: usize = 512;

/// How long one address is tried alone, as RFC 8305 has it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// What was sent and is not confirmed by then never will be.
const UNCONFIRMED_AFTER: Duration = Duration::from_secs(20);

/// How a [`Dialer`] dials.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DialOptions {
    /// The largest message taken from the vendor, in bytes. A larger one ends the connection.
    pub max_message_bytes: usize,
    /// Whose certificates are trusted.
    pub roots: Roots,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            max_message_bytes: 16 * 1024 * 1024,
            roots: Roots::public(),
        }
    }
}

/// Opens connections to one endpoint.
#[derive(Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    tls: Arc<rustls::ClientConfig>,
    limits: WebSocketConfig,
    context: Context,
}

impl Dialer {
    /// A dialer for `endpoint`. `provider` is the name the provider is registered by, for metrics;
    /// `errors` says what its vendor's failures mean.
    ///
    /// # Errors
    /// When TLS is not available.
    pub fn new(
        provider: &'static str,
        endpoint: Endpoint,
        errors: ErrorTable,
        options: DialOptions,
    ) -> Result<Self, ConfigError> {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_AT_ONCE)
            .write_buffer_size(0)
            .max_message_size(Some(options.max_message_bytes))
            .max_frame_size(Some(options.max_message_bytes));
        Ok(Self {
            context: Context {
                provider,
                errors,
                redactor: endpoint.redactor(),
            },
            tls: options.roots.client_config()?,
            limits,
            endpoint,
        })
    }

    /// The same dialer for another endpoint, for vendors whose address or credentials differ from
    /// connection to connection. It shares this one's TLS.
    #[must_use]
    pub fn for_endpoint(&self, endpoint: Endpoint) -> Self {
        let mut context = self.context.clone();
        context.redactor = endpoint.redactor();
        Self {
            endpoint,
            tls: Arc::clone(&self.tls),
            limits: self.limits,
            context,
        }
    }

    /// What takes the endpoint's secrets out of texts.
    pub fn redactor(&self) -> &Redactor {
        &self.context.redactor
    }

    /// Opens a socket. Most vendors say only afterwards whether they like the key.
    ///
    /// # Errors
    /// [`Network`](Network) with the code `dns`, `connect`, `tls` or `ws_1006`,
    /// [`InvalidConfig`](InvalidConfig) with the code `tls_certificate`, or one by the table for a
    /// refused upgrade. Once the deadline has passed it is `connect`.
    pub async fn dial(&self, deadline: &Deadline) -> Result<Socket, ProviderError> {
        let awaited = format!(
            "connection to {} (is it reachable from here, and does a WebSocket server answer?)",
            self.endpoint.authority()
        );
        // Boxed: the TLS handshake makes a future of 20 kB.
        deadline.before_words(&awaited, Box::pin(self.open())).await
    }

    async fn open(&self) -> Result<Socket, ProviderError> {
        let stream = self.connect(self.resolve().await?).await?;
        // Audio comes in small messages, which must not wait for one another.
        let _ = stream.set_nodelay(true);
        break_when_unconfirmed(&stream);
        let mut request = self
            .endpoint
            .url()
            .as_str()
            .into_client_request()
            .map_err(|error| self.refused(&error))?;
        for (name, value) in self.endpoint.headers() {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let stream = BufReader::with_capacity(READ_BUFFER_BYTES, stream);
        let (socket, _) =
            client_async_tls_with_config(request, stream, Some(self.limits), Some(connector))
                .await
                .map_err(|error| self.refused(&error))?;
        Ok(Socket::new(socket, self.context.clone()))
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, ProviderError> {
        let port = self.endpoint.port();
        let name = match self.endpoint.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Domain(name)) => name,
            None => "",
        };
        let unknown = |problem: &str| {
            ProviderError::new(
                Network,
                format!(
                    "the host `{name}` has no address ({problem}); check `{}` and the DNS of this \
                     machine",
                    self.endpoint.field
                ),
            )
            .with_code("dns")
        };
        let found: Vec<SocketAddr> = lookup_host((name, port))
            .await
            .map_err(|error| unknown(&error.to_string()))?
            .collect();
        if found.is_empty() {
            return Err(unknown("the answer was empty"));
        }
        Ok(found)
    }

    async fn connect(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, ProviderError> {
        let answered = first_to_answer(addresses, TcpStream::connect).await;
        answered.map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::ConnectionRefused {
                "nobody listens there; check host and port of"
            } else {
                "check the network, firewalls, and host and port of"
            };
            ProviderError::new(
                Network,
                format!(
                    "{} cannot be reached ({error}); {hint} `{}`",
                    self.endpoint.authority(),
                    self.endpoint.field
                ),
            )
            .with_code("connect")
        })
    }

    /// What a failure of TLS or of the upgrade means.
    fn refused(&self, error: &tungstenite::Error) -> ProviderError {
        let field = self.endpoint.field;
        let told = self.context.redactor.redact(&error.to_string());
        match error {
            tungstenite::Error::Http(response) => self.context.errors.refused(
                response.status(),
                response.body().as_deref().unwrap_or_default(),
                field,
                &self.context.redactor,
            ),
            tungstenite::Error::Io(error) if self.endpoint.url().scheme() == "wss" => {
                self.tls_failed(error)
            }
            tungstenite::Error::Url(_)
            | tungstenite::Error::HttpFormat(_)
            | tungstenite::Error::Tls(_) => {
                ProviderError::new(InvalidConfig, format!("{told}; check `{field}`"))
            }
            tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::HandshakeIncomplete
                | tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )
            | tungstenite::Error::Io(_) => self.context.closed(None, &told),
            _ => ProviderError::new(
                Protocol,
                format!(
                    "the answer was not that of a WebSocket server ({told}); check host, port and \
                     path of `{field}`"
                ),
            ),
        }
    }

    fn tls_failed(&self, error: &io::Error) -> ProviderError {
        let cause = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let (kind, code, hint) = match cause {
            Some(rustls::Error::InvalidCertificate(_)) => (
                InvalidConfig,
                "tls_certificate",
                "check the host's name, this machine's clock, and the extra certificates \
                 (`ca_file`) of a server with an authority of its own",
            ),
            Some(rustls::Error::InvalidMessage(_)) => (
                InvalidConfig,
                "tls",
                "the server does not speak TLS there; check the port, or use `ws://` for a \
                 server nearby",
            ),
            _ => (
                Network,
                "tls",
                "check the port and what lies between, such as a proxy",
            ),
        };
        ProviderError::new(
            kind,
            format!(
                "no TLS with {} (`{}`): {}; {hint}",
                self.endpoint.authority(),
                self.endpoint.field,
                self.context.redactor.redact(&error.to_string())
            ),
        )
        .with_code(code)
    }
}

/// Tries the addresses in their order, the next one as soon as those before have failed or take
/// long: a machine whose IPv6 leads nowhere still gets through.
async fn first_to_answer<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    loop {
        attempts.extend(waiting.next().map(&connect));
        tokio::select! {
            outcome = attempts.next() => match outcome {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if waiting.len() > 0 => {}
        }
    }
}

/// Lets the kernel break a connection whose other end has not confirmed for so long what was sent
/// to it. A peer that is merely slow to answer confirms all the same; only a path that is dead does
/// not, and audio that is sent all the time shows it soon (contract H5).
fn break_when_unconfirmed(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNCONFIRMED_AFTER))
    {
        tracing::debug!(%error, "a dead path will be noticed late");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_or_says_nothing_is_passed_over() {
        let [refusing, silent, answering] =
            [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let connect = |address: SocketAddr| async move {
            match address.port() {
                1 => Err(io::ErrorKind::ConnectionRefused.into()),
                2 => std::future::pending().await,
                port => Ok(port),
            }
        };
        for addresses in [
            vec![refusing, answering],
            vec![silent, answering],
            vec![answering, silent],
        ] {
            assert_eq!(first_to_answer(addresses, connect).await.unwrap(), 3);
        }
        let error = first_to_answer(vec![refusing], connect).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_to_answer(Vec::new(), connect).await.is_err());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn h5_a_path_that_confirms_nothing_is_broken_by_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = stream.unwrap();
        break_when_unconfirmed(&stream);
        let limit = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(limit, Some(UNCONFIRMED_AFTER));
    }
}
