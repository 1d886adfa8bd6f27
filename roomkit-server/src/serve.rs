//! The accept loop: HTTP/1.1 with a limit on open connections, on the time for a request's head, and on the
//! time in which nothing of an answer is taken.
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
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use crate::{
    impatient::Impatient,
    places::{Place, Places},
};

/// How long the loop rests when the system has no more descriptors.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Serves until `stop` says so, and then until the requests at hand are answered. A client that
/// has not sent a whole head in `head_time` is cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    places: Places,
    head_time: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_time);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Some((socket, peer, place)) = accepted else {
            continue;
        };
        let serving = connection(http.clone(), socket, peer, router.clone(), stop.clone());
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, places: &Places) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = places.take().await?;
    match listener.accept().await {
        Ok((socket, peer)) => {
            // Too many of one client: closed at once.
            let place = places.give(place, peer.ip())?;
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

async fn connection(
    http: http1::Builder,
    socket: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.call(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut serving = pin!(
        http.serve_connection(TokioIo::new(Impatient::new(socket)), service)
            .with_upgrades()
    );
    let served = tokio::select! {
        served = serving.as_mut() => Some(served),
        () = stopped(&mut stop) => None,
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
