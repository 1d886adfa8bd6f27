//! One UDP port for all callers: a socket on each local address, and who reads from them.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use roomkit_core::error::ConfigError;
use rtc::crypto::RTCCryptoProvider;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, task::AbortHandle};

use super::{
    port::{Port, lost},
    routes::{PeerKey, Routes},
    streams::Streams,
    way::{Path, Way},
};

/// A second of speech of some thousand callers: they all wait in one buffer of the system's.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The largest datagram a caller sends: what is larger was never whole on the way.
const MAX_DATAGRAM_BYTES: usize = 1500;

/// How many datagrams are read before others get their turn.
const READS_PER_TURN: usize = 128;

/// How often a free port is looked for that is free on all addresses.
const ATTEMPTS: usize = 16;

/// The sockets of all callers.
pub(crate) struct Hub {
    bound: Vec<Bound>,
    /// Made of the bound ones by the first caller, who comes with a runtime.
    open: OnceLock<Vec<Arc<UdpSocket>>>,
    readers: Mutex<Vec<AbortHandle>>,
    routes: Mutex<Routes>,
    next_key: AtomicU64,
}

struct Bound {
    address: SocketAddr,
    socket: Mutex<Option<StdUdpSocket>>,
}

impl Hub {
    /// Binds the port on all these addresses; 0 takes a free one.
    pub(crate) fn bind(
        addresses: &[IpAddr],
        port: u16,
        crypto: Arc<dyn RTCCryptoProvider>,
    ) -> Result<Arc<Self>, ConfigError> {
        let bound = bind_all(addresses, port).map_err(|(address, error)| {
            let problem = format!("{address} cannot be listened on: {error}");
            ConfigError::field("udp_port", problem)
        })?;
        Ok(Arc::new(Self {
            bound,
            open: OnceLock::new(),
            readers: Mutex::default(),
            routes: Mutex::new(Routes::new(crypto)),
            next_key: AtomicU64::new(0),
        }))
    }

