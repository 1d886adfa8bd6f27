//! What every connection of every fake goes by, and the builder methods that set it.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct CommonOptions {
    pub(crate) speed: f64,
    pub(crate) speech_level: f64,
    pub(crate) noise: bool,
    pub(crate) record_audio: bool,
    pub(crate) record_events: bool,
    pub(crate) relay: bool,
    pub(crate) fragment_bytes: Option<usize>,
    pub(crate) binary_frames: bool,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) wait_timeout: Duration,
}

impl Default for CommonOptions {
    fn default() -> Self {
        Self {
            speed: 8.0,
            speech_level: 500.0,
            noise: true,
            record_audio: true,
            record_events: true,
            relay: false,
            fragment_bytes: None,
            binary_frames: false,
            ping_interval: None,
            wait_timeout: Duration::from_secs(20),
        }
    }
}

/// The methods of a builder with `listen`, `refusals` and `options.common`.
macro_rules! common_builder_methods {
    () => {
        /// The address to listen on. Default: a free port of 127.0.0.1.
        pub fn listen(mut self, address: std::net::SocketAddr) -> Self {
            self.listen = address;
            self
        }

        /// Answers the next upgrade with this HTTP status in place of 101. Queues up.
        pub fn refuse_upgrade(mut self, status: u16) -> Self {
            self.refusals.push_back(status);
            self
        }

        /// How many times faster than real time audio is sent. Default: 8. [`f64::INFINITY`]
        /// sends an answer at once, which leaves no time to interrupt it. Values that are not
        /// above 0 count as infinite.
        pub fn speed(mut self, factor: f64) -> Self {
            self.options.common.speed = if factor > 0.0 { factor } else { f64::INFINITY };
            self
        }

        /// The loudness that counts as speech at medium sensitivity: the root mean square of
        /// 10 ms in units of a 16 bit sample. Default: 500.
        pub fn speech_level(mut self, root_mean_square: f64) -> Self {
            self.options.common.speech_level = root_mean_square;
            self
        }

        /// Whether things are mixed in that every client must ignore, unknown fields among them.
        /// Default: true.
        pub fn noise(mut self, noise: bool) -> Self {
            self.options.common.noise = noise;
            self
        }

        /// Whether the user's audio is kept. Without it only bytes are counted. Default: true.
        pub fn record_audio(mut self, record: bool) -> Self {
            self.options.common.record_audio = record;
            self
        }

        /// Whether client events and ended connections are kept. Default: true; turn it off where
        /// the server runs for long.
        pub fn record_events(mut self, record: bool) -> Self {
            self.options.common.record_events = record;
            self
        }

        /// Relay mode: every chunk of the user's audio comes straight back with the same payload.
        /// No turns, no base64 checks; for measuring a round trip. Default: false.
        pub fn relay(mut self, relay: bool) -> Self {
            self.options.common.relay = relay;
            self
        }

        /// Splits every message into WebSocket frames of this many bytes, at least 1.
        pub fn fragment_frames(mut self, bytes: usize) -> Self {
            self.options.common.fragment_bytes = Some(bytes.max(1));
            self
        }

        /// How long the waits of a connection's handle take at most. Default: 20 s.
        pub fn wait_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.common.wait_timeout = timeout;
            self
        }
    };
}
pub(crate) use common_builder_methods;
