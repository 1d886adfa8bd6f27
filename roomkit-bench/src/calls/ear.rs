//! What a caller hears: packets decoded, and what is in them.

use std::{
    f64::consts::TAU,
    time::{Duration, Instant},
};

use ropus::{Channels, DecodeMode, Decoder};

use super::speech::{MARK_HERTZ, RATE};
use crate::Outcome;

/// Root mean square below which it is quiet.
const QUIET: f64 = 300.0;
/// The mark's first sample is above.
const ONSET: i16 = 2_500;
/// The share of a mark's energy that has its frequency; speech has less of each.
const PURE: f64 = 0.6;
/// Samples of the longest packet.
const LONGEST: usize = RATE as usize * 120 / 1000;

pub(super) struct Ear {
    decoder: Decoder,
    pcm: Box<[i16]>,
    /// How many quiet packets there were in a row.
    quiet: u32,
    /// What may be the beginning of a mark.
    onset: Option<Onset>,
}

struct Onset {
    at: Instant,
    pcm: Vec<i16>,
}

/// What is in a packet.
pub(super) struct Heard {
    pub(super) is_loud: bool,
    /// One that began in the packet before: of a few samples nobody knows whether they are one.
    pub(super) mark: Option<Mark>,
}

/// A mark that was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark {
    /// Which of the frequencies it has.
    pub(super) pitch: usize,
    /// When its first sample was.
    pub(super) at: Instant,
}

impl Ear {
    pub(super) fn new() -> Outcome<Self> {
        Ok(Self {
            decoder: Decoder::new(RATE, Channels::Mono)?,
            pcm: vec![0; LONGEST].into(),
            quiet: 0,
            onset: None,
        })
    }

    /// A packet that comes now.
    pub(super) fn hear(&mut self, payload: &[u8], now: Instant) -> Heard {
        let decoded = self
            .decoder
            .decode(payload, &mut self.pcm, DecodeMode::Normal);
        let pcm = &self.pcm[..decoded.unwrap_or_default()];
        let energy: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let is_loud = (energy / pcm.len().max(1) as f64).sqrt() > QUIET;
        let was_quiet = self.quiet >= 2;
        let mark = self.onset.take().and_then(|mut onset| {
            onset.pcm.extend(pcm);
            Some(Mark {
                pitch: pitch(&onset.pcm)?,
                at: onset.at,
            })
        });
        let place = pcm.iter().position(|sample| sample.abs() > ONSET);
        self.onset = place
            .filter(|_| was_quiet && mark.is_none())
            .map(|place| Onset {
                at: now + Duration::from_secs_f64(place as f64 / f64::from(RATE)),
                pcm: pcm[place..].to_vec(),
            });
        self.quiet = if is_loud { 0 } else { self.quiet + 1 };
        Heard { is_loud, mark }
    }
}

/// Which mark this is, if it is one.
fn pitch(pcm: &[i16]) -> Option<usize> {
    MARK_HERTZ
        .iter()
        .position(|hertz| purity(pcm, *hertz) > PURE)
}

/// The share of the energy that has this frequency.
fn purity(pcm: &[i16], hertz: f64) -> f64 {
    let (mut cosine, mut sine, mut energy) = (0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (sample, angle) = (f64::from(*sample), TAU * hertz * n as f64 / f64::from(RATE));
        cosine += sample * angle.cos();
        sine += sample * angle.sin();
        energy += sample * sample;
    }
    2.0 * (cosine * cosine + sine * sine) / (energy * pcm.len() as f64).max(1.0)
}
