//! A caller's RTP packets become PCM16.
//!
//! Who listens is an AI service and not a loudspeaker: there is no playout buffer, and a packet in
//! order is audio at once. Only behind a gap do packets wait, for as long as this network reorders,
//! and then the gap is filled: from the copy of the past in the packet behind it, by concealment,
//! or with silence. A service that detects the end of speech has to hear silence, so when nothing
//! arrives for a while, silence is handed out in its place.

mod allowance;

use std::time::Duration;

use bytes::Bytes;
use roomkit_core::audio::{BYTES_PER_SAMPLE, bytes_for};
use tokio::time::Instant;

use self::allowance::Allowance;
use super::{
    Codec, CodecError, FRAME,
    codec::{Decoder, scaled},
    opus_header,
    reorder::{Arrival, Due, Reorder},
};

/// Bytes a payload may have.
const MAX_PAYLOAD: usize = 1500;
/// How long nothing may arrive before silence takes its place.
const QUIET: Duration = Duration::from_millis(200);
/// How long silence takes its place.
const LONGEST_QUIET: Duration = Duration::from_secs(10);
/// How long a gap may sound like what was before it.
const LONGEST_CONCEALMENT: Duration = Duration::from_millis(100);
/// How much of a gap is filled.
const LONGEST_FILL: Duration = Duration::from_secs(1);

/// An RTP packet of the one payload type that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RtpIn {
    /// Its number.
    pub(crate) sequence: u16,
    /// When its audio begins, by the clock of [`Codec::clock_rate`].
    pub(crate) timestamp: u32,
    /// The coded audio, without padding.
    pub(crate) payload: Bytes,
}

/// What came of a caller's packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InboundCounts {
    /// Packets that arrived.
    pub(crate) received: u64,
    /// Packets that did not come in time.
    pub(crate) lost: u64,
    /// Pieces of up to 20 ms made up where packets were lost.
    pub(crate) concealed: u64,
    /// Pieces taken from the copy in the packet behind them.
    pub(crate) recovered_by_fec: u64,
    /// Packets that came after their time, or fitted nothing, and were dropped.
    pub(crate) late: u64,
    /// Packets that came twice.
    pub(crate) duplicate: u64,
    /// Packets that were too long, are not what the codec says, or are of another one.
    pub(crate) undecodable: u64,
    /// Pieces of up to 20 ms where nothing was sent or nothing arrived.
    pub(crate) filled: u64,
}

/// Makes PCM16 of a caller's packets.
pub(crate) struct Inbound {
    decoder: Decoder,
    codec: Codec,
    rate: u32,
    order: Reorder,
    /// The packet whose turn it is, while the gap before it is filled.
    current: Option<Current>,
    /// Samples made up since the last that were decoded.
    filled: usize,
    /// How many of them sound like what was before.
    concealed: usize,
    /// When audio was decoded last, and when silence is due.
    quiet: Option<Quiet>,
    allowance: Allowance,
    counts: InboundCounts,
    /// The latest time heard of: it never goes back.
    now: Option<Instant>,
}

/// A piece of audio: PCM16 little-endian, mono, of 120 ms at the most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) pcm: Bytes,
    /// It is silence for a time in which nothing arrived; what was said then may still come.
    pub(crate) is_filling: bool,
}

struct Current {
    payload: Bytes,
    timestamp: u32,
    /// Samples to make up before it.
    fill: usize,
    /// Samples before it that it carries a copy of.
    copy: Option<usize>,
    after_loss: bool,
}

#[derive(Clone, Copy)]
struct Quiet {
    due: Instant,
    until: Instant,
}

