//! A TCP proxy on 127.0.0.1 that breaks connections: cuts them in mid-frame, stalls them half-open,
//! slows them down, refuses new ones, lets them dial slowly.
//!
//! It knows bytes and no protocol, so it stands between any client and any server. It runs until
//! dropped and is told what to do meanwhile; whatever it is told has an effect from the next byte
//! on, and everything it does can be waited for.
//!
//! ```
//! use roomkit_mock::fault_proxy::{Cut, Direction, FaultProxy};
//!
//! # async fn example(server: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = FaultProxy::start(server).await?;
//! // Point a client at `proxy.address()`, then:
//! let first = proxy.wait_for_connection(0).await;
//! first.cut_after(Direction::ToClient, 1000, Cut::Reset);
//! first.wait_for_end().await;
//! // What comes now is the client's second attempt, and goes through.
//! let second = proxy.wait_for_connection(1).await;
//! # let _ = second;
//! # Ok(())
//! # }
//! ```

mod carry;
mod connection;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use self::connection::{Cut, Direction, End, ProxyConnection, Stall};

use crate::watched::Watched;

/// A running proxy. Dropping it resets nothing and ends every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<Watched<ProxyState>>,
    accept: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct ProxyState {
    connections: Vec<ProxyConnection>,
    refusing: bool,
    refused: usize,
    delay: Duration,
    rates: [Option<u64>; 2],
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `server`.
    ///
    /// # Errors
    ///
    /// What binding the port returns.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Watched::new(ProxyState::default()));
        let accept = tokio::spawn(accept_loop(listener, server, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            accept,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every connection so far, ended ones too, in the order they came. Refused ones are not
    /// among them.
    pub fn connections(&self) -> Vec<ProxyConnection> {
        self.state.read(|state| state.connections.clone())
    }

    /// How many connections have not ended.
    pub fn open(&self) -> usize {
        let all = self.connections();
        all.iter().filter(|one| one.end().is_none()).count()
    }

    /// How many connections were refused.
    pub fn refused(&self) -> usize {
        self.state.read(|state| state.refused)
    }

    /// Bytes passed on so far, over all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        let all = self.connections();
        all.iter().map(|one| one.bytes(direction)).sum()
    }

    /// The connection with this index, counted from 0, once it exists. Panics after a minute.
    pub async fn wait_for_connection(&self, index: usize) -> ProxyConnection {
        let what = format!("connection {index}");
        let look = |state: &mut ProxyState| state.connections.get(index).cloned();
        let describe = |state: &ProxyState| format!("{} connections", state.connections.len());
        self.state.expect(&what, look, describe).await
    }

    /// Waits until this many connections were refused. Panics after a minute.
    pub async fn wait_for_refused(&self, count: usize) {
        let what = format!("{count} refused connections");
        let look = |state: &mut ProxyState| (state.refused >= count).then_some(());
        let describe = |state: &ProxyState| format!("{}", state.refused);
        self.state.expect(&what, look, describe).await;
    }

    /// Ends every open connection now.
    pub fn cut(&self, cut: Cut) {
        self.each(|connection| connection.cut(cut));
    }

    /// Stalls every open connection in this direction; new ones flow.
    pub fn stall(&self, direction: Direction, stall: Stall) {
        self.each(|connection| connection.stall(direction, stall));
    }

    /// Lets every open connection flow again in this direction.
    pub fn resume(&self, direction: Direction) {
        self.each(|connection| connection.resume(direction));
    }

    /// Limits every open and every new connection in this direction to this many bytes a second;
    /// `None` lifts the limit.
    pub fn throttle(&self, direction: Direction, bytes_per_second: Option<u64>) {
        self.state
            .change(|state| state.rates[direction.index()] = bytes_per_second);
        self.each(|connection| connection.throttle(direction, bytes_per_second));
    }

    /// Resets new connections as soon as they come, until [`Self::admit`].
    pub fn refuse(&self) {
        self.state.change(|state| state.refusing = true);
    }

    /// Takes new connections again.
    pub fn admit(&self) {
        self.state.change(|state| state.refusing = false);
    }

    /// Lets nothing flow on connections that are made from now on before this time has passed: a
    /// slow dial. Zero ends it.
    pub fn delay_connect(&self, delay: Duration) {
        self.state.change(|state| state.delay = delay);
    }

    fn each(&self, act: impl Fn(&ProxyConnection)) {
        self.connections().iter().for_each(act);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The connections' tasks belong to the accept loop and are aborted with it.
        self.accept.abort();
    }
}

async fn accept_loop(listener: TcpListener, server: SocketAddr, state: Arc<Watched<ProxyState>>) {
    let mut carrying = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else {
                    // Out of file descriptors, most likely: some may be free in a moment.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let admitted = state.change(|state| {
                    if state.refusing {
                        state.refused += 1;
                        return None;
                    }
                    let connection = ProxyConnection::new(state.rates);
                    state.connections.push(connection.clone());
                    Some((connection, state.delay))
                });
                match admitted {
                    None => carry::reset(client),
                    Some((connection, delay)) => {
                        carrying.spawn(carry::carry(client, server, delay, connection));
                    }
                }
            }
            Some(_) = carrying.join_next() => {}
        }
    }
}
