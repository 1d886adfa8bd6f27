//! Audio between RTP and PCM16.
//!
//! Pure code: packets and PCM go in and out, time comes in as [`tokio::time::Instant`]s, and nothing
//! here waits or opens a socket. [`Inbound`] makes audio of what a caller sends; [`Outbound`] makes
//! packets of what the AI says. Opus runs at the provider's own rate, so neither resamples.

mod codec;
mod inbound;
mod outbound;

#[cfg(feature = "libopus")]
mod libopus;
#[cfg(any(not(feature = "libopus"), test))]
mod opus;
mod opus_header;
mod reorder;

#[cfg(test)]
mod signal;

use std::time::Duration;

use roomkit_core::audio::g711;

pub(crate) use self::{
    codec::CodecError,
    inbound::{Inbound, InboundCounts, Piece, RtpIn},
    outbound::{First, Outbound, OutboundCounts, Reception, RtpOut},
};

/// How much audio one outbound packet holds, and the most that one piece of filling holds.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

/// How audio is coded on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Codec {
    /// Opus (RFC 6716, RFC 7587).
    Opus,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Units of RTP timestamps in a second.
    pub(crate) fn clock_rate(self) -> u32 {
        match self {
            // Whatever the rate of the audio within (RFC 7587).
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => g711::RATE,
        }
    }

    /// The name in SDP, lower case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
        }
    }
}

/// The rate of PCM, in Hz, to take for `wanted`: the same if the codec has it by itself.
pub(crate) fn pcm_rate(codec: Codec, wanted: u32) -> u32 {
    match (codec, wanted) {
        (Codec::Opus, 8_000 | 12_000 | 16_000 | 24_000 | 48_000) => wanted,
        (Codec::Opus, _) => 48_000,
        (Codec::Pcmu | Codec::Pcma, _) => g711::RATE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_a_codec_runs_at_the_wanted_rate_if_it_has_it() {
        for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
            assert_eq!(pcm_rate(Codec::Opus, rate), rate);
            assert_eq!(pcm_rate(Codec::Pcmu, rate), 8_000);
        }
        assert_eq!(pcm_rate(Codec::Opus, 44_100), 48_000);
        assert_eq!(pcm_rate(Codec::Opus, 0), 48_000);
        assert_eq!(pcm_rate(Codec::Pcma, 16_000), 8_000);
    }

    #[test]
    fn codecs_have_their_rtp_clock() {
        assert_eq!(Codec::Opus.clock_rate(), 48_000);
        assert_eq!(Codec::Pcmu.clock_rate(), 8_000);
        assert_eq!(Codec::Pcma.name(), "pcma");
    }
}
