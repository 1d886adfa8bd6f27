//! How callers behave.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    caller::FRAME_TIME,
    ear::{Ear, Mark},
    speech::{self, FRAMES_PER_SECOND, MARK_BEGINS, MARK_HERTZ, PAUSE_BEFORE_MARK},
};
use crate::{
    Outcome,
    figures::{ms, ms_between},
};

/// What a caller says every 20 ms, and what it makes of what it hears.
pub(super) trait Conduct: Send {
    /// What is said now.
    fn next(&mut self, now: Instant) -> Option<Bytes>;
    /// A packet has come.
    fn heard(&mut self, _payload: &[u8], _now: Instant) {}
    /// The server says that what is left of the AI's answer is not to be heard.
    fn cleared(&mut self, _now: Instant) {}
    /// What came of it.
    fn measured(self: Box<Self>) -> Measured {
        Measured::default()
    }
}

/// What the callers who listen have measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    /// From the microphone to the speaker, in ms.
    pub(super) round_trips: Vec<f64>,
    /// Marks that were said and did not come back.
    pub(super) unheard: usize,
    pub(super) interruptions: Vec<Interruption>,
}

/// What was heard of the AI after the user began to speak.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Interruption {
    /// How long the AI was heard, in ms.
    pub(super) heard: f64,
    /// How long it was heard after the server had said that it was not to be.
    pub(super) heard_after_clear: f64,
    /// From the user's first packet to that, in ms; none if it never said so.
    pub(super) cleared_after: Option<f64>,
}

/// Says nothing: no packet at all.
pub(super) struct Silent;

impl Conduct for Silent {
    fn next(&mut self, _now: Instant) -> Option<Bytes> {
        None
    }
}

/// Says the same over and over.
#[derive(Clone)]
pub(super) struct Looping {
    packets: Arc<[Bytes]>,
    next: usize,
}

impl Looping {
    /// Speaks all the time.
    pub(super) fn speech() -> Outcome<Self> {
        Self::of(&speech::speech()?)
    }

    /// Speaks for 4 s of every 10: an AI that repeats what it hears has its 4 s in between.
    pub(super) fn conversation() -> Outcome<Self> {
        let mut pcm = speech::speech()?;
        pcm.truncate(4 * speech::RATE as usize);
        Self::of(&[pcm, speech::silence(6)].concat())
    }

    fn of(pcm: &[i16]) -> Outcome<Self> {
        Ok(Self {
            packets: speech::encoded(pcm)?.into(),
            next: 0,
        })
    }

    /// Begins at another place, for callers that are not all to speak at once.
    pub(super) fn at(&self, share: f64) -> Self {
        Self {
            packets: Arc::clone(&self.packets),
            next: (self.packets.len() as f64 * share) as usize,
        }
    }
}

impl Conduct for Looping {
    fn next(&mut self, _now: Instant) -> Option<Bytes> {
        let packet = self.packets.get(self.next % self.packets.len()).cloned();
        self.next += 1;
        packet
    }
}

/// Speaks all the time, and times a mark in it.
pub(super) struct Timing {
    speech: Looping,
    ear: Ear,
    /// The marks that have not come back yet, by pitch and when they were said.
    awaited: VecDeque<(usize, Instant)>,
    unheard: usize,
    round_trips: Vec<f64>,
}

/// Until a mark of the same pitch is said again.
const SAME_PITCH: Duration = Duration::from_secs(MARK_HERTZ.len() as u64);

impl Timing {
    pub(super) fn new() -> Outcome<Self> {
        Ok(Self {
            speech: Looping::of(&speech::marked_speech()?)?,
            ear: Ear::new()?,
            awaited: VecDeque::new(),
            unheard: 0,
            round_trips: Vec::new(),
        })
    }
}

impl Timing {
    fn came_back(&mut self, mark: Mark) {
        let mut awaited = self.awaited.iter();
        let Some(place) = awaited.position(|(pitch, _)| *pitch == mark.pitch) else {
            return;
        };
        // Audio keeps its order: what was said before it does not come any more.
        self.awaited.drain(..place);
        self.unheard += place;
        if let Some((_, said)) = self.awaited.pop_front() {
            self.round_trips.push(ms_between(said, mark.at));
        }
    }
}

