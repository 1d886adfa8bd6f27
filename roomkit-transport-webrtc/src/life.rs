//! How long a caller may stay, and when it is taken for gone.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    callers::Callers,
    peer::{DISCONNECTED_AFTER, Peer, State},
};

/// How long the session of a caller that has hung up may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often it is looked whether a caller has closed its connection: the library tells nobody.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The end of a caller that has broken a rule.
const EXPELLED: &str = "broke a rule";

/// What happens once a caller is connected: somebody is told, and makes a session of it.
pub(crate) type OnConnected = Box<dyn FnOnce(Arc<Peer>) -> BoxFuture<'static, ()> + Send>;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the offer to the connection.
    pub(crate) connect: Duration,
    /// From the connection to the session.
    pub(crate) session: Duration,
    /// Nothing is heard of the caller.
    pub(crate) disconnect: Duration,
}

/// Stays with a caller until its end, and cleans up after it.
pub(crate) async fn accompany(
    peer: Arc<Peer>,
    callers: Arc<Callers>,
    patience: Patience,
    on_connected: OnConnected,
) {
    let ending = live(&peer, patience, on_connected).await;
    tracing::debug!(ending, "a WebRTC client is gone");
    callers.remove(&peer.id);
    peer.close().await;
}

async fn live(peer: &Arc<Peer>, patience: Patience, on_connected: OnConnected) -> &'static str {
    let mut states = peer.states();
    let decided =
        |state: &State| matches!(state, State::Connected | State::Expelled | State::Closed);
    match timeout(patience.connect, states.wait_for(decided)).await {
        Ok(Ok(state)) if *state == State::Connected => {}
        Ok(Ok(state)) if *state == State::Expelled => return EXPELLED,
        Ok(_) => return "closed",
        Err(_) => return "never connected",
    }
    tokio::select! {
        ending = gone(states, patience.disconnect) => ending,
        ending = unclaimed(peer, patience.session, on_connected) => ending,
        never = hung_up(peer) => match never {},
        never = peer.listen_until_session() => match never {},
    }
}

/// Notices a caller that has closed its connection, which it may say on no data channel.
async fn hung_up(peer: &Arc<Peer>) -> Infallible {
    loop {
        sleep(LOOK_EVERY).await;
        if peer.has_hung_up().await {
            peer.hang_up().await;
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until the caller is gone.
async fn gone(mut states: watch::Receiver<State>, patience: Duration) -> &'static str {
    let patience = patience.saturating_sub(DISCONNECTED_AFTER);
    loop {
        let lost = states.wait_for(|state| *state != State::Connected).await;
        match lost.map_or(State::Closed, |state| *state) {
            State::Connecting | State::Connected => {}
            State::Interrupted => {
                let back = states.wait_for(|state| *state != State::Interrupted);
                if timeout(patience, back).await.is_err() {
                    return "vanished";
                }
            }
            State::Leaving => {
                let over = |state: &State| matches!(state, State::Expelled | State::Closed);
                let _ = timeout(LAST_WORDS, states.wait_for(over)).await;
                return "hung up";
            }
            State::Expelled => return EXPELLED,
            State::Closed => return "closed",
        }
    }
}

/// Tells who is to be told, who may take the time once it has made a session of the caller: how
/// long that takes to start is the engine's to say. Comes back only if there is no session.
async fn unclaimed(
    peer: &Arc<Peer>,
    patience: Duration,
    on_connected: OnConnected,
) -> &'static str {
    let deadline = Instant::now() + patience;
    let mut told = on_connected(Arc::clone(peer));
    tokio::select! {
        () = &mut told => {}
        () = sleep_until(deadline) => {
            if !peer.is_claimed() {
                return "nobody made a session of it in time";
            }
            // Its session is being started, which has limits of its own.
            told.await;
        }
    }
    if !peer.is_claimed() {
        sleep_until(deadline).await;
    }
    if peer.is_claimed() {
        std::future::pending().await
    } else {
        "nobody made a session of it"
    }
}
