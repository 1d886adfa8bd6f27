//! The AI's voice on its way to the client: paced, recallable, and measured (contracts A3–A5).
//!
//! This is the one place where outbound audio waits. At most the lead is beyond recall; the rest
//! is still here when the user interrupts.
//!
//! The clock runs on a grid: each frame begins where the one before it ends. A client with a jitter
//! buffer does not hear it when a frame comes late by less than that buffer, so for such a client
//! the grid stays and what is overdue goes at once; began the clock anew with each wake-up that is a
//! little late, speech would be sent slower than it is played, and the buffer would run dry. Any
//! other client hears the gap, and what follows is that much later.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{io::Moment, queue::Queue};
use crate::{
    audio::{self, BYTES_PER_SAMPLE, Resampler},
    id::ItemId,
};

/// How much goes out at a time.
const FRAME: Duration = Duration::from_millis(20);

/// A client that says it has played next to nothing is believed for so long: then what it was sent
/// counts as heard, so that nothing waits for it for ever.
const UNHEARD: Duration = Duration::from_secs(10);

/// Of so many runs of audio it is remembered what was heard of them, though more is to come.
const SEGMENTS: usize = 1024;

/// Paces audio to real time and knows how much of it has been heard.
#[derive(Debug)]
pub(super) struct Playout {
    rate: u32,
    pace: Pace,
    capacity: Duration,
    queue: Queue<Queued>,
    queued: Duration,
    /// The response for which there was no room: what follows the hole would make no sense.
    overflowed: Option<u64>,
    /// All that was handed out since the last clear; positions below are on this scale.
    sent: Duration,
    /// When the last sample that was handed out will have been played.
    play_end: Moment,
    segments: VecDeque<Segment>,
    /// Where on this scale the client's own count begins.
    counted_from: Duration,
    report: Option<Report>,
}

/// How a client wants its audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How far ahead of real time audio is sent; at least a frame.
    pub(super) lead: Duration,
    /// How late a frame may come without a gap being heard.
    pub(super) jitter_buffer: Duration,
}

#[derive(Debug)]
enum Queued {
    Audio(Bytes),
    EndOfResponse,
}

/// A run of audio of one item.
#[derive(Debug)]
struct Segment {
    item: AudioItem,
    start: Duration,
    length: Duration,
}

/// The client's word on how much it has played.
#[derive(Debug, Clone, Copy)]
struct Report {
    at: Moment,
    played: Duration,
}

/// Whose audio it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AudioItem {
    /// The number of the provider connection that knows it.
    pub(super) connection: u32,
    /// The number of the response it is of.
    pub(super) response: u64,
    pub(super) item_id: Option<ItemId>,
    pub(super) content_index: u32,
}

/// What the AI says: an item of a connection, or all that is said in a response without one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said<'a> {
    Item(u32, &'a ItemId),
    Response(u64),
}

/// What goes to the client now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Audio(Bytes),
    EndOfResponse,
}

/// How much of an item the user heard, of how much there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) item: AudioItem,
    pub(super) played: Duration,
    pub(super) of: Duration,
}

impl Playout {
    pub(super) fn new(rate: u32, pace: Pace, capacity: Duration) -> Self {
        Self {
            rate,
            pace: Pace {
                // With less, nothing would ever be due.
                lead: pace.lead.max(FRAME),
                ..pace
            },
            capacity,
            queue: Queue::new(),
            queued: Duration::ZERO,
            overflowed: None,
            sent: Duration::ZERO,
            play_end: Duration::ZERO,
            segments: VecDeque::new(),
            counted_from: Duration::ZERO,
            report: None,
        }
    }

    /// Audio now comes at another rate: that of a new provider connection. What waits is brought
    /// to it, so that all that is in here, and all that comes out from now on, has one rate.
    pub(super) fn set_rate(&mut self, rate: u32) {
        let resampler = Resampler::new(self.rate, rate);
        self.rate = rate;
        let Some(mut resampler) = resampler else {
            return;
        };
        self.queued = Duration::ZERO;
        let mut waiting = std::mem::take(&mut self.queue).into_iter().peekable();
        while let Some(next) = waiting.next() {
            match next {
                Queued::Audio(pcm) => {
                    self.requeue(resampler.process(&pcm));
                    if !matches!(waiting.peek(), Some(Queued::Audio(_))) {
                        self.requeue(resampler.flush());
                    }
                }
                Queued::EndOfResponse => self.queue.push_back(Queued::EndOfResponse),
            }
        }
    }

    fn requeue(&mut self, pcm: Bytes) {
        if !pcm.is_empty() {
            self.queued += audio::duration_of(pcm.len(), self.rate);
            self.queue.push_back(Queued::Audio(pcm));
        }
    }

