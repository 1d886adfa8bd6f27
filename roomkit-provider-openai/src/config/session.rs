//! One conversation's settings. The same struct holds the provider's defaults and what a session's
//! `provider_config` makes of them.
//!
//! The fields are those of the vendor's `session` object, flattened; what is `None` is left to the
//! vendor.

use roomkit_core::{
    audio::check_rate,
    provider::{Continuation, HistorySupport, ProviderCapabilities, UpdateSupport, UpdateWay},
    registry::ConfigError,
};
use serde::{Deserialize, Serialize};

use super::{
    preset::Dialect,
    vendor_tool::{self, VendorTool},
    vocabulary::{
        AudioCodec, ImageDetail, MaxOutputTokens, Modality, NoiseReduction, PromptReference,
        ReasoningEffort, Retention, ToolChoice, Tracing, Transcription, Truncation, TurnDetection,
        Voice,
    },
};

/// How one conversation is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAISessionConfig {
    /// The voice; cannot change once the model has spoken.
    pub voice: Option<Voice>,
    /// How fast it speaks, 0.25 to 1.5. The vendor changes it only between turns: a change while the
    /// AI answers is refused, and reported as `update_refused`.
    pub speed: Option<f64>,
    /// Who decides when the user's turn begins and ends.
    pub turn_detection: TurnDetection,
    /// The model that writes down what the user says; `None`: nobody does.
    pub transcription: Option<Transcription>,
    /// What is filtered from the microphone; `None`: nothing.
    pub noise_reduction: Option<NoiseReduction>,
    /// Tools that the vendor runs itself, beside the session's own.
    #[serde(deserialize_with = "vendor_tool::list")]
    pub vendor_tools: Vec<VendorTool>,
    /// Whether and which tools the model calls.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several tools at once (`gpt-realtime-2` and later).
    pub parallel_tool_calls: Option<bool>,
    /// The most tokens of one answer.
    pub max_output_tokens: Option<MaxOutputTokens>,
    /// What is forgotten when the context is full.
    pub truncation: Option<Truncation>,
    /// A prompt stored with the vendor.
    pub prompt: Option<PromptReference>,
    /// The vendor's own tracing; cannot change once it is on.
    pub tracing: Option<Tracing>,
    /// How much it thinks before it speaks (`gpt-realtime-2` and later).
    pub reasoning_effort: Option<ReasoningEffort>,
    /// What it answers with: exactly one of audio and text.
    pub output_modalities: Option<Vec<Modality>>,
    /// How the user's audio travels. G.711 makes the input rate 8000 Hz instead of 24000.
    pub input_codec: AudioCodec,
    /// The rate of the user's audio as PCM, in Hz: 24000, or 8000 to 48000 with xAI, a multiple of 25.
    pub input_rate: Option<u32>,
    /// The rate of the answer's audio as PCM, in Hz: 24000, or 8000 to 48000 with xAI, a multiple of 25.
    pub output_rate: Option<u32>,
    /// How the answer's audio travels. G.711 makes the output rate 8000 Hz instead of 24000.
    pub output_codec: AudioCodec,
    /// Further fields of events, such as `item.input_audio_transcription.logprobs`.
    pub include: Option<Vec<String>>,
    /// How closely images are looked at.
    pub image_detail: Option<ImageDetail>,
}

impl Default for OpenAISessionConfig {
    fn default() -> Self {
        Self {
            voice: None,
            speed: None,
            turn_detection: TurnDetection::default(),
            transcription: Some(Transcription::default()),
            noise_reduction: Some(NoiseReduction::FarField),
            vendor_tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            max_output_tokens: None,
            truncation: None,
            prompt: None,
            tracing: None,
            reasoning_effort: None,
            output_modalities: None,
            input_rate: None,
            output_rate: None,
            input_codec: AudioCodec::Pcm,
            output_codec: AudioCodec::Pcm,
            include: None,
            image_detail: None,
        }
    }
}

