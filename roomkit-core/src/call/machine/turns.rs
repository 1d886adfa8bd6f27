//! Whose turn it is: the user's speech, the AI's responses, and interruptions.

use std::time::Duration;

use super::{
    AFTER_SPEECH, AskedFor, Call, OWES_AFTER_SPEECH, Response, STALE_RESPONSES, Said, Wanted,
    verdict::verdict,
};
use crate::{
    call::{
        io::{Moment, News},
        playout::Heard,
    },
    event::ResponsePhase,
    id::{ItemId, ResponseId},
    provider::{ProviderCommand, ProviderError, ResponseStatus, Usage},
    transport::ClientCommand,
};

impl Call {
    pub(super) fn user_began(&mut self, now: Moment, item_id: Option<ItemId>) {
        if self.user_speaking {
            return;
        }
        self.user_speaking = true;
        self.user_stopped = None;
        self.silence.sentence_begins(now);
        self.turn.forget();
        // What comes now may be the answer to this.
        self.stopped_until = None;
        self.has_asked_again = false;
        self.owes = None;
        self.chain_depth = 0;
        if let Some(response) = &mut self.response {
            response.spoken_over = true;
        }
        let mut barge_in = false;
        if self.settings.interruptions && !self.guards_greeting() {
            barge_in = self.is_audible(now);
            self.interrupt(now, true);
            self.gate_closed = true;
            self.more_to_come = false;
        }
        let heard = (now, self.said_since(now));
        let number = self.words.user_began(heard, item_id, barge_in);
        self.uplink.speech_began(now, number);
        self.words.tell(now, News::UserSpeaking(true));
    }

    /// Since when words of the user that are noticed now may have been said.
    pub(super) fn said_since(&self, now: Moment) -> Moment {
        self.uplink.noticed_late(now).map_or(now, |at| at.min(now))
    }

    pub(super) fn user_finished(&mut self, now: Moment, item_id: Option<ItemId>) {
        if !self.user_speaking {
            return;
        }
        self.user_speaking = false;
        self.user_stopped = Some(now);
        self.gate_closed = false;
        self.turn.user_finished(now);
        self.uplink.speech_ended(now);
        self.owes_answer_until(now + OWES_AFTER_SPEECH);
        if self
            .provider
            .as_ref()
            .is_some_and(|provider| provider.transcribes_user)
        {
            self.words.user_finished(now, item_id);
        }
        if let Wanted::NotBefore(_) = self.wanted {
            self.wanted = Wanted::NotBefore(now + AFTER_SPEECH);
        }
        self.words.tell(now, News::UserSpeaking(false));
    }

    pub(super) fn on_response_started(&mut self, now: Moment, id: Option<ResponseId>) {
        if self.response.is_some() {
            // The provider forgot to end the one before.
            self.on_response_ended(now, None, ResponseStatus::Completed, None);
        }
        self.takes_changes_tacitly();
        self.greeting_may_begin();
        self.gate_closed = false;
        self.user_stopped = None;
        self.awaits_response = false;
        self.more_to_come = false;
        self.refusals = 0;
        let is_stopped = self.is_stopped(now);
        self.stopped_until = None;
        let asked_for = match self.wanted {
            // It is not asked for again.
            Wanted::AskedUntil(_) if is_stopped => AskedFor::Nothing,
            wanted if wanted.is_asked() && self.has_results => AskedFor::Results,
            wanted if wanted.is_asked() => AskedFor::Words,
            _ => AskedFor::Nothing,
        };
        // What was given after the request is for the next response: it may not know it.
        self.has_results &= matches!(self.wanted, Wanted::AskedAndMore(_));
        self.wanted = self.wanted.one_done(now);
        self.words.answer_began();
        self.stats.responses += 1;
        self.response = Some(Response {
            id,
            interrupted: false,
            said: Said::Nothing,
            spoken_over: false,
            asked_for,
        });
        self.tell_response(now, ResponsePhase::Started, None);
        if is_stopped {
            self.interrupt(now, false);
        }
    }

    pub(super) fn on_response_ended(
        &mut self,
        now: Moment,
        id: Option<&ResponseId>,
        status: ResponseStatus,
        usage: Option<Box<Usage>>,
    ) {
        let ended = self.response.take_if(|response| {
            id.is_none() || response.id.is_none() || response.id.as_ref() == id
        });
        let Some(response) = ended else {
            // An end without a start: an interruption crossed it, or it could not even begin.
            if let ResponseStatus::Failed(error) = status {
                let lost =
                    (self.wanted.is_asked() && !self.is_stopped(now)).then_some(AskedFor::Nothing);
                self.wanted = self.wanted.one_done(now);
                self.stopped_until = None;
                self.awaits_response = false;
                self.on_failure(now, error, lost);
            }
            return;
        };
        self.words.answer_ended(now);
        self.owes = None;
        // What it was given meanwhile may be in it.
        self.awaits_response = false;
        if !response.interrupted {
            self.playout.push_end_of_response();
        }
        if status == ResponseStatus::Completed {
            self.has_asked_again = false;
            if !response.spoken_over {
                // The question is answered, whether or not it is ever written down.
                self.uplink.all_settled();
            }
        }
        let (phase, failure) = match status {
            _ if response.interrupted => (ResponsePhase::Interrupted, None),
            ResponseStatus::Completed => (ResponsePhase::Completed, None),
            ResponseStatus::Cancelled => (ResponsePhase::Interrupted, None),
            ResponseStatus::Incomplete(reason) => (ResponsePhase::Failed(reason), None),
            ResponseStatus::Failed(error) => {
                (ResponsePhase::Failed(error.code().to_owned()), Some(error))
            }
        };
        let has_failed = matches!(phase, ResponsePhase::Failed(_));
        self.tell_response(now, phase, usage);
        if let Some(error) = failure {
            let is_lost = response.said == Said::Nothing && !response.spoken_over;
            self.on_failure(now, error, is_lost.then_some(response.asked_for));
        }
        if has_failed && !response.spoken_over && self.wanted == Wanted::No {
            self.turn.passed();
        }
    }