    /// Where callers are listened to.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.bound.iter().map(|bound| bound.address)
    }

    /// A number for a new caller.
    pub(crate) fn key(&self) -> PeerKey {
        PeerKey(self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// The caller's end of the socket on this address, and the address with its port.
    pub(super) fn open_port(
        self: &Arc<Self>,
        key: PeerKey,
        streams: Arc<Streams>,
        ip: IpAddr,
    ) -> io::Result<(Arc<Port>, SocketAddr)> {
        self.open_sockets()?;
        let place = self.addresses().position(|address| address.ip() == ip);
        let place = place.ok_or_else(|| io::Error::other("no socket on this address"))?;
        let address = self.bound[place].address;
        let mut routes = self.routes();
        let way = routes.way(key);
        let port = Port::new(key, (place, address), way, streams, Arc::downgrade(self));
        routes.add_port(key, place, Arc::clone(&port));
        Ok((port, address))
    }

    /// The caller may prove itself by these credentials.
    pub(crate) fn add_credentials(&self, key: PeerKey, name: String, password: String) {
        self.routes().add_credentials(key, name, password);
    }

    /// The caller is gone.
    pub(crate) fn remove(&self, key: PeerKey) {
        self.routes().remove(key);
    }

    /// Sends what a caller's end sends on this path, on the way that the caller has chosen.
    pub(super) fn send(
        &self,
        key: PeerKey,
        way: &Way,
        path: Path,
        datagram: &[u8],
    ) -> io::Result<usize> {
        // Nearly all of it is media, for which nobody has to look into the table.
        let is_stun = datagram.first().is_some_and(|first| *first < 4);
        let (place, to) = if is_stun {
            self.routes().note_sent(key, path, datagram)
        } else {
            way.of_media(path)
        };
        let sockets = self.open.get().map(Vec::as_slice);
        let socket = sockets.unwrap_or_default().get(place);
        let socket = socket.ok_or_else(|| io::Error::other("the sockets are not open"))?;
        socket.try_send_to(datagram, to)
    }

    fn open_sockets(self: &Arc<Self>) -> io::Result<()> {
        // Held so that of two first callers one opens them and the other waits.
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open.get().is_some() {
            return Ok(());
        }
        let mut sockets = Vec::new();
        for bound in &self.bound {
            let mut socket = bound.socket.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = socket.take();
            let taken = taken.ok_or_else(|| io::Error::other("the socket did not open"))?;
            sockets.push(Arc::new(UdpSocket::from_std(taken)?));
        }
        for (place, socket) in sockets.iter().enumerate() {
            let reader = read(Arc::downgrade(self), place, Arc::clone(socket));
            readers.push(tokio::spawn(reader).abort_handle());
        }
        let _ = self.open.set(sockets);
        Ok(())
    }

    fn deliver(&self, place: usize, from: SocketAddr, datagram: &[u8]) {
        let found = self.routes().find((place, from), datagram);
        match found {
            Some((port, from)) => port.deliver(from, datagram),
            None => lost("nobody"),
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let readers = self.readers.get_mut();
        for reader in readers.unwrap_or_else(PoisonError::into_inner) {
            reader.abort();
        }
    }
}

async fn read(hub: Weak<Hub>, place: usize, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES + 1];
    loop {
        if let Err(error) = socket.readable().await {
            tracing::error!(%error, "callers are not heard any more: the socket has failed");
            return;
        }
        let Some(hub) = hub.upgrade() else {
            return;
        };
        for _ in 0..READS_PER_TURN {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, _)) if length > MAX_DATAGRAM_BYTES => lost("oversized"),
                Ok((length, from)) => hub.deliver(place, from, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // Some systems report here what became of a datagram that was sent.
                    tracing::debug!(%error, "a datagram could not be read");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        drop(hub);
        tokio::task::yield_now().await;
    }
}

type BindFailure = (SocketAddr, io::Error);

fn bind_all(addresses: &[IpAddr], port: u16) -> Result<Vec<Bound>, BindFailure> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match bind_each(addresses, port) {
            // A port that is free on the first address may be taken on the next.
            Err((_, error))
                if port == 0 && attempt < ATTEMPTS && error.kind() == io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
}

fn bind_each(addresses: &[IpAddr], mut port: u16) -> Result<Vec<Bound>, BindFailure> {
    let mut all = Vec::new();
    for ip in addresses {
        let wanted = SocketAddr::new(*ip, port);
        let (socket, address) = bind_one(wanted).map_err(|error| (wanted, error))?;
        port = address.port();
        all.push(Bound {
            address,
            socket: Mutex::new(Some(socket)),
        });
    }
    Ok(all)
}

fn bind_one(address: SocketAddr) -> io::Result<(StdUdpSocket, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system grants what it allows; less is no reason not to start.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = StdUdpSocket::from(socket);
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rtc::crypto;

    use super::*;

    fn hub(port: u16) -> Result<Arc<Hub>, ConfigError> {
        let addresses = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv4Addr::new(127, 0, 0, 2)),
        ];
        Hub::bind(&addresses, port, crypto::default_provider().unwrap())
    }

    #[test]
    fn c3_one_port_on_all_addresses() {
        let hub = hub(0).unwrap();
        let addresses: Vec<SocketAddr> = hub.addresses().collect();
        assert_eq!(addresses.len(), 2);
        assert_eq!(addresses[0].port(), addresses[1].port());
        assert_ne!(addresses[0].port(), 0);
    }

    #[test]
    fn a_port_that_is_taken_is_a_clear_error() {
        let first = hub(0).unwrap();
        let port = first.addresses().next().unwrap().port();
        let error = hub(port).err().unwrap().to_string();
        assert!(error.starts_with("udp_port: "), "{error}");
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    }

    #[tokio::test]
    async fn s7_a_hub_takes_its_tasks_along() {
        let hub = hub(0).unwrap();
        let address = hub.addresses().next().unwrap();
        let key = hub.key();
        hub.open_port(key, Arc::default(), address.ip()).unwrap();
        hub.remove(key);
        let readers: Vec<AbortHandle> = hub.readers.lock().unwrap().clone();
        assert_eq!(readers.len(), 2);
        drop(hub);
        while !readers.iter().all(AbortHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        StdUdpSocket::bind(address).unwrap();
    }
}
