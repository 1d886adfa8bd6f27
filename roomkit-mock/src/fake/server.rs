//! The listening side of a fake: accepting, the HTTP upgrade, and the list of connections.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::handle::{FakeConnection, UpgradeRequest};
use super::record::{Violation, WaitError};

/// A listening fake. Dropping it ends every connection.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    registry: Arc<Registry>,
    /// Stops when it is dropped.
    stop: oneshot::Sender<()>,
    accept: JoinHandle<()>,
}

impl Server {
    /// Binds and serves each connection with `serve`.
    pub(crate) async fn bind<F>(
        listen: SocketAddr,
        registry: Arc<Registry>,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(listen).await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            address: listener.local_addr()?,
            registry,
            stop,
            accept: tokio::spawn(accept_loop(listener, serve, stopped)),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Stops and returns once every task has ended.
    pub(crate) async fn shutdown(self) {
        drop(self.stop);
        // It panics nowhere, and is not aborted.
        let _ = self.accept.await;
    }
}

/// Accepts until it is told to stop, or the server is dropped, and takes its connections with it.
async fn accept_loop<F>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
    mut stopped: oneshot::Receiver<()>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream));
                }
                // Out of file descriptors, most likely: some may be free in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

/// The connections of a server, and the upgrades it is told to refuse.
#[derive(Debug)]
pub(crate) struct Registry {
    keep_ended: bool,
    pub(crate) wait_timeout: Duration,
    connected: Notify,
    state: Mutex<RegistryState>,
}

#[derive(Debug, Default)]
struct RegistryState {
    refusals: VecDeque<u16>,
    refused: usize,
    next_connection: usize,
    connections: Vec<FakeConnection>,
}

impl Registry {
    pub(crate) fn new(keep_ended: bool, wait_timeout: Duration, refusals: VecDeque<u16>) -> Self {
        Self {
            keep_ended,
            wait_timeout,
            connected: Notify::new(),
            state: Mutex::new(RegistryState {
                refusals,
                ..RegistryState::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connections(&self) -> Vec<FakeConnection> {
        self.lock().connections.clone()
    }

    pub(crate) fn find(&self, index: usize) -> Option<FakeConnection> {
        let state = self.lock();
        let mut all = state.connections.iter();
        all.find(|connection| connection.index == index).cloned()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let all = self.connections();
        all.iter().flat_map(FakeConnection::violations).collect()
    }

    pub(crate) async fn wait_for_connection(
        &self,
        index: usize,
    ) -> Result<FakeConnection, WaitError> {
        let search = async {
            loop {
                let connected = self.connected.notified();
                tokio::pin!(connected);
                connected.as_mut().enable();
                if let Some(found) = self.find(index) {
                    return found;
                }
                connected.await;
            }
        };
        tokio::time::timeout(self.wait_timeout, search)
            .await
            .map_err(|_| WaitError::TimedOut(self.wait_timeout))
    }

    pub(crate) fn refused_upgrades(&self) -> usize {
        self.lock().refused
    }

    pub(crate) fn refuse_upgrade(&self, status: u16) {
        self.lock().refusals.push_back(status);
    }

    fn take_refusal(&self) -> Option<u16> {
        let mut state = self.lock();
        let status = state.refusals.pop_front()?;
        state.refused += 1;
        Some(status)
    }

    /// Gives the connection its index and lists it.
    pub(crate) fn admit(&self, build: impl FnOnce(usize) -> FakeConnection) -> FakeConnection {
        let connection = {
            let mut state = self.lock();
            let connection = build(state.next_connection);
            state.next_connection += 1;
            state.connections.push(connection.clone());
            connection
        };
        self.connected.notify_waiters();
        connection
    }

    /// Forgets an ended connection of a server that keeps no events.
    pub(crate) fn retire(&self, index: usize) {
        if !self.keep_ended {
            self.lock()
                .connections
                .retain(|connection| connection.index != index);
        }
    }
}

/// An HTTP error in place of the upgrade.
#[derive(Debug)]
pub(crate) struct HttpRefusal {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Refuses a path that the fake does not serve.
pub(crate) fn known_path(is_known: bool) -> Result<(), HttpRefusal> {
    if is_known {
        return Ok(());
    }
    Err(HttpRefusal {
        status: 404,
        body: "The fake does not serve this path.".to_owned(),
    })
}

/// Performs the upgrade. Most vendors answer 101 even to requests they are about to refuse, so only
/// scripted refusals fail here, and what `check` refuses.
pub(crate) async fn upgrade(
    stream: TcpStream,
    registry: &Registry,
    check: impl Fn(&UpgradeRequest) -> Result<(), HttpRefusal>,
) -> io::Result<(WebSocketStream<TcpStream>, UpgradeRequest)> {
    stream.set_nodelay(true)?;
    let mut seen = UpgradeRequest::default();
    let config = WebSocketConfig::default()
        .max_message_size(Some(64 << 20))
        .max_frame_size(Some(64 << 20));
    // The signature is tungstenite's.
    #[allow(clippy::result_large_err)]
    let inspect = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        seen = describe(request);
        if let Some(status) = registry.take_refusal() {
            return Err(http_error(status, "Refused, as scripted."));
        }
        match check(&seen) {
            Ok(()) => Ok(response),
            Err(refusal) => Err(http_error(refusal.status, &refusal.body)),
        }
    };
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, inspect, Some(config))
        .await
        .map_err(io::Error::other)?;
    Ok((socket, seen))
}

fn describe(request: &Request) -> UpgradeRequest {
    UpgradeRequest {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
    }
}

fn http_error(status: u16, message: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(message.to_owned()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
