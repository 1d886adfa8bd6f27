//! The audio formats of the wires, conversion between them, and the test tone.

/// An audio format of a vendor, mono.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AudioFormat {
    /// PCM16 little endian at this rate in Hz.
    Pcm(u32),
    /// G.711 mu-law, 8 kHz.
    Mulaw,
    /// G.711 A-law, 8 kHz.
    Alaw,
}

impl AudioFormat {
    /// PCM16 at 24 kHz, what both vendors speak.
    pub(crate) const PCM_24K: Self = Self::Pcm(24_000);

    /// The bytes of this much audio, in whole samples.
    pub(crate) fn bytes_in_ms(self, milliseconds: u64) -> usize {
        self.sample_rate() * milliseconds as usize / 1000 * self.sample_bytes()
    }

    pub(crate) fn duration_ms(self, bytes: usize) -> u64 {
        (bytes / self.sample_bytes() * 1000 / self.sample_rate()) as u64
    }

    /// How long this many bytes last, in milliseconds and their fractions.
    pub(crate) fn exact_ms(self, bytes: usize) -> f64 {
        bytes as f64 * 1000.0 / (self.sample_rate() * self.sample_bytes()) as f64
    }

    fn sample_rate(self) -> usize {
        match self {
            Self::Pcm(rate) => rate as usize,
            Self::Mulaw | Self::Alaw => 8_000,
        }
    }

    fn sample_bytes(self) -> usize {
        match self {
            Self::Pcm(_) => 2,
            Self::Mulaw | Self::Alaw => 1,
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

    /// Rewrites audio of this format in another. Rates are converted by averaging or repeating
    /// samples: good enough to recognise what was said to a fake.
    pub(crate) fn convert(self, bytes: &[u8], target: Self) -> Vec<u8> {
        if self == target {
            return bytes.to_vec();
        }
        let samples = self.decode(bytes);
        let (from, to) = (self.sample_rate(), target.sample_rate());
        let resampled: Vec<i16> = (0..samples.len() * to / from)
            .map(|index| {
                let start = index * from / to;
                let end = ((index + 1) * from / to).clamp(start + 1, samples.len());
                let covered = &samples[start..end];
                let sum: f64 = covered.iter().map(|sample| f64::from(*sample)).sum();
                (sum / covered.len() as f64) as i16
            })
            .collect();
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
        for format in [
            AudioFormat::PCM_24K,
            AudioFormat::Pcm(16_000),
            AudioFormat::Mulaw,
            AudioFormat::Alaw,
        ] {
            let tone = format.tone(250);
            assert_eq!(format.duration_ms(tone.len()), 250);
            assert!(format.level(&tone) > 4000.0);
            let there = format.convert(&tone, AudioFormat::PCM_24K);
            assert_eq!(AudioFormat::PCM_24K.duration_ms(there.len()), 250);
        }
    }
}
