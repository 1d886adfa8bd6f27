//! A box between a client and the server, as a NAT is one.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
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
    running: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let inside = socket().await;
        let address = inside.local_addr().unwrap();
        let sent = Arc::<Mutex<_>>::default();
        let (rebind, rebound) = mpsc::unbounded_channel();
        let loses_sctp = Arc::<AtomicBool>::default();
        let running: JoinHandle<()> = tokio::spawn(run(
            server,
            inside,
            Arc::clone(&sent),
            rebound,
            Arc::clone(&loses_sctp),
        ));
        Self {
            address,
            sent,
            rebind,
            loses_sctp,
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
                    let _ = outside.send_to(&to_server[..length], server).await;
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
