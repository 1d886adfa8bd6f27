//! A connection in use, and how a server that has fallen silent shows.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use rmcp::{
    model::{ClientRequest, Extensions, PingRequest, PingRequestMethod},
    service::{Peer, RoleClient, ServiceError},
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    call::{self, Failure},
    check::Checked,
    connection::Connection,
    explain,
    progress::ProgressBook,
};

/// How many pings in a row a server may leave without an answer. While it works on calls they do not
/// count, because many servers work on one thread, unless one of those calls has taken too long.
const SILENT_PINGS: u32 = 3;

/// A connection in use.
pub(crate) struct Live {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) book: Arc<ProgressBook>,
    /// A call found it broken.
    broken: Notify,
    /// A call was answered.
    worked: AtomicBool,
    running: AtomicUsize,
    /// A call has taken too long since the server was last heard from.
    overdue: AtomicBool,
    /// Pings without an answer since then.
    silent_pings: AtomicU32,
}

impl Live {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            peer: connection.peer.clone(),
            book: Arc::clone(&connection.book),
            broken: Notify::new(),
            worked: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            overdue: AtomicBool::new(false),
            silent_pings: AtomicU32::new(0),
        }
    }

    pub(crate) fn answered_a_call(&self) {
        self.worked.store(true, Ordering::Relaxed);
        self.is_there();
    }

    /// A call was answered since it was opened.
    pub(crate) fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// A call found it broken.
    pub(crate) fn mark_broken(&self) {
        self.broken.notify_one();
    }

    /// Returns when a call has found it broken.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }

    fn is_there(&self) {
        self.overdue.store(false, Ordering::Relaxed);
        self.silent_pings.store(0, Ordering::Relaxed);
    }

    /// Counts a ping without an answer; returns whether that was one too many.
    fn has_fallen_silent(&self) -> bool {
        let is_busy = self.running.load(Ordering::Relaxed) > 0;
        if is_busy && !self.overdue.load(Ordering::Relaxed) {
            return false;
        }
        self.silent_pings.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_PINGS
    }
}

/// Returns when a server has fallen silent, with how that shows.
pub(crate) async fn silence(server: &Checked, live: &Live) -> String {
    let period = server.ping;
    let mut pings = interval_at(Instant::now() + period, period);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pings.tick().await;
        let problem = match timeout(period, ping(&live.peer)).await {
            Ok(Ok(())) => {
                live.is_there();
                continue;
            }
            Ok(Err(error)) => match call::failure(server, &error) {
                // Nothing that concerns the calls that run.
                Failure::Refused(problem) | Failure::Unclear(problem) => problem,
                Failure::Lost(problem) => return problem,
                Failure::Expired => return explain::request(server, &error),
            },
            Err(_) => "it does not answer".into(),
        };
        if live.has_fallen_silent() {
            return problem;
        }
    }
}

/// Counts a call while it runs, and notes if it ran for too long.
pub(crate) struct Running<'a> {
    live: &'a Live,
    deadline: Instant,
}

impl<'a> Running<'a> {
    pub(crate) fn new(live: &'a Live, deadline: Instant) -> Self {
        live.running.fetch_add(1, Ordering::Relaxed);
        Self { live, deadline }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.live.running.fetch_sub(1, Ordering::Relaxed);
        if Instant::now() >= self.deadline {
            self.live.overdue.store(true, Ordering::Relaxed);
        }
    }
}

/// Whatever a server says to a ping, it is there.
async fn ping(peer: &Peer<RoleClient>) -> Result<(), ServiceError> {
    let request = ClientRequest::PingRequest(PingRequest {
        method: PingRequestMethod,
        extensions: Extensions::default(),
    });
    match peer.send_request(request).await {
        Ok(_) | Err(ServiceError::McpError(_) | ServiceError::UnexpectedResponse) => Ok(()),
        Err(error) => Err(error),
    }
}
