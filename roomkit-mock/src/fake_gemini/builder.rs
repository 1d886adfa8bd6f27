//! Setting up a fake server.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::FakeGemini;
use super::fault::{DEADLINE_EXPIRED, Fault};
use super::script::{Reply, UserTranscript};
use crate::fake::options::{CommonOptions, common_builder_methods};

/// What every connection of a server goes by.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) common: CommonOptions,
    pub(crate) api_key: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) transcript: UserTranscript,
    pub(crate) faults: Vec<Fault>,
    pub(crate) pretty: bool,
    pub(crate) merge_frames: bool,
    pub(crate) omit_call_ids: bool,
    pub(crate) setup_delay: Duration,
    pub(crate) handle_with_setup: bool,
    pub(crate) announce_unresumable: bool,
    pub(crate) real_time_turns: bool,
    pub(crate) late_chunks: usize,
    pub(crate) usage_ticks: bool,
    pub(crate) handle_lifetime: Duration,
    pub(crate) handle_refusal: HandleRefusal,
    pub(crate) refuse_resume_while_open: bool,
    pub(crate) resume_grace: Duration,
    pub(crate) life: Option<ConnectionLife>,
}

/// How a handle is answered that is unknown or expired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HandleRefusal {
    /// Close 1007 `Request contains an invalid argument.`
    #[default]
    InvalidArgument,
    /// Close 1008 `Requested entity was not found.`
    NotFound,
    /// `setupComplete` never comes.
    Silence,
}

/// How long the service keeps a connection, and how it ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLife {
    pub(crate) lasts: Duration,
    pub(crate) notice: Option<Duration>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl ConnectionLife {
    /// After this long, close 1001; `goAway` comes `notice` before.
    pub fn with_notice(lasts: Duration, notice: Duration) -> Self {
        Self {
            lasts,
            notice: Some(notice),
            code: 1001,
            reason: String::new(),
        }
    }

    /// After this long, close 1011 `Deadline expired before operation could complete.`, without
    /// notice: seen after exactly 58 minutes.
    pub fn until_deadline(lasts: Duration) -> Self {
        Self {
            lasts,
            notice: None,
            code: 1011,
            reason: DEADLINE_EXPIRED.to_owned(),
        }
    }

    /// Ends with this code and reason instead.
    #[must_use]
    pub fn ending(mut self, code: u16, reason: impl Into<String>) -> Self {
        self.code = code;
        self.reason = reason.into();
        self
    }
}

/// Configures a [`FakeGemini`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct FakeGeminiBuilder {
    options: Options,
    replies: VecDeque<Reply>,
    transcripts: VecDeque<UserTranscript>,
    refusals: VecDeque<u16>,
    listen: SocketAddr,
}

impl Default for FakeGeminiBuilder {
    fn default() -> Self {
        Self {
            options: Options {
                common: CommonOptions {
                    binary_frames: true,
                    ..CommonOptions::default()
                },
                api_key: None,
                token: None,
                models: Vec::new(),
                transcript: UserTranscript::completed("hello from the caller"),
                faults: Vec::new(),
                pretty: true,
                merge_frames: false,
                omit_call_ids: false,
                setup_delay: Duration::from_millis(5),
                handle_with_setup: false,
                announce_unresumable: false,
                real_time_turns: false,
                late_chunks: 0,
                usage_ticks: false,
                handle_lifetime: Duration::from_secs(2 * 3600),
                handle_refusal: HandleRefusal::default(),
                refuse_resume_while_open: true,
                resume_grace: Duration::from_millis(250),
                life: None,
            },
            replies: VecDeque::new(),
            transcripts: VecDeque::new(),
            refusals: VecDeque::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}

impl FakeGeminiBuilder {
    common_builder_methods!();

    /// The only API key accepted. Default: any.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.options.api_key = Some(key.into());
        self
    }

    /// The only ephemeral or OAuth token accepted. Default: any that starts with `auth_tokens/`
    /// where those belong, and any at all as `Bearer`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = Some(token.into());
        self
    }

    /// Accepts one more model id, without the `models/` before it. What it can do goes by its
    /// name: `2.5`, `3.1`, `thinking`, `translate`, `transcribe`, else as 3.8.
    pub fn model(mut self, id: impl Into<String>) -> Self {
        self.options.models.push(id.into());
        self
    }