    /// Queues audio. False: the queue is full, or was for some of this response before, and it was dropped.
    pub(super) fn push(&mut self, item: &AudioItem, pcm: Bytes) -> bool {
        let length = audio::duration_of(pcm.len(), self.rate);
        let is_full = self.queued + length > self.capacity;
        if is_full || self.overflowed == Some(item.response) {
            self.overflowed = Some(item.response);
            return false;
        }
        match self.segments.back_mut() {
            Some(last) if last.item == *item => last.length += length,
            _ => self.segments.push_back(Segment {
                item: item.clone(),
                start: self.sent + self.queued,
                length,
            }),
        }
        self.queued += length;
        self.queue.push_back(Queued::Audio(pcm));
        true
    }

    /// The response is complete. The mark never overtakes its audio.
    pub(super) fn push_end_of_response(&mut self) {
        self.queue.push_back(Queued::EndOfResponse);
    }

    /// What is due at `now`; to be called until it gives nothing. Audio comes in frames of 20 ms; a
    /// shorter piece is the last of its response, or the last there is.
    pub(super) fn poll(&mut self, now: Moment) -> Option<Due> {
        match self.queue.front()? {
            Queued::EndOfResponse => {
                self.queue.pop_front();
                Some(Due::EndOfResponse)
            }
            Queued::Audio(_) => {
                let begins = self.next_begins(now);
                if begins.saturating_sub(now) + FRAME > self.pace.lead {
                    return None;
                }
                let frame = self.take_frame();
                let length = audio::duration_of(frame.len(), self.rate);
                self.queued = self.queued.saturating_sub(length);
                self.sent += length;
                self.play_end = begins + length;
                Some(Due::Audio(frame))
            }
        }
    }

    /// When a frame that goes out now begins to play. Whose audio it is makes no difference: the
    /// client plays one stream, and knows of answers as little as of frames.
    fn next_begins(&self, now: Moment) -> Moment {
        let late = now.saturating_sub(self.play_end);
        if self.has_sent() && late <= self.pace.jitter_buffer {
            self.play_end
        } else {
            self.play_end.max(now)
        }
    }

    /// A frame from the front of the queue: a slice of what the provider sent, or a copy where two
    /// of its chunks meet.
    fn take_frame(&mut self) -> Bytes {
        let length = audio::bytes_for(FRAME, self.rate).max(BYTES_PER_SAMPLE);
        let first = self.take_audio(length);
        if first.len() >= length || !matches!(self.queue.front(), Some(Queued::Audio(_))) {
            return first;
        }
        let mut frame = Vec::with_capacity(length);
        frame.extend_from_slice(&first);
        while frame.len() < length {
            let more = self.take_audio(length - frame.len());
            if more.is_empty() {
                break;
            }
            frame.extend_from_slice(&more);
        }
        frame.into()
    }

    /// At most `length` bytes of the chunk at the front; nothing if there is no audio.
    fn take_audio(&mut self, length: usize) -> Bytes {
        match self.queue.front_mut() {
            Some(Queued::Audio(chunk)) if chunk.len() > length => chunk.split_to(length),
            Some(Queued::Audio(chunk)) => {
                let chunk = std::mem::take(chunk);
                self.queue.pop_front();
                chunk
            }
            _ => Bytes::new(),
        }
    }

    /// When the next frame is due.
    pub(super) fn next_frame(&self, now: Moment) -> Option<Moment> {
        let due = (self.play_end + FRAME)
            .saturating_sub(self.pace.lead)
            .max(now);
        (!self.queue.is_empty()).then_some(due)
    }

    /// When all that was sent will have been heard, if nothing more comes.
    pub(super) fn silent_at(&self, now: Moment) -> Option<Moment> {
        let is_over = self.position(now) >= self.sent;
        (self.queue.is_empty() && !is_over).then(|| self.reaches(now, self.sent))
    }

    /// When so much will have been heard, unless it is held up.
    fn reaches(&self, now: Moment, place: Duration) -> Moment {
        let as_reported = now + place.saturating_sub(self.position(now));
        let at_last = (self.play_end + UNHEARD).saturating_sub(self.sent.saturating_sub(place));
        as_reported.min(at_last.max(now))
    }

    /// When all there is will have been heard, by the pacing clock.
    pub(super) fn heard_by(&self) -> Moment {
        self.play_end + self.queued
    }

    /// Nothing waits and nothing is being heard.
    pub(super) fn is_silent(&self, now: Moment) -> bool {
        self.queue.is_empty() && self.position(now) >= self.sent
    }

    /// Where in the client's stream what is queued next begins.
    pub(super) fn end(&self) -> Duration {
        self.sent + self.queued
    }

    /// Something was handed out since the last clear: the client may hold it still.
    pub(super) fn has_sent(&self) -> bool {
        self.sent > Duration::ZERO
    }

