//! The AI's voice on its way to the client: paced, recallable, and measured (contracts A3–A5).
//!
//! This is the one place where outbound audio waits. At most the lead is beyond recall; the rest
//! is still here when the user interrupts.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::io::Moment;
use crate::{audio, id::ItemId};

/// How much goes out at a time.
const FRAME: Duration = Duration::from_millis(20);

/// Paces audio to real time and knows how much of it has been heard.
#[derive(Debug)]
pub(super) struct Playout {
    rate: u32,
    lead: Duration,
    capacity: Duration,
    queue: VecDeque<Queued>,
    queued: Duration,
    /// All that was handed out since the last clear; positions below are on this scale.
    sent: Duration,
    /// When the last sample that was handed out will have been played.
    play_end: Moment,
    segments: VecDeque<Segment>,
    report: Option<Report>,
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
    pub(super) item_id: Option<ItemId>,
    pub(super) content_index: u32,
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
    pub(super) fn new(rate: u32, lead: Duration, capacity: Duration) -> Self {
        Self {
            rate,
            lead,
            capacity,
            queue: VecDeque::new(),
            queued: Duration::ZERO,
            sent: Duration::ZERO,
            play_end: Duration::ZERO,
            segments: VecDeque::new(),
            report: None,
        }
    }

    /// Audio now comes at another rate: that of a new provider connection.
    pub(super) fn set_rate(&mut self, rate: u32) {
        self.rate = rate;
    }