    /// Queues a reply; one is used up per generation, over all connections.
    pub fn reply(mut self, reply: Reply) -> Self {
        self.replies.push_back(reply);
        self
    }

    /// Queues the transcript of a spoken turn; one is used up per turn.
    pub fn transcript(mut self, transcript: UserTranscript) -> Self {
        self.transcripts.push_back(transcript);
        self
    }

    /// The transcript of every spoken turn that has no queued one.
    pub fn default_transcript(mut self, transcript: UserTranscript) -> Self {
        self.options.transcript = transcript;
        self
    }

    /// Lets something go wrong.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.options.faults.push(fault);
        self
    }

    /// Answers in text frames in place of binary ones.
    pub fn text_frames(mut self) -> Self {
        self.options.common.binary_frames = false;
        self
    }

    /// Whether JSON comes over many lines, as the real one does. Default: true.
    pub fn pretty(mut self, pretty: bool) -> Self {
        self.options.pretty = pretty;
        self
    }

    /// Puts what is said at the same moment into one frame: words and audio, `generationComplete`
    /// and `turnComplete`, even `interrupted` and a new answer's first words. Default: false.
    pub fn merge_frames(mut self, merge: bool) -> Self {
        self.options.merge_frames = merge;
        self
    }

    /// Leaves the ids of function calls out, as Vertex may; responses go by name then. Default:
    /// false.
    pub fn omit_call_ids(mut self, omit: bool) -> Self {
        self.options.omit_call_ids = omit;
        self
    }

    /// How long `setupComplete` takes. What a client sends meanwhile is a violation. Default: 5 ms.
    pub fn setup_delay(mut self, delay: Duration) -> Self {
        self.options.setup_delay = delay;
        self
    }

    /// Sends a first `sessionResumptionUpdate` in the frame of `setupComplete`. Default: false, the
    /// first one follows the first turn.
    pub fn handle_with_setup(mut self, with: bool) -> Self {
        self.options.handle_with_setup = with;
        self
    }

    /// Sends `sessionResumptionUpdate` with `"resumable": false` when an answer begins. Default:
    /// false.
    pub fn announce_unresumable(mut self, announce: bool) -> Self {
        self.options.announce_unresumable = announce;
        self
    }

    /// Delays `turnComplete` to the end of real-time playout, as the real service does, so that a
    /// user who talks over the rest interrupts. Default: false, for speed.
    pub fn real_time_turns(mut self, real_time: bool) -> Self {
        self.options.real_time_turns = real_time;
        self
    }

    /// Frames of audio that still follow `interrupted`, which a client must drop. Default: 0.
    pub fn late_chunks(mut self, count: usize) -> Self {
        self.options.late_chunks = count;
        self
    }

    /// Sends an empty `serverContent` with `usageMetadata` after every frame of audio. Default:
    /// false; [`Self::noise`] sends one per answer.
    pub fn usage_ticks(mut self, ticks: bool) -> Self {
        self.options.usage_ticks = ticks;
        self
    }

    /// How long handles can be used. Default: 2 hours.
    pub fn handle_lifetime(mut self, lifetime: Duration) -> Self {
        self.options.handle_lifetime = lifetime;
        self
    }

    /// How an unknown or expired handle is answered. Default: 1007.
    pub fn handle_refusal(mut self, refusal: HandleRefusal) -> Self {
        self.options.handle_refusal = refusal;
        self
    }

    /// Whether resuming a session whose connection is still open ends in close 1011, once that
    /// connection had [`Self::resume_grace`] to end. Default: true, as reported from the field.
    pub fn refuse_resume_while_open(mut self, refuse: bool) -> Self {
        self.options.refuse_resume_while_open = refuse;
        self
    }

    /// How long a resuming connection waits for the old one to end; a client that closes one and
    /// opens the next at once is given that. Default: 250 ms.
    pub fn resume_grace(mut self, grace: Duration) -> Self {
        self.options.resume_grace = grace;
        self
    }

    /// Limits every connection's life. Default: none.
    pub fn connection_life(mut self, life: ConnectionLife) -> Self {
        self.options.life = Some(life);
        self
    }

    /// Binds and starts to accept.
    ///
    /// # Errors
    ///
    /// What binding the address returns.
    pub async fn start(self) -> io::Result<FakeGemini> {
        FakeGemini::bind(
            self.listen,
            self.options,
            self.replies,
            self.transcripts,
            self.refusals,
        )
        .await
    }
}
