//! What many values say together, and how figures travel between the programs of a measurement.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::Outcome;

/// The value below which that share of the values lies; the lowest kind of zero when there is none.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// The value in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(&sorted(values), 0.5)
}

/// Values in order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// How much later one time is than another, in ms; negative when it is earlier.
pub(crate) fn ms_between(earlier: Instant, later: Instant) -> f64 {
    ms(later.saturating_duration_since(earlier)) - ms(earlier.saturating_duration_since(later))
}

/// A duration in ms.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Prints a line that whoever started this program waits for.
pub(crate) fn println_now(line: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
