//! Opus, set up as those have it whose work is measured: voice at 32 kbit/s.

use ropus::{Application, Bitrate, Channels, Encoder, EncoderBuildError, Signal};

/// How hard the encoder of the WebRTC transport tries, of 10.
pub const SERVER: u8 = 5;
/// The same of a browser's.
pub const BROWSER: u8 = 9;
/// The longest packet, in bytes.
pub const PACKET: usize = 1_275;

/// An encoder for frames of this rate in Hz, which sends silence too.
///
/// # Errors
///
/// When Opus knows no such rate.
pub fn encoder(rate: u32, complexity: u8) -> Result<Encoder, EncoderBuildError> {
    Encoder::builder(rate, Channels::Mono, Application::Voip)
        .bitrate(Bitrate::Bits(32_000))
        .complexity(complexity)
        .signal(Signal::Voice)
        .vbr(true)
        .dtx(false)
        .build()
}
