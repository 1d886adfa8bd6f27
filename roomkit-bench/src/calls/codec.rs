//! What the codec alone costs, in a loop: nothing can be cheaper that decodes and encodes.

use std::time::Duration;

use roomkit_bench::opus;
use ropus::{Channels, DecodeMode, Decoder};
use serde::{Deserialize, Serialize};

use super::speech::{self, FRAMES_PER_SECOND};
use crate::{Outcome, figures::println_now, process::cpu_of};

/// The rate of the AI's audio.
const RATE: u32 = 24_000;
const FRAME: usize = RATE as usize / FRAMES_PER_SECOND;
/// How much CPU time each loop takes at least.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// Shares of a core per session, in per cent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Costs {
    pub(super) decode_speech: f64,
    pub(super) decode_silence: f64,
    pub(super) encode_speech: f64,
}

/// Measures, and prints the costs as one line of JSON.
pub(crate) fn run() -> Outcome<()> {
    let speech = speech::encoded(&speech::speech()?)?;
    let silence = speech::encoded(&speech::silence(5))?;
    let mut pcm = [0; FRAME];
    let mut decoder = Decoder::new(RATE, Channels::Mono)?;
    let mut frames = Vec::new();
    for packet in &speech {
        decoder.decode(packet, &mut pcm, DecodeMode::Normal)?;
        frames.push(pcm);
    }
    let mut decode = |packets: &[bytes::Bytes]| {
        share_of_a_core(packets, |packet| {
            decoder.decode(packet, &mut pcm, DecodeMode::Normal)?;
            Ok(())
        })
    };
    let (decode_speech, decode_silence) = (decode(&speech)?, decode(&silence)?);
    // As the server has it.
    let mut encoder = opus::encoder(RATE, opus::SERVER)?;
    let mut payload = [0; opus::PACKET];
    let encode_speech = share_of_a_core(&frames, |pcm| {
        encoder.encode(pcm, &mut payload)?;
        Ok(())
    })?;
    println_now(&serde_json::to_string(&Costs {
        decode_speech,
        decode_silence,
        encode_speech,
    })?)
}

/// What it costs to do this to a frame every 20 ms.
fn share_of_a_core<T>(frames: &[T], mut work: impl FnMut(&T) -> Outcome<()>) -> Outcome<f64> {
    let began = cpu_of("self")?;
    let mut done = 0;
    loop {
        for frame in frames {
            work(frame)?;
        }
        done += frames.len();
        let used = cpu_of("self")?.saturating_sub(began);
        if used > LONG_ENOUGH {
            let spoken = done as f64 / FRAMES_PER_SECOND as f64;
            return Ok(used.as_secs_f64() / spoken * 100.0);
        }
    }
}
