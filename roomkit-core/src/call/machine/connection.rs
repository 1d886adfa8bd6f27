//! What is known of the connection to the provider: when it is to be left, how long to wait for
//! another one, and whether it is alive.

use std::{collections::HashSet, time::Duration};

use crate::{
    call::{io::Moment, uplink::CONFIRMED_EVERY},
    event::{HandOverOutcome, HandOverReason},
    id::CallId,
    provider::{ProviderError, ProviderErrorKind},
};

/// A connection that has lived so long was no false start.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// The waits between attempts: the first of these, doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// A quiet moment is looked for so long before a connection's known end, or a quarter of its life.
const LOOK_AHEAD: Duration = Duration::from_secs(60);
/// The hand-over begins at the latest so long before that end, or a quarter of what is left.
const MARGIN: Duration = Duration::from_secs(5);
/// A go-away notice without a time means about this.
const GO_AWAY: Duration = Duration::from_secs(10);
/// The host waits so long for a quiet moment at most.
const HOST_PATIENCE: Duration = Duration::from_secs(20);
/// The same when a caller waits for another agent.
const URGENT_PATIENCE: Duration = Duration::from_secs(5);

/// Signs of life are asked for this often while audio is sent, and otherwise that often. What was
/// sent since the last of them is kept: most of the memory of a call that is spoken in.
const PING_EVERY: (Duration, Duration) = (CONFIRMED_EVERY, Duration::from_secs(15));
/// A peer that is asked for a sign of life and is not heard of for so long is gone; some healthy
/// ones take 30 s.
const SILENCE: Duration = Duration::from_secs(45);
/// A peer that owes a response and gives no sign of one for so long is stuck.
const OVERDUE: Duration = Duration::from_secs(60);

/// What is known of the connection to the provider.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts the connections; 0 is none yet.
    pub(super) number: u32,
    pub(super) state: State,
    since: Moment,
    /// It was no false start.
    proven: bool,
    /// The AI's voice has come over it.
    pub(super) has_spoken: bool,
    /// Attempts since the last connection that was proven.
    pub(super) failures: u32,
    pub(super) plan: Option<Plan>,
    /// When it is to be left in any case.
    ends: Vec<Plan>,
    pub(super) run: Option<Run>,
    /// Calls of earlier connections that this one was told of and that had no result then.
    pub(super) told_calls: HashSet<CallId>,
    /// The same of the connection that is being dialled.
    pub(super) next_calls: HashSet<CallId>,
    /// The model owes an answer to something that an earlier connection was given.
    pub(super) owed: bool,
    /// The last thing that the history of the last dial holds, and the last thing that the
    /// connection before heard of.
    pub(super) told_until: u64,
    /// The last thing that the token of that dial stands for.
    pub(super) resumed_at: u64,
    pub(super) left_at: u64,

    heard: Moment,
    pinged: Moment,
    pinged_place: u64,
    awaits_pong: bool,
    pub(super) due_since: Option<Moment>,
    /// For the jitter of waits.
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The first one is being made.
    Starting,
    Open,
    /// Another one is being made. `fallback`: the old one is still there.
    Dialling {
        fallback: bool,
    },
    /// The next attempt is made then.
    Waiting(Moment),
}

/// A hand-over that is to happen in the next quiet moment.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) reason: HandOverReason,
    pub(super) from: Moment,
    pub(super) deadline: Moment,
    /// It need not be quiet: it is enough that no response runs.
    pub(super) is_urgent: bool,
}

impl Plan {
    fn quiet(reason: HandOverReason, from: Moment, deadline: Moment) -> Self {
        Self {
            reason,
            from,
            deadline,
            is_urgent: false,
        }
    }
}

/// A hand-over that happens.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) reason: HandOverReason,
    pub(super) began: Moment,
    pub(super) attempts: u32,
    pub(super) outcome: HandOverOutcome,
    pub(super) client_knows: bool,
}

