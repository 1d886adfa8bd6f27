//! What callers say: Opus packets of 20 ms made beforehand, so that saying them costs nothing.

use std::{f64::consts::TAU, ops::Range};

use bytes::Bytes;
use roomkit_bench::opus;

use crate::Outcome;

/// As browsers have it.
pub(super) const RATE: u32 = 48_000;
/// Samples of 20 ms.
pub(super) const FRAME: usize = RATE as usize / 50;
pub(super) const FRAMES_PER_SECOND: usize = 50;

/// Payloads that are longer have something to say: digital silence takes 31 to 33 bytes at 32 kbit/s.
pub(super) const SPEECH_BYTES: usize = 36;

/// The frequencies of the marks that are timed, in Hz, one after the other: by them a mark that comes late is
/// told from the next. Each has whole waves in every ms, so that none has anything of another.
pub(super) const MARK_HERTZ: [f64; 3] = [1000.0, 2000.0, 3000.0];
/// In which frame of a second the mark begins.
pub(super) const MARK_BEGINS: usize = 45;
/// How many frames before it are silent, for it to be heard.
const SILENT_BEFORE: usize = 8;
/// Which of them are not sent.
pub(super) const PAUSE_BEFORE_MARK: Range<usize> = MARK_BEGINS - 5..MARK_BEGINS;

const QUESTION: &[u8] = include_bytes!("../../../testdata/speech/question.wav");
const BARGE_IN: &[u8] = include_bytes!("../../../testdata/speech/barge-in.wav");

/// What a browser would send of this audio.
pub(super) fn encoded(pcm: &[i16]) -> Outcome<Vec<Bytes>> {
    let mut encoder = opus::encoder(RATE, opus::BROWSER)?;
    let mut payload = [0; opus::PACKET];
    let frames = pcm.chunks_exact(FRAME);
    let packets = frames.map(|frame| {
        let length = encoder.encode(frame, &mut payload)?;
        Ok(Bytes::copy_from_slice(&payload[..length]))
    });
    packets.collect()
}

/// Seven seconds of speech without pauses.
pub(super) fn speech() -> Outcome<Vec<i16>> {
    Ok([question()?, part(BARGE_IN, 0.5, 3.1)?, interruption()?].concat())
}

/// A sentence of about three seconds.
pub(super) fn question() -> Outcome<Vec<i16>> {
    part(QUESTION, 1.0, 4.2)
}

/// What somebody says who interrupts; about a second and a half.
pub(super) fn interruption() -> Outcome<Vec<i16>> {
    part(BARGE_IN, 4.9, 6.4)
}

pub(super) fn silence(seconds: usize) -> Vec<i16> {
    vec![0; seconds * RATE as usize]
}

/// Speech with a mark in each second, after a short silence. Each frequency has its turn equally often, so
/// that it can be said again and again.
pub(super) fn marked_speech() -> Outcome<Vec<i16>> {
    let mut pcm = speech()?;
    let turn = MARK_HERTZ.len() * RATE as usize;
    pcm.truncate(pcm.len() / turn * turn);
    let seconds = pcm.chunks_exact_mut(RATE as usize);
    for (second, hertz) in seconds.zip(MARK_HERTZ.iter().cycle()) {
        second[(MARK_BEGINS - SILENT_BEFORE) * FRAME..].fill(0);
        // A cosine: the first sample of it is the loudest, as that of a click.
        for (n, sample) in second[MARK_BEGINS * FRAME..].iter_mut().enumerate() {
            let wave = (TAU * hertz * n as f64 / f64::from(RATE)).cos();
            *sample = (wave * 12_000.0) as i16;
        }
    }
    Ok(pcm)
}

/// Samples of a file between two times in seconds.
fn part(wav: &[u8], from: f64, to: f64) -> Outcome<Vec<i16>> {
    let place = wav.windows(4).position(|four| four == b"data");
    let data = &wav[place.ok_or("no data in the WAV file")? + 8..];
    let samples = data.chunks_exact(2);
    let at = |seconds: f64| (seconds * FRAMES_PER_SECOND as f64) as usize * FRAME;
    Ok(samples
        .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
        .skip(at(from))
        .take(at(to) - at(from))
        .collect())
}
