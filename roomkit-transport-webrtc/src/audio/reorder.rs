//! RTP packets in the order they were sent, with the shortest wait for those that are late.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::RtpIn;

/// Packets that may wait for one before them.
const MAX_HELD: usize = 64;

/// How long a packet may wait for one before it.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
const FIRST_WAIT: Duration = Duration::from_millis(40);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Packets that follow each other and do not fit what was before, until they are believed: the
/// sender has begun anew.
const BELIEVED: usize = 3;

/// How far timestamps may run ahead of the time that has passed, in seconds: a sender may leave
/// out silence, and a network may deliver it late.
const AHEAD_SECONDS: u32 = 60;
/// How far they may run back against the order, in milliseconds.
const BACK_MILLIS: u32 = 120;
/// Packets that may be missing with no timestamps gone by: some carry no audio.
const FREE_PACKETS: u16 = 64;

/// What became of a packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It comes out in its turn.
    Accepted,
    /// It has been here before.
    Duplicate,
    /// Its turn is over.
    Late,
    /// It fits nothing; that many of its kind before it are given up.
    Doubted(usize),
    /// It and those of its kind are believed; that many of the old kind are given up.
    Restarted(usize),
}

/// A packet whose turn it is.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) packet: RtpIn,
    /// Packets before it that never came.
    pub(super) lost: u64,
    /// Units of the RTP clock between the audio before it and its own.
    pub(super) gap: u32,
}

