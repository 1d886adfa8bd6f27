//! How much loss the encoder should expect, from a client's reports.

/// Loss from which on forward error correction is worth its bits.
const ON: f32 = 0.01;
/// Loss below which it is not any more.
const OFF: f32 = 0.005;
/// How much of what was before is left in each report: loss comes in bursts.
const MEMORY: f32 = 0.8;
/// The most that the encoder is told; beyond that copies would cost too much of the voice itself.
const MOST: u8 = 30;

/// Follows loss up at once and down slowly.
#[derive(Debug, Default)]
pub(super) struct Loss {
    smooth: f32,
    percent: u8,
}

impl Loss {
    /// Takes a report, 0 to 1, and says what to expect from now on, in percent, when that changes.
    pub(super) fn report(&mut self, fraction: f32) -> Option<u8> {
        if !fraction.is_finite() {
            return None;
        }
        let fraction = fraction.clamp(0.0, 1.0);
        let remembered = MEMORY * self.smooth + (1.0 - MEMORY) * fraction;
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
mod tests {
    use super::*;

    #[test]
    fn on_at_once_and_off_slowly() {
        let mut loss = Loss::default();
        assert_eq!(loss.report(0.009), None);
        assert_eq!(loss.report(0.05), Some(5));
        let mut reports = 0;
        while loss.percent > 0 {
            loss.report(0.0);
            reports += 1;
        }
        assert!((5..20).contains(&reports), "{reports} reports");
        assert_eq!(
            loss.report(0.007),
            None,
            "what keeps it on does not turn it on"
        );
    }

    #[test]
    fn x5_reports_may_be_nonsense() {
        let mut loss = Loss::default();
        assert_eq!(loss.report(f32::NAN), None);
        assert_eq!(loss.report(f32::INFINITY), None);
        assert_eq!(loss.report(-3.0), None);
        assert_eq!(loss.report(7.0), Some(30));
    }
}
