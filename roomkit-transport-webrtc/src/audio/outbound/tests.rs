use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::audio::{
    Inbound, RtpIn, opus_header,
    signal::{frequency, level, tone},
};

const RATE: u32 = 24_000;
const FIRST: First = First {
    sequence: u16::MAX - 10,
    timestamp: u32::MAX - 100_000,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An outbound side with all that came out of it.
struct Line {
    outbound: Outbound,
    start: Instant,
    /// When each packet came, in ms from the start.
    sent: Vec<(u64, RtpOut)>,
}

impl Line {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            outbound: Outbound::new(Codec::Opus, RATE, 32_000, FIRST, start).unwrap(),
            start,
            sent: Vec::new(),
        }
    }

    fn drain(&mut self, at: u64) {
        while let Some(packet) = self.outbound.poll(self.start + ms(at)) {
            self.sent.push((at, packet));
        }
    }

    fn push(&mut self, at: u64, millis: usize) {
        let pcm = tone(RATE, 440.0, 0, 24 * millis);
        self.outbound.push(&pcm, self.start + ms(at));
        self.drain(at);
    }

    /// Wakes it when it wants to be woken, and never otherwise.
    fn run(&mut self, time: Range<u64>) {
        let end = self.start + ms(time.end);
        while self.outbound.next_wake() < end {
            let wake = self.outbound.next_wake() - self.start;
            let at = wake.as_nanos().div_ceil(1_000_000) as u64;
            self.drain(at.max(time.start));
        }
    }

    fn times(&self) -> Vec<u64> {
        self.sent.iter().map(|(at, _)| *at).collect()
    }

    /// Where on the RTP clock each packet stands, in ms.
    fn positions(&self) -> Vec<u32> {
        self.sent
            .iter()
            .map(|(_, packet)| packet.timestamp.wrapping_sub(FIRST.timestamp) / 48)
            .collect()
    }

    fn markers(&self) -> Vec<usize> {
        let marked = self.sent.iter().enumerate();
        marked
            .filter(|(_, (_, packet))| packet.marker)
            .map(|(n, _)| n)
            .collect()
    }
}

#[test]
fn a_client_hears_of_us_before_the_ai_speaks() {
    let mut line = Line::new();
    line.run(0..1300);
    assert_eq!(line.times(), [0, 400, 800, 1200]);
    assert_eq!(line.positions(), [0, 400, 800, 1200]);
    assert!(line.markers().is_empty());
    assert_eq!(line.outbound.counts().silence, 4);
}

#[test]
fn a5_speech_is_one_packet_for_20_ms_on_an_even_clock() {
    let mut line = Line::new();
    line.run(0..1000);
    let before = line.sent.len();
    let jitter = [0, 7, 19, 3, 25, 0, 12, 31, 2, 0];
    for n in 0..50 {
        let at = 1000 + 20 * n + jitter[n as usize % jitter.len()];
        line.run(at..at);
        line.push(at, 20);
    }
    assert_eq!(line.sent.len(), before + 50);
    assert_eq!(line.markers(), [before]);
    let positions = line.positions();
    assert_eq!(positions[before], 1000);
    assert!(
        positions[before..]
            .windows(2)
            .all(|pair| pair[1] == pair[0] + 20),
        "{positions:?}"
    );
    assert_eq!(line.outbound.counts().speech, 50);
}

#[test]
fn after_speech_the_line_runs_out_into_silence() {
    let mut line = Line::new();
    line.run(0..1);
    line.push(100, 20);
    line.push(120, 20);
    line.outbound.flush();
    line.drain(120);
    line.run(120..1100);
    assert_eq!(
        line.times(),
        [0, 100, 120, 140, 160, 180, 200, 220, 620, 1020]
    );
    assert_eq!(
        line.positions(),
        [0, 100, 120, 140, 160, 180, 200, 220, 620, 1020]
    );
}

#[test]
fn without_an_end_speech_ends_when_nothing_comes() {
    let mut line = Line::new();
    line.push(100, 30);
    line.run(100..300);
    // The rest of 10 ms goes out when patience is over, the tail follows it.
    assert_eq!(line.times()[..4], [100, 160, 180, 200]);
    assert_eq!(line.outbound.counts().speech, 2);
    assert_eq!(line.markers(), [0]);
}

#[test]
fn after_a_pause_the_clock_has_gone_on() {
    let mut line = Line::new();
    line.push(0, 20);
    line.outbound.flush();
    line.run(0..3009);
    line.push(3009, 20);
    line.push(3029, 20);
    let positions = line.positions();
    assert_eq!(positions[positions.len() - 2..], [3000, 3020]);
    assert_eq!(line.markers().len(), 2);
}

#[test]
fn rests_add_up_to_frames_and_the_last_is_padded() {
    let mut line = Line::new();
    line.run(0..1);
    for n in 0..5 {
        line.push(10 + 7 * n, 7);
    }
    assert_eq!(line.outbound.counts().speech, 1);
    line.outbound.flush();
    line.drain(40);
    assert_eq!(line.outbound.counts().speech, 2);
    line.outbound.flush();
    line.drain(40);
    assert_eq!(
        line.outbound.counts().speech,
        2,
        "a second end has nothing to send"
    );
}

#[test]
fn a3_a_cleared_rest_is_not_sent() {
    let mut line = Line::new();
    line.run(0..1);
    line.push(10, 30);
    line.outbound.clear();
    line.drain(12);
    line.run(12..100);
    assert_eq!(line.outbound.counts().speech, 1);
    assert_eq!(line.times(), [0, 10, 30, 50, 70, 90]);
    line.push(100, 20);
    assert_eq!(line.markers(), [1, 6]);
}

