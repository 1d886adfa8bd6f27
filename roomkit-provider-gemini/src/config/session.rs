//! One conversation's settings. The same struct holds the provider's defaults and what a session's
//! `provider_config` makes of them.
//!
//! The first thirteen names of the Python original are here as they are there; what is `None` is
//! left to the vendor.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use roomkit_core::{
    provider::{Continuation, HistorySupport, ProviderCapabilities, UpdateSupport, UpdateWay},
    registry::ConfigError,
};
use serde::{Deserialize, Serialize};

use super::{
    models::Target,
    vocabulary::{
        ContextCompression, EndSensitivity, InputTranscription, MediaResolution, Modality,
        SafetySetting, StartSensitivity, ThinkingLevel, ToolBehavior, ToolScheduling, Translation,
        TurnCoverage,
    },
};

/// The rate of the audio the vendor takes, in Hz.
pub(crate) const INPUT_RATE: u32 = 16_000;
/// The rate of the audio the vendor gives, in Hz; there is no other.
pub(crate) const OUTPUT_RATE: u32 = 24_000;
/// Milliseconds of speech or silence: more would be a turn that never begins or ends.
const LONGEST_MS: u32 = 60_000;
/// The context of the live models, in tokens.
const CONTEXT_TOKENS: u32 = 131_072;
/// The most a model writes, in tokens.
const OUTPUT_TOKENS: u32 = 65_536;

/// How one conversation is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeminiSessionConfig {
    /// The voice, such as `Aoede`; case does not matter.
    pub voice: Option<String>,
    /// The language it speaks, BCP-47, such as `en-US`. Native audio models choose by themselves;
    /// tell them in the system prompt.
    pub language: Option<String>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// How many of the likeliest tokens are considered, at least 1.
    pub top_k: Option<u32>,
    /// The most tokens of one answer, 1 to 65536.
    pub max_output_tokens: Option<u32>,
    /// Makes sampling repeatable.
    pub seed: Option<i32>,
    /// Against repeating subjects, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Against repeating words, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Follow the user's mood (2.5 native audio; needs API version `v1alpha`, which is chosen).
    pub enable_affective_dialog: Option<bool>,
    /// Tokens for thinking: 0 is off, -1 is up to the model, 32768 at most (2.5 models).
    pub thinking_budget: Option<i32>,
    /// How much it thinks (3.1 models; extended thinking models want `low`, `medium` or `high`).
    pub thinking_level: Option<ThinkingLevel>,
    /// Whether thoughts are sent along. They are never spoken and never part of a transcript.
    pub include_thoughts: Option<bool>,
    /// The model may stay silent when it is not meant (2.5 native audio with `v1alpha`; 3.8 always
    /// does).
    pub proactive_audio: Option<bool>,
    /// The model may speak about what it sees (2.5 native audio with `v1alpha`).
    pub proactive_video: Option<bool>,
    /// What it answers with: exactly one of audio and text.
    pub response_modalities: Vec<Modality>,
    /// How closely images are looked at.
    pub media_resolution: Option<MediaResolution>,
    /// Whether the vendor finds out when the user speaks. `false`: the host says so
    /// (`activity_start`, `activity_end`), and the next four settings are not sent.
    pub server_vad: bool,
    /// How easily the beginning of speech is seen.
    pub start_of_speech_sensitivity: Option<StartSensitivity>,
    /// How easily the end of speech is seen.
    pub end_of_speech_sensitivity: Option<EndSensitivity>,
    /// Milliseconds of silence that end a turn, at most 60000 (3.1 models do not honour it).
    pub silence_duration_ms: Option<u32>,
    /// Milliseconds of speech that begin a turn, at most 60000.
    pub prefix_padding_ms: Option<u32>,
    /// The model is not interrupted by the user's speech. `None`: as the channel's `interruptions`
    /// says.
    pub no_interruption: Option<bool>,
    /// What counts as part of the user's turn.
    pub turn_coverage: Option<TurnCoverage>,
    /// The vendor tells when speech begins and ends (Vertex AI).
    pub explicit_vad_signal: bool,
    /// How the user's speech is written down; `None`: it is not.
    pub input_transcription: Option<InputTranscription>,
    /// Whether the model's speech is written down.
    pub output_transcription: bool,
    /// Whether the model waits for tools (2.5 and 3.1 do unless told otherwise; 3.8 does not).
    pub tool_behavior: Option<ToolBehavior>,
    /// When a result that nobody waits for is taken up (`non_blocking` tools only).
    pub tool_scheduling: Option<ToolScheduling>,
    /// The model may search the web.
    pub google_search: bool,
    /// The vendor gives out handles by which another connection takes up the conversation.
    pub session_resumption: bool,
    /// Handles tell how far the vendor had read (Vertex AI).
    pub transparent_resumption: bool,
    /// How a long conversation is kept within the context; `None`: it ends instead.
    pub context_compression: Option<ContextCompression>,
    /// What a translating model does (live-translate models).
    pub translation: Option<Translation>,
    /// The vendor's filters; empty: as it likes.
    pub safety_settings: Vec<SafetySetting>,
    /// Labels for the bill (Gemini API).
    pub labels: BTreeMap<String, String>,
}

