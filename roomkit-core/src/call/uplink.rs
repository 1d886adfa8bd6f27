//! The user's voice on its way to the provider: held while there is no connection, caught up at a
//! pace the provider takes, and kept until it is certain that the provider has understood it
//! (contracts S4, H1, H2).
//!
//! This is the one place where inbound audio waits. What a lost connection may have swallowed is
//! kept as well: the utterance that is being spoken or was not settled yet, and whatever went out
//! since the provider's end last gave a sign of life. A new connection hears that again, from the
//! beginning of the sentence, and then what came in the meantime.

use std::{collections::VecDeque, time::Duration};

use super::io::Moment;
use crate::{audio, provider::ProviderCommand};

/// Audio from before the first connection: at most this many bytes, then the newest is dropped
/// (contract S4).
const EARLY_BYTES: usize = 1 << 20;
/// Speech is noticed only a moment after it began; so much audio before that belongs to it.
const PRE_ROLL: Duration = Duration::from_secs(1);
/// The end of speech is noticed only after some silence, and in its last part somebody may have
/// begun to speak again.
const TAIL: Duration = Duration::from_millis(200);
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
    line: Line,
    /// Not sent yet.
    waiting: Lane,
    /// Sent to the present connection, and not certain to have been understood.
    kept: Lane,
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
}

/// An utterance, by the places where its audio begins and ends.
#[derive(Debug)]
struct Spoken {
    number: u64,
    from: u64,
    to: Option<u64>,
    settled: bool,
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
            line: Line::Early,
            waiting: Lane::default(),
            kept: Lane::default(),
            sent: 0,
            missing: 0,
            received: None,
            utterances: VecDeque::new(),
            settled: 0,
            speed: 1,
            taken_at: Moment::ZERO,
        }
    }

    /// Audio, or a mark of a manual turn. [`poll`](Self::poll) says what may be sent.
    pub(super) fn push(&mut self, command: ProviderCommand) -> Kept {
        if self.line == Line::Early
            && self.waiting.bytes + length_of(&command) as usize > EARLY_BYTES
        {
            return Kept::DroppedNewest;
        }
        self.waiting.push_back(command);
        if self.line == Line::Early {
            return Kept::Whole;
        }
        match self.waiting.shrink_to(self.hold) {
            0 => Kept::Whole,
            dropped => Kept::DroppedOldest(dropped),
        }
    }

    /// The next thing to be sent at `now`; to be called until it gives nothing.
    pub(super) fn poll(&mut self, now: Moment) -> Option<ProviderCommand> {
        if self.next_wake()? > now {
            return None;
        }
        let command = self.waiting.pop_front()?;
        let bytes = length_of(&command);
        let length = audio::duration_of(bytes as usize, self.rate);
        self.taken_at = self.taken_at.max(now) + length / self.speed;
        self.sent += bytes;
        self.kept.push_back(command.clone());
        self.forget();
        Some(command)
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

    /// A new connection, which takes audio `speed` times faster than real time, knows nothing: what
    /// was kept goes first. `confirms`: it will be told what was [`received`](Self::received).
    /// Gives how many pieces were too old to be heard again.
    pub(super) fn open(&mut self, now: Moment, speed: u32, confirms: bool) -> usize {
        self.rewind();
        let dropped = match self.line {
            Line::Early => 0,
            Line::Open | Line::Down => self.waiting.shrink_to(self.hold) + self.missing,
        };
        self.line = Line::Open;
        self.speed = speed.max(2);
        self.taken_at = now;
        (self.received, self.missing) = (confirms.then_some(0), 0);
        dropped
    }

    /// What was kept waits again, except for utterances that are settled though one before them is
    /// not. Places are counted from there.
    fn rewind(&mut self) {
        let mut old = self.sent.saturating_sub(self.kept.bytes as u64);
        let mut new = 0;
        let mut places = vec![(old, new)];
        let mut again = VecDeque::new();
        for command in std::mem::take(&mut self.kept).commands {
            let length = length_of(&command);
            let end = old + length;
            let is_settled = |said: &Spoken| said.settled && said.from <= old && said.covers(end);
            if length == 0 || !self.utterances.iter().any(is_settled) {
                again.push_back(command);
                new += length;
            }
            old = end;
            places.push((old, new));
        }
        while let Some(command) = again.pop_back() {
            self.waiting.push_front(command);
        }
        let moved = |place: u64| {
            let at = places.partition_point(|(old, _)| *old < place);
            places.get(at).map_or(new, |(_, new)| *new)
        };
        self.utterances.retain(|said| !said.settled);
        for said in &mut self.utterances {
            said.from = moved(said.from);
            said.to = said.to.map(moved);
        }
        (self.sent, self.settled) = (0, 0);
    }

    // ----- what the provider has understood

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
    /// is heard once more.
    pub(super) fn speech_began(&mut self, number: u64) {
        if let Some(said) = self.utterances.iter_mut().find(|s| s.number == number) {
            said.to = None;
            return;
        }
        let bytes_of = |length| audio::bytes_for(length, self.rate) as u64;
        let before = self.utterances.back().and_then(|said| said.to);
        let earliest = before.map_or(self.settled, |to| to.saturating_sub(bytes_of(TAIL)));
        let from = self.sent.saturating_sub(bytes_of(PRE_ROLL)).max(earliest);
        self.utterances.push_back(Spoken {
            number,
            from,
            to: None,
            settled: false,
        });
    }

    /// The provider has noticed that the user stopped.
    pub(super) fn speech_ended(&mut self) {
        for said in &mut self.utterances {
            said.to.get_or_insert(self.sent);
        }
        self.settle();
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
        let tail = audio::bytes_for(TAIL, self.rate) as u64;
        while let Some(Spoken {
            to: Some(to),
            settled: true,
            ..
        }) = self.utterances.front()
        {
            self.settled = self.settled.max(to.saturating_sub(tail));
            self.missing = 0;
            self.utterances.pop_front();
            self.kept.forget_turn();
        }
        self.forget();
    }

    fn forget(&mut self) {
        let bytes_of = |length| audio::bytes_for(length, self.rate) as u64;
        let received = self
            .received
            .unwrap_or_else(|| self.sent.saturating_sub(bytes_of(UNSEEN)));
        // What was received may be the beginning of something that was not noticed.
        let pre_roll = received.saturating_sub(bytes_of(PRE_ROLL));
        let first = self.utterances.front().map(|said| said.from);
        let needed = first.unwrap_or(u64::MAX);
        let from = pre_roll.min(needed).max(self.settled);
        let kept = self.sent.saturating_sub(from) as usize;
        self.kept.forget_to(kept);
        self.missing += self.kept.shrink_to(self.hold);
    }
}

