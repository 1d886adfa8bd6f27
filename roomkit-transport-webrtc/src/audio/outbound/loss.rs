//! How much loss the encoder should expect, from a client's reports.
//!
//! A client also says what share was lost since its last report, but it counts what was only
//! overtaken, and cannot take that back. So what it has lost since the beginning is compared, which
//! goes down again when a packet comes late.

/// As many packets are looked at together at least: 2 s of speech.
const WINDOW: u16 = 100;
/// As many packets may be missing and only overtaken: those of a network that delays some by up to
/// 60 ms more than others. To lose no more than that of a window is to lose nothing.
const OVERTAKEN: i32 = 2;
/// Loss from which on forward error correction is worth its bits.
const ON: f32 = 0.01;
/// Loss below which it is not any more.
const OFF: f32 = 0.005;
/// How much of what was before is left after so many packets: loss comes in bursts.
const MEMORY: f32 = 0.8;
/// The most that the encoder is told; beyond that copies would cost too much of the voice itself.
const MOST: u8 = 30;

/// What a client says of all packets so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reception {
    /// The number of the latest one that came. How often the numbers began anew not every client
    /// counts.
    pub(crate) latest: u16,
    /// How many did not come, less those that came twice.
    pub(crate) lost: i32,
}

/// Follows loss up at once and down slowly.
#[derive(Debug)]
pub(super) struct Loss {
    /// Where the window begins.
    before: Reception,
    smooth: f32,
    percent: u8,
}

impl Loss {
    /// For packets that begin with this number.
    pub(super) fn new(first: u16) -> Self {
        Self {
            before: Reception {
                latest: first.wrapping_sub(1),
                lost: 0,
            },
            smooth: 0.0,
            percent: 0,
        }
    }

    /// Takes a report, and says what to expect from now on, in percent, when that changes.
    pub(super) fn report(&mut self, now: Reception) -> Option<u8> {
        let packets = now.latest.wrapping_sub(self.before.latest);
        if packets < WINDOW {
            return None;
        }
        let before = std::mem::replace(&mut self.before, now);
        if packets > u16::MAX / 2 {
            // It was overtaken itself, or the client counts anew: good for a beginning.
            return None;
        }
        let lost = now.lost.saturating_sub(before.lost);
        let fraction = if lost > OVERTAKEN {
            (lost as f32 / f32::from(packets)).min(1.0)
        } else {
            0.0
        };
        // Windows are longer where clients report seldom, and losses are forgotten no more slowly.
        let memory = MEMORY.powf(f32::from(packets) / f32::from(WINDOW));
        let remembered = memory * self.smooth + (1.0 - memory) * fraction;
        self.smooth = fraction.max(remembered);
        let threshold = if self.percent == 0 { ON } else { OFF };
        let percent = if self.smooth < threshold {
            0
        } else {
            ((self.smooth * 100.0).ceil() as u8).clamp(1, MOST)
        };
        (std::mem::replace(&mut self.percent, percent) != percent).then_some(percent)
    }
}

#[cfg(test)]
mod tests;
