use super::*;
use crate::audio::signal::{frequency, level, tone, vowel};

const FRAMES: usize = 50;

/// Through an encoder at one rate and a decoder at another.
fn there_and_back(codec: Codec, from: u32, to: u32, pcm: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(codec, from, 32_000).unwrap();
    let mut decoder = Decoder::new(codec, to).unwrap();
    pcm.chunks_exact(bytes_for(FRAME, from))
        .flat_map(|frame| decoder.decode(&encoder.encode(frame).unwrap()).unwrap())
        .collect()
}

#[test]
fn c3_a_tone_survives_the_codec_within_one_percent() {
    for (codec, from, to) in [
        (Codec::Opus, 24_000, 16_000),
        (Codec::Opus, 24_000, 24_000),
        (Codec::Opus, 16_000, 48_000),
        (Codec::Opus, 8_000, 8_000),
        (Codec::Pcmu, 8_000, 8_000),
        (Codec::Pcma, 8_000, 8_000),
    ] {
        let pcm = tone(from, 440.0, 0, FRAMES * from as usize / 50);
        let heard = there_and_back(codec, from, to, &pcm);
        assert_eq!(heard.len(), FRAMES * bytes_for(FRAME, to), "{codec:?}");
        let middle = &heard[heard.len() / 4..];
        let hz = frequency(middle, to);
        assert!(
            (hz / 440.0 - 1.0).abs() < 0.01,
            "{codec:?} {from} to {to}: {hz} Hz"
        );
        let share = level(middle) / level(&pcm);
        assert!(
            (0.8..1.2).contains(&share),
            "{codec:?} {from} to {to}: level {share}"
        );
    }
}

#[test]
fn a2_a_rate_the_codec_has_not_is_an_error() {
    let error = Encoder::new(Codec::Opus, 44_100, 32_000).err().unwrap();
    assert_eq!(error.to_string(), "opus has no audio at 44100 Hz");
    assert!(Decoder::new(Codec::Opus, 0).is_err());
    assert!(Decoder::new(Codec::Pcmu, 16_000).is_err());
}

#[test]
fn x5_what_is_not_opus_is_an_error() {
    let mut decoder = Decoder::new(Codec::Opus, 16_000).unwrap();
    for payload in [
        &[][..],
        &[0xFF],
        &[0x03, 0x00],
        &[0x4B, 0xFF, 0xFF],
        &[0x49, 1, 2, 3],
    ] {
        let result = decoder.decode(payload);
        if payload != [0xFF] {
            assert!(
                result.is_err(),
                "{payload:?} gives {:?}",
                result.map(|pcm| pcm.len())
            );
        }
    }
}

#[test]
fn a_frame_of_the_wrong_length_is_an_error() {
    let mut encoder = Encoder::new(Codec::Opus, 24_000, 32_000).unwrap();
    assert!(encoder.encode(&[0; 962]).is_err());
    assert!(encoder.encode(&[]).is_err());
    assert!(encoder.encode(&[0; 960]).is_ok());
}

#[test]
fn loss_expected_puts_copies_of_the_past_into_packets() {
    let mut encoder = Encoder::new(Codec::Opus, 24_000, 32_000).unwrap();
    let pcm = vowel(24_000, 0, 480 * FRAMES);
    let copies = |encoder: &mut Encoder| {
        pcm.chunks_exact(960)
            .filter(|frame| {
                let payload = encoder.encode(frame).unwrap();
                super::super::opus_header::copy_of_the_past(&payload).is_some()
            })
            .count()
    };
    assert_eq!(copies(&mut encoder), 0);
    encoder.expect_loss(10).unwrap();
    let with_loss = copies(&mut encoder);
    assert!(with_loss > FRAMES / 3, "{with_loss}");
    encoder.expect_loss(0).unwrap();
    assert!(copies(&mut encoder) <= 1);
}

#[test]
fn switching_error_correction_does_not_click() {
    let mut encoder = Encoder::new(Codec::Opus, 24_000, 32_000).unwrap();
    let mut decoder = Decoder::new(Codec::Opus, 24_000).unwrap();
    let pcm = tone(24_000, 440.0, 0, 480 * 200);
    let mut heard = Vec::new();
    for (number, frame) in pcm.chunks_exact(960).enumerate() {
        if number % 20 == 10 {
            encoder
                .expect_loss(if number % 40 == 10 { 10 } else { 0 })
                .unwrap();
        }
        heard.extend(decoder.decode(&encoder.encode(frame).unwrap()).unwrap());
    }
    // 440 Hz at this level climbs at most 1152 a sample.
    let steepest = crate::audio::signal::samples(&heard[9600..])
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f64::max);
    assert!(steepest < 1600.0, "a step of {steepest}");
}

