//! From a name to an open socket, one step after the other, so that an error can say which step
//! failed and what to look at.

use std::{io, sync::Arc};

use roomkit_core::{
    provider::{
        ProviderError,
        ProviderErrorKind::{InvalidConfig, Network, Protocol},
    },
    registry::ConfigError,
};
use tokio::io::BufReader;
use tokio_tungstenite::{
    Connector, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{Deadline, Endpoint, ErrorTable, Proxy, Redactor, Roots, Socket, socket::Context};

/// What is read from the connection at once: a frame of speech or two. Of a message that is longer,
/// the rest is read past this buffer.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// The socket clears the memory it may read into, at each attempt: this much, and the size of a
/// message that has begun. It reads from the buffer above, which nobody clears. Its default of
/// 128 KiB was a sixth of a session's CPU time and most of its memory.
const READ_AT_ONCE: usize = 512;

/// How a [`Dialer`] dials.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DialOptions {
    /// The largest message taken from the vendor, in bytes. A larger one ends the connection.
    pub max_message_bytes: usize,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// What is gone through where there is no other way out.
    pub proxy: Option<Proxy>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            max_message_bytes: 16 * 1024 * 1024,
            roots: Roots::public(),
            proxy: None,
        }
    }
}

/// Opens connections to one endpoint.
#[derive(Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    tls: Arc<rustls::ClientConfig>,
    proxy: Option<Proxy>,
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
            proxy: options.proxy,
            limits,
            endpoint,
        })
    }

    /// The same dialer for another endpoint, for vendors whose address or credentials differ from
    /// connection to connection. It shares this one's TLS and proxy.
    #[must_use]
    pub fn for_endpoint(&self, endpoint: Endpoint) -> Self {
        let mut context = self.context.clone();
        context.redactor = endpoint.redactor();
        Self {
            endpoint,
            tls: Arc::clone(&self.tls),
            proxy: self.proxy.clone(),
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
    /// [`InvalidConfig`](InvalidConfig) with the code `tls_certificate`, one of the proxy's with a code
    /// that begins with `proxy`, or one by the table for a refused upgrade. Once the deadline has passed
    /// it is `connect`.
    pub async fn dial(&self, deadline: &Deadline) -> Result<Socket, ProviderError> {
        let authority = self.endpoint.authority();
        let awaited = match self.proxy() {
            None => format!(
                "connection to {authority} (is it reachable from here, and does a WebSocket server \
                 answer?)"
            ),
            Some(proxy) => format!("connection to {authority} through {proxy}"),
        };
        // Boxed: the TLS handshake makes a future of 20 kB.
        deadline.before_words(&awaited, Box::pin(self.open())).await
    }

    /// The proxy to go through to this endpoint.
    fn proxy(&self) -> Option<&Proxy> {
        let is_for = |proxy: &&Proxy| proxy.is_for(&self.endpoint);
        self.proxy.as_ref().filter(is_for)
    }

    async fn open(&self) -> Result<Socket, ProviderError> {
        let proxy = self.proxy();
        let next = proxy.map_or_else(|| self.endpoint.place(), Proxy::place);
        let mut stream = BufReader::with_capacity(READ_BUFFER_BYTES, next.connect().await?);
        if let Some(proxy) = proxy {
            proxy.tunnel(&mut stream, &self.endpoint).await?;
        }
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
        let (socket, _) =
            client_async_tls_with_config(request, stream, Some(self.limits), Some(connector))
                .await
                .map_err(|error| self.refused(&error))?;
        Ok(Socket::new(socket, self.context.clone()))
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

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
