//! What the AI says becomes RTP packets.
//!
//! The call engine hands out audio in real time while the AI speaks, and nothing in between. Each
//! 20 ms of it is one packet, sent at once. After speech a few packets of silence follow, so that
//! the client's jitter buffer runs out into silence and does not stretch the last vowel; then one
//! now and again, as a sender with discontinuous transmission does, which keeps NAT bindings open.

mod loss;

use std::time::Duration;

use bytes::Bytes;
use roomkit_core::audio::{BYTES_PER_SAMPLE, bytes_for};
use tokio::time::Instant;

use self::loss::Loss;
pub(crate) use self::loss::Reception;
use super::{Codec, CodecError, FRAME, codec::Encoder};

/// Packets of silence that follow speech, 20 ms apart.
const TAIL: u32 = 5;
/// Time between packets when nothing is said.
const KEEP_ALIVE: Duration = Duration::from_millis(400);
/// How late audio may come without being the start of something new.
const PATIENCE: Duration = Duration::from_millis(60);
/// How much audio may wait to be polled.
const MAX_PENDING: Duration = Duration::from_secs(2);

/// What goes into an RTP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RtpOut {
    /// One more than that of the packet before it.
    pub(crate) sequence: u16,
    /// When its audio begins, by the clock of [`Codec::clock_rate`].
    pub(crate) timestamp: u32,
    /// Whether speech begins with it.
    pub(crate) marker: bool,
    /// The coded audio: 20 ms.
    pub(crate) payload: Bytes,
}

/// Where packets begin to count; both should be random (RFC 3550, section 5.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct First {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

/// What went to a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OutboundCounts {
    /// Packets of what was pushed.
    pub(crate) speech: u64,
    /// Packets of silence.
    pub(crate) silence: u64,
    /// Bytes of all payloads.
    pub(crate) bytes: u64,
    /// Frames that could not be encoded.
    pub(crate) failed: u64,
    /// Bytes of PCM16 dropped because nobody polled.
    pub(crate) dropped: u64,
}

/// Makes RTP packets of PCM16.
pub(crate) struct Outbound {
    encoder: Encoder,
    rate: u32,
    /// PCM16 that is not yet a packet.
    pending: Vec<u8>,
    phase: Phase,
    /// Whether the last packet was speech, and the next of it follows without a break.
    speaking: bool,
    clock: Clock,
    /// The number of the next packet.
    sequence: u16,
    last_sent: Instant,
    loss: Loss,
    counts: OutboundCounts,
    /// The latest time heard of: it never goes back.
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Audio comes; when none has come until then, that was all.
    Speech { over_at: Instant },
    /// Only what is pending goes out, and then silence.
    Ending,
    /// Silence, with that many packets of the tail left.
    Silence { tail: u32, due: Instant },
}

impl Outbound {
    /// Sends `codec` with audio of `rate` Hz, which must be one that
    /// [`pcm_rate`](super::pcm_rate) gives. `bitrate` in bit/s is for Opus.
    pub(crate) fn new(
        codec: Codec,
        rate: u32,
        bitrate: u32,
        first: First,
        now: Instant,
    ) -> Result<Self, CodecError> {
        Ok(Self {
            encoder: Encoder::new(codec, rate, bitrate)?,
            rate,
            pending: Vec::new(),
            phase: Phase::Silence { tail: 0, due: now },
            speaking: false,
            clock: Clock::new(first.timestamp, codec.clock_rate(), now),
            sequence: first.sequence,
            last_sent: now,
            loss: Loss::new(first.sequence),
            counts: OutboundCounts::default(),
            now,
        })
    }

    /// Takes audio: PCM16 little-endian, mono, any whole number of samples.
    /// [`poll`](Self::poll) has to be called afterwards.
    pub(crate) fn push(&mut self, pcm: &[u8], now: Instant) {
        let now = self.advance(now);
        let pcm = &pcm[..pcm.len() / BYTES_PER_SAMPLE * BYTES_PER_SAMPLE];
        if pcm.is_empty() {
            return;
        }
        let room = bytes_for(MAX_PENDING, self.rate).saturating_sub(self.pending.len());
        let (taken, dropped) = pcm.split_at(room.min(pcm.len()));
        self.counts.dropped += dropped.len() as u64;
        self.pending.extend_from_slice(taken);
        self.phase = Phase::Speech {
            over_at: now + PATIENCE,
        };
    }