    /// Queues audio. False: the queue is full and it was dropped.
    pub(super) fn push(&mut self, item: AudioItem, pcm: Bytes) -> bool {
        let length = audio::duration_of(pcm.len(), self.rate);
        if self.queued + length > self.capacity {
            return false;
        }
        match self.segments.back_mut() {
            Some(last) if last.item == item => last.length += length,
            _ => self.segments.push_back(Segment {
                item,
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

    /// What is due at `now`; to be called until it gives nothing.
    pub(super) fn poll(&mut self, now: Moment) -> Option<Due> {
        match self.queue.front_mut()? {
            Queued::EndOfResponse => {
                self.queue.pop_front();
                Some(Due::EndOfResponse)
            }
            Queued::Audio(pcm) => {
                let begins = self.play_end.max(now);
                if begins.saturating_sub(now) + FRAME > self.lead {
                    return None;
                }
                let frame = audio::bytes_for(FRAME, self.rate);
                let piece = if pcm.len() <= frame {
                    let piece = std::mem::take(pcm);
                    self.queue.pop_front();
                    piece
                } else {
                    pcm.split_to(frame)
                };
                let length = audio::duration_of(piece.len(), self.rate);
                self.queued = self.queued.saturating_sub(length);
                self.sent += length;
                self.play_end = begins + length;
                Some(Due::Audio(piece))
            }
        }
    }

    /// When the next frame is due.
    pub(super) fn next_frame(&self, now: Moment) -> Option<Moment> {
        let due = (self.play_end + FRAME).saturating_sub(self.lead).max(now);
        (!self.queue.is_empty()).then_some(due)
    }

    /// When all that was sent will have been heard, if nothing more comes.
    pub(super) fn silent_at(&self, now: Moment) -> Option<Moment> {
        let rest = self.sent.saturating_sub(self.position(now));
        (self.queue.is_empty() && !rest.is_zero()).then(|| now + rest)
    }

    /// Nothing waits and nothing is being heard.
    pub(super) fn is_silent(&self, now: Moment) -> bool {
        self.queue.is_empty() && self.position(now) >= self.sent
    }

    /// Something was handed out since the last clear: the client may hold it still.
    pub(super) fn has_sent(&self) -> bool {
        self.sent > Duration::ZERO
    }

    /// The client has played this much since the last clear.
    pub(super) fn report(&mut self, now: Moment, played: Duration) {
        self.report = Some(Report { at: now, played });
    }

    /// Whether all queued audio of this item has been heard.
    pub(super) fn has_played(&self, now: Moment, item_id: Option<&ItemId>) -> bool {
        let position = self.position(now);
        self.segments
            .iter()
            .filter(|segment| segment.item.item_id.as_ref() == item_id)
            .all(|segment| position >= segment.start + segment.length)
    }

    /// How much of this item has been heard (contract A4).
    pub(super) fn heard_of(&self, now: Moment, item_id: Option<&ItemId>) -> Duration {
        let position = self.position(now);
        self.segments
            .iter()
            .filter(|segment| segment.item.item_id.as_ref() == item_id)
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
        self.queue.clear();
        self.queued = Duration::ZERO;
        self.sent = Duration::ZERO;
        self.play_end = now;
        self.report = None;
        cut
    }

    /// Forgets what has been heard whole, so that a long call does not collect it.
    pub(super) fn forget_played(&mut self, now: Moment) {
        if self.is_silent(now) {
            self.segments.clear();
        }
    }

    /// How much of what was handed out has been heard: what the pacing clock says, and never more
    /// than the client has reported.
    fn position(&self, now: Moment) -> Duration {
        let by_clock = self.sent.saturating_sub(self.play_end.saturating_sub(now));
        match self.report {
            Some(report) => by_clock.min(report.played + now.saturating_sub(report.at)),
            None => by_clock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 24_000;
    const LEAD: Duration = Duration::from_millis(200);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pcm(length: Duration) -> Bytes {
        vec![1; audio::bytes_for(length, RATE)].into()
    }

    fn item(id: &str) -> AudioItem {
        AudioItem {
            connection: 1,
            item_id: Some(id.into()),
            content_index: 0,
        }
    }

    fn playout() -> Playout {
        Playout::new(RATE, LEAD, ms(10_000))
    }

    fn send_due(playout: &mut Playout, now: Moment) -> Duration {
        let mut sent = Duration::ZERO;
        while let Some(due) = playout.poll(now) {
            if let Due::Audio(pcm) = due {
                sent += audio::duration_of(pcm.len(), RATE);
            }
        }
        sent
    }

    #[test]
    fn a5_at_most_the_lead_is_beyond_recall() {
        let mut playout = playout();
        playout.push(item("a"), pcm(ms(1000)));
        let mut sent = Duration::ZERO;
        for now in (0..2000).step_by(5).map(ms) {
            sent += send_due(&mut playout, now);
            assert!(sent <= now + LEAD, "{sent:?} sent at {now:?}");
            assert!(
                sent + FRAME > (now + LEAD).min(ms(1000)),
                "{sent:?} starves at {now:?}"
            );
        }
        assert_eq!(sent, ms(1000));
    }

    #[test]
    fn a5_the_wake_up_is_when_the_next_frame_is_due() {
        let mut playout = playout();
        playout.push(item("a"), pcm(ms(260)));
        playout.push_end_of_response();
        let mut now = ms(0);
        let mut last = None;
        for _ in 0..100 {
            while let Some(due) = playout.poll(now) {
                last = Some(due);
            }
            match playout.next_frame(now).or_else(|| playout.silent_at(now)) {
                Some(wake) => {
                    assert!(wake > now, "woken at once at {now:?}");
                    now = wake;
                }
                None => break,
            }
        }
        assert_eq!(last, Some(Due::EndOfResponse), "the mark comes last");
        assert_eq!(
            now,
            ms(260),
            "silent exactly when the last sample was played"
        );
    }

    #[test]
    fn a4_heard_follows_the_pacing_clock() {
        let mut playout = playout();
        playout.push(item("a"), pcm(ms(100)));
        playout.push(item("b"), pcm(ms(1000)));
        for now in (0..=300).step_by(10).map(ms) {
            send_due(&mut playout, now);
        }
        assert_eq!(playout.heard_of(ms(300), Some(&"a".into())), ms(100));
        assert_eq!(playout.heard_of(ms(300), Some(&"b".into())), ms(200));
        let cut = playout.clear(ms(300));
        assert_eq!(
            cut,
            [Heard {
                item: item("b"),
                played: ms(200),
                of: ms(1000)
            }]
        );
        assert!(playout.is_silent(ms(300)));
    }

    #[test]
    fn a4_a_client_that_reports_is_believed_within_the_clock() {
        let mut playout = playout();
        playout.push(item("a"), pcm(ms(1000)));
        for now in (0..=500).step_by(10).map(ms) {
            send_due(&mut playout, now);
        }
        playout.report(ms(500), ms(380));
        assert_eq!(playout.heard_of(ms(500), Some(&"a".into())), ms(380));
        assert_eq!(playout.heard_of(ms(520), Some(&"a".into())), ms(400));
        playout.report(ms(520), ms(99_000));
        assert_eq!(
            playout.heard_of(ms(520), Some(&"a".into())),
            ms(520),
            "no faster than time"
        );
    }

    #[test]
    fn a5_a_gap_in_the_audio_starts_the_clock_anew() {
        let mut playout = playout();
        playout.push(item("a"), pcm(ms(40)));
        send_due(&mut playout, ms(0));
        assert!(playout.is_silent(ms(40)));
        playout.push(item("a"), pcm(ms(40)));
        assert_eq!(send_due(&mut playout, ms(1000)), ms(40));
        assert!(!playout.is_silent(ms(1039)));
        assert_eq!(playout.heard_of(ms(1020), Some(&"a".into())), ms(60));
    }

    #[test]
    fn a5_the_backlog_is_bounded_in_seconds_of_speech() {
        let mut playout = playout();
        assert!(playout.push(item("a"), pcm(ms(9_990))));
        assert!(!playout.push(item("a"), pcm(ms(20))));
        playout.push_end_of_response();
        playout.clear(ms(0));
        assert!(playout.push(item("a"), pcm(ms(20))));
    }
}