/// Commands in order, and how much audio is among them.
#[derive(Debug, Default)]
struct Lane {
    commands: VecDeque<ProviderCommand>,
    bytes: usize,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    fn push_back(&mut self, command: ProviderCommand) {
        self.bytes += length_of(&command) as usize;
        self.commands.push_back(command);
    }

    fn push_front(&mut self, command: ProviderCommand) {
        self.bytes += length_of(&command) as usize;
        self.commands.push_front(command);
    }

    fn pop_front(&mut self) -> Option<ProviderCommand> {
        let command = self.commands.pop_front()?;
        self.bytes -= length_of(&command) as usize;
        Some(command)
    }

    /// Forgets whole pieces of audio from the front as long as `needed` bytes stay; not past a
    /// mark, for what follows one is a turn that is not settled.
    fn forget_to(&mut self, needed: usize) {
        while let Some(ProviderCommand::Audio(pcm)) = self.commands.front()
            && self.bytes - pcm.len() >= needed
        {
            self.pop_front();
        }
    }

    /// Forgets everything up to the end of the first manual turn, if it has one.
    fn forget_turn(&mut self) {
        let is_end = |command: &ProviderCommand| *command == ProviderCommand::ActivityEnd;
        if let Some(end) = self.commands.iter().position(is_end) {
            for _ in 0..=end {
                self.pop_front();
            }
        }
    }

    /// Drops the oldest audio until no more than `limit` bytes are left; marks stay. Gives how
    /// many pieces were dropped.
    fn shrink_to(&mut self, limit: usize) -> usize {
        let mut dropped = 0;
        while self.bytes > limit {
            let oldest = self.commands.iter().position(|c| length_of(c) > 0);
            let Some(command) = oldest.and_then(|place| self.commands.remove(place)) else {
                break;
            };
            self.bytes -= length_of(&command) as usize;
            dropped += 1;
        }
        dropped
    }
}

