//! Audio between RTP and PCM16.
