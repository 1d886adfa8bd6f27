//! When what a provider has been given was said: long before it went, where it had to wait.

use std::{collections::VecDeque, time::Duration};

use crate::call::io::Moment;

/// What was said within so long is of one time.
const STEP: Duration = Duration::from_millis(100);
/// How many times are told apart.
const MOST: usize = 512;

/// The times of what was sent.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// All but the last, oldest first.
    past: VecDeque<Span>,
    /// The one that each frame goes on with.
    last: Option<Span>,
}

/// Some of what was sent.
#[derive(Debug)]
struct Span {
    /// Where it begins among all that was sent.
    place: u64,
    /// It was said since then.
    said: Moment,
    /// The last of it was sent then.
    sent: Moment,
    /// It waited before it was sent.
    waited: bool,
}

impl Times {
    /// What is sent now, from this place on, was said since then. Gives whether that is told apart from
    /// what was sent before.
    pub(super) fn note(&mut self, place: u64, said: Moment, now: Moment) -> bool {
        let waited = said + STEP < now;
        if let Some(last) = &mut self.last
            && said < last.said + STEP
            && waited == last.waited
        {
            last.said = last.said.min(said);
            last.sent = now;
            return false;
        }
        let next = Span {
            place,
            said,
            sent: now,
            waited,
        };
        self.past.extend(self.last.replace(next));
        if self.past.len() >= MOST {
            self.join_oldest();
        }
        true
    }

    /// What is before this place and was sent before that moment is not asked about any more.
    pub(super) fn forget(&mut self, place: u64, before: Moment) {
        while let (Some(first), Some(second)) =
            (self.past.front(), self.past.get(1).or(self.last.as_ref()))
            && second.place <= place
            && first.sent < before
        {
            self.past.pop_front();
        }
    }

    /// Since when what is from this place on was said.
    pub(super) fn since_place(&self, place: u64) -> Option<Moment> {
        if let Some(last) = self.last.as_ref().filter(|last| last.place <= place) {
            return Some(last.said);
        }
        let after = self.past.partition_point(|span| span.place <= place);
        let spans = self.past.range(after.saturating_sub(1)..);
        spans.chain(&self.last).map(|span| span.said).min()
    }

    /// Since when what was sent from that moment on was said, if some of it had waited.
    pub(super) fn waited(&self, then: Moment) -> Option<Moment> {
        let from = self.past.partition_point(|span| span.sent < then);
        let last = self.last.iter().filter(|last| last.sent >= then);
        let late = self
            .past
            .range(from..)
            .chain(last)
            .filter(|span| span.waited);
        late.map(|span| span.said).min()
    }

    fn join_oldest(&mut self) {
        if let Some(oldest) = self.past.pop_front()
            && let Some(next) = self.past.front_mut()
        {
            next.place = oldest.place;
            next.said = next.said.min(oldest.said);
            next.waited |= oldest.waited;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn v1_what_waited_was_said_when_it_came_and_not_when_it_was_sent() {
        let mut times = Times::default();
        for at in 0..10 {
            times.note(at, ms(at * 1000), ms(at * 1000));
        }
        for place in 10..100 {
            times.note(place, ms(10_000), ms(20_000 + place));
        }
        times.note(100, ms(20_100), ms(20_100));
        assert_eq!(times.since_place(0), Some(ms(0)));
        assert_eq!(times.since_place(8), Some(ms(8000)));
        assert_eq!(times.since_place(50), Some(ms(10_000)));
        assert_eq!(times.since_place(100), Some(ms(20_100)));
        assert_eq!(times.waited(ms(5000)), Some(ms(10_000)));
        assert_eq!(times.waited(ms(20_099)), Some(ms(10_000)));
        assert_eq!(times.waited(ms(20_100)), None);
        times.forget(50, ms(5001));
        assert_eq!(times.since_place(0), Some(ms(6000)), "it was sent since");
        times.forget(50, ms(30_000));
        assert_eq!(times.since_place(0), Some(ms(10_000)), "it is kept");
    }

    #[test]
    fn x5_so_many_times_are_told_apart_and_no_more() {
        let mut times = Times::default();
        for at in 0..10_000 {
            times.note(at, ms(at * 1000), ms(at * 1000));
            assert!(times.past.len() < MOST);
        }
        assert_eq!(times.since_place(0), Some(ms(0)));
    }
}
