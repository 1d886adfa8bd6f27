//! Signals for tests, and what is left of them.

use std::f64::consts::TAU;

/// A sine tone as PCM16, from sample `from` on.
pub(super) fn tone(rate: u32, hz: f64, from: usize, samples: usize) -> Vec<u8> {
    (from..from + samples)
        .flat_map(|n| {
            let value = (TAU * hz * n as f64 / f64::from(rate)).sin() * 10_000.0;
            (value as i16).to_le_bytes()
        })
        .collect()
}

/// Something like a vowel: 120 Hz with overtones, louder and softer four times a second.
pub(super) fn vowel(rate: u32, from: usize, samples: usize) -> Vec<u8> {
    (from..from + samples)
        .flat_map(|n| {
            let t = n as f64 / f64::from(rate);
            let sum: f64 = (1..=20)
                .map(|k| (TAU * 120.0 * f64::from(k) * t + f64::from(k * k)).sin() / f64::from(k))
                .sum();
            let loud = 0.6 + 0.4 * (TAU * 4.0 * t).sin();
            ((sum * loud * 5_000.0) as i16).to_le_bytes()
        })
        .collect()
}

pub(super) fn samples(pcm: &[u8]) -> Vec<f64> {
    pcm.chunks_exact(2)
        .map(|bytes| f64::from(i16::from_le_bytes([bytes[0], bytes[1]])))
        .collect()
}

/// The frequency of a tone, by its rising zero crossings.
pub(super) fn frequency(pcm: &[u8], rate: u32) -> f64 {
    let samples = samples(pcm);
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(n, pair)| n as f64 + pair[0] / (pair[0] - pair[1]))
        .collect();
    let periods = crossings.len() - 1;
    periods as f64 * f64::from(rate) / (crossings[periods] - crossings[0])
}

/// Root mean square.
pub(super) fn level(pcm: &[u8]) -> f64 {
    let samples = samples(pcm);
    let power: f64 = samples.iter().map(|value| value * value).sum();
    (power / samples.len().max(1) as f64).sqrt()
}
