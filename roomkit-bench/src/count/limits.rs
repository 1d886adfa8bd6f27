//! What each piece of work may take: measured, and a little more.

/// How far from what was measured a piece may be, in per cent. Two runs differ by less than 0.1 %,
/// another compiler or C library by more.
pub(super) const MARGIN_PERCENT: u64 = 15;

/// The instructions of each piece as they were measured last: Rust 1.95, the release profile, x86-64.
pub(super) const MEASURED: &[(&str, u64)] = &[
    ("client frame, decode", 11_069),
    ("client frame, encode", 8_886),
    ("call machine, a frame each way", 3_086),
    ("OpenAI frame, encode", 8_845),
    ("OpenAI frame, decode", 16_897),
    ("Gemini frame, encode", 5_786),
    ("Gemini frame, decode", 19_727),
    ("resampler, 24 to 16 kHz", 118_460),
    ("resampler, 48 to 24 kHz", 221_012),
    ("Opus, encode", 1_857_509),
    ("Opus, decode", 403_070),
];

/// What is measured now, beside what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    measured: Option<u64>,
    count: u64,
}

impl Verdict {
    pub(super) fn of(piece: &str, count: u64) -> Self {
        let measured = MEASURED.iter().find(|(name, _)| *name == piece);
        Self {
            measured: measured.map(|(_, count)| *count),
            count,
        }
    }

    /// The most it may take.
    pub(super) fn limit(self) -> Option<u64> {
        let measured = self.measured?;
        Some(measured + measured * MARGIN_PERCENT / 100)
    }

    /// Of less, it no longer does what was measured, or the limit protects nothing.
    fn least(self) -> u64 {
        let measured = self.measured.unwrap_or_default();
        measured - measured * MARGIN_PERCENT / 100
    }

    /// How much more it takes than it did, in per cent.
    pub(super) fn change_percent(self) -> Option<f64> {
        let measured = self.measured? as f64;
        Some((self.count as f64 - measured) / measured * 100.0)
    }

    /// What is wrong with it, and what to do.
    pub(super) fn problem(self, piece: &str) -> Option<String> {
        let count = self.count;
        let Some(limit) = self.limit() else {
            return Some(format!(
                "`{piece}` takes {count} instructions and has no limit; add it to MEASURED in roomkit-bench/src/count/limits.rs"
            ));
        };
        if count < self.least() {
            return Some(format!(
                "`{piece}` takes {count} instructions, far less than the {} that were measured; if it still does its work, write {count} into \
                 MEASURED in roomkit-bench/src/count/limits.rs, or its limit protects nothing",
                self.measured.unwrap_or_default()
            ));
        }
        (count > limit).then(|| {
            format!(
                "`{piece}` takes {count} instructions, more than its limit of {limit} ({} were measured, and {MARGIN_PERCENT} % more \
                 are allowed); `valgrind --tool=callgrind target/release/roomkit-bench piece '{piece}' --times 1000` and callgrind_annotate show \
                 what takes them; if it has to be, write {count} into MEASURED in roomkit-bench/src/count/limits.rs",
                self.measured.unwrap_or_default()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use roomkit_bench::micro;

    use super::*;

    #[test]
    fn every_piece_has_a_limit_and_nothing_else_has() {
        let pieces = micro::pieces().unwrap();
        let pieces: BTreeSet<&str> = pieces.iter().map(micro::Piece::name).collect();
        let limited: BTreeSet<&str> = MEASURED.iter().map(|(name, _)| *name).collect();
        assert_eq!(limited, pieces);
        assert_eq!(limited.len(), MEASURED.len());
    }

    #[test]
    fn a_piece_that_takes_more_or_does_nothing_is_named_with_its_limit_and_the_remedy() {
        let (piece, measured) = MEASURED[0];
        let most = Verdict::of(piece, measured).limit().unwrap();
        assert_eq!(Verdict::of(piece, most).problem(piece), None);
        let least = Verdict::of(piece, measured).least();
        assert_eq!(Verdict::of(piece, least).problem(piece), None);
        let idle = Verdict::of(piece, least - 1).problem(piece).unwrap();
        assert!(idle.contains("if it still does its work"), "{idle}");
        let problem = Verdict::of(piece, most + 1).problem(piece).unwrap();
        for part in [
            piece,
            &(most + 1).to_string(),
            &format!("limit of {most}"),
            "MEASURED",
        ] {
            assert!(problem.contains(part), "{problem}");
        }
        let unknown = Verdict::of("something new", 5).problem("something new");
        assert!(unknown.unwrap().contains("has no limit"));
    }
}
