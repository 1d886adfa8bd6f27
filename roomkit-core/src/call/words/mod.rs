//! The order of everything that is told (contracts T1–T4).
//!
//! News go out in wire order with two waits. The words of an answer wait, for a bounded time, for
//! the transcript of the question, which vendors often deliver late. And an answer's final text
//! waits until it has been heard, because only then is it known whether it was interrupted. What
//! stands behind a waiting entry waits too, so that order is never lost.

mod answer;
mod memory;
mod question;

use std::{collections::VecDeque, time::Duration};

use answer::{Answer, Stage};
use memory::Memory;
use question::Utterance;

use super::{
    io::{Moment, News, Publication},
    playout::Playout,
};
use crate::{id::ItemId, provider::Role};

/// How much may wait to be told. A vendor that says more meanwhile is not waited for.
const WAITING: usize = 1024;
/// How many answers may be without a final; more than one response has parts.
const ANSWERS: usize = 128;
/// How much is kept of what an answer says, in bytes, but for the piece that exceeds it: some hours of
/// speech.
const ANSWER: usize = 256 * 1024;

/// Orders what is published and settles each utterance once.
#[derive(Debug)]
pub(super) struct Words {
    wait: Duration,
    queue: VecDeque<Entry>,
    utterances: VecDeque<Utterance>,
    answers: VecDeque<Answer>,
    /// The number of the provider connection whose items come now.
    connection: u32,
    /// How many responses there have been: the number of the present one.
    responses: u64,
    /// Whether it still comes.
    runs: bool,
    /// The one that was interrupted while it came.
    interrupted: Option<u64>,
    serial: u64,
    order: u64,
    told: Memory,
}

#[derive(Debug)]
struct Entry {
    what: What,
    /// When it came, among everything else that did.
    order: u64,
    /// Part of an answer that came at this moment: waits for the transcripts of what was asked
    /// before.
    answers_since: Option<Moment>,
}

#[derive(Debug)]
enum What {
    News(Moment, News),
    /// The final of the answer with this serial number.
    AnswerFinal(u64),
}

