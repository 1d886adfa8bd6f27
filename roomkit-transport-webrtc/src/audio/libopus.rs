//! Opus by libopus itself.

use ::opus::{Application, Bitrate, Channels, Decoder, Encoder, Error, Signal};

use super::codec::CodecError;

/// Encodes mono speech.
pub(super) struct OpusEncoder(Encoder);

impl OpusEncoder {
    pub(super) fn new(rate: u32, bitrate: u32, complexity: u8) -> Result<Self, CodecError> {
        let set_up = || {
            let mut encoder = Encoder::new(rate, Channels::Mono, Application::Voip)?;
            let bitrate = i32::try_from(bitrate).unwrap_or(i32::MAX);
            encoder.set_bitrate(Bitrate::Bits(bitrate))?;
            encoder.set_complexity(i32::from(complexity))?;
            encoder.set_signal(Signal::Voice)?;
            encoder.set_vbr(true)?;
            encoder.set_dtx(false)?;
            Ok(Self(encoder))
        };
        set_up().map_err(|error: Error| CodecError::Setup(error.to_string()))
    }

    /// Encodes a frame to the start of `payload`, and says how many bytes it has.
    pub(super) fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        self.0.encode(pcm, payload).map_err(failed)
    }

    /// Adds forward error correction for that loss; none at 0.
    pub(super) fn expect_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        self.0.set_inband_fec(percent > 0).map_err(failed)?;
        self.0
            .set_packet_loss_perc(i32::from(percent.min(100)))
            .map_err(failed)
    }
}

// By value, as `map_err` gives it: what it holds is a number.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: Error) -> CodecError {
    CodecError::Encode(error.to_string())
}

/// Decodes to mono, whatever is in the packets.
pub(super) struct OpusDecoder(Decoder);

impl OpusDecoder {
    pub(super) fn new(rate: u32) -> Result<Self, CodecError> {
        Decoder::new(rate, Channels::Mono)
            .map(Self)
            .map_err(|error| CodecError::Setup(error.to_string()))
    }

    /// Decodes a packet to the start of `pcm`, and says how many samples it has.
    pub(super) fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        // No payload would mean concealment to the library.
        if payload.is_empty() {
            return Err(CodecError::Decode("empty".into()));
        }
        self.run(payload, pcm, false)
    }

    /// Fills `pcm` with what was before a packet, from the copy it carries.
    pub(super) fn recover(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        self.run(payload, pcm, true)
    }

    /// Fills `pcm` with what might have followed.
    pub(super) fn conceal(&mut self, pcm: &mut [i16]) -> Result<usize, CodecError> {
        self.run(&[], pcm, false)
    }

    fn run(&mut self, payload: &[u8], pcm: &mut [i16], fec: bool) -> Result<usize, CodecError> {
        self.0
            .decode(payload, pcm, fec)
            .map_err(|error| CodecError::Decode(error.to_string()))
    }
}
