//! Whatever comes.

use super::*;

#[derive(Debug, Clone)]
enum Payload {
    Spoken(usize),
    Bytes(Vec<u8>),
    Long(usize),
}

#[derive(Debug, Clone)]
struct Step {
    /// How far the numbers go on from the packet before.
    sequence: i16,
    timestamp: i32,
    payload: Payload,
    wait: u64,
    polled: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let sequence = prop_oneof![6 => Just(1_i16), 3 => -5..5_i16, 1 => any::<i16>()];
    let timestamp = prop_oneof![6 => Just(960), 3 => -10_000..10_000, 1 => any::<i32>()];
    let payload = prop_oneof![
        4 => (0..30_usize).prop_map(Payload::Spoken),
        4 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Payload::Bytes),
        1 => (0..1600_usize).prop_map(Payload::Long),
    ];
    let wait = prop_oneof![6 => 0..30_u64, 1 => 0..3_000_u64];
    (
        sequence,
        timestamp,
        payload,
        wait,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(sequence, timestamp, payload, wait, polled)| Step {
            sequence,
            timestamp,
            payload,
            wait,
            polled,
        })
}

fn check(codec: Codec, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let spoken = vowel_packets(30, 10);
    let rate = if codec == Codec::Opus { RATE } else { 8_000 };
    let mut line = Line::with(codec, rate);
    let (mut at, mut sequence, mut timestamp) = (0, 0_u16, 0_u32);
    let mut came = 0;
    for step in steps {
        sequence = sequence.wrapping_add_signed(step.sequence);
        timestamp = timestamp.wrapping_add_signed(step.timestamp);
        let payload = match step.payload {
            Payload::Spoken(number) => spoken[number].payload.clone(),
            Payload::Bytes(bytes) => bytes.into(),
            Payload::Long(length) => vec![0x4B; length].into(),
        };
        came += if codec == Codec::Opus {
            120
        } else {
            payload.len() / 8 + 1
        };
        let packet = RtpIn {
            sequence,
            timestamp,
            payload,
        };
        if step.polled {
            line.push(&packet, at);
        } else {
            line.inbound.push(packet, line.start + ms(at));
        }
        at += step.wait;
    }
    line.run(at);
    let heard_ms = line.heard.len() / (rate as usize / 500);
    // What came, real time, and the one second that may be made up ahead.
    prop_assert!(
        heard_ms <= came + at as usize + 1_000,
        "{heard_ms} ms of {came} in {at}"
    );
    prop_assert!(line.pieces.iter().all(|(_, length)| length % 2 == 0));
    let counts = line.inbound.counts();
    prop_assert!(counts.late + counts.duplicate + counts.undecodable <= counts.received);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn x5_whatever_opus_comes(steps in prop::collection::vec(step(), 1..80)) {
        check(Codec::Opus, steps)?;
    }

    #[test]
    fn x5_whatever_g711_comes(steps in prop::collection::vec(step(), 1..80)) {
        check(Codec::Pcmu, steps)?;
    }
}
