//! A caller's network as the WebRTC library sees it: tokio's, but with the shared sockets.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

use super::{guarded::Guarded, hub::Hub, routes::PeerKey, streams::Streams};

/// The network of one caller.
pub(crate) struct PeerNetwork {
    /// None: sockets of the caller's own.
    shared: Option<(Arc<Hub>, PeerKey)>,
    streams: Arc<Streams>,
    /// The addresses of the library's own sockets, and those they stand for.
    stand_ins: Mutex<Vec<(SocketAddr, SocketAddr)>>,
}

impl PeerNetwork {
    /// On the shared sockets.
    pub(crate) fn shared(hub: Arc<Hub>) -> Arc<Self> {
        let key = hub.key();
        Self::new(Some((hub, key)))
    }

    /// On sockets of its own.
    pub(crate) fn own() -> Arc<Self> {
        Self::new(None)
    }

    fn new(shared: Option<(Arc<Hub>, PeerKey)>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            streams: Arc::default(),
            stand_ins: Mutex::default(),
        })
    }

    /// The address that callers have to use where the library says `local`.
    pub(crate) fn real_address(&self, local: SocketAddr) -> SocketAddr {
        let stand_ins = self
            .stand_ins
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = stand_ins.iter().find(|(stand_in, _)| *stand_in == local);
        found.map_or(local, |(_, real)| *real)
    }

    /// The caller may prove itself by these credentials.
    pub(crate) fn add_credentials(&self, name: String, password: String) {
        if let Some((hub, key)) = &self.shared {
            hub.add_credentials(*key, name, password);
        }
    }

    /// The caller is gone: nothing is delivered to it any more.
    pub(crate) fn leave(&self) {
        if let Some((hub, key)) = &self.shared {
            hub.remove(*key);
        }
    }
}

impl Drop for PeerNetwork {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for PeerNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerNetwork")
            .field("key", &self.shared.as_ref().map(|(_, key)| key))
            .finish_non_exhaustive()
    }
}

impl Runtime for PeerNetwork {
    /// The library binds a socket for each address. Its port is only a name by which it knows the
    /// address: the socket is closed here, and the caller's end of the shared one takes its place.
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let Some((hub, key)) = &self.shared else {
            let socket = TokioRuntime.wrap_udp_socket(socket)?;
            return Ok(Guarded::new(socket, Arc::clone(&self.streams)));
        };
        let stand_in = socket.local_addr()?;
        let (port, real) = hub.open_port(*key, Arc::clone(&self.streams), stand_in.ip())?;
        self.stand_ins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((stand_in, real));
        Ok(port)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "roomkit"
    }
}
