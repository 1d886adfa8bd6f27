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

/// The value in the middle, or what is between the two there; zero when there is none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = sorted(values);
    let (lower, upper) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => 0.0,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_has_as_much_above_as_below() {
        let of = [&[3.0, 1.0, 2.0][..], &[4.0, 1.0, 3.0, 2.0], &[7.0], &[]];
        let medians = of.map(|values| median(values.iter().copied()));
        assert_eq!(medians.to_vec(), [2.0, 2.5, 7.0, 0.0]);
    }
}
