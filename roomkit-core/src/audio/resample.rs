//! A streaming resampler for speech: a polyphase FIR filter of our own.
//!
//! It delays by 24 zero crossings of the lower rate (1.5 ms at 16 kHz) and keeps aliases below
//! −90 dB from 6 % past the cut-off; general-purpose libraries delay by 7 to 10 ms or alias.

use std::f64::consts::PI;

use bytes::Bytes;

/// Zero crossings of the filter on each side.
const ZERO_CROSSINGS: f64 = 24.0;
/// Shape of the Kaiser window.
const KAISER_BETA: f64 = 9.0;
/// Cut-off as a share of the lower rate's Nyquist frequency.
const ROLLOFF: f64 = 0.94;

/// Converts PCM16 mono from one rate to another, chunk by chunk.
#[derive(Debug)]
pub struct Resampler {
    /// From and to, in Hz.
    rates: (u32, u32),
    up: usize,
    down: usize,
    half: usize,
    /// `up` filters of `2 * half` taps, one for each position between two input samples.
    filters: Vec<f32>,
    /// Input that output still depends on; the next output lies `half` samples into it.
    history: Vec<f32>,
    phase: usize,
}

impl Resampler {
    /// A resampler between two rates in Hz; `None` when they are equal (or zero) and there is
    /// nothing to do.
    pub fn new(from_rate: u32, to_rate: u32) -> Option<Self> {
        if from_rate == to_rate || from_rate == 0 || to_rate == 0 {
            return None;
        }
        let Shape {
            up,
            down,
            half,
            stretch,
        } = Shape::between(from_rate, to_rate);
        let cutoff = ROLLOFF / stretch;
        let centre = bessel_i0(KAISER_BETA);
        let mut filters = Vec::with_capacity(up * 2 * half);
        for phase in 0..up {
            let offset = phase as f64 / up as f64;
            let taps: Vec<f64> = (0..2 * half)
                .map(|tap| {
                    let distance = tap as f64 - (half as f64 - 1.0) - offset;
                    sinc(distance * cutoff) * cutoff * kaiser(distance / half as f64) / centre
                })
                .collect();
            // Each filter passes a constant signal unchanged, whatever its phase.
            let sum: f64 = taps.iter().sum();
            filters.extend(taps.iter().map(|tap| (tap / sum) as f32));
        }
        let mut resampler = Self {
            rates: (from_rate, to_rate),
            up,
            down,
            half,
            filters,
            history: Vec::new(),
            phase: 0,
        };
        resampler.reset();
        Some(resampler)
    }

    /// The rates it is between: from and to, in Hz.
    pub(crate) fn rates(&self) -> (u32, u32) {
        self.rates
    }

    /// Resamples the next chunk of PCM16; any whole number of samples.
    pub fn process(&mut self, pcm: &[u8]) -> Bytes {
        self.history.extend(
            pcm.chunks_exact(2)
                .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]]))),
        );
        let taps = 2 * self.half;
        let mut output = Vec::with_capacity(pcm.len() * self.up / self.down + 4);
        let mut start = 0;
        while start + taps <= self.history.len() {
            let filter = &self.filters[self.phase * taps..][..taps];
            let window = &self.history[start..][..taps];
            let sum: f32 = filter
                .iter()
                .zip(window)
                .map(|(tap, sample)| tap * sample)
                .sum();
            let sample = sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
            output.extend_from_slice(&sample.to_le_bytes());
            self.phase += self.down;
            start += self.phase / self.up;
            self.phase %= self.up;
        }
        self.history.drain(..start.min(self.history.len()));
        output.into()
    }

    /// The tail that is still inside, at the end of a response; afterwards it is as new.
    pub fn flush(&mut self) -> Bytes {
        let tail = self.process(&vec![0; self.half * 2]);
        self.reset();
        tail
    }

    /// Forgets what is inside: the audio to come has nothing to do with the audio before.
    pub fn reset(&mut self) {
        self.history.clear();
        self.history.resize(self.half - 1, 0.0);
        self.phase = 0;
    }
}

/// How large the filters between two rates are.
struct Shape {
    up: usize,
    down: usize,
    half: usize,
    /// How much longer than at the input's own rate.
    stretch: f64,
}

