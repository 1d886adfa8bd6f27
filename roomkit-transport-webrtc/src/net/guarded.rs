//! A caller's own sockets, which anybody can send to who finds their port.
//!
//! The library counts a stream before it knows whose it is ([`streams`]), so that strangers could use
//! up what a caller may have. Who has answered a request of ours from where it went has seen it, and is
//! the caller, or the relay that speaks for it: media is taken from nobody else.

use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::{
    port::lost,
    routes::Stun,
    streams::{self, Streams},
};

/// How many of our requests may be answered; an agent asks everywhere at once.
const MAX_REQUESTS: usize = 256;

/// How many addresses are known as the caller's.
const MAX_PROVEN: usize = 64;

/// Why a datagram of somebody else is dropped: it belongs to no call.
const STRANGER: &str = "nobody";

/// Who has answered.
#[derive(Debug, Default)]
struct Proven {
    /// With where they went.
    requests: VecDeque<([u8; 12], SocketAddr)>,
    addresses: VecDeque<SocketAddr>,
}

impl Proven {
    fn sent(&mut self, to: SocketAddr, datagram: &[u8]) {
        if let Some(Stun::Request(transaction)) = Stun::read(datagram)
            && !self.requests.contains(&(transaction, to))
        {
            self.requests.push_back((transaction, to));
            if self.requests.len() > MAX_REQUESTS {
                self.requests.pop_front();
            }
        }
    }

    fn received(&mut self, from: SocketAddr, datagram: &[u8]) {
        if let Some(Stun::Success(transaction)) = Stun::read(datagram)
            && self.requests.contains(&(transaction, from))
            && !self.addresses.contains(&from)
        {
            self.addresses.push_back(from);
            if self.addresses.len() > MAX_PROVEN {
                self.addresses.pop_front();
            }
        }
    }

    fn may_send(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        self.addresses.contains(&from) || streams::stream_of(datagram).is_none()
    }
}

/// A socket of a caller's own: no media comes from it but from who has proven where it is, and of no
/// more streams than a caller may have.
#[derive(Debug)]
pub(super) struct Guarded {
    socket: Arc<dyn AsyncUdpSocket>,
    streams: Arc<Streams>,
    proven: Mutex<Proven>,
}

impl Guarded {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, streams: Arc<Streams>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            streams,
            proven: Mutex::default(),
        })
    }

    fn proven(&self) -> MutexGuard<'_, Proven> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a datagram is dropped.
    fn refusal(&self, from: SocketAddr, datagram: &[u8]) -> Option<&'static str> {
        let mut proven = self.proven();
        proven.received(from, datagram);
        if !proven.may_send(from, datagram) {
            return Some(STRANGER);
        }
        drop(proven);
        (!self.streams.admit(datagram)).then_some(streams::TOO_MANY)
    }
}

impl AsyncUdpSocket for Guarded {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.proven().sent(transmit.destination, transmit.contents);
        self.socket.poll_send(cx, transmit)
    }

    /// One at a time, so that one can be left out.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            let (buffer, meta) = (std::slice::from_mut(buffer), std::slice::from_mut(meta));
            let read = ready!(self.socket.poll_recv(cx, buffer, meta))?;
            let (buffer, meta) = (&buffer[0], &meta[0]);
            let length = meta.len.min(buffer.len());
            // What the system has put together is all of one sender.
            let mut datagrams = buffer[..length].chunks(meta.stride.max(1));
            let refusal = datagrams.find_map(|datagram| self.refusal(meta.addr, datagram));
            match refusal {
                Some(reason) if read > 0 => lost(reason),
                _ => return Poll::Ready(Ok(read)),
            }
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5000))
    }

    /// A message of STUN of this type, without attributes.
    fn stun(kind: u16, transaction: u8) -> Vec<u8> {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
        message.extend([transaction; 12]);
        message
    }

    const REQUEST: u16 = 0x0001;
    const ANSWER: u16 = 0x0101;
    const REFUSAL: u16 = 0x0111;

    #[test]
    fn x5_media_of_strangers_is_no_callers() {
        let rtp = [&[0x80, 111, 0, 1, 0, 0, 0, 2][..], &[7; 24]].concat();
        let on_a_channel = [&[0x40, 0, 0, 32][..], &rtp].concat();
        let mut proven = Proven::default();
        let (caller, stranger) = (address(1), address(66));
        proven.sent(caller, &stun(REQUEST, 1));
        // Without having seen the request nobody can answer it, and nobody is asked elsewhere.
        proven.received(stranger, &stun(ANSWER, 2));
        proven.received(stranger, &stun(ANSWER, 1));
        proven.received(caller, &stun(REFUSAL, 1));
        proven.received(stranger, &stun(REQUEST, 1));
        for media in [&rtp, &on_a_channel] {
            assert!(!proven.may_send(caller, media));
        }
        proven.received(caller, &stun(ANSWER, 1));
        for media in [&rtp, &on_a_channel] {
            assert!(proven.may_send(caller, media));
            assert!(!proven.may_send(stranger, media));
        }
        // By which it would prove itself, and what the library checks before it keeps anything.
        for other in [stun(REQUEST, 3), vec![22; 40]] {
            assert!(proven.may_send(stranger, &other));
        }
    }

    #[test]
    fn x5_what_is_known_of_senders_is_bounded() {
        let mut proven = Proven::default();
        for round in 0..=255 {
            proven.sent(address(round), &stun(REQUEST, round));
            proven.received(address(round), &stun(ANSWER, round));
        }
        for number in 0..1000_u16 {
            let mut request = stun(REQUEST, 0);
            request[8..10].copy_from_slice(&number.to_be_bytes());
            proven.sent(address(1), &request);
        }
        assert_eq!(proven.addresses.len(), MAX_PROVEN);
        assert_eq!(proven.requests.len(), MAX_REQUESTS);
    }
}
