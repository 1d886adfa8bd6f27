//! Setting up a fake server.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::FakeOpenAi;
use super::fault::Fault;
use super::script::{Reply, UserTranscript};
use super::vendor::Vendor;
use crate::fake::options::{CommonOptions, common_builder_methods};

/// What every connection of a server goes by.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) vendor: Vendor,
    pub(crate) announced_lifetime: Option<Duration>,
    pub(crate) api_key: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) common: CommonOptions,
    pub(crate) transcript: UserTranscript,
    pub(crate) faults: Vec<Fault>,
    pub(crate) anonymous_errors: bool,
}

impl Options {
    /// There is such a model.
    pub(crate) fn knows(&self, model: &str) -> bool {
        self.vendor.knows(model) || self.models.iter().any(|extra| extra == model)
    }
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
                common: CommonOptions {
                    ping_interval: Some(Duration::from_millis(20_300)),
                    ..CommonOptions::default()
                },
                transcript: UserTranscript::completed("hello from the caller"),
                faults: Vec::new(),
                anonymous_errors: false,
            },
            replies: VecDeque::new(),
            transcripts: VecDeque::new(),
            refusals: VecDeque::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}

impl FakeOpenAiBuilder {
    common_builder_methods!();

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

    /// Accepts one more model name in the URL; of Azure also as a deployment that transcribes.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.options.models.push(name.into());
        self
    }

    /// No `error` says which of the client's events it is about: its `event_id` is null.
    pub fn anonymous_errors(mut self) -> Self {
        self.options.anonymous_errors = true;
        self
    }

    /// Time between WebSocket pings. Default: 20.3 s, as captured.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.common.ping_interval = Some(interval.max(Duration::from_millis(1)));
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