impl Conduct for Timing {
    fn next(&mut self, now: Instant) -> Option<Bytes> {
        let place = self.speech.next % FRAMES_PER_SECOND;
        if place == MARK_BEGINS {
            let pitch = self.speech.next / FRAMES_PER_SECOND % MARK_HERTZ.len();
            // The microphone had the first sample a frame's time before the frame was complete.
            self.awaited
                .extend(now.checked_sub(FRAME_TIME).map(|said| (pitch, said)));
        }
        let says = self.speech.next(now);
        // What was late once would be repeated as late for ever by a vendor that repeats everything.
        // After a pause the server begins anew, as it does with each answer of a real one.
        says.filter(|_| !PAUSE_BEFORE_MARK.contains(&place))
    }

    fn heard(&mut self, payload: &[u8], now: Instant) {
        if let Some(mark) = self.ear.hear(payload, now).mark {
            self.came_back(mark);
        }
    }

    fn measured(self: Box<Self>) -> Measured {
        let now = Instant::now();
        let is_lost =
            |(_, said): &&(usize, Instant)| now.saturating_duration_since(*said) > SAME_PITCH;
        Measured {
            unheard: self.unheard + self.awaited.iter().filter(is_lost).count(),
            round_trips: self.round_trips,
            ..Measured::default()
        }
    }
}

/// Asks, lets the AI speak for a second, interrupts it, and so on.
pub(super) struct Interrupting {
    question: Arc<[Bytes]>,
    interruption: Arc<[Bytes]>,
    silence: Arc<[Bytes]>,
    /// What is being said, and how many frames of it have been.
    says: Arc<[Bytes]>,
    said: usize,
    stage: Stage,
    ear: Ear,
    interruptions: Vec<Interruption>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Until the answer begins.
    Asks,
    /// Until it has been heard for a while.
    Listens { since: Instant },
    /// The user speaks; what comes now should not.
    Interrupts {
        since: Instant,
        heard: u32,
        cleared: Option<(Instant, u32)>,
    },
    /// Until the AI has answered the interruption, and been quiet for a while.
    Waits { quiet_since: Instant },
}

/// How long the AI may speak.
const LISTENS_FOR: Duration = Duration::from_secs(1);
/// How long what is heard is counted: shorter than the interruption, so that it is no answer to it.
const COUNTS_FOR: Duration = Duration::from_millis(1400);
/// Silence that ends an answer.
const QUIET_FOR: Duration = Duration::from_millis(2500);

impl Interrupting {
    pub(super) fn new() -> Outcome<Self> {
        let question: Arc<[Bytes]> = speech::encoded(&speech::question()?)?.into();
        Ok(Self {
            interruption: speech::encoded(&speech::interruption()?)?.into(),
            silence: speech::encoded(&speech::silence(1))?.into(),
            says: Arc::clone(&question),
            question,
            said: 0,
            stage: Stage::Asks,
            ear: Ear::new()?,
            interruptions: Vec::new(),
        })
    }

    fn say(&mut self, what: Arc<[Bytes]>) {
        (self.says, self.said) = (what, 0);
    }
}

impl Conduct for Interrupting {
    fn next(&mut self, now: Instant) -> Option<Bytes> {
        match self.stage {
            Stage::Listens { since } if now > since + LISTENS_FOR => {
                self.say(Arc::clone(&self.interruption));
                self.stage = Stage::Interrupts {
                    since: now,
                    heard: 0,
                    cleared: None,
                };
            }
            Stage::Interrupts {
                since,
                heard,
                cleared,
            } if now > since + COUNTS_FOR => {
                let time = |packets: u32| ms(FRAME_TIME * packets);
                self.interruptions.push(Interruption {
                    heard: time(heard),
                    heard_after_clear: time(cleared.map_or(0, |(_, before)| heard - before)),
                    cleared_after: cleared.map(|(at, _)| ms_between(since, at)),
                });
                self.stage = Stage::Waits { quiet_since: now };
            }
            Stage::Waits { quiet_since } if now > quiet_since + QUIET_FOR => {
                self.say(Arc::clone(&self.question));
                self.stage = Stage::Asks;
            }
            _ => {}
        }
        let said = self.said;
        self.said += 1;
        let silence = &self.silence[said % self.silence.len()];
        Some(self.says.get(said).unwrap_or(silence).clone())
    }