/// Puts packets into order.
pub(super) struct Reorder {
    clock_rate: u32,
    next: Option<Next>,
    /// In order of sequence numbers.
    held: VecDeque<Held>,
    /// Bit n: the packet n + 1 before the next has come.
    seen: u64,
    /// Packets that fit each other and not what was before.
    doubted: Vec<RtpIn>,
    wait: Duration,
    last_accepted: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Next {
    sequence: u16,
    timestamp: u32,
}

struct Held {
    packet: RtpIn,
    arrived: Instant,
}

impl Reorder {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            next: None,
            held: VecDeque::new(),
            seen: 0,
            doubted: Vec::new(),
            wait: FIRST_WAIT,
            last_accepted: None,
        }
    }

    /// Takes a packet as it arrives.
    pub(super) fn push(&mut self, packet: RtpIn, now: Instant) -> Arrival {
        let next = *self.next.get_or_insert(Next {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
        });
        let distance = packet.sequence.wrapping_sub(next.sequence);
        if !self.fits(&packet, next, now) {
            return self.doubt(packet, now);
        }
        if distance > u16::MAX / 2 {
            let back = u32::from(distance.wrapping_neg());
            if back <= u64::BITS && self.seen >> (back - 1) & 1 == 1 {
                return Arrival::Duplicate;
            }
            // Its wait was too short.
            self.wait = (self.wait * 3 / 2).min(LONGEST_WAIT);
            return Arrival::Late;
        }
        let distance_of = |held: &Held| held.packet.sequence.wrapping_sub(next.sequence);
        let place = self
            .held
            .partition_point(|held| distance_of(held) < distance);
        if self.held.get(place).map(distance_of) == Some(distance) {
            return Arrival::Duplicate;
        }
        if self.held.len() >= MAX_HELD {
            // Nobody takes them out; the oldest are worth more than the newest.
            return Arrival::Late;
        }
        if let Some(earliest) = arrived_first(self.held.range(place..)) {
            let late_by = now.saturating_duration_since(earliest);
            let wanted = late_by * 5 / 4 + Duration::from_millis(5);
            self.wait = self.wait.max(wanted).min(LONGEST_WAIT);
        }
        self.doubted.clear();
        self.last_accepted = Some(now);
        self.held.insert(
            place,
            Held {
                packet,
                arrived: now,
            },
        );
        Arrival::Accepted
    }

    /// Takes the number of a packet that is no part of the stream's audio, whose timestamp may be of
    /// another clock. None: the number is of no use.
    pub(super) fn leave_out(&mut self, sequence: u16, now: Instant) -> Option<Arrival> {
        let next = self.next?;
        if sequence.wrapping_sub(next.sequence) >= FREE_PACKETS {
            return None;
        }
        let packet = RtpIn {
            sequence,
            timestamp: next.timestamp,
            payload: Bytes::new(),
        };
        Some(self.push(packet, now))
    }

    /// The next packet, when it is there or those before it have been waited for.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        let next = self.next?;
        let front = self.held.front()?;
        let missing = front.packet.sequence.wrapping_sub(next.sequence);
        if missing > 0 && self.held.len() < MAX_HELD && self.wake()? > now {
            return None;
        }
        let packet = self.held.pop_front()?.packet;
        if missing > 0 {
            // Waiting was of no use.
            self.wait = (self.wait * 15 / 16).max(SHORTEST_WAIT);
        }
        self.seen = self.seen.checked_shl(u32::from(missing) + 1).unwrap_or(0) | 1;
        self.next = Some(Next {
            sequence: packet.sequence.wrapping_add(1),
            timestamp: next.timestamp,
        });
        let gap = packet.timestamp.wrapping_sub(next.timestamp);
        Some(Due {
            lost: u64::from(missing),
            gap: if gap > u32::MAX / 2 { 0 } else { gap },
            packet,
        })
    }

    /// Says where the audio of the packet taken last has ended.
    pub(super) fn ended_at(&mut self, timestamp: u32) {
        if let Some(next) = &mut self.next {
            next.timestamp = timestamp;
        }
    }

    /// When [`take`](Self::take) has something without another packet.
    pub(super) fn wake(&self) -> Option<Instant> {
        let front = self.held.front()?;
        if Some(front.packet.sequence) == self.next.map(|next| next.sequence) {
            return Some(front.arrived);
        }
        Some(arrived_first(self.held.iter())? + self.wait)
    }

    /// Whether a packet belongs to the stream so far. A sender that starts anew begins with random
    /// numbers, and a late packet has both of its numbers behind.
    fn fits(&self, packet: &RtpIn, next: Next, now: Instant) -> bool {
        let distance = packet.sequence.wrapping_sub(next.sequence);
        let ahead = packet.timestamp.wrapping_sub(next.timestamp);
        let behind = next.timestamp.wrapping_sub(packet.timestamp);
        // The shortest packet of Opus has 2.5 ms.
        let least = |packets: u16| {
            u32::from(packets.saturating_sub(FREE_PACKETS)) * (self.clock_rate / 400)
        };
        if distance > u16::MAX / 2 {
            let least = least(distance.wrapping_neg());
            return (least..=self.clock_rate * AHEAD_SECONDS).contains(&behind);
        }
        if packet.payload.is_empty() && distance < FREE_PACKETS {
            return true;
        }
        let passed = self
            .last_accepted
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let passed = u32::try_from(passed.as_secs()).unwrap_or(u32::MAX);
        let furthest = passed
            .saturating_add(AHEAD_SECONDS)
            .saturating_mul(self.clock_rate)
            .min(u32::MAX / 2);
        let back = self.clock_rate / 1000 * BACK_MILLIS;
        let least = least(distance);
        (ahead >= least && ahead <= furthest) || (behind <= back && least == 0)
    }

    /// Keeps a packet that fits nothing, until enough of its kind have come.
    fn doubt(&mut self, packet: RtpIn, now: Instant) -> Arrival {
        let mut given_up = 0;
        if let Some(last) = self.doubted.last() {
            match packet.sequence.wrapping_sub(last.sequence) {
                0 => return Arrival::Duplicate,
                1 => {}
                _ => {
                    given_up = self.doubted.len();
                    self.doubted.clear();
                }
            }
        }
        self.doubted.push(packet);
        if self.doubted.len() < BELIEVED {
            return Arrival::Doubted(given_up);
        }
        let given_up = self.held.len();
        self.held.clear();
        self.seen = 0;
        self.next = self.doubted.first().map(|first| Next {
            sequence: first.sequence,
            timestamp: first.timestamp,
        });
        self.last_accepted = Some(now);
        self.held.extend(self.doubted.drain(..).map(|packet| Held {
            packet,
            arrived: now,
        }));
        Arrival::Restarted(given_up)
    }
}

fn arrived_first<'a>(held: impl Iterator<Item = &'a Held>) -> Option<Instant> {
    held.map(|held| held.arrived).min()
}

#[cfg(test)]
mod tests;
