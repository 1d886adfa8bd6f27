//! Setting up a fake server.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::FakeOpenAi;
use super::fault::Fault;
use super::script::{Reply, UserTranscript};
use super::vendor::Vendor;

/// What every connection of a server goes by.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with each other"
)]
pub(crate) struct Options {
    pub(crate) vendor: Vendor,
    pub(crate) announced_lifetime: Option<Duration>,
    pub(crate) api_key: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) speed: f64,
    pub(crate) speech_level: f64,
    pub(crate) noise: bool,
    pub(crate) record_audio: bool,
    pub(crate) record_events: bool,
    pub(crate) relay: bool,
    pub(crate) fragment_bytes: Option<usize>,
    pub(crate) ping_interval: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) transcript: UserTranscript,
    pub(crate) faults: Vec<Fault>,
}

/// Configures a [`FakeOpenAi`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct FakeOpenAiBuilder {
    options: Options,
    replies: VecDeque<Reply>,
    transcripts: VecDeque<UserTranscript>,
    refusals: VecDeque<u16>,
    listen: SocketAddr,
}

impl Default for FakeOpenAiBuilder {
    fn default() -> Self {
        Self {
            options: Options {
                vendor: Vendor::default(),
                announced_lifetime: Some(Duration::from_secs(3600)),
                api_key: None,
                models: Vec::new(),
                speed: 8.0,
                speech_level: 500.0,
                noise: true,
                record_audio: true,
                record_events: true,
                relay: false,
                fragment_bytes: None,
                ping_interval: Duration::from_millis(20_300),
                wait_timeout: Duration::from_secs(20),
                transcript: UserTranscript::completed("hello from the caller"),
                faults: Vec::new(),
            },
            replies: VecDeque::new(),
            transcripts: VecDeque::new(),
            refusals: VecDeque::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}

impl FakeOpenAiBuilder {
    /// The address to listen on. Default: a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Plays Azure `OpenAI`: its path, the header `api-key`, deployments by [`Self::model`] only,
    /// and refusals as HTTP errors in place of the upgrade.
    pub fn azure(mut self) -> Self {
        self.options.vendor = Vendor::Azure;
        self
    }

    /// Plays xAI: `grok-voice-*` models, `voice` and `turn_detection` flat in the session, PCM of
    /// any rate, `conversation.created` first, transcripts of the user that come several times and
    /// grow, `status_details` as a string. The session is recorded in `OpenAI`'s form.
    pub fn xai(mut self) -> Self {
        self.options.vendor = Vendor::XAi;
        self
    }

    /// How long after its start a session says that it ends (`expires_at`), or that it says
    /// nothing (`null`). Default: 60 minutes. To really end it, see
    /// [`FaultPoint::AfterMs`](super::FaultPoint::AfterMs) and
    /// [`FaultAction::ExpireSession`](super::FaultAction::ExpireSession).
    pub fn announced_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.options.announced_lifetime = lifetime;
        self
    }

    /// The only key accepted. Default: any.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.options.api_key = Some(key.into());
        self
    }

    /// Accepts one more model name in the URL.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.options.models.push(name.into());
        self
    }

    /// Queues a reply; one is used up per response, over all connections.
    pub fn reply(mut self, reply: Reply) -> Self {
        self.replies.push_back(reply);
        self
    }

    /// Queues the transcript of a user turn; one is used up per turn.
    pub fn transcript(mut self, transcript: UserTranscript) -> Self {
        self.transcripts.push_back(transcript);
        self
    }

    /// The transcript of every turn that has no queued one.
    pub fn default_transcript(mut self, transcript: UserTranscript) -> Self {
        self.options.transcript = transcript;
        self
    }

    /// Lets something go wrong.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.options.faults.push(fault);
        self
    }

    /// Answers the next upgrade with this HTTP status in place of 101. Queues up.
    pub fn refuse_upgrade(mut self, status: u16) -> Self {
        self.refusals.push_back(status);
        self
    }

    /// How many times faster than real time audio is sent. Default: 8. [`f64::INFINITY`] sends a
    /// response at once, which leaves no time to interrupt it. Values that are not above 0 count
    /// as infinite.
    pub fn speed(mut self, factor: f64) -> Self {
        self.options.speed = if factor > 0.0 { factor } else { f64::INFINITY };
        self
    }

    /// The loudness that counts as speech at the wire's `threshold` 0.5: the root mean square of
    /// 10 ms in units of a 16 bit sample. Default: 500.
    pub fn speech_level(mut self, root_mean_square: f64) -> Self {
        self.options.speech_level = root_mean_square;
        self
    }

    /// Whether unknown fields and unknown event types are mixed in, which every client must
    /// ignore. Default: true.
    pub fn noise(mut self, noise: bool) -> Self {
        self.options.noise = noise;
        self
    }

    /// Whether audio is kept: what was appended, and in items for `conversation.item.retrieve`.
    /// Without it only bytes are counted. Default: true.
    pub fn record_audio(mut self, record: bool) -> Self {
        self.options.record_audio = record;
        self
    }

    /// Whether client events and ended connections are kept. Default: true; turn it off where the
    /// server runs for long.
    pub fn record_events(mut self, record: bool) -> Self {
        self.options.record_events = record;
        self
    }

    /// Relay mode: every appended chunk comes straight back as `response.output_audio.delta` with
    /// the same payload. No turns, no base64 checks; for measuring a round trip. Default: false.
    pub fn relay(mut self, relay: bool) -> Self {
        self.options.relay = relay;
        self
    }

    /// Splits every message into WebSocket frames of this many bytes, at least 1.
    pub fn fragment_frames(mut self, bytes: usize) -> Self {
        self.options.fragment_bytes = Some(bytes.max(1));
        self
    }

    /// Time between WebSocket pings. Default: 20.3 s, as captured.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.ping_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long the waits of a [`super::FakeConnection`] take at most. Default: 20 s.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.options.wait_timeout = timeout;
        self
    }

    /// Binds and starts to accept.
    ///
    /// # Errors
    ///
    /// What binding the address returns.
    pub async fn start(self) -> io::Result<FakeOpenAi> {
        FakeOpenAi::bind(
            self.listen,
            self.options,
            self.replies,
            self.transcripts,
            self.refusals,
        )
        .await
    }
}
