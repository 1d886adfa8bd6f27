use bytes::Bytes;

use super::*;

const FRAME: u32 = 960;

fn packet(sequence: u16, timestamp: u32) -> RtpIn {
    RtpIn {
        sequence,
        timestamp,
        payload: Bytes::from_static(&[1]),
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Packets of 20 ms from a sender, numbered from 0.
struct Line {
    order: Reorder,
    start: Instant,
    first: RtpIn,
}

impl Line {
    fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            order: Reorder::new(48_000),
            start: Instant::now(),
            first: packet(sequence, timestamp),
        }
    }

    fn push(&mut self, number: u16, at: u64) -> Arrival {
        let sequence = self.first.sequence.wrapping_add(number);
        let timestamp = self.first.timestamp.wrapping_add(FRAME * u32::from(number));
        self.order
            .push(packet(sequence, timestamp), self.start + ms(at))
    }

    /// The numbers of all packets that are due.
    fn take(&mut self, at: u64) -> Vec<u16> {
        let mut numbers = Vec::new();
        while let Some(due) = self.order.take(self.start + ms(at)) {
            self.order
                .ended_at(due.packet.timestamp.wrapping_add(FRAME));
            numbers.push(due.packet.sequence.wrapping_sub(self.first.sequence));
        }
        numbers
    }
}

#[test]
fn in_order_is_at_once_also_across_the_wrap() {
    let mut line = Line::new(u16::MAX - 3, u32::MAX - 3000);
    for number in 0..10 {
        assert_eq!(line.push(number, 0), Arrival::Accepted);
        assert_eq!(line.take(0), [number]);
    }
}

#[test]
fn a_late_packet_is_waited_for() {
    let mut line = Line::new(65_534, 0);
    line.push(0, 0);
    line.take(0);
    line.push(3, 10);
    line.push(2, 15);
    assert!(line.take(15).is_empty());
    assert_eq!(line.order.wake(), Some(line.start + ms(10) + FIRST_WAIT));
    line.push(1, 30);
    assert_eq!(line.take(30), [1, 2, 3]);
    assert_eq!(line.order.wake(), None);
}

#[test]
fn a_lost_packet_is_given_up() {
    let mut line = Line::new(0, 0);
    line.push(0, 0);
    line.take(0);
    line.push(2, 40);
    line.push(5, 60);
    assert!(line.take(79).is_empty());
    let due = line.order.take(line.start + ms(80)).unwrap();
    assert_eq!((due.packet.sequence, due.lost, due.gap), (2, 1, FRAME));
    line.order.ended_at(3 * FRAME);
    // The second gap is as old as the packet behind it.
    assert_eq!(
        line.order.wake(),
        Some(line.start + ms(60) + line.order.wait)
    );
    assert_eq!(line.push(1, 81), Arrival::Late);
}

#[test]
fn the_wait_follows_the_network() {
    let mut line = Line::new(0, 0);
    line.push(0, 0);
    line.take(0);
    // Late by 60 ms again and again: given up at first, then waited for.
    line.push(2, 20);
    line.take(75);
    assert_eq!(line.push(1, 80), Arrival::Late);
    assert_eq!(line.take(80), [] as [u16; 0]);
    line.push(4, 100);
    line.take(150);
    line.push(3, 155);
    assert_eq!(line.take(155), [3, 4]);
    assert!(line.order.wait > ms(60) && line.order.wait <= LONGEST_WAIT);
    // And loss alone makes it shorter again.
    for n in 0..60 {
        line.push(6 + 2 * n, 200 + 200 * u64::from(n));
        line.take(390 + 200 * u64::from(n));
    }
    assert_eq!(line.order.wait, SHORTEST_WAIT);
}

#[test]
fn a_second_copy_is_known() {
    let mut line = Line::new(100, 0);
    line.push(0, 0);
    line.take(0);
    assert_eq!(line.push(0, 1), Arrival::Duplicate);
    line.push(2, 2);
    assert_eq!(line.push(2, 3), Arrival::Duplicate);
    line.push(1, 4);
    assert_eq!(line.take(4), [1, 2]);
    assert_eq!(line.push(1, 5), Arrival::Duplicate);
    assert_eq!(line.push(2, 5), Arrival::Duplicate);
}

#[test]
fn a_sender_that_starts_anew_loses_nothing() {
    for (sequence, timestamp) in [
        (40_000, 7),
        (9, 1 << 31),
        (11, 77 << 24),
        (60_000, 10 * FRAME),
    ] {
        let mut line = Line::new(0, 0);
        for number in 0..10 {
            line.push(number, 0);
            line.take(0);
        }
        line.first = packet(sequence, timestamp);
        assert_eq!(line.push(0, 20), Arrival::Doubted(0));
        assert_eq!(line.push(1, 40), Arrival::Doubted(0));
        assert!(line.take(40).is_empty());
        assert_eq!(line.push(2, 60), Arrival::Restarted(0));
        assert_eq!(line.take(60), [0, 1, 2]);
        assert_eq!(line.push(3, 80), Arrival::Accepted);
        assert_eq!(line.take(80), [3]);
    }
}

#[test]
fn one_stray_packet_changes_nothing() {
    let mut line = Line::new(0, 0);
    line.push(0, 0);
    line.take(0);
    let now = line.start;
    assert_eq!(
        line.order.push(packet(30_000, 5 << 28), now),
        Arrival::Doubted(0)
    );
    assert_eq!(
        line.order.push(packet(20_000, 5 << 28), now),
        Arrival::Doubted(1)
    );
    assert_eq!(line.push(1, 20), Arrival::Accepted);
    assert_eq!(line.take(20), [1]);
}

#[test]
fn after_an_outage_the_stream_goes_on() {
    let mut line = Line::new(0, 0);
    line.push(0, 0);
    line.take(0);
    // The clock of a sender that was muted for ten minutes has gone on, and its numbers have not.
    let now = line.start + ms(600_000);
    assert_eq!(
        line.order.push(packet(1, 600 * 48_000), now),
        Arrival::Accepted
    );
    let due = line.order.take(now).unwrap();
    assert_eq!((due.lost, due.gap), (0, 599 * 48_000 + 48_000 - FRAME));
}

#[test]
fn packets_without_audio_have_numbers_all_the_same() {
    let mut line = Line::new(0, 0);
    line.push(0, 0);
    line.take(0);
    let mut padding = packet(1, 0);
    padding.payload = Bytes::new();
    assert_eq!(line.order.push(padding, line.start), Arrival::Accepted);
    assert!(line.order.take(line.start).is_some());
    assert_eq!(
        line.order.push(packet(2, FRAME), line.start),
        Arrival::Accepted
    );
    assert_eq!(line.order.take(line.start).unwrap().gap, 0);
}

#[test]
fn x5_only_so_many_are_held() {
    let mut line = Line::new(0, 0);
    line.push(0, 0);
    line.take(0);
    for number in 2..200 {
        line.push(number, 0);
    }
    assert_eq!(line.order.held.len(), MAX_HELD);
    assert_eq!(line.take(0).len(), MAX_HELD, "a full queue waits no longer");
}
