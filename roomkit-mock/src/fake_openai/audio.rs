//! The audio formats of the wire, conversion between them, and the test tone.

use serde_json::Value;

/// An audio format of the Realtime API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AudioFormat {
    /// PCM16 little endian, mono, at this rate in Hz.
    Pcm(usize),
    /// G.711 mu-law, 8 kHz.
    Mulaw,
    /// G.711 A-law, 8 kHz.
    Alaw,
}

impl AudioFormat {
    /// The only PCM that `OpenAI` has.
    pub(crate) const PCM_24K: Self = Self::Pcm(24_000);

    /// Reads a validated `{"type": ...}` object.
    pub(crate) fn from_json(format: &Value) -> Self {
        match format["type"].as_str() {
            Some("audio/pcmu") => Self::Mulaw,
            Some("audio/pcma") => Self::Alaw,
            _ => format["rate"]
                .as_u64()
                .map_or(Self::PCM_24K, |rate| Self::Pcm(rate as usize)),
        }
    }

    pub(crate) fn bytes_per_ms(self) -> usize {
        match self {
            Self::Pcm(rate) => rate * 2 / 1000,
            Self::Mulaw | Self::Alaw => 8,
        }
    }

    pub(crate) fn duration_ms(self, bytes: usize) -> u64 {
        (bytes / self.bytes_per_ms()) as u64
    }

    fn sample_rate(self) -> usize {
        match self {
            Self::Pcm(rate) => rate,
            Self::Mulaw | Self::Alaw => 8_000,
        }
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<i16> {
        match self {
            Self::Pcm(_) => bytes
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
            Self::Mulaw => bytes.iter().copied().map(mulaw_to_linear).collect(),
            Self::Alaw => bytes.iter().copied().map(alaw_to_linear).collect(),
        }
    }

    pub(crate) fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Pcm(_) => samples.iter().flat_map(|s| s.to_le_bytes()).collect(),
            Self::Mulaw => samples.iter().copied().map(linear_to_mulaw).collect(),
            Self::Alaw => samples.iter().copied().map(linear_to_alaw).collect(),
        }
    }

    /// The root mean square of the samples, in units of a 16 bit sample.
    pub(crate) fn level(self, bytes: &[u8]) -> f64 {
        let square = |sample: i16| f64::from(sample) * f64::from(sample);
        let (sum, count): (f64, usize) = match self {
            Self::Pcm(_) => (
                bytes
                    .chunks_exact(2)
                    .map(|pair| square(i16::from_le_bytes([pair[0], pair[1]])))
                    .sum(),
                bytes.len() / 2,
            ),
            Self::Mulaw => (
                bytes
                    .iter()
                    .map(|byte| square(mulaw_to_linear(*byte)))
                    .sum(),
                bytes.len(),
            ),
            Self::Alaw => (
                bytes.iter().map(|byte| square(alaw_to_linear(*byte))).sum(),
                bytes.len(),
            ),
        };
        (sum / count.max(1) as f64).sqrt()
    }

    /// Rewrites audio of this format in another. Rates are converted by repeating, leaving
    /// out or averaging samples: good enough to recognise what was said to a fake.
    pub(crate) fn convert(self, bytes: &[u8], target: Self) -> Vec<u8> {
        if self == target {
            return bytes.to_vec();
        }
        let samples = self.decode(bytes);
        let resampled: Vec<i16> = match (self.sample_rate(), target.sample_rate()) {
            (24_000, 8_000) => samples
                .chunks_exact(3)
                .map(|three| (three.iter().map(|s| i32::from(*s)).sum::<i32>() / 3) as i16)
                .collect(),
            (8_000, 24_000) => samples.iter().flat_map(|sample| [*sample; 3]).collect(),
            (own, other) if own != other => (0..samples.len() * other / own)
                .filter_map(|index| samples.get(index * own / other).copied())
                .collect(),
            _ => samples,
        };
        target.encode(&resampled)
    }

    /// A 220 Hz tone, loud enough for any detector.
    pub(crate) fn tone(self, duration_ms: u64) -> Vec<u8> {
        let rate = self.sample_rate();
        let count = rate * duration_ms as usize / 1000;
        let step = 220.0 * std::f64::consts::TAU / rate as f64;
        let samples: Vec<i16> = (0..count)
            .map(|index| ((index as f64 * step).sin() * 8000.0) as i16)
            .collect();
        self.encode(&samples)
    }
}

fn mulaw_to_linear(byte: u8) -> i16 {
    let bits = !byte;
    let exponent = (bits >> 4) & 0x07;
    let mantissa = i32::from(bits & 0x0f);
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    (if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

fn linear_to_mulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 0x84;
    let exponent = (magnitude >> 7).ilog2() as u8;
    let mantissa = ((magnitude >> (exponent + 3)) & 0x0f) as u8;
    !(sign | (exponent << 4) | mantissa)
}

fn alaw_to_linear(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let exponent = (bits & 0x70) >> 4;
    let mantissa = i32::from(bits & 0x0f);
    let magnitude = if exponent == 0 {
        (mantissa << 4) + 8
    } else {
        ((mantissa << 4) + 0x108) << (exponent - 1)
    };
    (if bits & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }) as i16
}

fn linear_to_alaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = if sample < 0 {
        -(i32::from(sample) + 1)
    } else {
        i32::from(sample)
    };
    let (exponent, mantissa) = if magnitude < 256 {
        (0, magnitude >> 4)
    } else {
        let exponent = (magnitude >> 8).ilog2() as u8 + 1;
        (exponent, (magnitude >> (exponent + 3)) & 0x0f)
    };
    (sign | (exponent << 4) | mantissa as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_survives_a_round_trip_of_every_code() {
        for byte in 0..=u8::MAX {
            let linear = mulaw_to_linear(byte);
            assert_eq!(
                mulaw_to_linear(linear_to_mulaw(linear)),
                linear,
                "mu-law {byte}"
            );
            assert_eq!(linear_to_alaw(alaw_to_linear(byte)), byte, "A-law {byte}");
        }
        for sample in [i16::MIN, -1, 0, 1, i16::MAX] {
            let error = i32::from(mulaw_to_linear(linear_to_mulaw(sample))) - i32::from(sample);
            assert!(error.abs() <= 700, "{sample} is off by {error}");
        }
    }

    #[test]
    fn tones_have_their_length_in_every_format() {
        for format in [AudioFormat::PCM_24K, AudioFormat::Mulaw, AudioFormat::Alaw] {
            let tone = format.tone(250);
            assert_eq!(format.duration_ms(tone.len()), 250);
            assert!(format.level(&tone) > 4000.0);
            let there = format.convert(&tone, AudioFormat::PCM_24K);
            assert_eq!(AudioFormat::PCM_24K.duration_ms(there.len()), 250);
        }
    }
}
