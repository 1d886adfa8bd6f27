//! The client's codecs.

use bytes::Bytes;
use roomkit_core::audio::g711::{self, Law};
use ropus::{
    Application, Channels, DecodeMode, Decoder, Encoder, opus::decoder::opus_packet_has_lbrr,
};

/// How the client codes its audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Opus,
    Pcmu,
    Pcma,
}

impl Codec {
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Pcmu => "audio/PCMU",
            Self::Pcma => "audio/PCMA",
        }
    }

    /// Units of its timestamps in a second.
    pub(crate) fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// Rate of the audio the tests put into it.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Self::Opus => 24_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    pub(crate) fn payload_type(self) -> u8 {
        match self {
            Self::Opus => 111,
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    fn law(self) -> Option<Law> {
        match self {
            Self::Opus => None,
            Self::Pcmu => Some(Law::Mu),
            Self::Pcma => Some(Law::A),
        }
    }
}

/// Codes what the client says.
pub(crate) struct Mouth {
    codec: Codec,
    opus: Box<Encoder>,
}

impl Mouth {
    pub(crate) fn new(codec: Codec) -> Self {
        let rate = Codec::Opus.rate();
        let opus = Encoder::builder(rate, Channels::Mono, Application::Voip);
        Self {
            codec,
            opus: Box::new(opus.build().unwrap()),
        }
    }

    pub(crate) fn encode(&mut self, samples: &[i16]) -> Bytes {
        if let Some(law) = self.codec.law() {
            let pcm: Vec<u8> = samples.iter().flat_map(|it| it.to_le_bytes()).collect();
            return g711::encode(law, &pcm).into();
        }
        let mut payload = [0; 1275];
        let length = self.opus.encode(samples, &mut payload).unwrap();
        Bytes::copy_from_slice(&payload[..length])
    }
}

/// Decodes what the client hears.
pub(crate) struct Ear {
    codec: Codec,
    opus: Box<Decoder>,
}

impl Ear {
    pub(crate) fn new(codec: Codec) -> Self {
        Self {
            codec,
            opus: Box::new(Decoder::new(Codec::Opus.rate(), Channels::Mono).unwrap()),
        }
    }

    pub(crate) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        if let Some(law) = self.codec.law() {
            let pcm = g711::decode(law, payload);
            let (samples, _) = pcm.as_chunks();
            return samples.iter().copied().map(i16::from_le_bytes).collect();
        }
        let mut pcm = [0; 24 * 120];
        let decoded = self.opus.decode(payload, &mut pcm, DecodeMode::Normal);
        pcm[..decoded.unwrap()].to_vec()
    }

    /// Whether a packet carries a copy of the one before it, as in-band FEC has it.
    pub(crate) fn has_copy(&self, payload: &[u8]) -> bool {
        let length = i32::try_from(payload.len()).unwrap();
        self.codec == Codec::Opus && opus_packet_has_lbrr(payload, length).unwrap()
    }
}
