//! The accept loop: HTTP/1.1, over TLS or not, with a limit on open connections, on the time for a request's
//! head, and on the time in which nothing of an answer is taken.
//!
//! An upgraded connection leaves this loop with its upgrade; what becomes of it is its owner's.

use std::{convert::Infallible, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, extract::ConnectInfo, http::Request};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use metrics::{counter, gauge};
use roomkit::http::{Admission, BufferedReads};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    impatient::Impatient,
    places::{Place, Places},
    tls::Tls,
};

/// Connections open at a time; further ones wait in the system's queue.
const CONNECTIONS: u32 = 2048;
/// The same on the address for those who run the server.
const OF_OPERATIONS: u32 = 64;
/// Connections of one client address open at a time; further ones are closed. A browser has six, and
/// calls and dashboards are counted elsewhere.
const OF_ONE_CLIENT: usize = 256;
/// Longest head of a request, in bytes: several tokens of the longest kind beside a browser's headers.
/// hyper takes 400 KiB, which each of the connections above could make it keep before anybody has
/// shown a token. Bodies are read in pieces of this size.
const LONGEST_HEAD: usize = 32 * 1024;
/// What is read from a connection at once: a frame of speech or two. The rest of what is longer is read
/// past this buffer.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// How long the loop rests when the system has no more descriptors.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// What each connection has to get past before it can ask for anything.
#[derive(Debug)]
pub(crate) struct Door {
    /// Knows how long it may take.
    admission: Admission,
    /// The certificate it is shown, if the server ends TLS itself.
    tls: Option<Tls>,
    places: Places,
    /// Which of the server's addresses this is, in its metrics.
    listener: &'static str,
}

impl Door {
    /// The callers' door. Who comes through here takes one of these [`places`].
    pub(crate) fn new(admission: Admission, tls: Option<Tls>, places: Places) -> Self {
        Self {
            admission,
            tls,
            places,
            listener: "main",
        }
    }

    /// The back door, for those who run the server.
    pub(crate) fn of_operations(admission: Admission) -> Self {
        Self {
            admission,
            tls: None,
            places: Places::new(OF_OPERATIONS, usize::MAX),
            listener: "operations",
        }
    }
}

/// Places for connections, with so many reverse proxies before the server.
pub(crate) fn places(proxies: usize) -> Places {
    Places::new(CONNECTIONS, of_one_client(proxies))
}

/// How many one client may have. Behind a proxy everybody comes from one address, by which no client is
/// known.
pub(crate) fn of_one_client(proxies: usize) -> usize {
    if proxies > 0 {
        usize::MAX
    } else {
        OF_ONE_CLIENT
    }
}