    /// The client has played this much by its own count. Gives how much that is of what was sent since
    /// the last clear.
    pub(super) fn report(&mut self, now: Moment, played: Duration) -> Duration {
        let played = self.counted_from.saturating_add(played);
        self.report = Some(Report { at: now, played });
        played
    }

    /// The client has forgotten what it was sent, and counts anew from here on; what it was sent stays
    /// on the scale.
    pub(super) fn count_from_here(&mut self) {
        self.counted_from = self.sent;
        self.report = None;
    }

    fn segments_of(&self, said: Said<'_>) -> impl Iterator<Item = &Segment> {
        let is_it = move |segment: &&Segment| match (said, &segment.item.item_id) {
            (Said::Item(connection, wanted), Some(item_id)) => {
                segment.item.connection == connection && item_id == wanted
            }
            (Said::Response(wanted), None) => segment.item.response == wanted,
            _ => false,
        };
        self.segments.iter().filter(is_it)
    }

    /// Whether all queued audio of this item has been heard.
    pub(super) fn has_played(&self, now: Moment, said: Said<'_>) -> bool {
        // Lengths of pieces need not add up to the nanosecond; nothing left is nothing left.
        if self.is_silent(now) {
            return true;
        }
        let position = self.position(now);
        self.segments_of(said)
            .all(|segment| position >= segment.start + segment.length)
    }

    /// When all queued audio of this item will have been heard, unless it is held up.
    pub(super) fn heard_at(&self, now: Moment, said: Said<'_>) -> Moment {
        let end = self
            .segments_of(said)
            .map(|segment| segment.start + segment.length)
            .max();
        self.reaches(now, end.unwrap_or_default())
    }

    /// How much of this item has been heard (contract A4).
    pub(super) fn heard_of(&self, now: Moment, said: Said<'_>) -> Duration {
        let position = self.position(now);
        self.segments_of(said)
            .map(|segment| position.saturating_sub(segment.start).min(segment.length))
            .sum()
    }

    /// Drops everything and says, for each item not heard whole, how much of it was.
    pub(super) fn clear(&mut self, now: Moment) -> Vec<Heard> {
        let position = self.position(now);
        let mut cut: Vec<Heard> = Vec::new();
        for segment in self.segments.drain(..) {
            let heard = position.saturating_sub(segment.start).min(segment.length);
            match cut.iter_mut().find(|known| known.item == segment.item) {
                Some(known) => {
                    known.played += heard;
                    known.of += segment.length;
                }
                None => cut.push(Heard {
                    item: segment.item,
                    played: heard,
                    of: segment.length,
                }),
            }
        }
        cut.retain(|item| item.played < item.of);
        self.queue = Queue::new();
        self.queued = Duration::ZERO;
        self.overflowed = None;
        self.sent = Duration::ZERO;
        self.play_end = now;
        self.counted_from = Duration::ZERO;
        self.report = None;
        cut
    }

    /// Forgets what has been heard whole, so that a long call does not collect it.
    pub(super) fn forget_played(&mut self, now: Moment) {
        if self.is_silent(now) {
            self.segments.clear();
        }
    }

    /// The same of an answer without end, whose items nobody asks about any more by then.
    pub(super) fn forget_oldest(&mut self, now: Moment) {
        while self.segments.len() > SEGMENTS
            && let Some(oldest) = self.segments.front()
            && oldest.start + oldest.length <= self.position(now)
        {
            self.segments.pop_front();
        }
    }

    /// How many runs of audio are remembered.
    #[cfg(test)]
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// How much of what was handed out has been heard: what the pacing clock says, and never more
    /// than the client has reported, as long as it is believed.
    pub(super) fn position(&self, now: Moment) -> Duration {
        let by_clock = self.position_by_clock(now);
        match self.report {
            Some(report) => {
                let since = now.saturating_sub(report.at);
                let at_least = self.position_by_clock(now.saturating_sub(UNHEARD));
                by_clock
                    .min(report.played.saturating_add(since))
                    .max(at_least)
            }
            None => by_clock,
        }
    }

    /// By how much the client is behind the pacing clock, as it reports.
    pub(super) fn lag(&self, now: Moment) -> Duration {
        self.position_by_clock(now)
            .saturating_sub(self.position(now))
    }

    fn position_by_clock(&self, now: Moment) -> Duration {
        self.sent.saturating_sub(self.play_end.saturating_sub(now))
    }

    /// How much was handed out since the last clear: the scale of [`position`](Self::position).
    pub(super) fn sent(&self) -> Duration {
        self.sent
    }

    /// When the last sample that was handed out will have been played, by the pacing clock.
    pub(super) fn play_end(&self) -> Moment {
        self.play_end
    }

    /// The rate of what comes out, in Hz.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }
}

#[cfg(test)]
mod tests;
