//! A wire on which nothing comes: mute, discontinuous transmission, outages.

use super::*;

#[test]
fn before_the_first_packet_there_is_nothing() {
    let mut line = Line::new();
    assert_eq!(line.inbound.next_wake(), None);
    line.run(5_000);
    assert!(line.pieces.is_empty());
}

#[test]
fn when_nothing_comes_silence_does_for_ten_seconds() {
    let packets = vowel_packets(20, 0);
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0..) {
        line.push(packet, 20 * number);
    }
    let spoken = line.heard.len();
    line.run(570);
    assert_eq!(line.heard.len(), spoken);
    line.run(60_000);
    let filled: Vec<u64> = line.pieces[20..].iter().map(|(at, _)| *at).collect();
    assert_eq!(filled[..3], [580, 600, 620]);
    assert!(filled.windows(2).all(|pair| pair[1] - pair[0] == 20));
    assert_eq!(filled.last(), Some(&10_360));
    assert_eq!(line.inbound.counts().filled, filled.len() as u64);
    assert_eq!(line.inbound.next_wake(), None);
    assert!(level(&line.heard[spoken + 5 * PIECE..]) == 0.0);
}

#[test]
fn what_an_outage_held_back_is_heard_whole() {
    let packets = vowel_packets(60, 0);
    let mut line = Line::new();
    for (packet, number) in packets[..20].iter().zip(0..) {
        line.push(packet, 20 * number);
    }
    for packet in &packets[20..] {
        line.push(packet, 1200);
    }
    let counts = line.inbound.counts();
    assert_eq!((counts.lost, counts.late, counts.undecodable), (0, 0, 0));
    assert_eq!(counts.filled, 32);
    assert_eq!(line.heard_ms(), 1200 + 32 * 20);
}

#[test]
fn a1_what_an_outage_held_back_is_as_loud_as_ever() {
    let packets = vowel_packets(60, 0);
    let (mut smooth, mut held) = (Line::new(), Line::new());
    for (packet, number) in packets.iter().zip(0..) {
        smooth.push(packet, 20 * number);
    }
    for (packet, number) in packets.iter().zip(0..) {
        held.push(packet, if number < 20 { 20 * number } else { 1200 });
    }
    let filled = held.inbound.counts().filled as usize * PIECE;
    assert!(filled > 0);
    let after = 20 * PIECE;
    assert_eq!(held.heard[after + filled..], smooth.heard[after..]);
}

#[test]
fn what_an_outage_swallowed_is_not_filled_twice() {
    let packets = vowel_packets(60, 0);
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0_u64..) {
        if !(20..50).contains(&number) {
            line.push(packet, 20 * number);
        }
    }
    line.run(1_200);
    assert_eq!(line.inbound.counts().lost, 30);
    assert_eq!(line.heard_ms(), 1200);
}

#[test]
fn a_sender_that_leaves_out_silence_keeps_its_time() {
    // A packet each 400 ms, numbered without a gap.
    let mut packets = vowel_packets(30, 0);
    for (packet, number) in packets[20..].iter_mut().zip(0..) {
        packet.timestamp = packet.timestamp.wrapping_add(19 * 960 * number);
    }
    let mut line = Line::new();
    for (packet, number) in packets.iter().zip(0_u64..) {
        let at = if number < 20 {
            20 * number
        } else {
            400 + 400 * (number - 20)
        };
        line.push(packet, at);
    }
    let counts = line.inbound.counts();
    assert_eq!((counts.lost, counts.concealed, counts.late), (0, 0, 0));
    assert_eq!(line.heard_ms(), 400 + 9 * 400 + 20);
}

#[test]
fn a_gap_is_filled_for_a_second_at_most() {
    let mut packets = vowel_packets(2, 0);
    packets[1].timestamp = packets[1].timestamp.wrapping_add(48_000 * 50);
    let mut line = Line::new();
    line.push(&packets[0], 0);
    line.push(&packets[1], 10);
    assert_eq!(line.heard_ms(), 20 + 1000 + 20);
}

#[test]
fn g711_is_silent_too() {
    let mut line = Line::with(Codec::Pcmu, 8_000);
    let packet = RtpIn {
        sequence: 0,
        timestamp: 0,
        payload: vec![0xA0; 160].into(),
    };
    line.push(&packet, 0);
    line.run(1_000);
    assert_eq!(line.pieces.len(), 1 + 41);
    assert!(level(&line.heard[320 * 7..]) == 0.0);
}

#[test]
fn a_process_that_slept_does_not_make_it_all_up() {
    let mut line = Line::new();
    line.push(&vowel_packets(1, 0)[0], 0);
    line.drain(8_000);
    assert_eq!(line.pieces.len(), 1 + 50);
    line.drain(8_019);
    assert_eq!(line.pieces.len(), 1 + 50);
}
