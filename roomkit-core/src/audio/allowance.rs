//! How much audio a client may send (contract C5).

use std::time::Duration;

/// How much faster than real time audio may come.
const MAX_SPEED: u32 = 2;

/// Over how long that is measured.
const WINDOW: Duration = Duration::from_secs(2);

/// Slots of the window.
const SLOTS: usize = 40;

/// Lets a client's audio pass at up to twice real time, over any two seconds: enough for a network
/// that holds frames back and then gives them all at once, and not for a client that floods.
///
/// It has no clock: the time is counted from any beginning, the same for all calls.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// How much audio came in each slot; the newest is that of `slot`, and they go round.
    slots: [Duration; SLOTS],
    slot: usize,
    /// The sum of all slots.
    taken: Duration,
    /// What passes once, whenever it comes.
    credit: Duration,
}

impl Allowance {
    /// An allowance of which nothing is used.
    pub fn new() -> Self {
        Self {
            slots: [Duration::ZERO; SLOTS],
            slot: 0,
            taken: Duration::ZERO,
            credit: Duration::ZERO,
        }
    }

    /// The same for a client that could send for so long before anybody read: as much audio passes
    /// once, and uses up nothing that what it says next needs.
    pub fn after(waited: Duration) -> Self {
        Self {
            credit: waited,
            ..Self::new()
        }
    }

    /// Takes so much audio, measured by how long it plays, at `now`. False: that is too fast. It
    /// must be dropped then ([`DropReason::TooFast`](crate::transport::DropReason::TooFast)), and
    /// counts for nothing.
    pub fn take(&mut self, audio: Duration, now: Duration) -> bool {
        if let Some(credit) = self.credit.checked_sub(audio) {
            self.credit = credit;
            return true;
        }
        let slot = (now.as_nanos() * SLOTS as u128 / WINDOW.as_nanos()) as usize;
        let passed = slot.saturating_sub(self.slot);
        for old in 1..=passed.min(SLOTS) {
            let old = &mut self.slots[(self.slot + old) % SLOTS];
            self.taken -= std::mem::take(old);
        }
        self.slot = self.slot.max(slot);
        // What was granted before is within the limit: there is nothing to overflow.
        let left = (WINDOW * MAX_SPEED).saturating_sub(self.taken);
        let granted = audio <= left;
        if granted {
            self.slots[self.slot % SLOTS] += audio;
            self.taken += audio;
        }
        granted
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    /// How many of the frames pass that come at this speed for a minute.
    fn passed(speed: u32) -> usize {
        let mut allowance = Allowance::new();
        (0..50 * speed * 60)
            .filter(|i| allowance.take(FRAME, FRAME / speed * *i))
            .count()
    }

    #[test]
    fn c5_audio_may_be_twice_as_fast_as_it_sounds() {
        let in_real_time = 50 * 60;
        assert_eq!(passed(1), in_real_time);
        assert_eq!(passed(2), in_real_time * 2);
        let fast = passed(10);
        let allowed = in_real_time * 2;
        assert!(
            (allowed - 4..=allowed).contains(&fast),
            "{fast} of {allowed}"
        );
    }

    #[test]
    fn c5_what_a_network_held_back_passes() {
        let mut allowance = Allowance::new();
        let late = Duration::from_secs(60);
        assert!((0..200).all(|_| allowance.take(FRAME, late)), "4 s at once");
        assert!(!allowance.take(FRAME, late));
        assert!(!allowance.take(FRAME, late + Duration::from_millis(1900)));
        assert!(allowance.take(FRAME, late + Duration::from_secs(2)));
    }

    #[test]
    fn c5_what_waited_passes_once_and_uses_up_nothing() {
        let waited = Duration::from_secs(10);
        let at_once = |allowance: &mut Allowance| {
            (0..1_000)
                .filter(|_| allowance.take(FRAME, Duration::ZERO))
                .count()
        };
        assert_eq!(at_once(&mut Allowance::new()), 200);
        let mut allowance = Allowance::after(waited);
        assert_eq!(at_once(&mut allowance), 700);

        let mut allowance = Allowance::after(waited);
        assert!((0..500).all(|_| allowance.take(FRAME, Duration::ZERO)));
        assert!((0..500).all(|i| allowance.take(FRAME, FRAME * i)), "live");
    }

    #[test]
    fn x5_no_length_and_no_time_breaks_it() {
        let mut allowance = Allowance::default();
        assert!(!allowance.take(Duration::MAX, Duration::MAX));
        assert!(allowance.take(FRAME, Duration::MAX));
        assert!(allowance.take(FRAME, Duration::ZERO), "time that goes back");
    }
}
