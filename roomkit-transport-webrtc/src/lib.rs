//! WebRTC clients as a roomkit transport.

mod audio;