impl Inbound {
    /// Audio of `codec` at `rate` Hz, which must be one that [`pcm_rate`](super::pcm_rate) gives.
    pub(crate) fn new(codec: Codec, rate: u32) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: Decoder::new(codec, rate)?,
            codec,
            rate,
            order: Reorder::new(codec.clock_rate()),
            current: None,
            filled: 0,
            concealed: 0,
            quiet: None,
            allowance: Allowance::default(),
            counts: InboundCounts::default(),
            now: None,
        })
    }

    /// Takes a packet as it arrives; [`poll`](Self::poll) has to be called afterwards.
    pub(crate) fn push(&mut self, mut packet: RtpIn, now: Instant) {
        let now = self.advance(now);
        self.counts.received += 1;
        if packet.payload.len() > MAX_PAYLOAD {
            self.counts.undecodable += 1;
            // Its number counts, its audio is missing.
            packet.payload = Bytes::new();
        }
        let arrival = self.order.push(packet, now);
        self.count(arrival);
    }

    /// Takes the number of a packet that is none of the codec's: there is no audio in it, and none is
    /// missing.
    pub(crate) fn leave_out(&mut self, sequence: u16, now: Instant) {
        let now = self.advance(now);
        self.counts.received += 1;
        self.counts.undecodable += 1;
        if let Some(arrival) = self.order.leave_out(sequence, now) {
            self.count(arrival);
        }
    }

    fn count(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Accepted | Arrival::Doubted(0) => {}
            Arrival::Duplicate => self.counts.duplicate += 1,
            Arrival::Late => self.counts.late += 1,
            Arrival::Doubted(dropped) | Arrival::Restarted(dropped) => {
                self.counts.late += dropped as u64;
            }
        }
    }

    /// The next piece of audio. To be called until there is none, after each [`push`](Self::push) and
    /// at [`next_wake`](Self::next_wake).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Piece> {
        let now = self.advance(now);
        loop {
            if let Some(current) = self.current.take() {
                if let Some(pcm) = self.audio_of(current, now) {
                    let is_filling = false;
                    return Some(Piece { pcm, is_filling });
                }
            } else if let Some(due) = self.order.take(now) {
                self.current = Some(self.plan(due, now));
            } else {
                let is_filling = true;
                let silence = self.silence(now);
                return silence.map(|pcm| Piece { pcm, is_filling });
            }
        }
    }

    /// When [`poll`](Self::poll) has something without another packet.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if self.current.is_some() {
            return self.now;
        }
        let quiet = self.quiet.filter(|quiet| quiet.due < quiet.until);
        let silence = quiet.map(|quiet| quiet.due);
        silence.into_iter().chain(self.order.wake()).min()
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> InboundCounts {
        self.counts
    }

    fn advance(&mut self, now: Instant) -> Instant {
        *self.now.insert(self.now.map_or(now, |last| last.max(now)))
    }

    /// What goes before a packet.
    fn plan(&mut self, due: Due, now: Instant) -> Current {
        self.counts.lost += due.lost;
        let missing = self.whole_steps(due.gap as usize / self.clock_per_sample());
        let missing = missing
            .saturating_sub(self.filled)
            .min(self.samples(LONGEST_FILL))
            .min(self.whole_steps(self.samples(self.allowance.left(now))));
        self.allowance.spend(self.duration(missing), now);
        let copy = (due.lost > 0 && self.codec == Codec::Opus)
            .then(|| opus_header::copy_of_the_past(&due.packet.payload))
            .flatten()
            .map(|length| length as usize / self.clock_per_sample())
            .filter(|samples| *samples <= missing);
        Current {
            fill: missing - copy.unwrap_or(0),
            copy,
            payload: due.packet.payload,
            timestamp: due.packet.timestamp,
            after_loss: due.lost > 0,
        }
    }

    /// The next piece of what goes before a packet, or its own audio.
    fn audio_of(&mut self, mut current: Current, now: Instant) -> Option<Bytes> {
        if current.fill > 0 {
            let piece = current.fill.min(self.samples(FRAME));
            current.fill -= piece;
            let after_loss = current.after_loss;
            self.current = Some(current);
            return Some(if after_loss {
                self.counts.concealed += 1;
                self.concealment(piece)
            } else {
                self.counts.filled += 1;
                self.nothing(piece)
            });
        }
        if let Some(samples) = current.copy.take() {
            let recovered = self.decoder.recover(&current.payload, samples);
            self.current = Some(current);
            return Some(if let Ok(pcm) = recovered {
                self.counts.recovered_by_fec += 1;
                self.filled += samples;
                pcm.into()
            } else {
                self.counts.concealed += 1;
                self.concealment(samples)
            });
        }
        if current.payload.is_empty() {
            return None;
        }
        let Ok(pcm) = self.decoder.decode(&current.payload) else {
            self.counts.undecodable += 1;
            return None;
        };
        let length = pcm.len() / BYTES_PER_SAMPLE * self.clock_per_sample();
        self.order
            .ended_at(current.timestamp.wrapping_add(length as u32));
        self.filled = 0;
        self.concealed = 0;
        self.quiet = Some(Quiet {
            due: now + QUIET,
            until: now + LONGEST_QUIET,
        });
        Some(pcm.into())
    }

    /// A piece of silence, when nothing has arrived for long enough.
    fn silence(&mut self, now: Instant) -> Option<Bytes> {
        let quiet = self.quiet.as_mut()?;
        if quiet.due > now || quiet.due >= quiet.until {
            return None;
        }
        if self.allowance.left(now) < FRAME {
            // Nobody has called for long; that time stays empty.
            quiet.due = now + FRAME;
            return None;
        }
        quiet.due += FRAME;
        self.allowance.spend(FRAME, now);
        self.counts.filled += 1;
        Some(self.nothing(self.samples(FRAME)))
    }

    /// Silence, where nothing was sent as far as is known. The decoder is not asked for it: what comes
    /// next may follow on what it had last, and would be too quiet by what it has faded.
    fn nothing(&mut self, samples: usize) -> Bytes {
        self.filled += samples;
        vec![0; samples * BYTES_PER_SAMPLE].into()
    }

    /// In place of what was lost: first it fades out from what was before, then it is silence.
    fn concealment(&mut self, samples: usize) -> Bytes {
        let limit = self.samples(LONGEST_CONCEALMENT);
        if self.concealed >= limit {
            return self.nothing(samples);
        }
        self.concealed += samples;
        let Ok(mut pcm) = self.decoder.conceal(samples) else {
            return self.nothing(samples);
        };
        self.filled += samples;
        if self.concealed >= limit {
            fade_out(&mut pcm);
        }
        pcm.into()
    }

    fn clock_per_sample(&self) -> usize {
        (self.codec.clock_rate() / self.rate) as usize
    }

    fn samples(&self, duration: Duration) -> usize {
        bytes_for(duration, self.rate) / BYTES_PER_SAMPLE
    }

    fn duration(&self, samples: usize) -> Duration {
        roomkit_core::audio::duration_of(samples * BYTES_PER_SAMPLE, self.rate)
    }

    /// Opus conceals in steps of 2.5 ms.
    fn whole_steps(&self, samples: usize) -> usize {
        let step = self.rate as usize / 400;
        samples / step * step
    }
}

/// Silence may follow without a click.
fn fade_out(pcm: &mut [u8]) {
    let (samples, _odd) = pcm.as_chunks_mut::<BYTES_PER_SAMPLE>();
    let length = samples.len();
    for (position, bytes) in samples.iter_mut().enumerate() {
        *bytes = scaled(*bytes, length - position, length);
    }
}

#[cfg(test)]
mod tests;