#[test]
fn a_lead_at_every_start_does_not_push_the_clock_ahead() {
    let mut line = Line::new();
    for n in 0..20 {
        let at = n * 500;
        line.run(at..at);
        line.push(at, 60);
        line.outbound.flush();
        line.drain(at);
    }
    let positions = line.positions();
    assert!(
        positions.windows(2).all(|pair| pair[0] < pair[1]),
        "{positions:?}"
    );
    for (at, position) in line.times().iter().zip(&positions) {
        assert!(u64::from(*position) <= at + 60, "{position} at {at}");
    }
}

#[test]
fn a_call_that_slept_sends_no_heap_of_silence() {
    let mut line = Line::new();
    line.push(0, 20);
    line.outbound.flush();
    line.drain(0);
    let before = line.sent.len();
    line.drain(60_000);
    assert_eq!(line.sent.len(), before + 1);
    assert_eq!(line.positions()[before], 60_000);
}

#[test]
fn a6_what_nobody_polls_is_bounded() {
    let mut line = Line::new();
    let second = vec![0; RATE as usize * 2];
    for _ in 0..5 {
        line.outbound.push(&second, line.start);
    }
    line.drain(0);
    assert_eq!(line.outbound.counts().speech, 100);
    assert_eq!(line.outbound.counts().dropped, 3 * second.len() as u64);
}

#[test]
fn a1_half_a_sample_is_left_out() {
    let mut line = Line::new();
    line.outbound.push(&[1], line.start);
    line.outbound.push(&[0; 961], line.start);
    line.drain(0);
    assert_eq!(line.outbound.counts().speech, 1);
}

#[test]
fn reported_loss_brings_copies_of_the_past() {
    let mut line = Line::new();
    let copies = |line: &Line| {
        let packets = line.sent.iter();
        packets
            .filter(|(_, packet)| opus_header::copy_of_the_past(&packet.payload).is_some())
            .count()
    };
    line.push(0, 400);
    assert_eq!(copies(&line), 0);
    let mut said = Reception {
        latest: FIRST.sequence.wrapping_add(99),
        lost: 8,
    };
    line.outbound.report(said);
    line.push(400, 400);
    assert!(copies(&line) > 10, "{}", copies(&line));
    for _ in 0..20 {
        said.latest = said.latest.wrapping_add(100);
        line.outbound.report(said);
    }
    let before = copies(&line);
    line.push(800, 400);
    assert!(copies(&line) <= before + 1);
}

#[test]
fn c3_what_goes_out_is_understood_by_the_inbound_side() {
    for (codec, rate) in [
        (Codec::Opus, RATE),
        (Codec::Pcmu, 8_000),
        (Codec::Pcma, 8_000),
    ] {
        let start = Instant::now();
        let mut outbound = Outbound::new(codec, rate, 32_000, FIRST, start).unwrap();
        let mut inbound = Inbound::new(codec, rate).unwrap();
        let mut heard = Vec::new();
        let frame = rate as usize / 50;
        for n in 0..50 {
            let now = start + FRAME * n;
            outbound.push(&tone(rate, 440.0, n as usize * frame, frame), now);
            while let Some(packet) = outbound.poll(now) {
                let packet = RtpIn {
                    sequence: packet.sequence,
                    timestamp: packet.timestamp,
                    payload: packet.payload,
                };
                inbound.push(packet, now);
                while let Some(piece) = inbound.poll(now) {
                    heard.extend_from_slice(&piece.pcm);
                }
            }
        }
        let counts = inbound.counts();
        assert_eq!((counts.received, counts.lost, counts.filled), (50, 0, 0));
        let middle = &heard[heard.len() / 4..];
        assert!((frequency(middle, rate) - 440.0).abs() < 4.4);
        assert!((level(middle) - 7071.0).abs() < 700.0);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Flush,
    Clear,
    Report(Reception),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..1500_usize).prop_map(Step::Push),
        1 => Just(Step::Flush),
        1 => Just(Step::Clear),
        1 => any::<(u16, i32)>().prop_map(|(latest, lost)| Step::Report(Reception { latest, lost })),
        4 => (0..50_u64).prop_map(Step::Wait),
        1 => (0..5_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn x5_whatever_is_called_the_clock_is_even_and_output_bounded(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut line = Line::new();
        let mut at = 0;
        let mut pushed = 0;
        for step in steps {
            match step {
                Step::Push(bytes) => {
                    pushed += bytes;
                    line.outbound.push(&vec![1; bytes], line.start + ms(at));
                }
                Step::Flush => line.outbound.flush(),
                Step::Clear => line.outbound.clear(),
                Step::Report(reception) => line.outbound.report(reception),
                Step::Wait(millis) => {
                    line.run(at..at + millis);
                    at += millis;
                }
            }
            line.drain(at);
        }
        let timestamps: Vec<u32> = line.sent.iter().map(|(_, packet)| packet.timestamp).collect();
        for pair in timestamps.windows(2) {
            let step = pair[1].wrapping_sub(pair[0]);
            prop_assert!(step > 0 && step % 960 == 0, "{step}");
        }
        for pair in line.sent.windows(2) {
            prop_assert_eq!(pair[1].1.sequence, pair[0].1.sequence.wrapping_add(1));
        }
        let counts = line.outbound.counts();
        prop_assert_eq!(counts.failed, 0);
        prop_assert!(counts.silence <= at / 20 + 2);
        // Each frame of speech has some of what was pushed, and only the last of an utterance is
        // not full.
        prop_assert!(counts.speech as usize <= pushed / 2);
    }
}