impl Shape {
    fn between(from_rate: u32, to_rate: u32) -> Self {
        let divisor = gcd(from_rate, to_rate);
        let stretch = (f64::from(from_rate) / f64::from(to_rate)).max(1.0);
        Self {
            up: (to_rate / divisor) as usize,
            down: (from_rate / divisor) as usize,
            half: (ZERO_CROSSINGS * stretch).ceil() as usize,
            stretch,
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The Kaiser window, as many times higher as it is in its centre.
fn kaiser(x: f64) -> f64 {
    if x.abs() > 1.0 {
        return 0.0;
    }
    bessel_i0(KAISER_BETA * (1.0 - x * x).sqrt())
}

fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..50 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::check_rate;

    fn tone(rate: u32, hz: f64, samples: usize) -> Vec<u8> {
        (0..samples)
            .flat_map(|n| {
                let value = (2.0 * PI * hz * n as f64 / f64::from(rate)).sin() * 16_000.0;
                (value as i16).to_le_bytes()
            })
            .collect()
    }

    fn samples(pcm: &[u8]) -> Vec<f64> {
        pcm.chunks_exact(2)
            .map(|s| f64::from(i16::from_le_bytes([s[0], s[1]])))
            .collect()
    }

    fn resample(from: u32, to: u32, pcm: &[u8], chunk: usize) -> Vec<f64> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut output = Vec::new();
        for chunk in pcm.chunks(chunk) {
            output.extend(samples(&resampler.process(chunk)));
        }
        output.extend(samples(&resampler.flush()));
        output
    }

    /// How much of the signal is not the tone of that frequency, in dB below it.
    fn noise_db(signal: &[f64], rate: u32, hz: f64) -> f64 {
        let middle = &signal[signal.len() / 4..signal.len() * 3 / 4];
        let (mut sin, mut cos) = (0.0, 0.0);
        let angle = |n: usize| 2.0 * PI * hz * n as f64 / f64::from(rate);
        for (n, value) in middle.iter().enumerate() {
            sin += value * angle(n).sin();
            cos += value * angle(n).cos();
        }
        let scale = 2.0 / middle.len() as f64;
        let (sin, cos) = (sin * scale, cos * scale);
        let mut noise = 0.0;
        for (n, value) in middle.iter().enumerate() {
            noise += (value - sin * angle(n).sin() - cos * angle(n).cos()).powi(2);
        }
        let power = f64::midpoint(sin * sin, cos * cos) * middle.len() as f64;
        10.0 * (noise / power).log10()
    }

    #[test]
    fn a2_a_tone_stays_that_tone_at_every_pair_of_rates() {
        let rates = [8_000, 16_000, 24_000, 44_100, 48_000];
        for from in rates {
            for to in rates {
                if from == to {
                    assert!(Resampler::new(from, to).is_none());
                    continue;
                }
                let length = from as usize;
                let output = resample(from, to, &tone(from, 1000.0, length), 641 * 2);
                let off = output.len().abs_diff(to as usize);
                assert!(
                    off <= 1,
                    "{from} to {to}: a second has {} samples",
                    output.len()
                );
                let noise = noise_db(&output, to, 1000.0);
                assert!(noise < -60.0, "{from} to {to}: noise at {noise:.1} dB");
            }
        }
    }

    #[test]
    fn a2_no_rates_that_may_be_chosen_need_a_large_filter() {
        let rates: Vec<u32> = (1..=50_000)
            .filter(|rate| check_rate("rate", *rate).is_ok())
            .collect();
        let mut most = 0;
        for from in &rates {
            for to in &rates {
                let Shape { up, half, .. } = Shape::between(*from, *to);
                most = most.max(up * 2 * half);
            }
        }
        assert!(most <= 96_000, "{most} taps, of four bytes each");
    }

    #[test]
    fn a2_what_the_lower_rate_cannot_hold_does_not_fold_back() {
        let output = resample(48_000, 16_000, &tone(48_000, 9_000.0, 48_000), 1920);
        let peak = output[2000..14_000]
            .iter()
            .fold(0.0_f64, |peak, s| peak.max(s.abs()));
        assert!(peak <= 2.0, "a 9 kHz tone leaves a peak of {peak}");
    }

    #[test]
    fn a2_chunks_do_not_matter() {
        let input = tone(24_000, 440.0, 24_000);
        let whole = resample(24_000, 16_000, &input, input.len());
        assert_eq!(whole, resample(24_000, 16_000, &input, 2));
        assert_eq!(whole, resample(24_000, 16_000, &input, 14_002));
    }

    #[test]
    fn a2_nothing_of_one_turn_leaks_into_the_next() {
        let mut resampler = Resampler::new(24_000, 16_000).unwrap();
        resampler.process(&tone(24_000, 440.0, 1000));
        resampler.reset();
        let silence = resampler.process(&[0; 960]);
        assert!(silence.iter().all(|byte| *byte == 0));
    }
}
