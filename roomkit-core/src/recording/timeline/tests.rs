//! On virtual times: where in the recording what was said at which time is.

use super::*;
use crate::audio;

const RATE: u32 = 16_000;
/// The recordings begin when the call is this old.
const ZERO: Moment = Duration::from_secs(5);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A recording, and all that came out of it.
struct Tape {
    timeline: Timeline,
    left: Vec<i16>,
    right: Vec<i16>,
}

impl Tape {
    fn new() -> Self {
        Self {
            timeline: Timeline::new(RATE, ZERO),
            left: Vec::new(),
            right: Vec::new(),
        }
    }

    /// `length` of this value, whose beginning is at `begins` of the recording.
    fn say(&mut self, side: Side, begins: Duration, length: Duration, value: i16) -> bool {
        self.say_at(side, begins, length, value, RATE)
    }

    fn say_at(
        &mut self,
        side: Side,
        begins: Duration,
        length: Duration,
        value: i16,
        rate: u32,
    ) -> bool {
        let samples = samples_in(length, rate) as usize;
        let pcm: Vec<u8> = value.to_le_bytes().repeat(samples);
        self.timeline.push(&Sound {
            side,
            begins: ZERO + begins,
            follows: false,
            rate,
            pcm: pcm.into(),
        })
    }

    fn until(&mut self, now: Duration) -> &mut Self {
        while let Some(block) = self.timeline.next_block(ZERO + now) {
            self.keep(&block);
        }
        self
    }

    fn end(&mut self, now: Duration) -> &mut Self {
        while let Some(block) = self.timeline.last_block(ZERO + now) {
            self.keep(&block);
        }
        assert_eq!(self.timeline.length(), now, "no time is left out");
        self
    }

    fn keep(&mut self, block: &[u8]) {
        for sample in block.chunks_exact(4) {
            self.left.push(i16::from_le_bytes([sample[0], sample[1]]));
            self.right.push(i16::from_le_bytes([sample[2], sample[3]]));
        }
    }
}

/// Runs of one value in ms, but for silence: its beginning, its length, the value.
fn runs(samples: &[i16]) -> Vec<(u64, u64, i16)> {
    let per_ms = (RATE / 1000) as usize;
    let mut place = 0;
    let mut runs = Vec::new();
    for run in samples.chunk_by(|one, next| one == next) {
        if run[0] != 0 {
            let (start, length) = (place / per_ms, run.len() / per_ms);
            runs.push((start as u64, length as u64, run[0]));
        }
        place += run.len();
    }
    runs
}

#[test]
fn v2_both_sides_are_where_they_were_said_and_silence_is_between() {
    let mut tape = Tape::new();
    tape.say(Side::Caller, ms(1000), ms(500), 1000);
    tape.say(Side::Ai, ms(2000), ms(300), 2000);
    tape.say(Side::Caller, ms(2100), ms(100), 3000);
    tape.until(ms(2500)).end(ms(3010));
    assert_eq!(runs(&tape.left), [(1000, 500, 1000), (2100, 100, 3000)]);
    assert_eq!(runs(&tape.right), [(2000, 300, 2000)]);
}

#[test]
fn v2_jitter_cuts_nothing_and_moves_nothing_for_good() {
    let mut tape = Tape::new();
    for frame in 0..500_u64 {
        // Each piece comes up to 25 ms early or late, and the clock of the microphone is exact.
        let jitter = frame * 17 % 50;
        tape.say(Side::Caller, ms(frame * 20 + jitter), ms(20), 500);
        tape.until(ms(frame * 20 + 70));
    }
    tape.end(ms(11_000));
    let runs = runs(&tape.left);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0].1, 10_000);
    assert!(runs[0].0 <= 60);
}

#[test]
fn v2_a_burst_after_a_stall_goes_where_it_was_said() {
    let mut tape = Tape::new();
    for frame in 0..100_u64 {
        // Nothing comes from 1000 to 1200 ms, and then all of it at once.
        let said = frame * 20;
        let comes = if (1000..1200).contains(&said) {
            1200
        } else {
            said + 20
        };
        tape.say(Side::Caller, ms(comes - 20), ms(20), 500);
        tape.until(ms(comes));
    }
    tape.end(ms(2200));
    let speech: u64 = runs(&tape.left).iter().map(|run| run.1).sum();
    assert_eq!(speech, 2000, "not a sample is lost");
    let last = *runs(&tape.left).last().unwrap();
    assert!(
        last.0 + last.1 <= 2060,
        "and what follows is in its place: {last:?}"
    );
}

