//! Packets that never come, or too late.

use super::*;

/// Loses that many in a hundred, always the same ones; never the first or the last.
fn lossy(packets: &[RtpIn], percent: u32) -> Vec<(u64, &RtpIn)> {
    let mut random = 12_345_u32;
    let last = packets.len() - 1;
    let numbered = packets.iter().enumerate();
    numbered
        .filter(|(number, _)| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *number == 0 || *number == last || (random >> 8) % 100 >= percent
        })
        .map(|(number, packet)| (20 * number as u64, packet))
        .collect()
}

#[test]
fn c3_the_voice_goes_on_through_loss() {
    let packets = vowel_packets(250, 15);
    let whole = undisturbed(&packets);
    for percent in [5, 15] {
        let mut line = Line::new();
        let sent = lossy(&packets, percent);
        for (at, packet) in &sent {
            line.push(packet, *at);
        }
        let counts = line.inbound.counts();
        assert_eq!(counts.lost as usize, 250 - sent.len());
        assert_eq!(counts.concealed + counts.recovered_by_fec, counts.lost);
        assert!(counts.recovered_by_fec * 3 > counts.lost, "{counts:?}");
        assert_eq!((counts.late, counts.filled), (0, 0));
        assert_eq!(line.heard.len(), whole.len(), "no time is lost");
        // In no 60 ms is the voice gone, not even where three packets in a row are.
        for (heard, sent) in line.heard.chunks(3 * PIECE).zip(whole.chunks(3 * PIECE)) {
            let share = level(heard) / level(sent);
            assert!((0.25..2.0).contains(&share), "{percent} %: {share}");
        }
    }
}

#[test]
fn a_copy_of_the_past_sounds_like_it() {
    let packets = vowel_packets(40, 15);
    let whole = undisturbed(&packets);
    let copied = (20..39)
        .find(|n| opus_header::copy_of_the_past(&packets[n + 1].payload).is_some())
        .unwrap();
    let mut line = Line::new();
    for (number, packet) in packets.iter().enumerate() {
        if number != copied {
            line.push(packet, 20 * number as u64);
        }
    }
    let counts = line.inbound.counts();
    assert_eq!(
        (counts.lost, counts.recovered_by_fec, counts.concealed),
        (1, 1, 0)
    );
    let place = copied * PIECE..(copied + 1) * PIECE;
    let share = level(&line.heard[place.clone()]) / level(&whole[place]);
    assert!((0.7..1.4).contains(&share), "{share}");
}

#[test]
fn a_long_gap_fades_and_is_silent_until_the_voice_is_back() {
    let packets = vowel_packets(60, 0);
    let mut line = Line::new();
    for packet in &packets[..20] {
        line.push(packet, 0);
    }
    // A second is missing before a packet that arrives at once.
    for packet in &packets[50..] {
        line.push(packet, 150);
    }
    line.run(199);
    assert_eq!(line.heard_ms(), 1200);
    assert_eq!(line.inbound.counts().lost, 30);
    assert_eq!(line.inbound.counts().concealed, 30);
    let gap = &line.heard[20 * PIECE..50 * PIECE];
    assert!(level(&gap[..PIECE]) > 200.0, "it does not break off");
    assert!(level(&gap[5 * PIECE..]) == 0.0, "it is silent after 100 ms");
    let end = crate::audio::signal::samples(&gap[..5 * PIECE]);
    assert!(
        end[end.len() - 2..].iter().all(|value| value.abs() < 50.0),
        "without a click"
    );
}

#[test]
fn a_gap_is_as_long_as_its_timestamps_say() {
    // One packet is lost, and it had 60 ms.
    let mut packets = vowel_packets(20, 0);
    packets.remove(10);
    for packet in &mut packets[10..] {
        packet.timestamp = packet.timestamp.wrapping_add(2 * 960);
    }
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
    }
    assert_eq!(line.heard_ms(), 20 * 19 + 60);
    assert_eq!(line.inbound.counts().lost, 1);
}

#[test]
fn too_late_is_dropped_and_counted() {
    let packets = vowel_packets(20, 0);
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0_u64..) {
        if number != 10 {
            line.push(packet, 20 * number);
        }
    }
    line.push(&packets[10], 401);
    let counts = line.inbound.counts();
    assert_eq!((counts.lost, counts.late), (1, 1));
    assert_eq!(line.heard_ms(), 400);
}

#[test]
fn g711_loses_its_voice_no_more_than_opus() {
    let mut encoder = Encoder::new(Codec::Pcma, 8_000, 0).unwrap();
    let mut line = Line::with(Codec::Pcma, 8_000);
    for number in 0..50_u16 {
        let pcm = tone(8_000, 400.0, usize::from(number) * 160, 160);
        let packet = RtpIn {
            sequence: number,
            timestamp: 160 * u32::from(number),
            payload: encoder.encode(&pcm).unwrap(),
        };
        if number % 10 != 5 {
            line.push(&packet, 20 * u64::from(number));
        }
    }
    assert_eq!(line.heard.len(), 50 * 320);
    assert_eq!(line.inbound.counts().concealed, 5);
    for heard in line.heard.chunks(320) {
        assert!(level(heard) > 6000.0);
    }
}
