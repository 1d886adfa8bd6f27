//! Audio between RTP and PCM16.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Opus,
    Pcmu,
    Pcma,
}
