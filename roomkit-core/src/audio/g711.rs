//! G.711, the telephone codec: one byte for each PCM16 sample, at 8 kHz.
//!
//! Both laws are those of ITU-T G.711, computed as its reference implementation does: µ-law keeps
//! 14 bits of a sample, A-law 13.

/// Which of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// µ-law (PCMU): North America and Japan.
    Mu,
    /// A-law (PCMA): everywhere else.
    A,
}

/// The sample rate of G.711 in Hz.
pub const RATE: u32 = 8_000;

/// Compresses PCM16 little-endian to one byte a sample. A trailing odd byte is left out.
pub fn encode(law: Law, pcm: &[u8]) -> Vec<u8> {
    let encode_sample = match law {
        Law::Mu => encode_mu,
        Law::A => encode_a,
    };
    let (samples, _odd) = pcm.as_chunks::<2>();
    samples
        .iter()
        .map(|bytes| encode_sample(i16::from_le_bytes(*bytes)))
        .collect()
}

/// Expands G.711 to PCM16 little-endian, two bytes for each byte.
pub fn decode(law: Law, bytes: &[u8]) -> Vec<u8> {
    let table = match law {
        Law::Mu => &MU_TO_PCM,
        Law::A => &A_TO_PCM,
    };
    bytes
        .iter()
        .flat_map(|byte| table[usize::from(*byte)].to_le_bytes())
        .collect()
}

/// Added to a magnitude before µ-law splits it into segments (in 14-bit units).
const MU_BIAS: i32 = 33;
/// The largest magnitude µ-law can carry, after the bias.
const MU_MAX: i32 = 8191;
/// A-law inverts every second bit, so that silence is not a row of zeros.
const A_TOGGLE: u8 = 0x55;

static MU_TO_PCM: [i16; 256] = table(Law::Mu);
static A_TO_PCM: [i16; 256] = table(Law::A);

fn encode_mu(sample: i16) -> u8 {
    // An arithmetic shift rounds towards minus infinity, as in the reference implementation.
    let value = i32::from(sample) >> 2;
    let (magnitude, mask) = if value < 0 {
        (-value, 0x7F)
    } else {
        (value, 0xFF)
    };
    let biased = (magnitude + MU_BIAS).min(MU_MAX);
    // The bias makes the topmost bit at least bit 5; the segment counts from there.
    let segment = biased.ilog2() - 5;
    let mantissa = (biased >> (segment + 1)) & 0x0F;
    ((segment << 4) as u8 | mantissa as u8) ^ mask
}

fn encode_a(sample: i16) -> u8 {
    let value = i32::from(sample) >> 3;
    let (magnitude, mask) = if value < 0 {
        (-value - 1, A_TOGGLE)
    } else {
        (value, A_TOGGLE | 0x80)
    };
    // Below 32 the scale is linear: segment 0 and 1 share one step size.
    let segment = magnitude.max(16).ilog2() - 4;
    let mantissa = (magnitude >> segment.max(1)) & 0x0F;
    ((segment << 4) as u8 | mantissa as u8) ^ mask
}

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match law {
            Law::Mu => decode_mu(byte as u8),
            Law::A => decode_a(byte as u8),
        };
        byte += 1;
    }
    table
}

const fn decode_mu(byte: u8) -> i16 {
    let byte = !byte;
    let segment = (byte >> 4) & 0x07;
    let mantissa = (byte & 0x0F) as i16;
    let magnitude = (((mantissa << 3) + 0x84) << segment) - 0x84;
    if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

const fn decode_a(byte: u8) -> i16 {
    let byte = byte ^ A_TOGGLE;
    let segment = (byte >> 4) & 0x07;
    let mantissa = ((byte & 0x0F) as i16) << 4;
    let magnitude = match segment {
        0 => mantissa + 8,
        segment => (mantissa + 0x108) << (segment - 1),
    };
    if byte & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect()
    }

    /// Samples with their codes, computed with the reference implementation.
    const SAMPLES: [i16; 19] = [
        0, 1, -1, 3, 4, -4, 8, -8, 100, -100, 1000, -1000, 8031, -8031, 16383, -16384, 32635,
        32767, -32768,
    ];
    const MU_CODES: [u8; 19] = [
        0xFF, 0xFF, 0x7E, 0xFF, 0xFE, 0x7E, 0xFE, 0x7E, 0xF2, 0x72, 0xCE, 0x4E, 0xA0, 0x20, 0x8F,
        0x0F, 0x80, 0x80, 0x00,
    ];
    const A_CODES: [u8; 19] = [
        0xD5, 0xD5, 0x55, 0xD5, 0xD5, 0x55, 0xD5, 0x55, 0xD3, 0x53, 0xFA, 0x7A, 0x8A, 0x0A, 0xBA,
        0x3A, 0xAA, 0xAA, 0x2A,
    ];

    fn fnv1a(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn known_samples_have_known_codes() {
        assert_eq!(encode(Law::Mu, &bytes(&SAMPLES)), MU_CODES);
        assert_eq!(encode(Law::A, &bytes(&SAMPLES)), A_CODES);
        assert_eq!(
            decode(Law::Mu, &[0x00, 0x80, 0x7F, 0xFF]),
            bytes(&[-32124, 32124, 0, 0])
        );
        assert_eq!(
            decode(Law::A, &[0x2A, 0xAA, 0x55, 0xD5]),
            bytes(&[-32256, 32256, -8, 8])
        );
    }

    #[test]
    fn every_sample_and_every_code_agree_with_the_reference_implementation() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let codes: Vec<u8> = (0..=255).collect();
        assert_eq!(
            fnv1a(&encode(Law::Mu, &bytes(&samples))),
            0xD5EE_23F7_D0FF_AE91
        );
        assert_eq!(
            fnv1a(&encode(Law::A, &bytes(&samples))),
            0xF030_666E_B780_CF25
        );
        assert_eq!(fnv1a(&decode(Law::Mu, &codes)), 0xB91E_65D6_8481_A1A8);
        assert_eq!(fnv1a(&decode(Law::A, &codes)), 0x693A_40CA_62A3_D2A5);
    }

    #[test]
    fn codes_survive_the_way_through_pcm() {
        for law in [Law::Mu, Law::A] {
            for code in 0..=255_u8 {
                // µ-law has two codes for zero; the positive one is sent.
                let expected = if (law, code) == (Law::Mu, 0x7F) {
                    0xFF
                } else {
                    code
                };
                assert_eq!(encode(law, &decode(law, &[code])), [expected]);
            }
        }
    }

    #[test]
    fn a_trailing_odd_byte_is_left_out() {
        assert_eq!(encode(Law::Mu, &[0, 0, 7]), [0xFF]);
        assert!(decode(Law::A, &[]).is_empty());
    }
}
