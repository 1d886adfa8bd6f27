//! The ledger of tool calls: at most one run, exactly one answer, a limit and a timeout
//! (contracts K1–K4, K7).

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use super::io::{Moment, ToolAnswer, ToolRequest};
use crate::id::CallId;

/// Every call of a session, from the provider's wish to its one answer.
#[derive(Debug)]
pub(super) struct ToolLedger {
    limit: usize,
    timeout: Duration,
    seen: HashSet<CallId>,
    open: Vec<Open>,
    waiting: VecDeque<CallId>,
}

#[derive(Debug)]
struct Open {
    request: ToolRequest,
    deadline: Option<Moment>,
}

impl ToolLedger {
    pub(super) fn new(limit: usize, timeout: Duration) -> Self {
        Self {
            limit: limit.max(1),
            timeout,
            seen: HashSet::new(),
            open: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The provider wants a call. False: this id was called before, and is not run again (K1).
    pub(super) fn call(&mut self, request: ToolRequest) -> bool {
        let new = self.seen.insert(request.call_id.clone());
        if new {
            self.open.push(Open {
                request,
                deadline: None,
            });
        }
        new
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
            if let Some(open) = self
                .open
                .iter_mut()
                .find(|open| open.request.call_id == call_id)
            {
                open.deadline = Some(now + self.timeout);
                return Some(open.request.clone());
            }
        }
        None
    }

    /// Closes a call, with its answer or because it was cancelled. `None`: it is closed already,
    /// so there is nothing to answer (K2).
    pub(super) fn close(&mut self, call_id: &CallId) -> Option<ToolRequest> {
        let place = self
            .open
            .iter()
            .position(|open| open.request.call_id == *call_id)?;
        Some(self.open.remove(place).request)
    }

    /// Closes a call that has run for too long.
    pub(super) fn close_expired(&mut self, now: Moment) -> Option<(ToolRequest, ToolAnswer)> {
        let place = self
            .open
            .iter()
            .position(|open| open.deadline.is_some_and(|deadline| deadline <= now))?;
        let request = self.open.remove(place).request;
        let answer = ToolAnswer::error(&format!(
            "tool `{}` did not answer within {} s",
            request.name,
            self.timeout.as_secs_f32()
        ));
        Some((request, answer))
    }

    /// Closes any call that is left.
    pub(super) fn close_any(&mut self) -> Option<ToolRequest> {
        self.open.pop().map(|open| open.request)
    }

    /// No call waits for an answer.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.open.iter().filter_map(|open| open.deadline).min()
    }

    fn running(&self) -> usize {
        self.open
            .iter()
            .filter(|open| open.deadline.is_some())
            .count()
    }
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
        assert!(ledger.call(request("a")));
        assert!(!ledger.call(request("a")), "while it is open");
        assert!(ledger.close(&"a".into()).is_some());
        assert!(!ledger.call(request("a")), "and after");
    }

    #[test]
    fn k3_the_limit_holds_and_the_next_one_follows() {
        let mut ledger = ToolLedger::new(2, ms(100));
        for id in ["a", "b", "c"] {
            ledger.call(request(id));
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
        ledger.call(request("a"));
        ledger.clear("a".into());
        ledger.start_next(ms(0));
        assert!(ledger.close_expired(ms(99)).is_none());
        let (late, answer) = ledger.close_expired(ms(100)).unwrap();
        assert_eq!((late.call_id.as_str(), answer.is_error), ("a", true));
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
