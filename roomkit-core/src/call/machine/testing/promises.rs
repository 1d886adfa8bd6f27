//! Watches everything that comes out of a call for what a call must never do.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::RATE;
use crate::{
    audio,
    call::{
        io::{Action, Moment, News},
        playout::Pace,
    },
    event::{HandOverPhase, ResponsePhase},
    id::{CallId, ItemId},
    provider::{ProviderCommand, Role},
    transport::ClientCommand,
};

/// Watches one call. What is broken is collected, each with the number of the contract.
#[derive(Debug)]
pub(in crate::call::machine) struct Promises {
    pub(in crate::call::machine) broken: Vec<String>,
    balance: Balance,
    calls: Calls,
    /// Something besides results was to be answered, and may be asked for again.
    asked: bool,
    finals: HashSet<(Role, ItemId)>,
    /// None once it is not known.
    pacing: Option<Pacing>,
    /// The mark of the oldest audio that may still be sent (contract A3).
    fresh_from: i16,
    has_ended: bool,
}

impl Promises {
    pub(in crate::call::machine) fn new(pace: Pace) -> Self {
        Self {
            broken: Vec::new(),
            balance: Balance::default(),
            calls: Calls::default(),
            asked: false,
            finals: HashSet::new(),
            pacing: Some(Pacing::new(pace)),
            fresh_from: 0,
            has_ended: false,
        }
    }

    /// The call has another provider connection.
    pub(super) fn connected(&mut self) {
        self.calls.results.clear();
        self.calls.owed.clear();
        self.calls.known.clear();
    }

    /// The provider makes a call on the present connection.
    pub(super) fn called(&mut self, call_id: &CallId, arguments: &str) {
        if self.calls.known.insert(call_id.clone()) {
            self.calls.owed.insert(call_id.clone());
            // What was told of an earlier call of this id is no answer to this one.
            self.calls.results.remove(call_id);
            let (made, asked) = self.calls.made.entry(call_id.clone()).or_default();
            if *made == 0 || asked != arguments {
                *made += 1;
                arguments.clone_into(asked);
            }
        }
    }

    /// The provider takes a call back.
    pub(super) fn taken_back(&mut self, call_id: &CallId) {
        self.calls.owed.remove(call_id);
    }

    /// Something may be owed an answer whatever tools do: words, images, or what another connection was
    /// given.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    /// A tool is not running any more.
    pub(super) fn finished(&mut self, call_id: &CallId) {
        self.calls.running.remove(call_id);
    }

    /// How many tools run.
    pub(super) fn running(&self) -> usize {
        self.calls.running.len()
    }

    /// The voice is cut off on purpose, so audio from before this mark must not be heard any more.
    pub(super) fn cut_off(&mut self, next_mark: i16) {
        self.fresh_from = next_mark;
    }

    /// Audio is paced that does not come out: from here on it cannot be seen whether the rest is right.
    pub(super) fn muted(&mut self) {
        self.pacing = None;
    }

    /// The next thing that came out.
    pub(super) fn see(&mut self, at: Moment, action: &Action) {
        if self.has_ended {
            self.broken.push(format!("S3: {action:?} after the end"));
        }
        match action {
            Action::Publish(publication) => {
                self.broken.extend(self.balance.see(&publication.what));
                self.broken.extend(self.calls.told(&publication.what));
                self.see_words(&publication.what);
            }
            Action::StartTool(request) => {
                self.broken.extend(self.calls.started(&request.call_id));
            }
            Action::CancelTool { call_id, .. } => self.finished(call_id),
            Action::ToProvider(ProviderCommand::ToolResult { call_id, .. }) => {
                self.broken.extend(self.calls.answered(call_id));
            }
            Action::ToProvider(ProviderCommand::Respond) => {
                let early = self.calls.asked_too_early();
                self.broken.extend(early.filter(|_| !self.asked));
            }
            Action::ToClient(ClientCommand::Audio(pcm)) => {
                if let Some(pacing) = &mut self.pacing {
                    self.broken.extend(pacing.sent(at, pcm.len()));
                }
            }
            Action::ToClient(ClientCommand::Clear) => {
                if let Some(pacing) = &mut self.pacing {
                    pacing.cleared(at);
                }
            }
            Action::End(_) => self.has_ended = true,
            _ => {}
        }
    }

    /// Audio that was marked goes to the client.
    pub(super) fn see_mark(&mut self, mark: i16) {
        if mark < self.fresh_from {
            self.broken.push(format!(
                "A3: audio {mark} after a clear at {}",
                self.fresh_from
            ));
        }
    }

    /// T3: one final for each utterance, and no partial after it.
    fn see_words(&mut self, news: &News) {
        let (is_final, role, item_id) = match news {
            News::Final {
                role,
                item_id: Some(id),
                ..
            } => (true, *role, id.clone()),
            News::Partial {
                role,
                item_id: Some(id),
                ..
            } => (false, *role, id.clone()),
            _ => return,
        };
        let this = (role, item_id);
        if self.finals.contains(&this) {
            self.broken
                .push(format!("T3: more words after the final of {this:?}"));
        } else if is_final {
            self.finals.insert(this);
        }
    }

