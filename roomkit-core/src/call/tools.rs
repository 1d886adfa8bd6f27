//! The ledger of tool calls: at most one run, exactly one answer, a limit and a timeout
//! (contracts K1–K4, K7).

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::io::{Moment, ToolAnswer, ToolRequest};
use crate::id::CallId;

/// How many answers are remembered for calls that a later connection makes again.
const ANSWERS: usize = 32;

/// Every call of a session, from the provider's wish to its one answer.
#[derive(Debug)]
pub(super) struct ToolLedger {
    limit: usize,
    timeout: Duration,
    seen: HashMap<CallId, Seen>,
    answered: VecDeque<(CallId, ToolAnswer)>,
    open: Vec<Open>,
    waiting: VecDeque<CallId>,
}

/// The last call of an id.
#[derive(Debug)]
struct Seen {
    connection: u32,
    /// What was asked, to tell a repeat from another call: some vendors count from 1 on every
    /// connection.
    asked: u64,
}

#[derive(Debug)]
struct Open {
    request: ToolRequest,
    /// The connection that wants the answer.
    connection: u32,
    deadline: Option<Moment>,
}

/// What a provider's wish for a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// It is to be run.
    New,
    /// It is told twice, or runs already: nothing is to be done.
    Known,
    /// An earlier connection made the same call and had this answer, which is all there is.
    Answered(ToolAnswer),
}

/// A call that wants no more, and the connection that made it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) request: ToolRequest,
    pub(super) connection: u32,
}

impl ToolLedger {
    pub(super) fn new(limit: usize, timeout: Duration) -> Self {
        Self {
            limit: limit.max(1),
            timeout,
            seen: HashMap::new(),
            answered: VecDeque::new(),
            open: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The provider wants a call, on the connection of this number. A call that was made before,
    /// on this connection or an earlier one, is not run again (K1).
    pub(super) fn call(&mut self, request: ToolRequest, connection: u32) -> Called {
        let asked = fingerprint(&request);
        let call_id = request.call_id.clone();
        let before = self
            .seen
            .insert(call_id.clone(), Seen { connection, asked });
        match before {
            Some(before) if before.connection == connection => return Called::Known,
            Some(before) if before.asked == asked => {
                if let Some(open) = self.find_open(&call_id) {
                    open.connection = connection;
                    return Called::Known;
                }
                let remembered = self.answered.iter().rfind(|(id, _)| *id == call_id);
                let answer = remembered.map(|(_, answer)| answer.clone());
                return Called::Answered(answer.unwrap_or_else(|| {
                    ToolAnswer::error("this call was made before, and its answer is gone")
                }));
            }
            _ => {}
        }
        self.open.push(Open {
            request,
            connection,
            deadline: None,
        });
        Called::New
    }

    /// Closes the open call of an earlier connection that has the id of this other one.
    pub(super) fn close_other(&mut self, request: &ToolRequest, connection: u32) -> Option<Closed> {
        let seen = self.seen.get(&request.call_id)?;
        let is_other = seen.connection != connection && seen.asked != fingerprint(request);
        is_other.then(|| self.close(&request.call_id)).flatten()
    }

    /// Remembers what a call was answered.
    pub(super) fn remember(&mut self, call_id: CallId, answer: ToolAnswer) {
        self.answered.push_back((call_id, answer));
        if self.answered.len() > ANSWERS {
            self.answered.pop_front();
        }
    }

    /// The call may run as soon as the limit allows.
    pub(super) fn clear(&mut self, call_id: CallId) {
        self.waiting.push_back(call_id);
    }

    /// The next call to start now.
    pub(super) fn start_next(&mut self, now: Moment) -> Option<ToolRequest> {
        while self.running() < self.limit {
            let call_id = self.waiting.pop_front()?;
            // A call that was cancelled while it waited is not in the ledger any more.
            let deadline = now + self.timeout;
            if let Some(open) = self.find_open(&call_id)
                && open.deadline.is_none()
            {
                open.deadline = Some(deadline);
                return Some(open.request.clone());
            }
        }
        None
    }

    /// Closes a call, with its answer or because it was cancelled. `None`: it is closed already,
    /// so there is nothing to answer (K2).
    pub(super) fn close(&mut self, call_id: &CallId) -> Option<Closed> {
        let place = self
            .open
            .iter()
            .position(|open| open.request.call_id == *call_id)?;
        Some(self.open.remove(place).closed())
    }

    /// Closes a call that has run for too long.
    pub(super) fn close_expired(&mut self, now: Moment) -> Option<(Closed, ToolAnswer)> {
        let place = self
            .open
            .iter()
            .position(|open| open.deadline.is_some_and(|deadline| deadline <= now))?;
        let closed = self.open.remove(place).closed();
        let answer = ToolAnswer::error(&format!(
            "tool `{}` did not answer within {} s",
            closed.request.name,
            self.timeout.as_secs_f32()
        ));
        Some((closed, answer))
    }

    /// Closes any call that is left.
    pub(super) fn close_any(&mut self) -> Option<Closed> {
        self.open.pop().map(Open::closed)
    }

    /// No call waits for an answer.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.open.iter().filter_map(|open| open.deadline).min()
    }

    fn find_open(&mut self, call_id: &CallId) -> Option<&mut Open> {
        let wanted = |open: &&mut Open| open.request.call_id == *call_id;
        self.open.iter_mut().find(wanted)
    }

    fn running(&self) -> usize {
        self.open
            .iter()
            .filter(|open| open.deadline.is_some())
            .count()
    }
}

impl Open {
    fn closed(self) -> Closed {
        Closed {
            request: self.request,
            connection: self.connection,
        }
    }
}

/// Tells calls of one id apart without keeping what they said.
fn fingerprint(request: &ToolRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&request.name, &request.arguments).hash(&mut hasher);
    hasher.finish()
}

