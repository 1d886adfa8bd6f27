//! What the user says: from the first sign of speech to its one final.

use std::time::Duration;

use super::{Entry, What, Words};
use crate::{
    call::io::{Moment, News},
    id::ItemId,
    provider::Role,
};

/// How many utterances of the user may be without a final.
const UTTERANCES: usize = 128;
/// An utterance that a lost connection broke off is taken for the first one that the next
/// connection hears, if that is not much later.
const HEARD_AGAIN: Duration = Duration::from_secs(45);

/// Something the user said, or is saying.
#[derive(Debug)]
pub(super) struct Utterance {
    pub(super) number: u64,
    pub(super) item_id: Option<ItemId>,
    pub(super) began: Moment,
    /// It may have been said since then.
    pub(super) since: Moment,
    pub(super) barge_in: bool,
    /// When the user finished, if they have and a final is due.
    pub(super) awaited: Option<Moment>,
    /// Its final came before the user was seen to finish.
    pub(super) said: bool,
    /// Its connection was lost at this moment; the next one hears it once more.
    pub(super) carried: Option<Moment>,
    /// Its final was due and did not come in time; only by its id is it known still.
    pub(super) given_up: bool,
}

impl Utterance {
    fn new(number: u64, item_id: Option<ItemId>, began: Moment) -> Self {
        Self {
            number,
            item_id,
            began,
            since: began,
            barge_in: false,
            awaited: None,
            said: false,
            carried: None,
            given_up: false,
        }
    }
}

impl Words {
    /// Gives the number of the utterance, which it had already if a connection was lost in it. It may
    /// have been said `since` then.
    pub(in crate::call) fn user_began(
        &mut self,
        (at, since): (Moment, Moment),
        item_id: Option<ItemId>,
        barge_in: bool,
    ) -> u64 {
        self.told.new_turn(Role::User);
        let too_late = |lost: Moment| at >= lost + HEARD_AGAIN;
        self.utterances
            .retain(|said| !said.carried.is_some_and(too_late));
        let carried = |said: &&mut Utterance| said.carried.is_some();
        if let Some(utterance) = self.utterances.iter_mut().find(carried) {
            utterance.carried = None;
            utterance.item_id = item_id;
            utterance.barge_in |= barge_in;
            utterance.since = utterance.since.min(since);
            return utterance.number;
        }
        self.serial += 1;
        let number = self.serial;
        self.keep(Utterance {
            since,
            barge_in,
            ..Utterance::new(number, item_id, at)
        });
        number
    }

    fn keep(&mut self, utterance: Utterance) {
        self.utterances.push_back(utterance);
        if self.utterances.len() > UTTERANCES {
            self.utterances.pop_front();
        }
    }

    /// The user has finished: a final for this utterance is due.
    pub(in crate::call) fn user_finished(&mut self, at: Moment, item_id: Option<ItemId>) {
        if self.told.is_settled(Role::User, item_id.as_ref()) {
            return;
        }
        match self.utterance(item_id.as_ref()) {
            Some(place) if self.utterances[place].said => {
                self.utterances.remove(place);
            }
            Some(place) => {
                let utterance = &mut self.utterances[place];
                utterance.awaited = Some(at);
                utterance.item_id = item_id.or(utterance.item_id.take());
            }
            None => self.keep(Utterance {
                awaited: Some(at),
                ..Utterance::new(0, item_id, at)
            }),
        }
    }

    pub(in crate::call) fn user_partial(
        &mut self,
        at: Moment,
        item_id: Option<ItemId>,
        text: String,
    ) {
        if self.told.is_settled(Role::User, item_id.as_ref()) {
            return;
        }
        let finished = self
            .utterance(item_id.as_ref())
            .and_then(|place| self.utterances[place].awaited);
        let role = Role::User;
        let news = News::Partial {
            role,
            text,
            item_id,
        };
        self.tell_question(at, news, finished);
    }

    /// Gives the number of the utterance that is written down with this. If that is not known, it may
    /// have been said `since` then.
    pub(in crate::call) fn user_final(
        &mut self,
        (at, mut since): (Moment, Moment),
        item_id: Option<ItemId>,
        text: String,
    ) -> Option<u64> {
        if self.told.is_repeat(Role::User, item_id.as_ref(), &text) {
            return None;
        }
        let (mut began, mut barge_in, mut finished) = (at, false, None);
        let mut number = None;
        if let Some(place) = self.utterance(item_id.as_ref()) {
            let utterance = &mut self.utterances[place];
            number = Some(utterance.number);
            (began, barge_in, finished) = (utterance.began, utterance.barge_in, utterance.awaited);
            since = utterance.since;
            if utterance.awaited.is_some() || item_id.is_some() {
                self.utterances.remove(place);
            } else {
                utterance.said = true;
            }
        }
        if text.trim().is_empty() {
            self.withdraw_question(began, item_id, finished);
        } else {
            let (role, chain_depth) = (Role::User, 0);
            let news = News::Final {
                role,
                text,
                item_id,
                since,
                barge_in,
                chain_depth,
            };
            self.tell_question(began, news, finished);
        }
        number
    }

