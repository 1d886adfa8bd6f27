//! Builds a voice channel.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{agent::Agent, channel::RealtimeVoiceChannel, observers::Observers, seed::HistorySeed};
use crate::{
    audio,
    call::{CallSettings, Shared},
    error::ConfigError,
    id::{ChannelId, SessionId},
    provider::{HistorySupport, RealtimeVoiceProvider, SessionSetup},
    recording::Recording,
    tool::{Tool, ToolHandler, ToolSearch, ToolSource},
    transport::RealtimeAudioTransport,
};

/// The settings of a voice channel. Everything but the provider and the transport has a default.
#[must_use]
pub struct RealtimeVoiceChannelBuilder {
    pub(super) id: ChannelId,
    pub(super) setup: SessionSetup,
    pub(super) tools: Vec<Tool>,
    pub(super) tool_sources: Vec<Arc<dyn ToolSource>>,
    pub(super) tool_handler: Option<Arc<dyn ToolHandler>>,
    pub(super) tool_search: Option<ToolSearch>,
    pub(super) call: CallSettings,
    pub(super) lead: Option<Duration>,
    pub(super) max_sessions: Option<usize>,
    pub(super) inject_ai_text: bool,
    pub(super) seed: Option<HistorySeed>,
    pub(super) recording: Option<Recording>,
    pub(super) greeting: Option<String>,
    pub(super) agents: Vec<Agent>,
    pub(super) first_agent: Option<String>,
    pub(super) shared: Shared,
}

impl RealtimeVoiceChannelBuilder {
    pub(super) fn new(
        id: ChannelId,
        provider: Arc<dyn RealtimeVoiceProvider>,
        transport: Arc<dyn RealtimeAudioTransport>,
    ) -> Self {
        Self {
            id,
            setup: SessionSetup::new(SessionId::from("default")),
            tools: Vec::new(),
            tool_sources: Vec::new(),
            tool_handler: None,
            tool_search: None,
            call: CallSettings::default(),
            lead: None,
            max_sessions: None,
            inject_ai_text: false,
            seed: None,
            recording: None,
            greeting: None,
            agents: Vec::new(),
            first_agent: None,
            shared: Shared {
                provider,
                transport,
                observers: Observers::default(),
                agents: Arc::default(),
                emit_transcription_events: true,
                emit_partials: true,
                client_stats: false,
                connect_timeout: Duration::from_secs(30),
            },
        }
    }

