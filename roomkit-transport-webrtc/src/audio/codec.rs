//! One coder and one decoder for every codec.

use bytes::Bytes;
use roomkit_core::audio::{
    BYTES_PER_SAMPLE, bytes_for,
    g711::{self, Law},
};

#[cfg(feature = "libopus")]
use super::libopus::{OpusDecoder, OpusEncoder};
#[cfg(not(feature = "libopus"))]
use super::opus::{OpusDecoder, OpusEncoder};
use super::{Codec, FRAME, pcm_rate};

/// How hard the Opus encoder works, of 0 to 10.
///
/// Measured with `ropus` at 24 kHz on 20 ms of recorded and of synthetic speech, wide-band PESQ
/// after decoding and encoding time in µs on one core of an AMD EPYC:
///
/// | settings | PESQ recorded / synthetic | µs |
/// | --- | --- | --- |
/// | voice, complexity 2, 32 kbit/s | 4.25 / 2.67 | 91 |
/// | **voice, complexity 5, 32 kbit/s** | **4.40 / 3.66** | **120** |
/// | voice, complexity 10, 32 kbit/s | 4.46 / 4.11 | 218 |
/// | CELT only, complexity 5, 32 kbit/s | 3.48 / 2.63 | 56 |
/// | CELT only, complexity 5, 48 kbit/s | 3.95 / 3.15 | 63 |
/// | CELT only, complexity 5, 64 kbit/s | 4.25 / 3.75 | 63 |
///
/// CELT alone is cheaper, but needs twice the bits to sound as good and has no forward error
/// correction, so speech goes out in the voice mode.
const COMPLEXITY: u8 = 5;

/// Bytes that one encoded frame may have: 20 ms of Opus at its very highest bit rate.
const MAX_ENCODED: usize = 1275;

/// The longest Opus packet, in milliseconds.
const MAX_PACKET_MS: usize = 120;

/// Why a codec did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The codec has no such rate; see [`pcm_rate`].
    #[error("{} has no audio at {rate} Hz", codec.name())]
    Rate {
        /// Which codec.
        codec: Codec,
        /// The rate asked for, in Hz.
        rate: u32,
    },
    /// An encoder or decoder could not be made with these settings.
    #[error("opus cannot be set up: {0}")]
    Setup(String),
    /// A frame could not be encoded.
    #[error("audio cannot be encoded: {0}")]
    Encode(String),
    /// A packet is not what its codec says it must be.
    #[error("a packet cannot be decoded: {0}")]
    Decode(String),
}

/// Makes payloads of PCM16, 20 ms at a time.
pub(super) enum Encoder {
    Opus(Box<OpusEncoder>),
    G711(Law),
}

impl Encoder {
    pub(super) fn new(codec: Codec, rate: u32, bitrate: u32) -> Result<Self, CodecError> {
        check_rate(codec, rate)?;
        Ok(match law(codec) {
            Some(law) => Self::G711(law),
            None => Self::Opus(Box::new(OpusEncoder::new(rate, bitrate, COMPLEXITY)?)),
        })
    }

    /// Encodes one frame: PCM16, exactly 20 ms.
    pub(super) fn encode(&mut self, frame: &[u8]) -> Result<Bytes, CodecError> {
        match self {
            Self::G711(law) => Ok(g711::encode(*law, frame).into()),
            Self::Opus(encoder) => {
                let mut payload = [0; MAX_ENCODED];
                let length = encoder.encode(&samples(frame), &mut payload)?;
                Ok(Bytes::copy_from_slice(&payload[..length]))
            }
        }
    }

    /// Makes what is sent survive the loss of that many packets in a hundred, at a cost in bits
    /// and time; 0 for none.
    pub(super) fn expect_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        match self {
            Self::G711(_) => Ok(()),
            Self::Opus(encoder) => encoder.expect_loss(percent),
        }
    }
}

/// Makes PCM16 of payloads, and of their absence.
pub(super) enum Decoder {
    Opus {
        decoder: Box<OpusDecoder>,
        /// Room for the longest packet.
        buffer: Box<[i16]>,
    },
    G711(G711Decoder),
}

