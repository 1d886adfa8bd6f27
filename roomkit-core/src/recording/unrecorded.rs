//! When nothing is kept (contract V1).

use crate::call::Moment;

/// Pauses that are remembered: more than words may reach back to.
const MOST: usize = 64;

/// The times from which nothing is kept: before the recording, and its pauses.
#[derive(Debug)]
pub(super) struct Unrecorded {
    /// Nothing is kept since then.
    since: Option<Moment>,
    /// From when until when nothing was kept, oldest first.
    earlier: Vec<(Moment, Moment)>,
}

impl Default for Unrecorded {
    fn default() -> Self {
        Self {
            since: Some(Moment::ZERO),
            earlier: Vec::new(),
        }
    }
}

impl Unrecorded {
    pub(super) fn begins(&mut self, at: Moment) {
        self.since.get_or_insert(at);
    }

    pub(super) fn ends(&mut self, at: Moment) {
        if let Some(since) = self.since.take() {
            if self.earlier.len() >= MOST {
                self.earlier.remove(0);
            }
            self.earlier.push((since, at));
        }
    }

    /// Whether nothing was kept of some of that time, the ends of which may be one.
    pub(super) fn touches(&self, from: Moment, until: Moment) -> bool {
        let mut pauses = self.earlier.iter();
        self.since.is_some_and(|since| until >= since)
            || pauses.any(|(start, end)| from < *end && until > *start)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn v1_what_lies_in_a_pause_in_part_touches_it() {
        let s = Duration::from_secs;
        let mut unrecorded = Unrecorded::default();
        assert!(unrecorded.touches(s(0), s(0)), "it has not begun");
        unrecorded.ends(s(10));
        unrecorded.begins(s(20));
        unrecorded.ends(s(30));
        for (from, until, touches) in [
            (9, 11, true),
            (10, 20, false),
            (15, 15, false),
            (15, 21, true),
            (25, 25, true),
            (19, 31, true),
            (29, 40, true),
            (30, 40, false),
        ] {
            assert_eq!(
                unrecorded.touches(s(from), s(until)),
                touches,
                "{from} {until}"
            );
        }
        unrecorded.begins(s(50));
        assert!(!unrecorded.touches(s(40), s(49)));
        assert!(unrecorded.touches(s(40), s(50)));
        assert!(unrecorded.touches(s(60), s(60)));
        for at in 60..200 {
            unrecorded.ends(s(at));
            unrecorded.begins(s(at));
        }
        assert!(unrecorded.earlier.len() <= MOST);
    }
}