    /// Instructions for the model.
    pub fn system_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.setup.system_prompt = Some(prompt.into());
        self
    }

    /// The voice, by the vendor's name.
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.setup.voice = Some(voice.into());
        self
    }

    /// Sampling temperature, for vendors that take one.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.setup.temperature = Some(temperature);
        self
    }

    /// The provider's own settings for every session. [`build`](Self::build) asks it about them.
    pub fn provider_config(mut self, config: Map<String, Value>) -> Self {
        self.setup.provider_config = config;
        self
    }

    /// Adds one tool.
    pub fn tool(mut self, tool: impl Into<Tool>) -> Self {
        self.tools.push(tool.into());
        self
    }

    /// Adds tools.
    pub fn tools<T: Into<Tool>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.tools.extend(tools.into_iter().map(Into::into));
        self
    }

    /// Adds a source of tools, asked for its list when a session starts.
    pub fn tool_source(mut self, source: Arc<dyn ToolSource>) -> Self {
        self.tool_sources.push(source);
        self
    }

    /// Answers calls of tools that have no handler of their own.
    pub fn tool_handler(mut self, handler: impl ToolHandler) -> Self {
        self.tool_handler = Some(Arc::new(handler));
        self
    }

    /// Lets the model look for tools where there are too many to tell it of all, if the provider
    /// takes other tools in the middle of a conversation. Without this it is told of all.
    pub fn tool_search(mut self, search: ToolSearch) -> Self {
        self.tool_search = Some(search);
        self
    }

    /// How many tools of a session run at once; 8 unless set (contract K3).
    pub fn parallel_tools(mut self, limit: usize) -> Self {
        self.call.tool_limit = limit;
        self
    }

    /// How long a tool may take; 30 s unless set (contract K3).
    pub fn tool_timeout(mut self, timeout: Duration) -> Self {
        self.call.tool_timeout = timeout;
        self
    }

    /// How many characters of a tool's result the model gets; 16 384 unless set (contract K6).
    pub fn tool_result_max_length(mut self, characters: usize) -> Self {
        self.call.tool_result_cap = characters;
        self
    }

    /// Whether finals become room events; they do unless this is set to false.
    pub fn emit_transcription_events(mut self, emit: bool) -> Self {
        self.shared.emit_transcription_events = emit;
        self
    }

    /// Whether partial transcripts are shown; they are unless this is set to false. A transcription
    /// hook sees finals only, so a host that redacts will not want partials.
    pub fn emit_partials(mut self, emit: bool) -> Self {
        self.shared.emit_partials = emit;
        self
    }

    /// Whether clients are told what their session has come to with each change of it: turns and
    /// their latency, interruptions, tokens. They are not unless this is set to true.
    pub fn client_stats(mut self, tell: bool) -> Self {
        self.shared.client_stats = tell;
        self
    }

    /// Whether the user can interrupt the AI by speaking; they can unless this is set to false. The
    /// vendor is told so; a provider that interrupts by itself and cannot be told otherwise, and
    /// settings of the provider that say the opposite, are refused by [`build`](Self::build). What
    /// [interrupts](RealtimeVoiceChannel::interrupt) the AI without speech still does.
    pub fn interruptions(mut self, allowed: bool) -> Self {
        self.setup.interruptions = allowed;
        self
    }

    /// Whether the user can interrupt a greeting by speaking, an agent's too; they can unless this is
    /// set to false. From the start of a call that begins with a greeting, or from when an agent's is
    /// asked for, until it has been heard or has not begun within 10 s, the AI then hears nothing of the
    /// user, as if muted, and the host begins no turn for them: neither an echo nor a cough cuts off what
    /// has to be said. What [interrupts](RealtimeVoiceChannel::interrupt) the AI without speech still
    /// does. An agent that another's model hands the caller to greets with its first answer, which can
    /// be interrupted.
    pub fn greeting_interruptions(mut self, allowed: bool) -> Self {
        self.call.greeting_interruptions = allowed;
        self
    }

    /// How far ahead of real time audio is sent to clients, instead of the transport's own
    /// choice (contract A5).
    pub fn playout_lead(mut self, lead: Duration) -> Self {
        self.lead = Some(lead);
        self
    }

    /// How much of the AI's speech may wait for a client; 120 s unless set (contract A5).
    pub fn playout_backlog(mut self, backlog: Duration) -> Self {
        self.call.backlog = backlog;
        self
    }

    /// How long the words of an answer wait for the transcript of the question; 1.5 s unless set
    /// (contract T1).
    pub fn transcript_wait(mut self, wait: Duration) -> Self {
        self.call.transcript_wait = wait;
        self
    }

    /// How long each step of a start may take: listing tools, the transport's accepting, the
    /// provider's getting ready; 30 s unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.shared.connect_timeout = timeout;
        self
    }

    /// Ends a session when nobody has spoken for so long (contract S6).
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.call.idle_timeout = Some(timeout);
        self
    }

    /// Ends a session when it has lasted so long (contract S6).
    pub fn max_duration(mut self, duration: Duration) -> Self {
        self.call.max_duration = Some(duration);
        self
    }

    /// How much of the user's audio is held while there is no provider connection, or repeated
    /// because a lost one may not have understood it; 30 s unless set. Older audio is dropped
    /// first (contract H2).
    pub fn hold(mut self, audio: Duration) -> Self {
        self.call.hold = audio;
        self
    }

    /// How many new provider connections are tried in a row before a session ends with the
    /// provider's error; 5 unless set. With 0 a lost connection ends its session (contract H2).
    pub fn reconnect_attempts(mut self, attempts: u32) -> Self {
        self.call.reconnect_attempts = attempts;
        self
    }

    /// Replaces a provider connection before it is this old, in a quiet moment (contract H1).
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.call.max_connection_age = Some(age);
        self
    }

    /// How many sessions the channel has at most at once (contract S6).
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// Lets text of AI channels and of other voice channels in the room reach this AI too, and what
    /// people say there. Without it two AIs in a room do not talk to each other; with it the
    /// chain-depth limit stops them (contract R4). Sessions of one channel never hear each other.
    pub fn inject_ai_text(mut self, inject: bool) -> Self {
        self.inject_ai_text = inject;
        self
    }

    /// Tells each new session the end of the room's conversation so far: of earlier calls, and what
    /// was written. Without it a session knows only its system prompt and what comes after.
    pub fn seed_history(mut self, seed: HistorySeed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Lets sessions be recorded; without it none is (contract V1).
    pub fn recording(mut self, recording: Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    /// What the AI says first, as soon as a session is active. It is said once: no later provider
    /// connection repeats it.
    pub fn greeting(mut self, greeting: impl Into<String>) -> Self {
        self.greeting = Some(greeting.into());
        self
    }

    /// Adds agents that sessions can begin as or become.
    pub fn agents(mut self, agents: impl IntoIterator<Item = Agent>) -> Self {
        self.agents.extend(agents);
        self
    }

    /// Who the AI is at first in every session that does not say otherwise: one of the
    /// [`agents`](Self::agents).
    pub fn first_agent(mut self, name: impl Into<String>) -> Self {
        self.first_agent = Some(name.into());
        self
    }

    /// Checks the settings and builds the channel.
    pub fn build(self) -> Result<RealtimeVoiceChannel, ConfigError> {
        let call = &self.call;
        for (field, is_zero) in [
            ("parallel_tools", call.tool_limit == 0),
            ("tool_timeout", call.tool_timeout.is_zero()),
            ("tool_result_max_length", call.tool_result_cap == 0),
            ("playout_backlog", call.backlog.is_zero()),
            ("hold", call.hold.is_zero()),
            (
                "max_connection_age",
                call.max_connection_age.is_some_and(|limit| limit.is_zero()),
            ),
            ("connect_timeout", self.shared.connect_timeout.is_zero()),
            (
                "idle_timeout",
                call.idle_timeout.is_some_and(|limit| limit.is_zero()),
            ),
            (
                "max_duration",
                call.max_duration.is_some_and(|limit| limit.is_zero()),
            ),
            ("max_sessions", self.max_sessions == Some(0)),
            (
                "tool_search.results",
                self.tool_search
                    .as_ref()
                    .is_some_and(|search| search.results == 0),
            ),
        ] {
            if is_zero {
                return Err(ConfigError::field(
                    field,
                    "is zero; give it more, or leave it out",
                ));
            }
        }
        if let Some(lead) = self.lead
            && !(Duration::from_millis(20)..=Duration::from_secs(5)).contains(&lead)
        {
            let problem = format!("is {lead:?}; give it 20 ms to 5 s");
            return Err(ConfigError::field("playout_lead", problem));
        }
        let rates = self.shared.provider.capabilities().check_rates();
        rates.map_err(|error| error.in_section("provider"))?;
        if let Some(recording) = &self.recording {
            audio::check_rate("recording", recording.sink.sample_rate())?;
        }
        if self.seed.is_some() {
            let provider = &self.shared.provider;
            if provider.capabilities().history == HistorySupport::None {
                let name = provider.name();
                let problem = format!(
                    "the provider `{name}` cannot be told of an earlier conversation; leave it out"
                );
                return Err(ConfigError::field("seed_history", problem));
            }
        }
        RealtimeVoiceChannel::new(self)
    }
}