    fn heard(&mut self, payload: &[u8], now: Instant) {
        if !self.ear.hear(payload, now).is_loud {
            return;
        }
        match &mut self.stage {
            Stage::Asks => self.stage = Stage::Listens { since: now },
            Stage::Listens { .. } => {}
            Stage::Interrupts { heard, .. } => *heard += 1,
            Stage::Waits { quiet_since } => *quiet_since = now,
        }
    }

    fn cleared(&mut self, now: Instant) {
        if let Stage::Interrupts { heard, cleared, .. } = &mut self.stage {
            cleared.get_or_insert((now, *heard));
        }
    }

    fn measured(self: Box<Self>) -> Measured {
        Measured {
            interruptions: self.interruptions,
            ..Measured::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use roomkit_bench::opus;

    use super::*;

    /// Says so many seconds, each frame at its time, to a vendor that repeats at once what it hears, but
    /// for the frames that `comes_back` leaves out, so many frames later.
    fn repeated(seconds: usize, later: usize, comes_back: impl Fn(usize) -> bool) -> Measured {
        let mut timing = Timing::new().unwrap();
        let mut way: VecDeque<Option<Bytes>> = vec![None; later].into();
        let began = Instant::now();
        let silence = speech::encoded(&[0; speech::FRAME]).unwrap();
        for number in 0..seconds * FRAMES_PER_SECOND {
            let now = began + FRAME_TIME * number as u32;
            let says = timing.next(now).unwrap_or_else(|| silence[0].clone());
            way.push_back(Some(if comes_back(number) {
                says
            } else {
                silence[0].clone()
            }));
            if let Some(heard) = way.pop_front().flatten() {
                timing.heard(&heard, now);
            }
        }
        Box::new(timing).measured()
    }

    #[test]
    fn each_mark_is_heard_and_timed_by_its_pitch() {
        // The later, the more of the six are still on their way.
        for (later, marks) in [(2, 6), (60, 4), (110, 3)] {
            let measured = repeated(6, later, |_| true);
            assert_eq!(measured.round_trips.len(), marks, "{later} frames later");
            assert_eq!(measured.unheard, 0);
            for time in measured.round_trips {
                let expected = ms(FRAME_TIME * (later as u32 + 1));
                assert!((time - expected).abs() < 15.0, "{time} ms, not {expected}");
            }
        }
    }

    #[test]
    fn a_mark_that_does_not_come_back_is_counted_and_delays_no_other() {
        let second = |number: usize| number / FRAMES_PER_SECOND;
        let measured = repeated(6, 2, |number| !matches!(second(number), 1 | 2));
        assert_eq!((measured.round_trips.len(), measured.unheard), (4, 2));
        assert!(measured.round_trips.iter().all(|time| *time < 80.0));
    }

    #[test]
    fn marks_keep_their_pitch_through_the_servers_codec() {
        let mut encoder = opus::encoder(24_000, opus::SERVER).unwrap();
        let mut ear = Ear::new().unwrap();
        let pcm = speech::marked_speech().unwrap();
        let mut payload = [0; opus::PACKET];
        let mut pitches = Vec::new();
        // Every second sample: what is in it is below 12 kHz.
        let pcm: Vec<i16> = pcm.into_iter().step_by(2).collect();
        for frame in pcm.chunks_exact(speech::FRAME / 2) {
            let length = encoder.encode(frame, &mut payload).unwrap();
            let heard = ear.hear(&payload[..length], Instant::now());
            pitches.extend(heard.mark.map(|mark| mark.pitch));
        }
        assert_eq!(pitches, [0, 1, 2, 0, 1, 2]);
    }
}