impl ToolAnswer {
    /// A failure in words the model can read.
    pub(crate) fn error(message: &str) -> Self {
        Self {
            output: serde_json::json!({ "error": message }).to_string(),
            is_error: true,
        }
    }

    /// The same answer, cut to `cap` characters with a notice (contract K6).
    pub(crate) fn capped(mut self, cap: usize) -> Self {
        let total = self.output.chars().count();
        if total > cap {
            let notice = format!("\n[cut: {total} characters, the first {cap} are shown]");
            if let Some((end, _)) = self.output.char_indices().nth(cap) {
                self.output.truncate(end);
            }
            self.output.push_str(&notice);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str) -> ToolRequest {
        ToolRequest {
            call_id: id.into(),
            name: "f".into(),
            arguments: "{}".into(),
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn k1_an_id_is_called_once() {
        let mut ledger = ToolLedger::new(4, ms(100));
        assert_eq!(ledger.call(request("a"), 1), Called::New);
        assert_eq!(
            ledger.call(request("a"), 1),
            Called::Known,
            "while it is open"
        );
        assert!(ledger.close(&"a".into()).is_some());
        assert_eq!(ledger.call(request("a"), 1), Called::Known, "and after");
    }

    #[test]
    fn k1_a_call_that_is_made_again_on_another_connection_is_not_run_again() {
        let mut ledger = ToolLedger::new(4, ms(100));
        ledger.call(request("a"), 1);
        assert_eq!(ledger.call(request("a"), 2), Called::Known);
        let closed = ledger.close(&"a".into()).unwrap();
        assert_eq!(closed.connection, 2, "the later one gets the answer");
        let answer = ToolAnswer::error("no");
        ledger.remember("a".into(), answer.clone());
        assert_eq!(ledger.call(request("a"), 3), Called::Answered(answer));
        let mut other = request("a");
        other.arguments = "{\"x\":1}".into();
        assert_eq!(
            ledger.call(other, 4),
            Called::New,
            "a vendor that counts anew on every connection means another call"
        );
    }

    #[test]
    fn k3_the_limit_holds_and_the_next_one_follows() {
        let mut ledger = ToolLedger::new(2, ms(100));
        for id in ["a", "b", "c"] {
            ledger.call(request(id), 1);
            ledger.clear(id.into());
        }
        assert_eq!(ledger.start_next(ms(0)), Some(request("a")));
        assert_eq!(ledger.start_next(ms(0)), Some(request("b")));
        assert_eq!(ledger.start_next(ms(0)), None);
        ledger.close(&"a".into());
        assert_eq!(ledger.start_next(ms(50)), Some(request("c")));
        assert_eq!(ledger.next_wake(), Some(ms(100)));
    }

    #[test]
    fn k3_a_late_call_is_closed_once() {
        let mut ledger = ToolLedger::new(2, ms(100));
        ledger.call(request("a"), 1);
        ledger.clear("a".into());
        ledger.start_next(ms(0));
        assert!(ledger.close_expired(ms(99)).is_none());
        let (late, answer) = ledger.close_expired(ms(100)).unwrap();
        assert_eq!(
            (late.request.call_id.as_str(), answer.is_error),
            ("a", true)
        );
        assert!(
            ledger.close(&"a".into()).is_none(),
            "its late result has nowhere to go"
        );
    }

    #[test]
    fn k6_the_cap_cuts_at_a_character() {
        let answer = ToolAnswer {
            output: "äöü".repeat(10),
            is_error: false,
        };
        assert_eq!(answer.clone().capped(30), answer);
        let cut = answer.capped(4).output;
        assert!(cut.starts_with("äöüä\n[cut: 30 characters"), "{cut}");
    }
}