    /// All has been quiet for a while, on a connection that works.
    pub(super) fn at_rest(&mut self) {
        if self.has_ended {
            return;
        }
        let owed = self.calls.owed.iter();
        let broken = owed.map(|call_id| format!("K2: {call_id:?} has no answer"));
        self.broken.extend(broken);
    }

    /// The call was ended.
    pub(in crate::call::machine) fn at_end(&mut self) {
        if !self.has_ended {
            self.broken.push("S3: it has no end".into());
        }
        self.broken.extend(self.balance.left_open());
        let open = self.calls.open.iter().filter(|(_, open)| **open != 0);
        let broken = open.map(|(call_id, _)| format!("K2: {call_id:?} was never closed"));
        self.broken.extend(broken);
    }
}

/// T6: starts and ends alternate.
#[derive(Debug, Default)]
pub(in crate::call::machine) struct Balance(HashMap<&'static str, bool>);

impl Balance {
    /// The next news; gives what is broken.
    pub(in crate::call::machine) fn see(&mut self, news: &News) -> Option<String> {
        let (what, begins) = match news {
            News::UserSpeaking(on) => ("the user's speech", *on),
            News::AssistantSpeaking(on) => ("the AI's speech", *on),
            News::Response { phase, .. } => ("a response", *phase == ResponsePhase::Started),
            News::HandOver(phase) => (
                "a hand-over",
                matches!(phase, HandOverPhase::Started { .. }),
            ),
            _ => return None,
        };
        let was_open = self.0.insert(what, begins).unwrap_or(false);
        (was_open == begins).then(|| format!("T6: {what} begins or ends twice"))
    }

    /// What has begun and not ended.
    pub(in crate::call::machine) fn left_open(&self) -> impl Iterator<Item = String> {
        let open = self.0.iter().filter(|(_, open)| **open);
        open.map(|(what, _)| format!("T6: {what} has no end"))
    }
}

/// K1, K2, K7: no call runs twice, none is answered twice, each is closed once, and the model is asked
/// to go on after the last.
#[derive(Debug, Default)]
struct Calls {
    /// How often each was made, and with which arguments last; the same id with others on another
    /// connection is another call.
    made: HashMap<CallId, (u32, String)>,
    started: HashMap<CallId, u32>,
    running: HashSet<CallId>,
    /// Told as made, less those told as closed.
    open: HashMap<CallId, i32>,
    /// Made on the present connection.
    known: HashSet<CallId>,
    /// Of these, those that have no answer.
    owed: HashSet<CallId>,
    /// Answered on the present connection.
    results: HashSet<CallId>,
}

impl Calls {
    fn told(&mut self, news: &News) -> Option<String> {
        let (call_id, change) = match news {
            News::ToolCall(request) => (&request.call_id, 1),
            News::ToolDone { call_id, .. } | News::ToolCancelled { call_id, .. } => (call_id, -1),
            _ => return None,
        };
        let open = self.open.entry(call_id.clone()).or_default();
        *open += change;
        let is_right = (0..=1).contains(open);
        (!is_right).then(|| format!("K2: {call_id:?} is made or closed twice"))
    }

    fn started(&mut self, call_id: &CallId) -> Option<String> {
        let started = self.started.entry(call_id.clone()).or_default();
        *started += 1;
        let is_new = self.running.insert(call_id.clone());
        let made = self.made.get(call_id).map_or(0, |(made, _)| *made);
        let is_right = is_new && *started <= made;
        (!is_right).then(|| format!("K1: {call_id:?} runs more than once"))
    }

    fn asked_too_early(&self) -> Option<String> {
        let owed = self.owed.iter().next();
        owed.map(|call_id| format!("K7: an answer is asked for while {call_id:?} has none"))
    }

    fn answered(&mut self, call_id: &CallId) -> Option<String> {
        self.owed.remove(call_id);
        let is_new = self.results.insert(call_id.clone());
        (!is_new).then(|| format!("K2: {call_id:?} is answered twice on one connection"))
    }
}

/// A5: between two clears never more than the lead is ahead of real time.
#[derive(Debug)]
struct Pacing {
    pace: Pace,
    play_end: Duration,
    has_sent: bool,
}

impl Pacing {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            play_end: Duration::ZERO,
            has_sent: false,
        }
    }

    fn sent(&mut self, at: Moment, bytes: usize) -> Option<String> {
        let Pace {
            lead,
            jitter_buffer,
        } = self.pace;
        let goes_on = self.has_sent && at <= self.play_end + jitter_buffer;
        let begins = if goes_on {
            self.play_end
        } else {
            self.play_end.max(at)
        };
        self.play_end = begins + audio::duration_of(bytes, RATE);
        self.has_sent = true;
        let is_right = self.play_end <= at + lead;
        (!is_right).then(|| format!("A5: {:?} ahead", self.play_end.saturating_sub(at)))
    }

    fn cleared(&mut self, at: Moment) {
        self.play_end = at;
        self.has_sent = false;
    }
}