    /// Until when a final is waited for of something that the user has finished.
    pub(in crate::call) fn awaits_user_until(&self) -> Option<Moment> {
        let finished = self.utterances.iter().filter_map(|said| said.awaited);
        finished.max().map(|at| at + self.wait)
    }

    /// No final will come for this utterance. Gives its number.
    pub(in crate::call) fn user_failed(
        &mut self,
        at: Moment,
        item_id: Option<ItemId>,
    ) -> Option<u64> {
        let place = self.utterance(item_id.as_ref());
        let failed = place.and_then(|place| self.utterances.remove(place));
        let (began, finished) = failed
            .as_ref()
            .map_or((at, None), |said| (said.began, said.awaited));
        self.withdraw_question(began, item_id, finished);
        failed.map(|said| said.number)
    }

    fn withdraw_question(&mut self, at: Moment, item_id: Option<ItemId>, finished: Option<Moment>) {
        let role = Role::User;
        self.tell_question(at, News::Withdrawn { role, item_id }, finished);
    }

    /// The connection is gone: nothing more comes for what the AI was saying. What the user said
    /// and nobody has written down is `heard_again` by the next one, or lost.
    pub(in crate::call) fn disconnected(&mut self, at: Moment, heard_again: impl Fn(u64) -> bool) {
        self.answer_ended(at);
        self.utterances
            .retain(|said| !said.said && heard_again(said.number));
        for utterance in &mut self.utterances {
            utterance.item_id = None;
            utterance.awaited = None;
            utterance.given_up = false;
            utterance.carried = Some(at);
        }
    }

    /// The new connection hears again what the last one did not write down, and nobody says when that
    /// begins: the host has. `goes_on`: the last of it is still being said.
    pub(in crate::call) fn is_heard_again(
        &mut self,
        at: Moment,
        awaits_final: bool,
        goes_on: bool,
    ) {
        let last = self.utterances.len().saturating_sub(usize::from(goes_on));
        for (place, utterance) in self.utterances.iter_mut().enumerate() {
            let was_carried = utterance.carried.take().is_some();
            if was_carried && awaits_final && place < last {
                utterance.awaited = Some(at);
            }
        }
    }

    /// What was due by then is not waited for any more.
    pub(super) fn give_up_by(&mut self, then: Moment) {
        for said in &mut self.utterances {
            if said.awaited.is_some_and(|at| at <= then) {
                said.awaited = None;
                said.given_up = true;
            }
        }
    }

    /// What the user said goes before the answer that waits for it, after older answers, and never
    /// before what was told of the same utterance.
    fn tell_question(&mut self, at: Moment, news: News, finished: Option<Moment>) {
        let waits = |entry: &Entry| {
            let asked = finished.zip(entry.answers_since);
            asked.is_some_and(|(finished, since)| since >= finished)
        };
        let item = said_by_user(&news).cloned();
        let same = |entry: &Entry| match &entry.what {
            What::News(_, told) => item.is_some() && said_by_user(told) == item.as_ref(),
            What::AnswerFinal(_) => false,
        };
        let own = self.queue.iter().rposition(same).map_or(0, |last| last + 1);
        let place = self
            .queue
            .iter()
            .position(waits)
            .unwrap_or(self.queue.len());
        self.order += 1;
        self.queue.insert(
            place.max(own),
            Entry {
                what: What::News(at, news),
                order: self.order,
                answers_since: None,
            },
        );
        self.bound();
    }

    /// The utterance of that id; without an id, or when the utterance had none, the oldest.
    fn utterance(&self, item_id: Option<&ItemId>) -> Option<usize> {
        let by_id = item_id.and_then(|id| {
            self.utterances
                .iter()
                .position(|utterance| utterance.item_id.as_ref() == Some(id))
        });
        by_id.or_else(|| {
            self.utterances
                .iter()
                .position(|said| !said.given_up && (item_id.is_none() || said.item_id.is_none()))
        })
    }
}

/// The utterance of the user that these news tell of.
fn said_by_user(news: &News) -> Option<&Option<ItemId>> {
    match news {
        News::Partial {
            role: Role::User,
            item_id,
            ..
        }
        | News::Final {
            role: Role::User,
            item_id,
            ..
        }
        | News::Withdrawn {
            role: Role::User,
            item_id,
        } => Some(item_id),
        _ => None,
    }
}
