//! Signals, and what is left of them.

use std::f64::consts::TAU;

/// `milliseconds` of a sine tone.
pub(crate) fn tone(rate: u32, hz: f64, milliseconds: u32) -> Vec<i16> {
    (0..rate * milliseconds / 1000)
        .map(|n| ((TAU * hz * f64::from(n) / f64::from(rate)).sin() * 10_000.0) as i16)
        .collect()
}

/// Something like a vowel, which is coded as speech: 120 Hz with overtones, louder and softer four
/// times a second.
pub(crate) fn vowel(rate: u32, milliseconds: u32) -> Vec<i16> {
    (0..rate * milliseconds / 1000)
        .map(|n| {
            let t = f64::from(n) / f64::from(rate);
            let overtones = (1..=20).map(f64::from);
            let sum: f64 = overtones
                .map(|k| (TAU * 120.0 * k * t + k * k).sin() / k)
                .sum();
            let loud = 0.6 + 0.4 * (TAU * 4.0 * t).sin();
            (sum * loud * 5_000.0) as i16
        })
        .collect()
}

/// The frequency of a tone, by its rising zero crossings.
pub(crate) fn frequency(samples: &[i16], rate: u32) -> f64 {
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
        .map(|(n, pair)| {
            let (before, after) = (f64::from(pair[0]), f64::from(pair[1]));
            n as f64 + before / (before - after)
        })
        .collect();
    let periods = crossings.len() - 1;
    periods as f64 * f64::from(rate) / (crossings[periods] - crossings[0])
}

/// Root mean square.
pub(crate) fn level(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|value| f64::from(*value).powi(2)).sum();
    (power / samples.len().max(1) as f64).sqrt()
}

/// How many samples there are from the first loud one to the last.
pub(crate) fn loud_span(samples: &[i16]) -> usize {
    let is_loud = |sample: &i16| sample.unsigned_abs() > 2_000;
    let first = samples.iter().position(is_loud);
    let last = samples.iter().rposition(is_loud);
    first.zip(last).map_or(0, |(first, last)| last + 1 - first)
}