impl Default for GeminiSessionConfig {
    fn default() -> Self {
        Self {
            voice: None,
            language: None,
            top_p: None,
            top_k: None,
            max_output_tokens: None,
            seed: None,
            presence_penalty: None,
            frequency_penalty: None,
            enable_affective_dialog: None,
            thinking_budget: None,
            thinking_level: None,
            include_thoughts: None,
            proactive_audio: None,
            proactive_video: None,
            response_modalities: vec![Modality::Audio],
            media_resolution: None,
            server_vad: true,
            start_of_speech_sensitivity: None,
            end_of_speech_sensitivity: None,
            silence_duration_ms: None,
            prefix_padding_ms: None,
            no_interruption: None,
            turn_coverage: None,
            explicit_vad_signal: false,
            input_transcription: Some(InputTranscription::default()),
            output_transcription: true,
            tool_behavior: None,
            tool_scheduling: None,
            google_search: false,
            session_resumption: true,
            transparent_resumption: false,
            context_compression: Some(ContextCompression::default()),
            translation: None,
            safety_settings: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl GeminiSessionConfig {
    /// What a connection to the model with these settings takes, gives and can do.
    pub fn capabilities(&self, target: &Target) -> ProviderCapabilities {
        let mut capabilities = ProviderCapabilities::new(INPUT_RATE, OUTPUT_RATE);
        capabilities.continuation = Continuation::Automatic;
        capabilities.answers_results = self.tool_scheduling != Some(ToolScheduling::Silent);
        // Also with manual turns: the beginning of an activity stops the answer.
        capabilities.interrupts_itself = !self.is_uninterrupted();
        capabilities.heeds_interruptions = true;
        capabilities.manual_turns = !self.server_vad;
        capabilities.transcribes_user = self.input_transcription.is_some();
        capabilities.updates = UpdateSupport::all(UpdateWay::NewConnection);
        if target.family.updates() {
            capabilities.updates.system_prompt = UpdateWay::Live;
            capabilities.updates.tools = UpdateWay::Live;
        }
        capabilities.images = target.family.converses();
        capabilities.text_during_tools = !target.blocks(self);
        // It would interrupt the answer, as the user's voice does.
        capabilities.text_during_responses = false;
        capabilities.resumes = self.session_resumption;
        // "You can change any of the configuration parameters except the model" with a handle.
        capabilities.resumes_changed = true;
        capabilities.history = if target.family.converses() {
            HistorySupport::Text
        } else {
            HistorySupport::None
        };
        capabilities.overlaps = false;
        capabilities.pings = true;
        capabilities.catch_up = 4;
        if !self.explicit_vad_signal {
            // Speech shows by its first words.
            capabilities.speech_lag = Duration::from_secs(2);
        }
        capabilities
    }

    /// Whether the model's answer goes on while the user speaks.
    pub(crate) fn is_uninterrupted(&self) -> bool {
        self.no_interruption == Some(true)
    }

    /// These settings for a channel that allows no interruptions.
    pub(crate) fn uninterrupted(self) -> Result<Self, ConfigError> {
        if self.no_interruption == Some(false) {
            let problem = "is false, and so is `no_interruption`; leave one of the two out";
            return Err(ConfigError::field("interruptions", problem));
        }
        Ok(Self {
            no_interruption: Some(true),
            ..self
        })
    }

    /// Checks what the types alone do not, and no model takes.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        within("top_k", self.top_k, 1, i32::MAX as u32)?;
        within(
            "max_output_tokens",
            self.max_output_tokens,
            1,
            OUTPUT_TOKENS,
        )?;
        within("thinking_budget", self.thinking_budget, -1, 32_768)?;
        within(
            "silence_duration_ms",
            self.silence_duration_ms,
            0,
            LONGEST_MS,
        )?;
        within("prefix_padding_ms", self.prefix_padding_ms, 0, LONGEST_MS)?;
        self.check_compression()?;
        if self.response_modalities.len() != 1 {
            return Err(ConfigError::field(
                "response_modalities",
                format!(
                    "holds {} entries; use [\"AUDIO\"] (a transcript comes with it) or [\"TEXT\"]",
                    self.response_modalities.len()
                ),
            ));
        }
        if self.thinking_budget.is_some() && self.thinking_level.is_some() {
            return Err(ConfigError::field(
                "thinking_level",
                "is set beside `thinking_budget`; models take one of the two",
            ));
        }
        for (field, text) in [("voice", &self.voice), ("language", &self.language)] {
            if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
                return Err(ConfigError::field(field, "is empty; leave it out instead"));
            }
        }
        let target = self.translation.as_ref().map(|t| t.target_language.trim());
        if target == Some("") {
            return Err(ConfigError::field(
                "translation.target_language",
                "is empty; name a language, such as `fr`",
            ));
        }
        Ok(())
    }

    fn check_compression(&self) -> Result<(), ConfigError> {
        let Some(compression) = &self.context_compression else {
            return Ok(());
        };
        let trigger = compression.trigger_tokens;
        within(
            "context_compression.trigger_tokens",
            trigger,
            1,
            CONTEXT_TOKENS,
        )?;
        let most = trigger.map_or(CONTEXT_TOKENS, |trigger| trigger - 1);
        within(
            "context_compression.target_tokens",
            compression.target_tokens,
            0,
            most,
        )
    }
}

pub(crate) fn within<T: PartialOrd + Display + Copy>(
    field: &str,
    value: Option<T>,
    low: T,
    high: T,
) -> Result<(), ConfigError> {
    match value {
        Some(value) if !(low..=high).contains(&value) => Err(ConfigError::field(
            field,
            format!("is {value}; use {low} to {high}"),
        )),
        _ => Ok(()),
    }
}
