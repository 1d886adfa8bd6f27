//! The user's voice on its way to the provider: held while there is no connection, caught up at a
//! pace the provider takes, and kept until it is certain that the provider has understood it
//! (contracts S4, H1, H2).
//!
//! This is the one place where inbound audio waits. What a lost connection may have swallowed is
//! kept as well: the utterance that is being spoken or was not settled yet, and whatever went out
//! since the provider's end last gave a sign of life. A new connection hears that again, from the
//! beginning of the sentence, and then what came in the meantime.

mod lane;
mod sent;
mod times;

use std::{collections::VecDeque, time::Duration};

use lane::Lane;
pub(super) use lane::Piece;
use sent::Sent;
use times::Times;

use super::io::Moment;
use crate::{audio, provider::ProviderCapabilities};

/// Audio from before the first connection: at most this many bytes, then the newest is dropped
/// (contract S4).
const EARLY_BYTES: usize = 1 << 20;
/// How many utterances may be known that the model has not understood for certain.
const MAX_UTTERANCES: usize = 128;
/// The end of speech is noticed only after some silence, and in its last part somebody may have
/// begun to speak again.
const TAIL: Duration = Duration::from_millis(200);
/// The way to the provider and back, about.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// So long after audio was sent faster than it was spoken, the provider may still be busy with it.
const HURRY: Duration = Duration::from_secs(1);
/// So often the provider's end confirms what it has taken, where it does, while audio goes.
pub(super) const CONFIRMED_EVERY: Duration = Duration::from_millis(500);
/// Without signs of life from the provider's end, audio of this age is taken as received.
const UNSEEN: Duration = Duration::from_secs(2);
/// A client's network may deliver this much audio at once; that is no reason to slow it down.
const BURST: Duration = Duration::from_millis(200);

/// Audio and the marks of manual turns, in the order they were spoken.
#[derive(Debug)]
pub(super) struct Uplink {
    rate: u32,
    /// How many bytes may wait, or be kept, once the call has begun.
    hold: usize,
    /// [`UNSEEN`] in bytes.
    unseen: u64,
    /// Speech is noticed some time after it began: so much audio before that belongs to it.
    lag: Duration,
    lag_bytes: u64,
    line: Line,
    /// Not sent yet.
    waiting: Lane,
    /// All of that was said since then.
    waits_since: Moment,
    /// Some of that is from before the first connection.
    holds_early: bool,
    /// Sent to the present connection, and not certain to have been understood.
    kept: Sent,
    times: Times,
    /// All positions are counted in bytes of audio sent to the present connection.
    sent: u64,
    /// Pieces that were kept for too long and would be missing on another connection.
    missing: usize,
    /// The provider's end has taken everything before this.
    received: Option<u64>,
    /// What the user says, from the first utterance on that is not settled.
    utterances: VecDeque<Spoken>,
    /// Everything before this is settled: it is in the conversation.
    settled: u64,
    /// How many times faster than real time audio may go.
    speed: u32,
    /// When the audio that was sent would have been taken at that speed.
    taken_at: Moment,
    /// Until then audio was sent faster than it was spoken.
    hurried: Option<Moment>,
}

/// An utterance, by the places where its audio begins and ends.
#[derive(Debug)]
struct Spoken {
    number: u64,
    from: u64,
    to: Option<u64>,
    /// Where an earlier connection noticed its end, which it did not miss by as much as one does that is
    /// sent audio faster than real time.
    ended: Option<u64>,
    settled: bool,
    /// An earlier connection heard it, and this one has not noticed it yet.
    carried: bool,
}

impl Spoken {
    /// It goes on to this place at least.
    fn covers(&self, place: u64) -> bool {
        self.to.is_none_or(|to| place <= to)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// There has been no connection yet.
    Early,
    Open,
    /// There is none, or none that is to be used.
    Down,
}

/// What became of audio that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Whole,
    /// It was not taken: too much was waiting.
    DroppedNewest,
    /// This many pieces that had waited for too long were dropped for it.
    DroppedOldest(usize),
}

impl Uplink {
    /// For audio at `rate` Hz, of which `hold` may wait.
    pub(super) fn new(rate: u32, hold: Duration) -> Self {
        Self {
            rate,
            hold: audio::bytes_for(hold, rate),
            unseen: audio::bytes_for(UNSEEN, rate) as u64,
            lag: Duration::ZERO,
            lag_bytes: 0,
            line: Line::Early,
            waiting: Lane::default(),
            waits_since: Moment::ZERO,
            holds_early: false,
            kept: Sent::default(),
            times: Times::default(),
            sent: 0,
            missing: 0,
            received: None,
            utterances: VecDeque::new(),
            settled: 0,
            speed: 1,
            taken_at: Moment::ZERO,
            hurried: None,
        }
    }

