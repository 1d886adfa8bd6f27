//! What the codec alone costs, in a loop: nothing can be cheaper that decodes and encodes.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use roomkit_bench::opus;
use ropus::{Channels, DecodeMode, Decoder};
use serde::{Deserialize, Serialize};

use super::speech::{self, FRAMES_PER_SECOND};
use crate::{Outcome, arguments::one_or_more, figures::println_now, process::cpu_of};

/// The rate of the AI's audio.
const RATE: u32 = 24_000;
const FRAME: usize = RATE as usize / FRAMES_PER_SECOND;
/// How much CPU time each loop takes at least.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Options {
    /// How many sessions the measured server has. Each has a codec of its own, which has to be
    /// brought from memory every 20 ms.
    #[arg(long, default_value_t = 50, value_parser = one_or_more::<usize>())]
    sessions: usize,
}

/// Shares of a core per session that hears or says this all the time, in per cent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Costs {
    pub(super) decode_speech: f64,
    pub(super) decode_silence: f64,
    pub(super) encode_speech: f64,
    pub(super) encode_silence: f64,
}

/// Measures, and prints the costs as one line of JSON.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let sessions = options.sessions;
    let decode = |packets: &[Bytes]| {
        let decoders = (0..sessions).map(|_| Decoder::new(RATE, Channels::Mono));
        let mut decoders = decoders.collect::<Result<Vec<_>, _>>()?;
        let mut pcm = [0; FRAME];
        share_of_a_core(sessions, packets, |session, packet| {
            decoders[session].decode(packet, &mut pcm, DecodeMode::Normal)?;
            Ok(())
        })
    };
    let encode = |frames: &[[i16; FRAME]]| {
        // As the server has them.
        let encoders = (0..sessions).map(|_| opus::encoder(RATE, opus::SERVER));
        let mut encoders = encoders.collect::<Result<Vec<_>, _>>()?;
        let mut payload = [0; opus::PACKET];
        share_of_a_core(sessions, frames, |session, pcm| {
            encoders[session].encode(pcm, &mut payload)?;
            Ok(())
        })
    };
    let speech = speech::encoded(&speech::speech()?)?;
    let silence = speech::encoded(&speech::silence(5))?;
    println_now(&serde_json::to_string(&Costs {
        decode_speech: decode(&speech)?,
        decode_silence: decode(&silence)?,
        encode_speech: encode(&decoded(&speech)?)?,
        encode_silence: encode(&decoded(&silence)?)?,
    })?)
}

fn decoded(packets: &[Bytes]) -> Outcome<Vec<[i16; FRAME]>> {
    let mut decoder = Decoder::new(RATE, Channels::Mono)?;
    let frames = packets.iter().map(|packet| {
        let mut pcm = [0; FRAME];
        decoder.decode(packet, &mut pcm, DecodeMode::Normal)?;
        Ok(pcm)
    });
    frames.collect()
}

/// What it costs a session to do this to a frame every 20 ms, when all of them do it in turn, each
/// at another place.
fn share_of_a_core<T>(
    sessions: usize,
    frames: &[T],
    mut work: impl FnMut(usize, &T) -> Outcome<()>,
) -> Outcome<f64> {
    let began = cpu_of("self")?;
    let apart = frames.len() / sessions;
    for done in 1.. {
        for session in 0..sessions {
            work(session, &frames[(done + session * apart) % frames.len()])?;
        }
        let used = cpu_of("self")?.saturating_sub(began);
        if used > LONG_ENOUGH {
            let spoken = (done * sessions) as f64 / FRAMES_PER_SECOND as f64;
            return Ok(used.as_secs_f64() / spoken * 100.0);
        }
    }
    Err("nothing is measured".into())
}