    /// A response failed. If nothing of it is there that was `lost`, it is asked for once more, where
    /// that may help, and the client need not know.
    fn on_failure(&mut self, now: Moment, error: ProviderError, lost: Option<AskedFor>) {
        let may_ask = !self.user_speaking && !self.continues_by_itself() && !self.has_asked_again;
        let wait = verdict(error.kind()).ask_again_after.filter(|_| may_ask);
        let (Some(asked_for), Some(wait)) = (lost, wait) else {
            return self.on_error(now, error);
        };
        self.has_asked_again = true;
        self.has_results |= asked_for == AskedFor::Results;
        self.wanted = Wanted::NotBefore(now + wait);
        self.words.tell(now, News::Unnoticed(error));
    }

    /// Silences the AI at once (contract A3): first the queue, then the client, then the provider,
    /// and only then everybody who listens.
    pub(super) fn interrupt(&mut self, now: Moment, by_speech: bool) {
        let audible = self.is_audible(now);
        if !by_speech {
            self.stop_announced(now);
        }
        if !audible && self.response.is_none() {
            if !by_speech {
                self.stop_awaited(now);
            }
            if !self.playout.has_sent() {
                return;
            }
        }
        let heard_text = self.words.interrupt(now, &self.playout);
        self.record_cut(now);
        let cut = self.playout.clear(now);
        self.turn.forget();
        self.send_to_client(ClientCommand::Clear);
        // First, so that nothing is added any more to what is then cut: a vendor that closes an item
        // because of it may write down all that it had made.
        self.stop_response(by_speech);
        self.truncate(&cut);
        if audible {
            let heard = cut.first().map_or(Duration::ZERO, |part| part.played);
            self.stats.interruptions += 1;
            self.words.tell(now, News::BargeIn { heard, heard_text });
        }
    }

    /// What runs is not heard any more, and the provider need not go on with it.
    fn stop_response(&mut self, by_speech: bool) {
        let cancels = self
            .provider
            .as_ref()
            .is_some_and(|provider| provider.interrupts_itself);
        if let Some(response) = &mut self.response
            && !response.interrupted
        {
            response.interrupted = true;
            // What was stopped is not owed.
            self.owes = None;
            if let Some(id) = response.id.clone() {
                self.stale.push_back(id);
                if self.stale.len() > STALE_RESPONSES {
                    self.stale.pop_front();
                }
            }
            if !(by_speech && cancels) {
                self.send_to_provider(ProviderCommand::CancelResponse);
            }
        }
    }

    /// The model forgets what nobody heard of these.
    fn truncate(&mut self, cut: &[Heard]) {
        if !self
            .provider
            .as_ref()
            .is_some_and(|provider| provider.truncates)
        {
            return;
        }
        let known = |part: &&Heard| part.item.connection == self.connection.number;
        let items: Vec<Heard> = cut.iter().filter(known).cloned().collect();
        for part in items {
            if let Some(item_id) = part.item.item_id {
                let content_index = part.item.content_index;
                let heard = part.played;
                self.send_to_provider(ProviderCommand::Truncate {
                    item_id,
                    content_index,
                    heard,
                });
            }
        }
    }

    pub(super) fn is_audible(&self, now: Moment) -> bool {
        !self.playout.is_silent(now)
    }

    /// The provider would not begin the response that was asked for, because one runs that it began by
    /// itself, whether or not that was announced yet: it is asked again after it.
    pub(super) fn on_response_refused(&mut self, now: Moment) {
        if let Some(response) = &mut self.response {
            let asked_for = std::mem::take(&mut response.asked_for);
            if asked_for != AskedFor::Nothing {
                self.wanted = Wanted::NotBefore(now);
                self.has_results |= asked_for == AskedFor::Results;
            }
        } else if self.wanted.is_asked() {
            let until = now + AFTER_SPEECH;
            self.wanted = match self.wanted {
                Wanted::AskedUntil(_) if self.is_stopped(now) => Wanted::AskedUntil(until),
                _ => Wanted::AskedAndMore(until),
            };
        }
    }

    /// When the user's turn is over, if it is not: he has stopped, and who does not answer by then
    /// owes him nothing.
    pub(super) fn users_turn_until(&self) -> Option<Moment> {
        if self.user_speaking {
            return self.user_speaks().then_some(Moment::MAX);
        }
        self.user_stopped.map(|at| at + OWES_AFTER_SPEECH)
    }

    /// The model was told something that it ought to answer.
    pub(super) fn owes_answer_until(&mut self, until: Moment) {
        self.owes = Some(until);
    }
}
