//! What a caller hears of a network: order, loss, silence, nonsense.

use proptest::prelude::*;

use super::*;
use crate::audio::{
    codec::Encoder,
    signal::{level, tone, vowel},
};

mod chaos;
mod loss;
mod quiet;

const RATE: u32 = 16_000;
const SENT_RATE: u32 = 24_000;
/// Bytes of 20 ms as it comes out.
const PIECE: usize = 640;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Packets of 20 ms, one after the other.
fn packets(encoder: &mut Encoder, pcm: &[u8]) -> Vec<RtpIn> {
    let frames = pcm.chunks_exact(bytes_for(FRAME, SENT_RATE));
    frames
        .zip(0_u16..)
        .map(|(frame, number)| RtpIn {
            sequence: 65_500_u16.wrapping_add(number),
            timestamp: (u32::MAX - 20_000).wrapping_add(960 * u32::from(number)),
            payload: encoder.encode(frame).unwrap(),
        })
        .collect()
}

fn vowel_packets(frames: usize, loss_expected: u8) -> Vec<RtpIn> {
    let mut encoder = Encoder::new(Codec::Opus, SENT_RATE, 32_000).unwrap();
    encoder.expect_loss(loss_expected).unwrap();
    packets(&mut encoder, &vowel(SENT_RATE, 0, frames * 480))
}

/// An inbound side with all that came out of it.
struct Line {
    inbound: Inbound,
    start: Instant,
    heard: Vec<u8>,
    /// When each piece came, in ms from the start, and how many bytes it has.
    pieces: Vec<(u64, usize)>,
}

impl Line {
    fn new() -> Self {
        Self::with(Codec::Opus, RATE)
    }

    fn with(codec: Codec, rate: u32) -> Self {
        Self {
            inbound: Inbound::new(codec, rate).unwrap(),
            start: Instant::now(),
            heard: Vec::new(),
            pieces: Vec::new(),
        }
    }

    fn drain(&mut self, at: u64) {
        while let Some(Piece { pcm, .. }) = self.inbound.poll(self.start + ms(at)) {
            self.pieces.push((at, pcm.len()));
            self.heard.extend_from_slice(&pcm);
        }
    }

    /// Lets time pass, waking it when it wants to be woken; then a packet comes.
    fn push(&mut self, packet: &RtpIn, at: u64) {
        self.run(at);
        self.inbound.push(packet.clone(), self.start + ms(at));
        self.drain(at);
    }

    fn run(&mut self, until: u64) {
        let end = self.start + ms(until);
        while let Some(wake) = self.inbound.next_wake().filter(|wake| *wake <= end) {
            let at = (wake - self.start).as_nanos().div_ceil(1_000_000) as u64;
            self.drain(at);
        }
    }

    fn heard_ms(&self) -> usize {
        self.heard.len() / 32
    }
}

/// What comes out when nothing goes wrong.
fn undisturbed(packets: &[RtpIn]) -> Vec<u8> {
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
    }
    line.heard
}

#[test]
fn a_packet_in_order_is_audio_at_once() {
    let packets = vowel_packets(60, 0);
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
        assert_eq!(line.pieces.last(), Some(&(20 * number, PIECE)));
    }
    assert_eq!(line.pieces.len(), 60);
    let expected = InboundCounts {
        received: 60,
        ..InboundCounts::default()
    };
    assert_eq!(line.inbound.counts(), expected);
}

#[test]
fn what_is_of_another_codec_is_no_loss() {
    let packets = vowel_packets(60, 0);
    let expected = undisturbed(&packets);
    let mut line = Line::new();
    // A tone of five packets in the middle, which have numbers of the same sequence.
    for (packet, number) in packets.iter().zip(0_u16..) {
        let mut packet = packet.clone();
        if number >= 30 {
            packet.sequence = packet.sequence.wrapping_add(5);
        }
        line.push(&packet, 20 * u64::from(number));
        if number == 29 {
            for tone in 1..=5 {
                let at = line.start + ms(580 + 3 * u64::from(tone));
                let sequence = packet.sequence.wrapping_add(tone);
                line.inbound.leave_out(sequence, at);
            }
            line.drain(598);
        }
    }
    assert!(line.heard == expected);
    let counts = line.inbound.counts();
    assert_eq!((counts.received, counts.undecodable), (65, 5));
    assert_eq!((counts.lost, counts.late, counts.concealed), (0, 0, 0));
}