#[test]
fn c3_a_lost_packet_does_not_take_the_voice_from_those_after_it() {
    let mut encoder = Encoder::new(Codec::Opus, 24_000, 32_000).unwrap();
    let mut whole = Decoder::new(Codec::Opus, 24_000).unwrap();
    let mut lossy = Decoder::new(Codec::Opus, 24_000).unwrap();
    let pcm = vowel(24_000, 0, 480 * 100);
    for (number, frame) in pcm.chunks_exact(960).enumerate() {
        let payload = encoder.encode(frame).unwrap();
        let expected = level(&whole.decode(&payload).unwrap());
        let heard = if number % 10 == 7 {
            lossy.conceal(480).unwrap()
        } else {
            lossy.decode(&payload).unwrap()
        };
        let share = level(&heard) / expected;
        assert!((0.3..3.0).contains(&share), "frame {number}: {share}");
    }
}

#[test]
fn g711_conceals_by_a_repetition_that_fades() {
    let mut decoder = Decoder::new(Codec::Pcmu, 8_000).unwrap();
    assert_eq!(decoder.conceal(160).unwrap(), [0; 320], "nothing to repeat");
    let payload = g711::encode(Law::Mu, &tone(8_000, 400.0, 0, 160));
    let before = level(&decoder.decode(&payload).unwrap());
    let levels: Vec<f64> = (0..6)
        .map(|_| level(&decoder.conceal(160).unwrap()) / before)
        .collect();
    assert!(levels[0] > 0.8, "{levels:?}");
    assert!(
        levels.windows(2).all(|pair| pair[1] <= pair[0]),
        "{levels:?}"
    );
    assert!(levels[5] == 0.0, "{levels:?}");
}

#[cfg(feature = "libopus")]
mod against_libopus {
    use super::*;
    use crate::audio::{libopus, opus};

    /// Each library decodes what the other has encoded, to the same audio.
    #[test]
    fn c3_both_libraries_understand_each_other() {
        let pcm = samples(&vowel(24_000, 0, 480 * FRAMES));
        let mut theirs = libopus::OpusEncoder::new(24_000, 32_000, COMPLEXITY).unwrap();
        let mut ours = opus::OpusEncoder::new(24_000, 32_000, COMPLEXITY).unwrap();
        ours.expect_loss(5).unwrap();
        let mut by_them = libopus::OpusDecoder::new(16_000).unwrap();
        let mut by_us = opus::OpusDecoder::new(16_000).unwrap();
        for (number, frame) in pcm.chunks_exact(480).enumerate() {
            let mut payload = [0; MAX_ENCODED];
            let length = if number < FRAMES / 2 {
                theirs.encode(frame, &mut payload).unwrap()
            } else {
                ours.encode(frame, &mut payload).unwrap()
            };
            let payload = &payload[..length];
            let (mut one, mut other) = ([0; 320], [0; 320]);
            // Now and again a packet is lost, and the next one has a copy of it or has not.
            match number % 10 {
                4 => {
                    by_them.conceal(&mut one).unwrap();
                    by_us.conceal(&mut other).unwrap();
                }
                8 => continue,
                9 => {
                    by_them.recover(payload, &mut one).unwrap();
                    by_us.recover(payload, &mut other).unwrap();
                    alike(number, &one, &other);
                    by_them.decode(payload, &mut one).unwrap();
                    by_us.decode(payload, &mut other).unwrap();
                }
                _ => {
                    assert_eq!(by_them.decode(payload, &mut one).unwrap(), 320);
                    assert_eq!(by_us.decode(payload, &mut other).unwrap(), 320);
                }
            }
            alike(number, &one, &other);
        }
    }

    /// The same samples until the first loss; from then on the same level, as each library
    /// conceals in its own way.
    fn alike(number: usize, one: &[i16], other: &[i16]) {
        let difference = one.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(
            number >= 4 || difference <= Some(8),
            "frame {number}: {difference:?}"
        );
        let share = level(&bytes(other)) / level(&bytes(one));
        assert!((0.3..3.0).contains(&share), "frame {number}: {share}");
    }
}