impl Words {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            wait,
            queue: VecDeque::new(),
            utterances: VecDeque::new(),
            answers: VecDeque::new(),
            connection: 0,
            responses: 0,
            runs: false,
            interrupted: None,
            serial: 0,
            order: 0,
            told: Memory::default(),
        }
    }

    /// News with no wait of their own.
    pub(super) fn tell(&mut self, at: Moment, news: News) {
        self.push(What::News(at, news), None);
    }

    /// News that belong to an answer: they do not overtake the question.
    pub(super) fn tell_answer(&mut self, at: Moment, news: News) {
        let since = self.answers_since(at);
        self.push(What::News(at, news), since);
    }

    /// What comes from now on is of this provider connection. Ids of items are those of a connection:
    /// another one may begin to count anew, while what the one before it said is still heard.
    pub(super) fn connected(&mut self, connection: u32) {
        self.connection = connection;
        self.told.new_connection();
    }

    // ----- what the AI says

    pub(super) fn answer_began(&mut self) {
        self.responses += 1;
        self.runs = true;
        self.told.new_turn(Role::Assistant);
    }

    /// The number of the response whose words and audio come now.
    pub(super) fn response(&self) -> u64 {
        self.responses
    }

    /// Audio of this item came, whether or not it is played.
    pub(super) fn answer_audio(
        &mut self,
        at: Moment,
        item_id: Option<&ItemId>,
        length: Duration,
        chain_depth: u32,
    ) {
        if let Some(answer) = self.answer(at, item_id, chain_depth) {
            answer.audio += length;
        }
    }

    /// So much of it found no room, and is not heard.
    pub(super) fn answer_lost(&mut self, at: Moment, item_id: Option<&ItemId>, length: Duration) {
        if let Some(answer) = self.answer(at, item_id, 0) {
            answer.lost += length;
        }
    }

    /// Gives whether it is kept: it is not if the answer is too long for that.
    #[must_use]
    pub(super) fn answer_partial(
        &mut self,
        at: Moment,
        item_id: Option<ItemId>,
        text: String,
        chain_depth: u32,
    ) -> bool {
        let Some(answer) = self.answer(at, item_id.as_ref(), chain_depth) else {
            return true;
        };
        if answer.stage != Stage::Open {
            return true;
        }
        let is_kept = answer.text.len() < ANSWER;
        if is_kept {
            answer.text.push_str(&text);
        }
        // What comes after an interruption was not heard, so it is not shown either.
        if answer.cut.is_none() {
            answer.has_partials = true;
            self.tell_answer(
                at,
                News::Partial {
                    role: Role::Assistant,
                    text,
                    item_id,
                },
            );
        }
        is_kept
    }

    pub(super) fn answer_final(
        &mut self,
        at: Moment,
        item_id: Option<&ItemId>,
        text: String,
        chain_depth: u32,
    ) {
        if item_id.is_none() && self.told.is_repeat(Role::Assistant, None, &text) {
            return;
        }
        let Some(answer) = self.answer(at, item_id, chain_depth) else {
            return;
        };
        if answer.stage == Stage::Open {
            answer.text = text;
            answer.stage = Stage::Queued;
            let serial = answer.serial;
            let since = self.answers_since(at);
            self.push(What::AnswerFinal(serial), since);
        }
    }

    /// The response is over: whatever it said without a final gets one now.
    pub(super) fn answer_ended(&mut self, at: Moment) {
        self.runs = false;
        let since = self.answers_since(at);
        for place in 0..self.answers.len() {
            if self.answers[place].stage == Stage::Open {
                self.answers[place].stage = Stage::Queued;
                let serial = self.answers[place].serial;
                self.push(What::AnswerFinal(serial), since);
            }
        }
    }

    /// Everything that is being said, or waits to be heard, stops here, and what is yet to come of a
    /// response that runs is not heard at all. To be called before the playout is cleared. Gives the
    /// words heard of the item that was playing.
    pub(super) fn interrupt(&mut self, now: Moment, playout: &Playout) -> String {
        self.interrupted = self.runs.then_some(self.responses);
        let mut heard_text = String::new();
        for answer in &mut self.answers {
            if matches!(answer.stage, Stage::Open | Stage::Queued) && answer.cut.is_none() {
                let heard = playout.heard_of(now, answer.said());
                if answer.stage == Stage::Open || heard < answer.audio {
                    answer.cut = Some(heard);
                    // Of others, which wait behind it, nothing was heard.
                    if !heard.is_zero() {
                        heard_text = answer.settled_text();
                    }
                } else {
                    answer.stage = Stage::Released;
                }
            }
        }
        heard_text
    }

    /// Nothing is being said, and nothing said waits to be told.
    pub(super) fn is_settled_whole(&self) -> bool {
        self.answers.is_empty()
    }

    /// Finals that wait to be heard no longer do: something that follows them must not wait.
    pub(super) fn release(&mut self) {
        for answer in &mut self.answers {
            if answer.stage == Stage::Queued {
                answer.stage = Stage::Released;
            }
        }
    }

    /// The place of the last thing that came.
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// What has come and is not told yet, as it would be told now.
    pub(super) fn untold(&self) -> impl Iterator<Item = (u64, News)> + '_ {
        self.queue.iter().filter_map(|entry| match &entry.what {
            What::News(_, news) => Some((entry.order, news.clone())),
            What::AnswerFinal(serial) => {
                let answer = self.answers.iter().find(|a| a.serial == *serial)?;
                let (role, text) = (Role::Assistant, answer.settled_text());
                let said = News::Final {
                    role,
                    text,
                    item_id: None,
                    since: answer.began,
                    barge_in: answer.heard().is_some(),
                    chain_depth: answer.chain_depth,
                };
                Some((entry.order, said))
            }
        })
    }

    /// No more waits, and no more is kept, than may.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn is_bounded(&self) -> bool {
        self.queue.len() <= WAITING + ANSWERS
            && self.answers.len() <= ANSWERS
            && self
                .answers
                .iter()
                .all(|answer| answer.text.len() < ANSWER * 2)
    }

    /// Gives up every wait; the call ends.
    pub(super) fn give_up_waiting(&mut self) {
        self.release();
        self.utterances.clear();
    }

    /// The next thing to be told; to be called until it gives nothing.
    pub(super) fn poll(&mut self, now: Moment, playout: &Playout) -> Option<Publication> {
        loop {
            let since = self.queue.front()?.answers_since;
            if let Some(since) = since {
                if self.is_awaiting(since) && now < since + self.wait {
                    return None;
                }
                // What is not there by now is not waited for by anything else either.
                self.give_up_by(since);
            }
            let front = self.queue.front_mut()?;
            front.answers_since = None;
            if let What::AnswerFinal(serial) = front.what {
                let place = self
                    .answers
                    .iter()
                    .position(|answer| answer.serial == serial);
                let Some(place) = place else {
                    self.queue.pop_front();
                    continue;
                };
                let answer = &self.answers[place];
                let waits = answer.stage == Stage::Queued
                    && answer.cut.is_none()
                    && !playout.has_played(now, answer.said());
                if waits {
                    return None;
                }
                let order = front.order;
                self.queue.pop_front();
                if let Some((at, what)) = self.settled(place) {
                    return Some(Publication { at, order, what });
                }
            } else if let Some(Entry {
                what: What::News(at, what),
                order,
                ..
            }) = self.queue.pop_front()
            {
                return Some(Publication { at, order, what });
            }
        }
    }

    /// The next thing to be told waits until an answer has been heard.
    pub(super) fn waits_to_be_heard(&self) -> bool {
        let front = self.queue.front();
        front.is_some_and(|entry| matches!(entry.what, What::AnswerFinal(_)))
    }

    /// When what is waited for is over: the time for a question's transcript, or an answer that is
    /// being heard.
    pub(super) fn next_wake(&self, now: Moment, playout: &Playout) -> Option<Moment> {
        let front = self.queue.front()?;
        if let Some(since) = front.answers_since {
            return Some(since + self.wait);
        }
        let What::AnswerFinal(serial) = front.what else {
            return None;
        };
        let answer = self.answers.iter().find(|it| it.serial == serial)?;
        Some(playout.heard_at(now, answer.said()))
    }

    /// The answer at this place is to be told, and is forgotten.
    fn settled(&mut self, place: usize) -> Option<(Moment, News)> {
        let answer = self.answers.remove(place)?;
        if let Some(item_id) = &answer.item_id
            && answer.connection == self.connection
        {
            self.told.remember(Role::Assistant, item_id.clone());
        }
        answer.settled()
    }

    /// The oldest answer is not waited for any more, whether it is complete or heard.
    fn settle_oldest(&mut self) {
        let Some(serial) = self.answers.front().map(|oldest| oldest.serial) else {
            return;
        };
        let what = self.settled(0).map(|(at, said)| What::News(at, said));
        let is_its =
            |entry: &&mut Entry| matches!(entry.what, What::AnswerFinal(it) if it == serial);
        match (self.queue.iter_mut().find(is_its), what) {
            (Some(entry), Some(what)) => entry.what = what,
            (None, Some(what)) => self.push(what, None),
            // Of an answer that is forgotten nothing is told.
            (_, None) => {}
        }
    }

    fn push(&mut self, what: What, answers_since: Option<Moment>) {
        self.order += 1;
        self.queue.push_back(Entry {
            what,
            order: self.order,
            answers_since,
        });
        self.bound();
    }

    /// Too much waits to be told: it does not wait any more.
    fn bound(&mut self) {
        if self.queue.len() > WAITING {
            self.release();
            self.give_up_by(Moment::MAX);
        }
    }

    fn answers_since(&self, at: Moment) -> Option<Moment> {
        self.is_awaiting(at).then_some(at)
    }

    /// A final is due for something the user had finished by `then`.
    fn is_awaiting(&self, then: Moment) -> bool {
        let by_then = |at: Moment| at <= then;
        self.utterances
            .iter()
            .any(|said| said.awaited.is_some_and(by_then))
    }

    fn answer(
        &mut self,
        at: Moment,
        item_id: Option<&ItemId>,
        chain_depth: u32,
    ) -> Option<&mut Answer> {
        // Each piece of audio asks for its answer, and one that is being said is not settled.
        let known = self.answers.iter().position(|answer| {
            answer.connection == self.connection
                && answer.item_id.as_ref() == item_id
                && (item_id.is_some() || answer.stage == Stage::Open)
        });
        if let Some(place) = known {
            return self.answers.get_mut(place);
        }
        if self.told.is_settled(Role::Assistant, item_id) {
            return None;
        }
        if self.answers.len() == ANSWERS {
            self.settle_oldest();
        }
        self.serial += 1;
        let is_cut = self.interrupted == Some(self.responses);
        self.answers.push_back(Answer {
            serial: self.serial,
            connection: self.connection,
            response: self.responses,
            item_id: item_id.cloned(),
            began: at,
            text: String::new(),
            has_partials: false,
            audio: Duration::ZERO,
            lost: Duration::ZERO,
            chain_depth,
            stage: Stage::Open,
            cut: is_cut.then_some(Duration::ZERO),
        });
        self.answers.back_mut()
    }
}