    /// Audio that was said from then on, or a mark of a manual turn. [`poll`](Self::poll) says what may
    /// be sent.
    pub(super) fn push(&mut self, said: Moment, piece: Piece) -> Kept {
        if self.line == Line::Early && self.waiting.bytes + piece.bytes() > EARLY_BYTES {
            return Kept::DroppedNewest;
        }
        self.waits_since(said);
        self.waiting.push_back(piece);
        if self.line == Line::Early {
            return Kept::Whole;
        }
        match self.waiting.shrink_to(self.may_wait()) {
            0 => Kept::Whole,
            dropped => Kept::DroppedOldest(dropped),
        }
    }

    /// Something that is to wait was said from then on.
    fn waits_since(&mut self, said: Moment) {
        self.waits_since = if self.waiting.is_empty() {
            said
        } else {
            self.waits_since.min(said)
        };
    }

    /// The next thing to be sent at `now`; to be called until it gives nothing.
    pub(super) fn poll(&mut self, now: Moment) -> Option<Piece> {
        if self.next_wake()? > now {
            return None;
        }
        let piece = self.waiting.pop_front()?;
        let bytes = piece.bytes();
        let length = audio::duration_of(bytes, self.rate);
        self.taken_at = self.taken_at.max(now) + length / self.speed;
        if self.waiting.is_empty() {
            self.holds_early = false;
        } else {
            self.hurried = Some(now);
        }
        let is_another_time = self.times.note(self.sent, self.waits_since, now);
        self.sent += bytes as u64;
        self.kept.push(&piece);
        self.forget();
        if is_another_time {
            let asked_about = now.saturating_sub(self.lag + HURRY);
            self.times.forget(self.kept_from(), asked_about);
        }
        Some(piece)
    }

    /// How many bytes may wait.
    pub(super) fn may_wait(&self) -> usize {
        let early = if self.holds_early { EARLY_BYTES } else { 0 };
        self.hold + early
    }

