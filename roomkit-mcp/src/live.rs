//! A connection in use, and how a server that has fallen silent shows.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rmcp::{
    ErrorData,
    model::{ClientRequest, ErrorCode, Extensions, PingRequest, PingRequestMethod},
    service::{Peer, RoleClient, ServiceError},
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    call::{self, Failure},
    check::Checked,
    connection::{Connection, Target},
    explain,
    http_client::is_of_the_session,
    progress::ProgressBook,
};

/// How many pings in a row a server may leave without an answer. While it works on calls they do not
/// count, because many servers work on one thread, unless it has owed an answer for too long.
const SILENT_PINGS: u32 = 3;

/// A connection in use.
pub(crate) struct Live {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) book: Arc<ProgressBook>,
    /// A call found it broken.
    broken: Notify,
    /// A call gives reason to ask whether it is there.
    doubted: Notify,
    /// A call was answered.
    worked: AtomicBool,
    debts: Mutex<Debts>,
}

/// What a server owes.
#[derive(Default)]
struct Debts {
    running: usize,
    /// Since when it owes an answer to some call: one that runs, or one that was given up.
    since: Option<Instant>,
    /// The longest time that a call has had since it owed nothing.
    longest: Duration,
    /// Pings without an answer since it was last heard.
    silent_pings: u32,
}

impl Debts {
    fn begun(&mut self, limit: Duration) {
        self.running += 1;
        self.longest = self.longest.max(limit);
        self.since.get_or_insert_with(Instant::now);
    }

    fn ended(&mut self) {
        self.running -= 1;
    }

    fn heard(&mut self) {
        self.silent_pings = 0;
        self.since = (self.running > 0).then(Instant::now);
        if self.running == 0 {
            self.longest = Duration::ZERO;
        }
    }

    /// Counts a ping without an answer; returns whether that was one too many.
    fn silent(&mut self) -> bool {
        let works = self.running > 0;
        if works
            && self
                .since
                .is_none_or(|since| since.elapsed() < self.longest)
        {
            return false;
        }
        self.silent_pings += 1;
        self.silent_pings >= SILENT_PINGS
    }
}

impl Live {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            peer: connection.peer.clone(),
            book: Arc::clone(&connection.book),
            broken: Notify::new(),
            doubted: Notify::new(),
            worked: AtomicBool::new(false),
            debts: Mutex::default(),
        }
    }

    pub(crate) fn answered_a_call(&self) {
        self.worked.store(true, Ordering::Relaxed);
        self.with_debts(Debts::heard);
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

    /// It is asked at once whether it is there.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    fn with_debts<T>(&self, change: impl FnOnce(&mut Debts) -> T) -> T {
        change(&mut self.debts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns when a server has fallen silent, with how that shows.
pub(crate) async fn silence(server: &Checked, live: &Live) -> String {
    let period = server.ping;
    let mut pings = interval_at(Instant::now() + period, period);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Over HTTP each request goes its own way: one that breaks says nothing of the next.
    let is_one_way = matches!(server.target, Target::Process(_));
    loop {
        let is_doubted = tokio::select! {
            _ = pings.tick() => false,
            () = live.doubted.notified() => true,
        };
        // Calls that fail have it asked more often than this counts.
        let mut counts = !is_doubted;
        let problem = match timeout(period, ping(&live.peer)).await {
            Ok(Ok(())) => {
                live.with_debts(Debts::heard);
                continue;
            }
            Ok(Err(error)) => match call::failure(server, &error) {
                // Nothing that concerns the calls that run.
                Failure::Refused(problem)
                | Failure::Unusable(problem)
                | Failure::Unclear(problem) => problem,
                Failure::Lost(problem) if is_one_way || is_doubted => return problem,
                Failure::Lost(_) => {
                    live.doubt();
                    continue;
                }
                Failure::Expired => return explain::request(server, &error),
            },
            Err(_) => {
                counts = true;
                "it does not answer".into()
            }
        };
        if counts && live.with_debts(Debts::silent) {
            return problem;
        }
    }
}

/// Counts a call while it runs.
pub(crate) struct Running<'a>(&'a Live);

impl<'a> Running<'a> {
    /// A call that has so much time.
    pub(crate) fn new(live: &'a Live, limit: Duration) -> Self {
        live.with_debts(|debts| debts.begun(limit));
        Self(live)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with_debts(Debts::ended);
    }
}

/// A server that does not know this request is there. Other errors come from whoever stands before
/// one that is not, or has forgotten us.
async fn ping(peer: &Peer<RoleClient>) -> Result<(), ServiceError> {
    let request = ClientRequest::PingRequest(PingRequest {
        method: PingRequestMethod,
        extensions: Extensions::default(),
    });
    match peer.send_request(request).await {
        Ok(_) | Err(ServiceError::UnexpectedResponse) => Ok(()),
        Err(ServiceError::McpError(error)) if is_of_the_request(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_of_the_request(error: &ErrorData) -> bool {
    let codes = [
        ErrorCode::METHOD_NOT_FOUND,
        ErrorCode::INVALID_REQUEST,
        ErrorCode::INVALID_PARAMS,
    ];
    codes.contains(&error.code) && !is_of_the_session(&error.message)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(25);

    #[tokio::test(start_paused = true)]
    async fn a_server_at_work_may_leave_pings_without_an_answer_as_long_as_a_call_may_take() {
        let mut debts = Debts::default();
        debts.begun(LIMIT);
        for _ in 0..24 {
            advance(Duration::from_secs(1)).await;
            assert!(!debts.silent());
        }
        // It was heard of: the next call has its whole time.
        debts.begun(LIMIT);
        debts.heard();
        debts.ended();
        advance(Duration::from_secs(24)).await;
        assert!((0..5).all(|_| !debts.silent()));
        advance(Duration::from_secs(1)).await;
        assert!(!debts.silent() && !debts.silent() && debts.silent());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_given_up_early_are_no_work() {
        let mut debts = Debts::default();
        debts.begun(LIMIT);
        let mut silent = false;
        for _ in 0..10 {
            // There is always one, and none is waited for as long as it may take.
            advance(Duration::from_secs(4)).await;
            debts.begun(LIMIT);
            debts.ended();
            silent |= debts.silent();
        }
        assert!(silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_call_that_was_answered_excuses_no_later_silence() {
        let mut debts = Debts::default();
        debts.begun(24 * LIMIT);
        debts.ended();
        debts.heard();
        debts.begun(LIMIT);
        advance(LIMIT).await;
        assert!(!debts.silent() && !debts.silent() && debts.silent());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_server_owes_its_pings() {
        let mut debts = Debts::default();
        assert!(!debts.silent() && !debts.silent());
        debts.heard();
        assert!(!debts.silent() && !debts.silent() && debts.silent());
    }
}