impl OpenAISessionConfig {
    /// What a connection with these settings takes, gives and can do.
    pub fn capabilities(&self) -> ProviderCapabilities {
        let mut capabilities = ProviderCapabilities::new(
            rate(self.input_codec, self.input_rate),
            rate(self.output_codec, self.output_rate),
        );
        capabilities.continuation = Continuation::Explicit;
        capabilities.truncates = true;
        capabilities.interrupts_itself = self.turn_detection.interrupts();
        capabilities.heeds_interruptions = true;
        capabilities.manual_turns = self.turn_detection == TurnDetection::None {};
        capabilities.transcribes_user = self.transcription.is_some();
        capabilities.updates = UpdateSupport::all(UpdateWay::Live);
        capabilities.confirms_updates = true;
        // "Cannot update a conversation's voice if assistant audio is present."
        capabilities.updates.voice = UpdateWay::LiveUntilVoice;
        capabilities.updates.temperature = UpdateWay::Never;
        capabilities.images = true;
        // There is no token to resume with, but items can be made of all that was said and done.
        capabilities.resumes = false;
        capabilities.history = HistorySupport::Full;
        capabilities.overlaps = true;
        capabilities.pings = true;
        capabilities.catch_up = 4;
        capabilities
    }

    /// Checks what the types alone do not.
    pub(crate) fn check(&self, dialect: Dialect) -> Result<(), ConfigError> {
        self.check_rates(dialect)?;
        self.check_ranges()
    }

    /// These settings for a channel that allows no interruptions.
    pub(crate) fn uninterrupted(mut self, dialect: Dialect) -> Result<Self, ConfigError> {
        let Some(interrupts) = self.turn_detection.interrupt_response() else {
            return Ok(self);
        };
        let problem = match (*interrupts, dialect) {
            (Some(true), _) => {
                "is false, but `turn_detection.interrupt_response` is true; leave one of the two out"
            }
            (None, Dialect::XAi) => {
                "is false, and whether xAI's models heed `turn_detection.interrupt_response` is not \
                 documented: set that to false too if yours does, or leave `interruptions` out"
            }
            (None, Dialect::OpenAI) | (Some(false), _) => {
                *interrupts = Some(false);
                return Ok(self);
            }
        };
        Err(ConfigError::field("interruptions", problem))
    }

    fn check_rates(&self, dialect: Dialect) -> Result<(), ConfigError> {
        let directions = [
            ("input_rate", self.input_codec, self.input_rate),
            ("output_rate", self.output_codec, self.output_rate),
        ];
        for (field, codec, rate) in directions {
            let Some(rate) = rate else { continue };
            let (is_right, remedy) = match (codec, dialect) {
                (AudioCodec::Pcm, Dialect::OpenAI) => {
                    (rate == codec.rate(), "the vendor's PCM has 24000 Hz")
                }
                (AudioCodec::Pcm, Dialect::XAi) => (
                    check_rate(field, rate).is_ok(),
                    "use 8000 to 48000, a multiple of 25",
                ),
                _ => (rate == codec.rate(), "G.711 has 8000 Hz"),
            };
            if !is_right {
                return Err(ConfigError::field(field, format!("is {rate}; {remedy}")));
            }
        }
        Ok(())
    }

    pub(crate) fn check_ranges(&self) -> Result<(), ConfigError> {
        within("speed", self.speed, 0.25, 1.5)?;
        if let TurnDetection::ServerVad { threshold, .. } = &self.turn_detection {
            within("turn_detection.threshold", *threshold, 0.0, 1.0)?;
        }
        if let Some(Truncation::Retention(Retention::RetentionRatio {
            retention_ratio, ..
        })) = &self.truncation
        {
            let field = "truncation.retention_ratio";
            within(field, Some(*retention_ratio), 0.0, 1.0)?;
        }
        if let Some(MaxOutputTokens::Limit(limit)) = self.max_output_tokens
            && !(1..=4096).contains(&limit)
        {
            return Err(ConfigError::field(
                "max_output_tokens",
                format!("is {limit}; use 1 to 4096, or \"inf\""),
            ));
        }
        if let Some(modalities) = &self.output_modalities
            && modalities.len() != 1
        {
            return Err(ConfigError::field(
                "output_modalities",
                format!(
                    "holds {} entries; use [\"audio\"] (a transcript comes with it) or [\"text\"]",
                    modalities.len()
                ),
            ));
        }
        Ok(())
    }
}

/// The rate of the PCM on our side, in Hz.
fn rate(codec: AudioCodec, pcm_rate: Option<u32>) -> u32 {
    match (codec, pcm_rate) {
        (AudioCodec::Pcm, Some(rate)) => rate,
        _ => codec.rate(),
    }
}

fn within(field: &str, value: Option<f64>, low: f64, high: f64) -> Result<(), ConfigError> {
    match value {
        Some(value) if !(low..=high).contains(&value) => Err(ConfigError::field(
            field,
            format!("is {value}; use {low} to {high}"),
        )),
        _ => Ok(()),
    }
}
