//! The ledger of tool calls: at most one run, exactly one answer, a limit and a timeout
//! (contracts K1–K4, K7).

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::io::{Moment, ToolAnswer, ToolRequest};
use crate::{id::CallId, tool::ToolRules};

/// How many calls are remembered so that none runs twice. A later connection repeats what its
/// conversation holds: one of 128 000 tokens, the longest that vendors have, holds no more, as a
/// call with its result takes about thirty.
const CALLS: usize = 4096;
/// How much of their answers is remembered, in bytes, for calls that a later connection makes again.
const ANSWERS: usize = 512 * 1024;
/// Calls that wait until one that runs is done. A model that asks for more does not wait for what it
/// has asked for.
const WAITING: usize = 64;
/// The model is told of a call's progress at most so often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Every call of a session, from the provider's wish to its one answer.
#[derive(Debug)]
pub(super) struct ToolLedger {
    limit: usize,
    timeout: Duration,
    seen: HashMap<CallId, Seen>,
    /// The ids of those, oldest first.
    seen_in_order: VecDeque<CallId>,
    /// What they were answered, oldest first.
    answered: VecDeque<(CallId, ToolAnswer)>,
    /// How much that is.
    answer_bytes: usize,
    open: Vec<Open>,
    waiting: VecDeque<CallId>,
    /// How many calls there have been.
    calls: u64,
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
    rules: ToolRules,
    timeout: Duration,
    /// When it has run for too long; none before it runs.
    deadline: Option<Moment>,
    /// What it tells of its progress and the model does not know yet.
    progress: Option<String>,
    /// The model is told no more of that before.
    quiet_until: Moment,
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
    /// As many are open as may be: it is not run, and this is its answer.
    Refused(ToolAnswer),
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
            seen_in_order: VecDeque::new(),
            answered: VecDeque::new(),
            answer_bytes: 0,
            open: Vec::new(),
            waiting: VecDeque::new(),
            calls: 0,
        }
    }

    /// The serial number of the next call.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// The provider wants a call, on the connection of this number. A call that was made before,
    /// on this connection or an earlier one, is not run again (K1).
    pub(super) fn call(
        &mut self,
        request: ToolRequest,
        connection: u32,
        rules: ToolRules,
    ) -> Called {
        let asked = fingerprint(&request);
        let call_id = request.call_id.clone();
        // Told twice on one connection: what it was when it was made is what an answer is for.
        let before = self.seen.get(&call_id);
        if before.is_some_and(|before| before.connection == connection) {
            return Called::Known;
        }
        match self.note(&call_id, Seen { connection, asked }) {
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
        if self.open.len() >= self.limit.saturating_add(WAITING) {
            return Called::Refused(ToolAnswer::error(&format!(
                "{} calls of tools have no answer yet, and no more may wait; call again when some have theirs",
                self.open.len()
            )));
        }
        self.open.push(Open {
            request,
            connection,
            rules,
            timeout: rules.timeout.unwrap_or(self.timeout),
            deadline: None,
            progress: None,
            quiet_until: Moment::ZERO,
        });
        Called::New
    }

    /// Remembers the last call of an id, and gives the one before. The oldest that is done with is
    /// forgotten for it.
    fn note(&mut self, call_id: &CallId, seen: Seen) -> Option<Seen> {
        let before = self.seen.insert(call_id.clone(), seen);
        if before.is_none() {
            self.seen_in_order.push_back(call_id.clone());
        }
        for _ in 0..self.seen_in_order.len() {
            if self.seen.len() <= CALLS {
                break;
            }
            if let Some(oldest) = self.seen_in_order.pop_front() {
                if self.find_open(&oldest).is_some() {
                    self.seen_in_order.push_back(oldest);
                } else {
                    self.seen.remove(&oldest);
                }
            }
        }
        before
    }

    /// Closes the open call of an earlier connection that has the id of this other one.
    pub(super) fn close_other(&mut self, request: &ToolRequest, connection: u32) -> Option<Closed> {
        let seen = self.seen.get(&request.call_id)?;
        let is_other = seen.connection != connection && seen.asked != fingerprint(request);
        is_other.then(|| self.close(&request.call_id)).flatten()
    }

    /// Remembers what a call was answered, for as long as its id is, if that is not too much.
    pub(super) fn remember(&mut self, call_id: CallId, answer: ToolAnswer) {
        self.answer_bytes += answer.output.len();
        self.answered.push_back((call_id, answer));
        let mut kept = self.answered.len();
        while kept > CALLS || (kept > 1 && self.answer_bytes > ANSWERS) {
            let oldest = self.answered.pop_front();
            self.answer_bytes -= oldest.map_or(0, |(_, oldest)| oldest.output.len());
            kept -= 1;
        }
    }

    /// The call may run as soon as the limits allow, if it was not cancelled meanwhile.
    pub(super) fn clear(&mut self, serial: u64) {
        let Some(open) = self.find_serial(serial) else {
            return;
        };
        let call_id = open.request.call_id.clone();
        if !self.waiting.contains(&call_id) {
            self.waiting.push_back(call_id);
        }
    }

    /// The next call to start now.
    pub(super) fn start_next(&mut self, now: Moment) -> Option<ToolRequest> {
        while self.running().count() < self.limit {
            let place = self.waiting.iter().position(|id| !self.must_wait(id))?;
            let call_id = self.waiting.remove(place)?;
            if let Some(open) = self.find_open(&call_id)
                && open.deadline.is_none()
            {
                open.deadline = Some(now.saturating_add(open.timeout));
                return Some(open.request.clone());
            }
        }
        None
    }

    /// As many calls of the same tool run as may.
    fn must_wait(&self, call_id: &CallId) -> bool {
        let waiting = |open: &&Open| open.request.call_id == *call_id;
        let Some(open) = self.open.iter().find(waiting) else {
            return false;
        };
        let alike = |other: &&Open| other.request.name == open.request.name;
        let limit = open.rules.parallel.unwrap_or(usize::MAX);
        self.running().filter(alike).count() >= limit
    }

    /// Closes a call, with its answer or because it was cancelled. `None`: it is closed already,
    /// so there is nothing to answer (K2).
    pub(super) fn close(&mut self, call_id: &CallId) -> Option<Closed> {
        let place = self
            .open
            .iter()
            .position(|open| open.request.call_id == *call_id)?;
        self.waiting.retain(|waiting| waiting != call_id);
        Some(self.open.remove(place).closed())
    }

    /// Closes a call that has run for too long.
    pub(super) fn close_expired(&mut self, now: Moment) -> Option<(Closed, ToolAnswer)> {
        let place = self
            .open
            .iter()
            .position(|open| open.deadline.is_some_and(|deadline| deadline <= now))?;
        let expired = self.open.remove(place);
        let answer = ToolAnswer::error(&format!(
            "tool `{}` did not answer within {} s",
            expired.request.name,
            expired.timeout.as_secs_f32()
        ));
        Some((expired.closed(), answer))
    }

    /// Closes any call that is left.
    pub(super) fn close_any(&mut self) -> Option<Closed> {
        self.open.pop().map(Open::closed)
    }

    /// The model waits for no answer: every call that is open lets the conversation go on.
    pub(super) fn is_settled(&self) -> bool {
        self.open.iter().all(|open| open.rules.speak_while_running)
    }

    /// No call is open at all.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// A tool runs during which the model is not to hear the caller.
    pub(super) fn mutes(&self) -> bool {
        self.running().any(|open| open.rules.mute_while_running)
    }

    /// A tool tells how far it has come. The call, unless it is not running any more.
    pub(super) fn report(&mut self, serial: u64, progress: String) -> Option<&ToolRequest> {
        let open = self.find_serial(serial)?;
        open.deadline?;
        open.progress = Some(progress);
        Some(&open.request)
    }

    /// The next progress to tell the model.
    pub(super) fn next_progress(&mut self, now: Moment) -> Option<(&ToolRequest, String)> {
        let due = |open: &&mut Open| open.progress.is_some() && open.quiet_until <= now;
        let open = self.open.iter_mut().find(due)?;
        open.quiet_until = now + PROGRESS_EVERY;
        Some((&open.request, open.progress.take()?))
    }

    /// When something is due. Progress that is due already waits for something else.
    pub(super) fn next_wake(&self, now: Moment) -> Option<Moment> {
        let progress = |open: &Open| {
            let told_at = open.progress.is_some().then_some(open.quiet_until);
            told_at.filter(|at| *at > now)
        };
        let wakes = |open: &Open| [open.deadline, progress(open)];
        self.open.iter().flat_map(wakes).flatten().min()
    }

    fn find_open(&mut self, call_id: &CallId) -> Option<&mut Open> {
        let wanted = |open: &&mut Open| open.request.call_id == *call_id;
        self.open.iter_mut().find(wanted)
    }

    fn find_serial(&mut self, serial: u64) -> Option<&mut Open> {
        let wanted = |open: &&mut Open| open.request.serial == serial;
        self.open.iter_mut().find(wanted)
    }

    /// The serial number of the open call of this id.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn serial(&self, call_id: &CallId) -> Option<u64> {
        let mut open = self.open.iter().map(|open| &open.request);
        open.find(|request| request.call_id == *call_id)
            .map(|request| request.serial)
    }

    fn running(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|open| open.deadline.is_some())
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
mod tests;