impl Decoder {
    pub(super) fn new(codec: Codec, rate: u32) -> Result<Self, CodecError> {
        check_rate(codec, rate)?;
        Ok(match law(codec) {
            Some(law) => Self::G711(G711Decoder::new(law)),
            None => Self::Opus {
                decoder: Box::new(OpusDecoder::new(rate)?),
                buffer: vec![0; rate as usize * MAX_PACKET_MS / 1000].into(),
            },
        })
    }

    /// The audio of one packet.
    pub(super) fn decode(&mut self, payload: &[u8]) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::G711(decoder) => Ok(decoder.decode(payload)),
            Self::Opus { decoder, buffer } => {
                let samples = decoder.decode(payload, buffer)?;
                Ok(bytes(&buffer[..samples]))
            }
        }
    }

    /// The last `samples` samples before the packet that this is the payload of, from what it
    /// carries of them.
    pub(super) fn recover(
        &mut self,
        payload: &[u8],
        samples: usize,
    ) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::G711(decoder) => Ok(decoder.conceal(samples)),
            Self::Opus { decoder, buffer } => {
                let room = samples.min(buffer.len());
                let samples = decoder.recover(payload, &mut buffer[..room])?;
                Ok(bytes(&buffer[..samples]))
            }
        }
    }

    /// `samples` samples that follow what was decoded last, made up. For Opus a multiple of
    /// 2.5 ms.
    pub(super) fn conceal(&mut self, samples: usize) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::G711(decoder) => Ok(decoder.conceal(samples)),
            Self::Opus { decoder, buffer } => {
                let room = samples.min(buffer.len());
                let samples = decoder.conceal(&mut buffer[..room])?;
                Ok(bytes(&buffer[..samples]))
            }
        }
    }
}

/// G.711 with a memory, so that a gap can repeat what was before it.
pub(super) struct G711Decoder {
    law: Law,
    /// The last 20 ms, PCM16.
    last: Vec<u8>,
    /// Samples made up since.
    concealed: usize,
}

impl G711Decoder {
    /// Samples over which a repetition fades out: 100 ms.
    const FADE: usize = g711::RATE as usize / 10;

    fn new(law: Law) -> Self {
        Self {
            law,
            last: Vec::new(),
            concealed: 0,
        }
    }

    fn decode(&mut self, payload: &[u8]) -> Vec<u8> {
        let pcm = g711::decode(self.law, payload);
        self.last.extend_from_slice(&pcm);
        let excess = self.last.len().saturating_sub(bytes_for(FRAME, g711::RATE));
        self.last.drain(..excess);
        self.concealed = 0;
        pcm
    }

    fn conceal(&mut self, samples: usize) -> Vec<u8> {
        let (last, _) = self.last.as_chunks::<BYTES_PER_SAMPLE>();
        let mut pcm = Vec::with_capacity(samples * BYTES_PER_SAMPLE);
        for position in self.concealed..self.concealed + samples {
            let sample = last.get(position % last.len().max(1));
            let left = Self::FADE.saturating_sub(position);
            let faded = scaled(*sample.unwrap_or(&[0; 2]), left, Self::FADE);
            pcm.extend_from_slice(&faded);
        }
        self.concealed += samples;
        pcm
    }
}

/// A sample of PCM16 at `part` of `whole` of its level.
pub(super) fn scaled(sample: [u8; 2], part: usize, whole: usize) -> [u8; 2] {
    let value = f32::from(i16::from_le_bytes(sample));
    ((value * part as f32 / whole as f32) as i16).to_le_bytes()
}

fn law(codec: Codec) -> Option<Law> {
    match codec {
        Codec::Opus => None,
        Codec::Pcmu => Some(Law::Mu),
        Codec::Pcma => Some(Law::A),
    }
}

fn check_rate(codec: Codec, rate: u32) -> Result<(), CodecError> {
    if pcm_rate(codec, rate) == rate {
        Ok(())
    } else {
        Err(CodecError::Rate { codec, rate })
    }
}

fn samples(pcm: &[u8]) -> Vec<i16> {
    let (samples, _odd) = pcm.as_chunks::<BYTES_PER_SAMPLE>();
    samples.iter().copied().map(i16::from_le_bytes).collect()
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests;