/// Bytes of audio in a command; marks have none.
fn length_of(command: &ProviderCommand) -> u64 {
    match command {
        ProviderCommand::Audio(pcm) => pcm.len() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 16_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// 20 ms that can be told from every other.
    fn piece(number: u16) -> ProviderCommand {
        let sample = number.to_le_bytes();
        ProviderCommand::Audio(sample.repeat(320).into())
    }

    fn number(command: &ProviderCommand) -> u16 {
        match command {
            ProviderCommand::Audio(pcm) => u16::from_le_bytes([pcm[0], pcm[1]]),
            ProviderCommand::ActivityStart => 10_001,
            ProviderCommand::ActivityEnd => 10_002,
            other => panic!("{other:?}"),
        }
    }

    fn flow(uplink: &mut Uplink, now: Moment) -> Vec<u16> {
        std::iter::from_fn(|| uplink.poll(now))
            .map(|command| number(&command))
            .collect()
    }

    fn open() -> Uplink {
        let mut uplink = Uplink::new(RATE, ms(5_000));
        assert_eq!(uplink.open(ms(0), 4, true), 0);
        uplink
    }

    /// Sends these pieces in real time from piece 0 at 0 ms.
    fn speak(uplink: &mut Uplink, pieces: std::ops::Range<u16>) {
        for n in pieces {
            assert_eq!(uplink.push(piece(n)), Kept::Whole);
            assert_eq!(flow(uplink, ms(20 * u64::from(n))), [n]);
        }
    }

    fn replayed(uplink: &mut Uplink, at: Moment) -> Vec<u16> {
        uplink.shut();
        assert_eq!(uplink.open(at, 4, true), 0);
        let mut all = Vec::new();
        let mut now = at;
        while let Some(wake) = uplink.next_wake() {
            now = now.max(wake);
            all.extend(flow(uplink, now));
        }
        all
    }

    #[test]
    fn a_live_connection_gets_audio_at_once_even_in_bursts() {
        let mut uplink = open();
        for n in 0..10 {
            uplink.push(piece(n));
        }
        assert_eq!(flow(&mut uplink, ms(1000)), (0..10).collect::<Vec<_>>());
        assert!(uplink.is_clear());
        assert_eq!(uplink.next_wake(), None);
    }

    #[test]
    fn h1_held_audio_goes_in_order_at_the_pace_the_provider_takes() {
        let mut uplink = open();
        uplink.shut();
        for n in 0..100 {
            assert_eq!(uplink.push(piece(n)), Kept::Whole);
        }
        assert_eq!(uplink.held(), ms(2000));
        assert_eq!(flow(&mut uplink, ms(2000)), [0_u16; 0], "nothing while it is shut");
        uplink.open(ms(2000), 4, true);
        let (mut all, mut now, mut live) = (Vec::new(), ms(2000), 100);
        while let Some(wake) = uplink.next_wake() {
            now = now.max(wake);
            while ms(20 * u64::from(live)) <= now {
                uplink.push(piece(live));
                live += 1;
            }
            all.extend(flow(&mut uplink, now));
            let sent = ms(20 * all.len() as u64);
            assert!(sent <= (now - ms(2000)) * 4 + BURST + ms(20), "too fast at {now:?}");
        }
        assert_eq!(all, (0..live).collect::<Vec<_>>(), "nothing lost, nothing reordered");
        assert!(now < ms(2800), "2 s are caught up after {:?}", now - ms(2000));
    }

    #[test]
    fn h2_what_is_older_than_the_hold_is_dropped_oldest_first_and_counted() {
        let mut uplink = open();
        uplink.shut();
        let mut dropped = 0;
        for n in 0..300 {
            if let Kept::DroppedOldest(pieces) = uplink.push(piece(n)) {
                dropped += pieces;
            }
        }
        assert_eq!(dropped, 50);
        assert_eq!(uplink.held(), ms(5000));
        assert_eq!(replayed(&mut uplink, ms(6000)), (50..300).collect::<Vec<_>>());
    }

    #[test]
    fn h2_the_sentence_that_a_lost_connection_broke_off_is_heard_from_its_beginning() {
        let mut uplink = open();
        speak(&mut uplink, 0..100);
        uplink.received(uplink.sent());
        uplink.speech_began(1);
        speak(&mut uplink, 100..180);
        uplink.received(uplink.sent());
        assert!(uplink.holds_speech());
        let whole: Vec<u16> = (50..180).collect();
        let again = replayed(&mut uplink, ms(3600));
        assert_eq!(again, whole, "with a second before it");
        let again = replayed(&mut uplink, ms(5000));
        assert_eq!(again, whole, "and once more, if that connection breaks too");
    }

    #[test]
    fn h2_a_settled_utterance_is_not_heard_twice() {
        let mut uplink = open();
        speak(&mut uplink, 0..100);
        uplink.speech_began(1);
        speak(&mut uplink, 100..180);
        uplink.speech_ended();
        assert!(uplink.holds_speech(), "its words may still be missing");
        uplink.speech_settled(1);
        speak(&mut uplink, 180..190);
        assert_eq!(replayed(&mut uplink, ms(3800)), (170..190).collect::<Vec<_>>());
    }

    #[test]
    fn h2_the_next_utterance_is_kept_when_the_one_before_is_settled() {
        let mut uplink = open();
        speak(&mut uplink, 0..100);
        uplink.speech_began(1);
        speak(&mut uplink, 100..150);
        uplink.speech_ended();
        speak(&mut uplink, 150..160);
        uplink.speech_began(2);
        speak(&mut uplink, 160..300);
        uplink.speech_settled(1);
        uplink.received(uplink.sent());
        speak(&mut uplink, 300..301);
        let again = replayed(&mut uplink, ms(6100));
        assert_eq!(again, (140..301).collect::<Vec<_>>());
    }

    #[test]
    fn h2_of_two_utterances_only_the_one_that_is_not_settled_is_heard_again() {
        let mut uplink = open();
        speak(&mut uplink, 0..60);
        uplink.speech_began(1);
        speak(&mut uplink, 60..100);
        uplink.speech_ended();
        speak(&mut uplink, 100..110);
        uplink.speech_began(2);
        speak(&mut uplink, 110..150);
        uplink.speech_ended();
        speak(&mut uplink, 150..160);
        uplink.received(uplink.sent());
        uplink.speech_settled(2);
        let again: Vec<u16> = (10..90).chain(150..160).collect();
        assert_eq!(replayed(&mut uplink, ms(3200)), again);
        assert_eq!(replayed(&mut uplink, ms(9000)), again, "nor the time after");
        uplink.speech_began(1);
        uplink.speech_ended();
        uplink.speech_settled(1);
        assert!(!uplink.holds_speech());
    }

    #[test]
    fn h5_what_a_dead_connection_swallowed_is_kept_since_the_last_sign_of_life() {
        let mut uplink = open();
        speak(&mut uplink, 0..100);
        uplink.received(uplink.sent());
        speak(&mut uplink, 100..300);
        let again: Vec<u16> = (50..300).collect();
        assert_eq!(replayed(&mut uplink, ms(6000)), again, "and a second before");
    }

    #[test]
    fn in_silence_little_is_kept() {
        let mut uplink = open();
        for n in 0..1000 {
            uplink.push(piece(n));
            flow(&mut uplink, ms(20 * u64::from(n)));
            if n % 100 == 0 {
                uplink.received(uplink.sent());
            }
            let kept = audio::duration_of(uplink.kept.bytes, RATE);
            assert!(kept <= ms(3040), "{kept:?} of silence");
        }
    }

    #[test]
    fn a_manual_turn_is_repeated_with_its_marks_and_forgotten_with_them() {
        let mut uplink = open();
        uplink.speech_began(1);
        uplink.push(ProviderCommand::ActivityStart);
        assert_eq!(flow(&mut uplink, ms(0)), [10_001]);
        speak(&mut uplink, 1..100);
        uplink.push(ProviderCommand::ActivityEnd);
        flow(&mut uplink, ms(2000));
        uplink.speech_ended();
        let again = replayed(&mut uplink, ms(2000));
        let whole: Vec<u16> = [10_001].into_iter().chain(1..100).chain([10_002]).collect();
        assert_eq!(again, whole);
        uplink.speech_settled(1);
        assert_eq!(replayed(&mut uplink, ms(9000)), [0_u16; 0]);
    }

    #[test]
    fn a_connection_that_was_only_shut_goes_on_where_it_stopped() {
        let mut uplink = open();
        speak(&mut uplink, 0..50);
        uplink.shut();
        uplink.push(piece(50));
        uplink.reopen();
        assert_eq!(flow(&mut uplink, ms(1100)), [50], "and hears nothing twice");
    }

    #[test]
    fn s4_early_audio_is_kept_and_the_newest_is_dropped() {
        let mut uplink = Uplink::new(RATE, ms(5_000));
        let mut dropped = 0;
        for n in 0..1700 {
            dropped += usize::from(uplink.push(piece(n)) == Kept::DroppedNewest);
        }
        assert_eq!(dropped, 1700 - EARLY_BYTES / 640);
        uplink.open(ms(0), 4, true);
        assert_eq!(flow(&mut uplink, ms(60_000)).first(), Some(&0));
    }
}