impl Connection {
    /// There is none, and the client knows.
    pub(super) fn is_out(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.client_knows)
    }

    pub(super) fn new(seed: u64) -> Self {
        Self {
            number: 0,
            state: State::Starting,
            since: Moment::ZERO,
            proven: false,
            has_spoken: false,
            failures: 0,
            plan: None,
            ends: Vec::new(),
            run: None,
            told_calls: HashSet::new(),
            next_calls: HashSet::new(),
            owed: false,
            told_until: 0,
            resumed_at: 0,
            left_at: 0,
            heard: Moment::ZERO,
            pinged: Moment::ZERO,
            pinged_place: 0,
            awaits_pong: false,
            due_since: None,
            random: seed | 1,
        }
    }

    /// What is sent now goes to the provider, except for the user's voice, which is held from the
    /// beginning of a hand-over.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Dialling { fallback: true })
    }

    /// Something came from the provider, if only a pong.
    pub(super) fn heard(&mut self, now: Moment, is_pong: bool) {
        self.heard = now;
        if !is_pong {
            self.due_since = self.due_since.map(|_| now);
        }
    }

    /// This connection was no false start: a response was completed on it. Nothing less will do, for
    /// the repeated sentence makes a vendor that is about to break begin one each time.
    pub(super) fn proven(&mut self) {
        if !std::mem::replace(&mut self.proven, true) {
            self.failures = 0;
        }
    }

    /// Nor is one that has lasted.
    pub(super) fn lasts(&mut self, now: Moment) {
        if now >= self.since + PROVEN_AFTER {
            self.proven();
        }
    }

    /// It is lost: one more attempt was in vain, or the attempts begin anew.
    pub(super) fn lost(&mut self, now: Moment) {
        self.lasts(now);
        self.failures = if self.proven { 0 } else { self.failures + 1 };
    }

    /// Waits of which a quarter is random: all calls of a process lose their connections together, and must not all
    /// come back together.
    pub(super) fn backoff(&mut self) -> Duration {
        let (first, longest) = BACKOFF;
        let doublings = self.failures.saturating_sub(1).min(8);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let percent = 75 + (self.random % 26) as u32;
        (first * (1 << doublings)).min(longest) * percent / 100
    }

    pub(super) fn plan(&mut self, reason: HandOverReason, from: Moment, deadline: Moment) {
        self.plan_unless_sooner(Plan::quiet(reason, from, deadline));
    }

    fn plan_unless_sooner(&mut self, plan: Plan) {
        let sooner = self.plan.as_ref().map(|plan| plan.deadline);
        if sooner.is_none_or(|sooner| plan.deadline < sooner) {
            self.plan = Some(plan);
        }
    }

    /// Plans to be gone before an end that stays, whatever becomes of this plan.
    fn plan_before_end(&mut self, reason: HandOverReason, from: Moment, deadline: Moment) {
        let plan = Plan::quiet(reason, from, deadline);
        // What was said last of it counts, however often it is said.
        self.ends.retain(|end| end.reason != plan.reason);
        self.ends.push(plan.clone());
        self.plan_unless_sooner(plan);
    }

    /// A hand-over came to nothing, and this connection is used on. `again`: there is to be one more
    /// for that reason, from that moment on.
    pub(super) fn plan_anew(&mut self, now: Moment, again: Option<(Moment, HandOverReason)>) {
        if let Some((at, reason)) = again {
            let ends = self.ends.iter().map(|end| end.deadline.max(at));
            let deadline = ends.min().unwrap_or(Moment::MAX).min(at + HOST_PATIENCE);
            return self.plan(reason, at, deadline);
        }
        self.ends.retain(|end| now < end.deadline);
        for mut end in self.ends.clone() {
            if end.from <= now {
                // It has just been tried: once more, when it must be.
                end.from = end.deadline;
            }
            self.plan_unless_sooner(end);
        }
    }

    /// Plans to be gone as soon as no response runs: the model waits for nothing else.
    pub(super) fn plan_at_once(&mut self, now: Moment, reason: HandOverReason) {
        let earlier = self.plan.as_ref().map(|plan| plan.deadline);
        let deadline = now + URGENT_PATIENCE;
        self.plan = Some(Plan {
            reason,
            from: now,
            deadline: earlier.map_or(deadline, |earlier| earlier.min(deadline)),
            is_urgent: true,
        });
    }

    /// Plans to be gone before a known end.
    pub(super) fn plan_before(&mut self, now: Moment, reason: HandOverReason, life: Duration) {
        let ahead = LOOK_AHEAD.min(life / 4);
        let margin = MARGIN.min(ahead / 4);
        let end = now.saturating_add(life);
        self.plan_before_end(
            reason,
            end.saturating_sub(ahead),
            end.saturating_sub(margin),
        );
    }

    /// Plans to be gone before the vendor closes it.
    pub(super) fn plan_to_go_away(&mut self, now: Moment, time_left: Option<Duration>) {
        let left = time_left.unwrap_or(GO_AWAY);
        let deadline = now.saturating_add(left.saturating_sub(MARGIN.min(left / 4)));
        self.plan_before_end(HandOverReason::GoAway, now, deadline);
    }

    /// Plans to be gone because the host wants it.
    pub(super) fn plan_for_host(&mut self, now: Moment, reason: HandOverReason) {
        self.plan(reason, now, now + HOST_PATIENCE);
    }

    /// A new connection is there.
    pub(super) fn opened(&mut self, now: Moment) {
        self.proven = self.number == 0;
        self.has_spoken = false;
        self.number += 1;
        self.state = State::Open;
        self.plan = None;
        self.ends.clear();
        self.due_since = None;
        self.awaits_pong = false;
        self.pinged_place = 0;
        self.told_calls = std::mem::take(&mut self.next_calls);
        (self.since, self.heard, self.pinged) = (now, now, now);
    }

    // ----- signs of life

    /// Whether a ping is due, when everything up to this place of the uplink was sent. If so it is
    /// taken as sent.
    pub(super) fn takes_ping(&mut self, now: Moment, place: u64) -> bool {
        let (busy, idle) = PING_EVERY;
        let every = if place > self.pinged_place {
            busy
        } else {
            idle
        };
        let is_due = !self.awaits_pong && now >= self.pinged + every;
        if is_due {
            self.pinged = now;
            self.pinged_place = place;
            self.awaits_pong = true;
        }
        is_due
    }

    /// When audio that is sent is to be followed by a ping, if none is on its way.
    pub(super) fn next_ping(&self) -> Option<Moment> {
        (!self.awaits_pong).then(|| self.pinged + PING_EVERY.0)
    }

    /// A ping has come back: gives the place up to which the provider's end has taken everything.
    pub(super) fn pong(&mut self) -> Option<u64> {
        std::mem::take(&mut self.awaits_pong).then_some(self.pinged_place)
    }

    /// When the next ping is due at the latest, or the answer to the last one.
    pub(super) fn next_sign(&self) -> Moment {
        if self.awaits_pong {
            self.heard.max(self.pinged) + SILENCE
        } else {
            self.pinged + PING_EVERY.1
        }
    }

    /// When the response that is due is overdue, if what there is of it has been heard by then.
    pub(super) fn overdue_at(&self, heard_by: Moment) -> Option<Moment> {
        self.due_since.map(|since| since.max(heard_by) + OVERDUE)
    }

    /// Why it must be taken for dead, if it must.
    pub(super) fn is_dead(&self, now: Moment, heard_by: Moment) -> Option<ProviderError> {
        let problem = if self.awaits_pong && now >= self.next_sign() {
            format!("the provider has not been heard of for {SILENCE:?}")
        } else if self.overdue_at(heard_by).is_some_and(|at| now >= at) {
            format!("no sign of the response that is due for {OVERDUE:?}")
        } else {
            return None;
        };
        Some(ProviderError::new(ProviderErrorKind::Timeout, problem))
    }
}
