//! A box between a client and the server, as a NAT is one.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rtc::{
    crypto,
    stun::{
        attributes::{ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_USE_CANDIDATE, RawAttribute},
        fingerprint::FINGERPRINT,
        integrity::MessageIntegrity,
        message::{BINDING_REQUEST, Message, Setter},
    },
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

pub(crate) struct Proxy {
    /// Where the client sends to.
    pub(crate) address: SocketAddr,
    /// What it has sent.
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    rebind: mpsc::UnboundedSender<UdpSocket>,
    /// What goes over DTLS after its handshake, which is SCTP, is lost.
    loses_sctp: Arc<AtomicBool>,
    /// The server's password, with which the client's checks say that they nominate.
    password: Arc<Mutex<Option<String>>>,
    running: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let inside = socket().await;
        let address = inside.local_addr().unwrap();
        let sent = Arc::<Mutex<_>>::default();
        let (rebind, rebound) = mpsc::unbounded_channel();
        let loses_sctp = Arc::<AtomicBool>::default();
        let password = Arc::<Mutex<_>>::default();
        let running: JoinHandle<()> = tokio::spawn(run(
            server,
            inside,
            Arc::clone(&sent),
            rebound,
            Arc::clone(&loses_sctp),
            Arc::clone(&password),
        ));
        Self {
            address,
            sent,
            rebind,
            loses_sctp,
            password,
            running: running.abort_handle(),
        }
    }

    /// From now on the client comes from another address.
    pub(crate) async fn rebind(&self) {
        self.rebind.send(socket().await).unwrap();
    }

    /// Whether data channels come to nothing.
    pub(crate) fn lose_sctp(&self, is_lost: bool) {
        self.loses_sctp.store(is_lost, Ordering::SeqCst);
    }

    /// From now on each check of the client says, as those of browsers do, that this is the way it
    /// has chosen; the library's clients say so once. `answer` is the server's.
    pub(crate) fn nominate(&self, answer: &str) {
        let password = |line: &str| line.strip_prefix("a=ice-pwd:").map(ToOwned::to_owned);
        *self.password.lock().unwrap() = answer.lines().find_map(password);
    }

    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }

    /// An answer that leads here.
    pub(crate) fn instead(&self, answer: &str) -> String {
        let lines = answer.lines().map(|line| {
            let mut fields: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
            if line.starts_with("a=candidate:") {
                fields[5] = self.address.port().to_string();
            }
            fields.join(" ") + "\r\n"
        });
        lines.collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn run(
    server: SocketAddr,
    inside: UdpSocket,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    mut rebound: mpsc::UnboundedReceiver<UdpSocket>,
    loses_sctp: Arc<AtomicBool>,
    password: Arc<Mutex<Option<String>>>,
) {
    // By the type of its records (RFC 9147): application data.
    let is_lost = |datagram: &[u8]| loses_sctp.load(Ordering::SeqCst) && datagram[0] == 23;
    let mut outside = socket().await;
    let mut client = None;
    let (mut to_server, mut to_client) = ([0; 2_000], [0; 2_000]);
    loop {
        tokio::select! {
            Ok((length, from)) = inside.recv_from(&mut to_server) => {
                client = Some(from);
                sent.lock().unwrap().push(to_server[..length].to_vec());
                if !is_lost(&to_server[..length]) {
                    let password = password.lock().unwrap().clone();
                    let nominating = password.and_then(|it| nominating(&to_server[..length], it));
                    let datagram = nominating.as_deref().unwrap_or(&to_server[..length]);
                    let _ = outside.send_to(datagram, server).await;
                }
            }
            Ok((length, _)) = outside.recv_from(&mut to_client) => {
                if let Some(client) = client
                    && !is_lost(&to_client[..length])
                {
                    let _ = inside.send_to(&to_client[..length], client).await;
                }
            }
            Some(socket) = rebound.recv() => outside = socket,
        }
    }
}

/// A check that nominates; none if it is no check.
fn nominating(datagram: &[u8], password: String) -> Option<Vec<u8>> {
    let mut check = Message::new();
    check.unmarshal_binary(datagram).ok()?;
    if check.typ != BINDING_REQUEST {
        return None;
    }
    let crypto = crypto::default_provider().unwrap();
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(password, crypto.crypto());
    let mut setters: Vec<Box<dyn Setter + '_>> =
        vec![Box::new(check.typ), Box::new(check.transaction_id)];
    for attribute in check.attributes.0 {
        if ![ATTR_MESSAGE_INTEGRITY, ATTR_FINGERPRINT].contains(&attribute.typ) {
            setters.push(Box::new(attribute));
        }
    }
    setters.push(Box::new(RawAttribute {
        typ: ATTR_USE_CANDIDATE,
        ..RawAttribute::default()
    }));
    setters.push(Box::new(integrity));
    setters.push(Box::new(FINGERPRINT));
    let mut nominating = Message::new();
    nominating.build(&setters).unwrap();
    Some(nominating.raw)
}
