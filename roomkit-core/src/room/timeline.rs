//! Which part of a timeline to read.

use std::ops::Range;

/// The most events one read returns.
const MAX_LIMIT: usize = 1000;

/// A page of a timeline (contract R8). Pages are always in ascending order of index.
///
/// | asked for | page |
/// |---|---|
/// | nothing | the first `limit` events |
/// | `after(i)` | the `limit` events that follow index `i` |
/// | `before(i)` | the `limit` events just below index `i` |
/// | both | the first `limit` events between the two |
/// | [`latest(n)`](Self::latest) | the last `n` events |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineQuery {
    after: Option<u64>,
    before: Option<u64>,
    limit: usize,
    latest: bool,
}

impl Default for TimelineQuery {
    fn default() -> Self {
        Self {
            after: None,
            before: None,
            limit: 50,
            latest: false,
        }
    }
}

impl TimelineQuery {
    /// The first 50 events.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last `count` events (at most 1000).
    pub fn latest(count: usize) -> Self {
        Self {
            latest: true,
            ..Self::default()
        }
        .limit(count)
    }

    /// Only events of a higher index.
    #[must_use]
    pub fn after(mut self, index: u64) -> Self {
        self.after = Some(index);
        self
    }

    /// Only events of a lower index.
    #[must_use]
    pub fn before(mut self, index: u64) -> Self {
        self.before = Some(index);
        self
    }

    /// At most so many events: 50 unless said otherwise, never more than 1000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.min(MAX_LIMIT);
        self
    }

    /// Which indices a timeline of `length` events answers with. For stores: every index below
    /// `length` exists (contract R1), so this is all there is to paging.
    pub fn range(&self, length: u64) -> Range<u64> {
        self.range_from(0, length)
    }

    /// The same of a timeline whose events below `first` are forgotten: the page is of those that
    /// are there. `first` is at most `length`.
    pub fn range_from(&self, first: u64, length: u64) -> Range<u64> {
        let limit = self.limit as u64;
        let low = self.after.map_or(0, |index| index.saturating_add(1));
        let low = low.max(first);
        let high = self.before.unwrap_or(length).min(length);
        if low >= high {
            return low.min(length)..low.min(length);
        }
        if self.latest || (self.before.is_some() && self.after.is_none()) {
            high.saturating_sub(limit).max(low)..high
        } else {
            low..low.saturating_add(limit).min(high)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r8_each_kind_of_page() {
        assert_eq!(TimelineQuery::new().range(200), 0..50);
        assert_eq!(TimelineQuery::new().after(49).range(200), 50..100);
        assert_eq!(
            TimelineQuery::new().before(100).limit(10).range(200),
            90..100
        );
        assert_eq!(TimelineQuery::new().before(5).range(200), 0..5);
        assert_eq!(TimelineQuery::latest(3).range(200), 197..200);
        assert_eq!(TimelineQuery::latest(3).before(100).range(200), 97..100);
        assert_eq!(TimelineQuery::new().after(10).before(13).range(200), 11..13);
        assert!(TimelineQuery::new().after(u64::MAX).range(200).is_empty());
        assert!(TimelineQuery::new().range(0).is_empty());
        assert_eq!(TimelineQuery::new().limit(usize::MAX).range(5000), 0..1000);
    }

    #[test]
    fn r9_a_page_is_of_what_is_not_forgotten() {
        let page = |query: TimelineQuery| query.limit(10).range_from(100, 200);
        assert_eq!(page(TimelineQuery::new()), 100..110);
        assert_eq!(page(TimelineQuery::new().after(5)), 100..110);
        assert_eq!(page(TimelineQuery::new().after(150)), 151..161);
        assert_eq!(page(TimelineQuery::new().before(105)), 100..105);
        assert!(page(TimelineQuery::new().before(100)).is_empty());
        assert!(page(TimelineQuery::new().after(5).before(50)).is_empty());
        assert_eq!(page(TimelineQuery::new().after(5).before(105)), 100..105);
        assert_eq!(page(TimelineQuery::latest(10)), 190..200);
    }

    proptest! {
        #[test]
        fn r8_pages_forwards_and_backwards_cover_every_event_once(
            length in 0_u64..300,
            limit in 1_usize..40,
        ) {
            let mut forwards = Vec::new();
            let mut query = TimelineQuery::new().limit(limit);
            loop {
                let page = query.range(length);
                if page.is_empty() {
                    break;
                }
                query = query.after(page.end - 1);
                forwards.extend(page);
            }
            let mut backwards = Vec::new();
            let mut query = TimelineQuery::latest(limit);
            loop {
                let page = query.range(length);
                if page.is_empty() {
                    break;
                }
                query = TimelineQuery::new().limit(limit).before(page.start);
                backwards.splice(0..0, page);
            }
            let all = (0..length).collect::<Vec<_>>();
            prop_assert_eq!(&forwards, &all);
            prop_assert_eq!(&backwards, &all);
        }

        #[test]
        fn r8_a_page_lies_within_the_timeline_and_the_limit(
            after in proptest::option::of(any::<u64>()),
            before in proptest::option::of(any::<u64>()),
            limit in any::<usize>(),
            latest in any::<bool>(),
            length in any::<u64>(),
        ) {
            let page = TimelineQuery { after, before, limit: limit.min(MAX_LIMIT), latest }
                .range(length);
            prop_assert!(page.start <= page.end && page.end <= length);
            prop_assert!(page.end - page.start <= limit.min(MAX_LIMIT) as u64);
        }
    }
}