    /// When the next piece may go.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let ahead = BURST / self.speed;
        (self.line == Line::Open && !self.waiting.is_empty())
            .then(|| self.taken_at.saturating_sub(ahead))
    }

    /// Nothing waits.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How much audio waits.
    pub(super) fn held(&self) -> Duration {
        audio::duration_of(self.waiting.bytes, self.rate)
    }

    // ----- the connection

    /// From here on audio waits. What was sent stays known, for the connection may yet be used.
    pub(super) fn shut(&mut self) {
        self.line = Line::Down;
    }

    /// The connection that was shut is used again.
    pub(super) fn reopen(&mut self) {
        self.line = Line::Open;
    }

    /// Something is kept that the model has not understood for certain, and it is speech: a new
    /// connection will hear it and answer by itself.
    pub(super) fn holds_speech(&self) -> bool {
        !self.utterances.is_empty()
    }

    /// The utterance of this number is among it.
    pub(super) fn holds(&self, number: u64) -> bool {
        let mut held = self.utterances.iter().filter(|said| !said.settled);
        held.any(|said| said.number == number)
    }

    /// A new connection that can do this much knows nothing: what was kept goes first, without marks
    /// of turns where it takes none. Gives how many pieces were too old to be heard again.
    pub(super) fn open(&mut self, now: Moment, provider: &ProviderCapabilities) -> usize {
        self.rewind();
        if !provider.manual_turns {
            self.waiting.forget_marks();
        }
        let dropped = match self.line {
            Line::Early => {
                self.holds_early = !self.waiting.is_empty();
                0
            }
            Line::Open | Line::Down => self.waiting.shrink_to(self.may_wait()) + self.missing,
        };
        self.line = Line::Open;
        self.speed = provider.catch_up.max(2);
        self.lag = provider.speech_lag;
        self.lag_bytes = audio::bytes_for(self.lag, self.rate) as u64;
        let unseen = if provider.pings {
            CONFIRMED_EVERY + ROUND_TRIP
        } else {
            UNSEEN
        };
        let usual = audio::bytes_for(self.lag + unseen, self.rate);
        self.kept.expect(usual.min(self.hold));
        self.taken_at = now;
        (self.received, self.missing) = (provider.pings.then_some(0), 0);
        self.hurried = None;
        dropped
    }

    /// What was kept waits again, except for utterances that are settled though one before them is
    /// not. Places are counted from there.
    fn rewind(&mut self) {
        let mut old = self.kept_from();
        let said = std::mem::take(&mut self.times).since_place(old);
        let mut new = 0;
        let mut places = vec![(old, new)];
        let mut again = VecDeque::new();
        for piece in std::mem::take(&mut self.kept).into_pieces() {
            let length = piece.bytes() as u64;
            let end = old + length;
            let is_settled = |said: &Spoken| said.settled && said.from <= old && said.covers(end);
            if length == 0 || !self.utterances.iter().any(is_settled) {
                again.push_back(piece);
                new += length;
            }
            old = end;
            places.push((old, new));
        }
        if let Some(said) = said.filter(|_| !again.is_empty()) {
            self.waits_since(said);
        }
        while let Some(piece) = again.pop_back() {
            self.waiting.push_front(piece);
        }
        let moved = |place: u64| {
            let at = places.partition_point(|(old, _)| *old < place);
            places.get(at).map_or(new, |(_, new)| *new)
        };
        self.utterances.retain(|said| !said.settled);
        for said in &mut self.utterances {
            said.from = moved(said.from);
            said.to = said.to.map(moved);
            said.ended = said.to.or(said.ended.map(moved));
            said.carried = true;
        }
        (self.sent, self.settled) = (0, 0);
    }

    // ----- what the provider has understood

    /// Where what is kept begins.
    fn kept_from(&self) -> u64 {
        self.sent.saturating_sub(self.kept.bytes() as u64)
    }

    /// Since when words that the provider notices now may have been said, if what it was sent lately had
    /// waited: for a connection, or to be sent no faster than it takes.
    pub(super) fn noticed_late(&self, now: Moment) -> Option<Moment> {
        let busy = self.lag + HURRY;
        let hurries = self.hurried.is_some_and(|until| now < until + busy);
        let ago = if hurries { busy } else { self.lag };
        self.times.waited(now.saturating_sub(ago))
    }

    /// The place to be confirmed by [`received`](Self::received).
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The provider's end has taken everything before this place.
    pub(super) fn received(&mut self, place: u64) {
        self.received = Some(place);
        if !self.holds_speech() {
            self.missing = 0;
        }
        self.forget();
    }

    /// The provider has noticed that the user speaks. The utterance has this number, also when it
    /// is heard once more; unless it was given up meanwhile, and is known by its place.
    pub(super) fn speech_began(&mut self, now: Moment, number: u64) {
        let same = self.utterances.iter().position(|s| s.number == number);
        let again = |s: &Spoken| s.carried && s.from <= self.sent;
        let place = same.or_else(|| self.utterances.iter().position(again));
        if let Some(said) = place.and_then(|place| self.utterances.get_mut(place)) {
            said.number = number;
            said.to = None;
            said.carried = false;
            return;
        }
        let before = self.utterances.back().and_then(|said| said.to);
        let from = self
            .place(now, self.lag)
            .max(before.unwrap_or(self.settled));
        self.utterances.push_back(Spoken {
            number,
            from,
            to: None,
            ended: None,
            settled: false,
            carried: false,
        });
        if self.utterances.len() > MAX_UTTERANCES {
            self.utterances.pop_front();
        }
    }

    /// The new connection does not notice by itself where somebody speaks in what it hears again: whatever
    /// is noticed from now on is something else.
    pub(super) fn is_heard_again(&mut self) {
        for said in &mut self.utterances {
            said.carried = false;
        }
    }

    /// The provider has noticed that the user stopped.
    pub(super) fn speech_ended(&mut self, now: Moment) {
        let to = self.place(now, TAIL);
        for said in &mut self.utterances {
            let known = said.ended.filter(|ended| *ended <= self.sent);
            let to = to.max(said.from).max(known.unwrap_or_default());
            said.to.get_or_insert(to);
        }
        self.settle();
    }

    /// What was sent so long before the provider noticed something. While it is sent audio faster
    /// than real time, much goes by until its word is here.
    fn place(&self, now: Moment, ago: Duration) -> u64 {
        let hurries = self.hurried.is_some_and(|until| now < until + HURRY);
        let ago = if hurries {
            ago.max(ROUND_TRIP * self.speed)
        } else {
            ago
        };
        let bytes = audio::bytes_for(ago, self.rate) as u64;
        self.sent.saturating_sub(bytes)
    }

    /// The utterance of this number is part of the conversation now: nobody need hear it again.
    pub(super) fn speech_settled(&mut self, number: u64) {
        for said in &mut self.utterances {
            said.settled |= said.number == number;
        }
        self.settle();
    }

    /// All that the user has finished saying is part of the conversation now.
    pub(super) fn all_settled(&mut self) {
        for said in &mut self.utterances {
            said.settled |= said.to.is_some();
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(Spoken {
            to: Some(to),
            settled: true,
            ..
        }) = self.utterances.front()
        {
            self.settled = self.settled.max(*to);
            self.missing = 0;
            self.utterances.pop_front();
            self.kept.forget_turn();
        }
        self.forget();
    }

    fn forget(&mut self) {
        let unseen = self.sent.saturating_sub(self.unseen);
        let received = self.received.unwrap_or(unseen);
        // What was received may be the beginning of something that was not noticed.
        let unnoticed = received.saturating_sub(self.lag_bytes);
        let first = self.utterances.front().map(|said| said.from);
        let needed = first.unwrap_or(u64::MAX);
        let from = unnoticed.min(needed).max(self.settled);
        let kept = self.sent.saturating_sub(from) as usize;
        self.kept.forget_to(kept);
        self.missing += self.kept.shrink_to(self.hold);
    }
}

#[cfg(test)]
mod tests;