/// Serves until `stop` says so, and then until the requests at hand are answered. A client
/// whose TLS handshake, or then the head of its request, takes longer than the door's handshake time is
/// cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    door: Door,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .max_header_size(LONGEST_HEAD)
        // A buffer may hold more than a head, by what comes in one piece with its end.
        .max_buf_size(LONGEST_HEAD);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &door) => accepted,
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Some((socket, peer, place)) = accepted else {
            continue;
        };
        let open = Open::new(door.listener, place);
        let time = door.admission.handshake_time();
        let mut http = http.clone();
        http.header_read_timeout(time);
        let serving = Connection {
            http,
            peer,
            router: router.clone(),
            stop: stop.clone(),
        };
        let acceptor = door.tls.as_ref().map(Tls::acceptor);
        connections.spawn(async move {
            match acceptor {
                Some(acceptor) => serving.serve_tls(acceptor, socket, time).await,
                None => serving.serve(socket).await,
            }
            drop(open);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A connection that is open, counted.
struct Open {
    listener: &'static str,
    _place: Place,
}

impl Open {
    fn new(listener: &'static str, place: Place) -> Self {
        gauge!("roomkit_server_connections", "listener" => listener).increment(1.0);
        Self {
            listener,
            _place: place,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("roomkit_server_connections", "listener" => self.listener).decrement(1.0);
    }
}

async fn accept(listener: &TcpListener, door: &Door) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = door.places.wait_for_one().await?;
    match listener.accept().await {
        Ok((socket, peer)) => {
            let client = door.admission.network_of(peer.ip());
            let Some(place) = door.places.give(place, client) else {
                // Closed at once: what one would say to so many takes memory and time.
                let reason = "too_many_connections_of_address";
                counter!("roomkit_admission_refused_total", "reason" => reason).increment(1);
                tracing::debug!(%peer, reason, "a connection was refused");
                return None;
            };
            // Audio comes in small frames, none of which may wait for the next.
            let _ = socket.set_nodelay(true);
            Some((socket, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(EXHAUSTED).await;
            None
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a reason to stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection of a client.
struct Connection {
    http: http1::Builder,
    peer: SocketAddr,
    router: Router,
    stop: watch::Receiver<bool>,
}

impl Connection {
    /// Serves once the client and the server have agreed on how to speak, which may take so long.
    async fn serve_tls(mut self, acceptor: TlsAcceptor, socket: TcpStream, time: Duration) {
        let agreed = tokio::select! {
            agreed = timeout(time, acceptor.accept(socket)) => agreed,
            () = stopped(&mut self.stop) => return,
        };
        match agreed {
            Ok(Ok(socket)) => self.serve(socket).await,
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed");
            }
            Err(_elapsed) => tracing::debug!(peer = %self.peer, "a TLS handshake took too long"),
        }
    }

    async fn serve<S>(mut self, socket: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = self.peer;
        let router = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(BufferedReads);
            let answer = router.call(request);
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let socket = Impatient::new(BufReader::with_capacity(READ_BUFFER_BYTES, socket));
        let connection = self.http.serve_connection(TokioIo::new(socket), service);
        let mut serving = pin!(connection.with_upgrades());
        let served = tokio::select! {
            served = serving.as_mut() => Some(served),
            () = stopped(&mut self.stop) => None,
        };
        let served = if let Some(served) = served {
            served
        } else {
            serving.as_mut().graceful_shutdown();
            serving.await
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "an HTTP connection ended early");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use roomkit::http::AdmissionConfig;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// How many connections one address gets.
    fn of_one_address(proxies: usize) -> usize {
        let places = places(proxies);
        let next = || places.give(places.take()?, Ipv4Addr::LOCALHOST.into());
        std::iter::from_fn(next).collect::<Vec<_>>().len()
    }

    #[test]
    fn c5_one_client_leaves_connections_to_others_but_a_proxy_has_all() {
        assert_eq!(of_one_address(0), 256);
        assert_eq!(of_one_address(1), 2048);
    }

    /// Listens behind this door for as long as the test runs.
    async fn listening(door: Door, stop: &watch::Sender<bool>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "well"));
        tokio::spawn(serve(listener, router, door, stop.subscribe()));
        address
    }

    async fn asked(address: SocketAddr) -> TcpStream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        socket
    }

    async fn answer(mut socket: TcpStream) -> String {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn c5_callers_who_take_all_places_keep_nobody_from_asking_who_runs_the_server() {
        let admission = Admission::new(&AdmissionConfig::default()).unwrap();
        let stop = watch::Sender::new(false);
        let door = Door::new(admission.clone(), None, Places::new(1, usize::MAX));
        let callers = listening(door, &stop).await;
        let operations = listening(Door::of_operations(admission), &stop).await;
        // Who connects first gets the one place there is.
        let stranger = TcpStream::connect(callers).await.unwrap();
        let waits = asked(callers).await;
        assert!(answer(asked(operations).await).await.ends_with("well"));
        // Without a place nobody has even looked at it.
        let mut byte = [0];
        assert!(waits.try_read(&mut byte).is_err(), "it still waits");
        drop(stranger);
        assert!(answer(waits).await.ends_with("well"));
    }
}