#[test]
fn what_is_of_another_codec_begins_nothing() {
    let packets = vowel_packets(60, 0);
    let expected = undisturbed(&packets);
    let mut line = Line::new();
    let before = packets[0].sequence.wrapping_sub(1);
    line.inbound.leave_out(before, line.start);
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
        // Long over, or never to come.
        let far = packet.sequence.wrapping_add(30_000);
        line.inbound.leave_out(far, line.start + ms(20 * number));
    }
    assert!(line.heard == expected);
    assert_eq!(line.inbound.counts().lost, 0);
}

#[test]
fn out_of_order_and_twice_sounds_the_same() {
    let mut shuffled = vowel_packets(60, 0);
    let expected = undisturbed(&shuffled);
    for pair in shuffled[1..].chunks_exact_mut(3) {
        pair.swap(0, 2);
    }
    let mut line = Line::new();
    for (packet, number) in shuffled.iter().zip(0..) {
        line.push(packet, 10 * number);
        line.push(packet, 10 * number + 1);
    }
    assert!(line.heard == expected);
    let counts = line.inbound.counts();
    assert_eq!((counts.received, counts.duplicate), (120, 60));
    assert_eq!((counts.lost, counts.late, counts.concealed), (0, 0, 0));
}

#[test]
fn every_length_of_packet_and_stereo_too() {
    for tenths in [25, 50, 100, 200, 400, 600, 800, 1000, 1200] {
        let samples = 48 * tenths / 10;
        let channels = if tenths % 200 == 0 { 2 } else { 1 };
        let layout = [ropus::Channels::Mono, ropus::Channels::Stereo][channels - 1];
        let application = ropus::Application::Voip;
        let mut encoder = ropus::Encoder::builder(48_000, layout, application)
            .build()
            .unwrap();
        let mut line = Line::new();
        for number in 0..5_u16 {
            let mut payload = [0; 1275];
            let length = encoder
                .encode(&vec![99; samples * channels], &mut payload)
                .unwrap();
            let packet = RtpIn {
                sequence: number,
                timestamp: u32::from(number) * samples as u32,
                payload: Bytes::copy_from_slice(&payload[..length]),
            };
            line.push(&packet, 0);
        }
        assert_eq!(line.pieces, [(0, samples / 3 * 2); 5], "{tenths}");
        assert_eq!(line.inbound.counts().filled, 0);
    }
}

#[test]
fn a1_what_cannot_be_decoded_is_counted_and_the_call_goes_on() {
    let mut packets = vowel_packets(30, 0);
    packets[5].payload = Bytes::from_static(&[0x4B, 0xFF, 0xFF]);
    packets[10].payload = vec![0x48; 1501].into();
    packets[15].payload = Bytes::new();
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
    }
    let counts = line.inbound.counts();
    assert_eq!(counts.undecodable, 2);
    // Their time is filled, by what comes after them.
    assert_eq!((counts.lost, counts.filled), (0, 3));
    assert_eq!(line.heard_ms(), 600);
}

#[test]
fn a_sender_that_starts_anew_is_heard_whole() {
    let mut line = Line::new();
    let packets = vowel_packets(20, 0);
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
    }
    for (packet, number) in packets.iter().zip(20..) {
        let anew = RtpIn {
            sequence: packet.sequence.wrapping_add(20_000),
            timestamp: packet.timestamp.wrapping_add(1 << 30),
            payload: packet.payload.clone(),
        };
        line.push(&anew, 20 * number);
    }
    assert_eq!(line.heard_ms(), 800);
    let counts = line.inbound.counts();
    assert_eq!((counts.late, counts.lost, counts.filled), (0, 0, 0));
}