#[test]
fn v2_what_is_very_late_is_kept_and_catches_up_in_the_next_pause() {
    let mut tape = Tape::new();
    let second = |tape: &mut Tape, at: u64, came: u64, value: i16| {
        for frame in 0..50 {
            let at = if came > 0 { came } else { at + frame * 20 };
            tape.say(Side::Caller, ms(at), ms(20), value);
            tape.until(ms(at + 20));
        }
    };
    second(&mut tape, 0, 0, 1000);
    // A second of speech comes a second late, in a burst.
    second(&mut tape, 1000, 2000, 2000);
    second(&mut tape, 2020, 0, 0);
    second(&mut tape, 3020, 0, 3000);
    tape.end(ms(5000));
    let runs = runs(&tape.left);
    let lengths: Vec<_> = runs.iter().map(|run| (run.1, run.2)).collect();
    assert_eq!(
        lengths,
        [(1000, 1000), (1000, 2000), (1000, 3000)],
        "{runs:?}"
    );
    assert!(runs[2].0 <= 3080, "the pause was shortened: {runs:?}");
}

#[test]
fn v4_words_that_came_in_a_burst_just_before_the_end_are_kept() {
    for (late, least) in [(3000, 3000), (5000, 5000), (9000, 5000)] {
        let mut tape = Tape::new();
        tape.until(ms(9000));
        let frames = 0..late / 20;
        let taken = frames.filter(|_| tape.say(Side::Caller, ms(9000), ms(20), 1000));
        let taken = taken.count() as u64 * 20;
        assert!(taken >= least, "{taken} of {late} ms");
        while let Some(block) = tape.timeline.last_block(ZERO + ms(9020)) {
            tape.keep(&block);
        }
        let kept: u64 = runs(&tape.left).iter().map(|run| run.1).sum();
        assert_eq!(kept, taken, "what is not kept is said to be missing");
    }
}

#[test]
fn v2_lateness_is_bounded() {
    let mut tape = Tape::new();
    tape.until(ms(10_000));
    let kept = (0..1000)
        .filter(|_| tape.say(Side::Caller, ms(10_000), ms(20), 1000))
        .count();
    assert!(
        (250..=271).contains(&kept),
        "five seconds of 20: {kept} frames"
    );
}

#[test]
fn v2_each_side_is_resampled_and_a_new_rate_in_the_middle_is_no_gap() {
    let mut tape = Tape::new();
    for frame in 0..50 {
        tape.say_at(Side::Caller, ms(frame * 20), ms(20), 1000, 48_000);
        let rate = if frame < 25 { 24_000 } else { 8_000 };
        tape.say_at(Side::Ai, ms(frame * 20), ms(20), 2000, rate);
    }
    tape.until(ms(1000)).end(ms(1200));
    for (side, value) in [(&tape.left, 1000), (&tape.right, 2000)] {
        let length = side
            .iter()
            .filter(|sample| **sample > value * 9 / 10)
            .count();
        let expected = RATE as usize;
        assert!(length.abs_diff(expected) < 100, "{length} samples");
        let middle = &side[RATE as usize / 10..RATE as usize * 4 / 10];
        assert!(middle.iter().all(|sample| (sample - value).abs() < 3));
    }
}

#[test]
fn v2_a_long_call_keeps_both_sides_together() {
    let mut tape = Tape::new();
    // A microphone runs 1000 ppm too slow, and speaks two seconds in three.
    let length = 300_000_u64;
    let mut said = 0.0;
    let mut last = 0;
    while said < length as f64 {
        let at = said as u64;
        let value = if at % 3000 < 2000 { 100 } else { 0 };
        tape.say(Side::Caller, ms(at), ms(20), value);
        said += 20.02;
        if at % 60_000 < 20 {
            tape.say(Side::Ai, ms(at), ms(20), 7);
            last = at;
        }
        tape.until(ms(at + 20));
        // Only the end is looked at.
        if tape.left.len() > 10 * RATE as usize {
            tape.left.clear();
            tape.right.clear();
        }
    }
    assert!(last >= length - 60_000);
    let written = samples_in(tape.timeline.length(), RATE);
    assert!(written >= samples_in(ms(length - 600), RATE));
    let begins = tape
        .timeline
        .length()
        .saturating_sub(audio::duration_of(tape.left.len() * 2, RATE));
    for (start, length, _) in runs(&tape.left) {
        let at = begins.as_millis() as u64 + start;
        let off = (at % 3000).min(3000 - at % 3000);
        // The first run may have begun before what is looked at.
        assert!(
            start == 0 || off <= 120,
            "speech at {at} ms for {length} ms"
        );
    }
}