    /// The response is complete: what is left of it goes out, filled up to a whole frame.
    /// [`poll`](Self::poll) has to be called afterwards.
    pub(crate) fn flush(&mut self) {
        if let Phase::Speech { .. } = self.phase {
            let whole = self.pending.len().next_multiple_of(self.frame_bytes());
            self.pending.resize(whole, 0);
            self.phase = Phase::Ending;
        }
    }

    /// The AI was interrupted: what is left is not sent any more.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        if let Phase::Speech { .. } = self.phase {
            self.phase = Phase::Ending;
        }
    }

    /// The next packet to send now. To be called until there is none, after everything that says
    /// so and at [`next_wake`](Self::next_wake).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<RtpOut> {
        let now = self.advance(now);
        loop {
            if self.pending.len() >= self.frame_bytes() {
                let frame: Vec<u8> = self.pending.drain(..self.frame_bytes()).collect();
                let starts = !std::mem::replace(&mut self.speaking, true);
                if let Some(packet) = self.packet(&frame, starts, starts, now) {
                    self.counts.speech += 1;
                    return Some(packet);
                }
                continue;
            }
            match self.phase {
                Phase::Speech { over_at } if over_at <= now => self.flush(),
                Phase::Ending => {
                    self.speaking = false;
                    self.phase = Phase::Silence {
                        tail: TAIL,
                        due: self.last_sent + FRAME,
                    };
                }
                Phase::Silence { tail, due } if due <= now => {
                    let pause = if tail > 1 { FRAME } else { KEEP_ALIVE };
                    // One that is late does not hurry the ones after it.
                    let base = if now > due + FRAME { now } else { due };
                    self.phase = Phase::Silence {
                        tail: tail.saturating_sub(1),
                        due: base + pause,
                    };
                    let zeros = vec![0; self.frame_bytes()];
                    if let Some(packet) = self.packet(&zeros, false, true, now) {
                        self.counts.silence += 1;
                        return Some(packet);
                    }
                }
                Phase::Speech { .. } | Phase::Silence { .. } => return None,
            }
        }
    }

    /// When [`poll`](Self::poll) has something without another call.
    pub(crate) fn next_wake(&self) -> Instant {
        if self.pending.len() >= self.frame_bytes() {
            return self.now;
        }
        match self.phase {
            Phase::Speech { over_at } => over_at,
            Phase::Ending => self.now,
            Phase::Silence { due, .. } => due,
        }
    }

    /// Takes a client's report of what came of the packets.
    pub(crate) fn report(&mut self, reception: Reception) {
        if let Some(percent) = self.loss.report(reception)
            && self.encoder.expect_loss(percent).is_err()
        {
            self.counts.failed += 1;
        }
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> OutboundCounts {
        self.counts
    }

    fn packet(
        &mut self,
        frame: &[u8],
        marker: bool,
        after_pause: bool,
        now: Instant,
    ) -> Option<RtpOut> {
        let timestamp = self.clock.next(after_pause.then_some(now));
        self.last_sent = now;
        let Ok(payload) = self.encoder.encode(frame) else {
            self.counts.failed += 1;
            return None;
        };
        self.counts.bytes += payload.len() as u64;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some(RtpOut {
            sequence,
            timestamp,
            marker,
            payload,
        })
    }

    fn frame_bytes(&self) -> usize {
        bytes_for(FRAME, self.rate)
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

/// The RTP clock, in frames.
struct Clock {
    start: Instant,
    first: u32,
    units_per_frame: u32,
    /// Frames from the start to where the last packet ended.
    position: u64,
}

impl Clock {
    /// How far behind real time a packet may be to follow the one before it without a break.
    const SLACK: u64 = 2;

    fn new(first: u32, clock_rate: u32, start: Instant) -> Self {
        Self {
            start,
            first,
            units_per_frame: clock_rate / 50,
            position: 0,
        }
    }

    /// The timestamp of the next packet. With a time, there may have been a pause before it.
    fn next(&mut self, after_pause: Option<Instant>) -> u32 {
        if let Some(now) = after_pause {
            let passed = now.saturating_duration_since(self.start) + FRAME / 2;
            let real = (passed.as_nanos() / FRAME.as_nanos()) as u64;
            // Measured from the start, so that roundings do not add up; and with slack, so that
            // timers that jitter do not tear holes.
            if real >= self.position + Self::SLACK {
                self.position = real;
            }
        }
        let units = self.position.wrapping_mul(u64::from(self.units_per_frame));
        self.position += 1;
        self.first.wrapping_add(units as u32)
    }
}

#[cfg(test)]
mod tests;
