//! One caller's end of a shared socket, which it takes for a socket of its own.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use metrics::counter;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::{
    hub::Hub,
    routes::PeerKey,
    streams::{self, Streams},
    way::Way,
};

/// How many datagrams wait for a caller's task; what is beyond is lost, as in a full network.
const MAX_WAITING: usize = 256;

/// A caller's end.
pub(super) struct Port {
    key: PeerKey,
    /// The number of its socket in the hub.
    place: usize,
    local: SocketAddr,
    way: Arc<Way>,
    streams: Arc<Streams>,
    /// Nothing: an end of nothing.
    hub: Weak<Hub>,
    waiting: Mutex<VecDeque<(SocketAddr, Bytes)>>,
    reader: AtomicWaker,
}

impl Port {
    pub(super) fn new(
        key: PeerKey,
        (place, local): (usize, SocketAddr),
        way: Arc<Way>,
        streams: Arc<Streams>,
        hub: Weak<Hub>,
    ) -> Arc<Self> {
        Arc::new(Self {
            key,
            place,
            local,
            way,
            streams,
            hub,
            waiting: Mutex::default(),
            reader: AtomicWaker::new(),
        })
    }

    /// An end of nothing, to try the table with.
    pub(super) fn unconnected(key: PeerKey) -> Arc<Self> {
        let nowhere = SocketAddr::from(([0; 4], 0));
        Self::new(
            key,
            (0, nowhere),
            Arc::default(),
            Arc::default(),
            Weak::new(),
        )
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> PeerKey {
        self.key
    }

    /// Hands a datagram to the caller.
    pub(super) fn deliver(&self, from: SocketAddr, datagram: &[u8]) {
        if !self.streams.admit(datagram) {
            lost(streams::TOO_MANY);
            return;
        }
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MAX_WAITING {
                lost("queue_full");
                return;
            }
            waiting.push_back((from, Bytes::copy_from_slice(datagram)));
        }
        self.reader.wake();
    }

    fn take(&self) -> Option<(SocketAddr, Bytes)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    }
}

/// Counts a datagram that is lost on our side.
pub(super) fn lost(reason: &'static str) {
    counter!("roomkit_webrtc_datagrams_lost_total", "reason" => reason).increment(1);
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("key", &self.key)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Port {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// Never waits and never fails: a socket with many writers wakes only the last of them, and a
    /// network that does not take a datagram, or has no way to where it goes, is the everyday life of
    /// ICE, which must not end the caller's task.
    fn poll_send(&self, _cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if let Some(hub) = self.hub.upgrade()
            && let Err(error) = hub.send(
                self.key,
                &self.way,
                (self.place, transmit.destination),
                transmit.contents,
            )
        {
            lost(match error.kind() {
                io::ErrorKind::WouldBlock => "send_buffer_full",
                _ => "send_failed",
            });
        }
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        self.reader.register(cx.waker());
        let Some((from, datagram)) = self.take() else {
            return Poll::Pending;
        };
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        *meta = RecvMeta::default();
        meta.addr = from;
        meta.len = length;
        meta.stride = length.max(1);
        Poll::Ready(Ok(1))
    }
}
