//! The words of [`OpenAISessionConfig`](super::OpenAISessionConfig): serialised, each is what the
//! vendor's `session` object holds.

use roomkit_core::audio::g711;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The rate of the vendor's PCM in Hz; there is no other.
const PCM_RATE: u32 = 24_000;

/// A voice of the vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be a voice's name, or an object with the `id` of a custom voice"
)]
pub enum Voice {
    /// One of the vendor's, such as `marin`.
    Name(String),
    /// One of your own.
    Custom {
        /// Its id, `voice_...`.
        id: String,
    },
}

impl From<&str> for Voice {
    /// Ids of custom voices are told from names by their beginning, `voice_`.
    fn from(voice: &str) -> Self {
        if voice.starts_with("voice_") {
            Self::Custom { id: voice.into() }
        } else {
            Self::Name(voice.into())
        }
    }
}

/// Who decides when the user's turn begins and ends. Fields that are `None` are the vendor's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TurnDetection {
    /// Silence ends the turn.
    ServerVad {
        /// How loud speech must be, 0 to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        threshold: Option<f64>,
        /// How much audio before the speech belongs to it, in ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix_padding_ms: Option<u32>,
        /// How much silence ends the turn, in ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        silence_duration_ms: Option<u32>,
        /// After how much silence the model speaks up by itself, in ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idle_timeout_ms: Option<u32>,
        /// Whether the end of the turn starts a response.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        create_response: Option<bool>,
        /// Whether speech stops a running response.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interrupt_response: Option<bool>,
    },
    /// A model ends the turn when the user seems to have finished.
    SemanticVad {
        /// How soon.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eagerness: Option<Eagerness>,
        /// As in [`ServerVad`](Self::ServerVad).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        create_response: Option<bool>,
        /// As in [`ServerVad`](Self::ServerVad).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interrupt_response: Option<bool>,
    },
    /// The client does (push to talk).
    None {},
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::SemanticVad {
            eagerness: None,
            create_response: None,
            interrupt_response: None,
        }
    }
}

impl TurnDetection {
    /// Whether speech stops a running response without anybody asking.
    pub(super) fn interrupts(&self) -> bool {
        match self {
            Self::ServerVad {
                interrupt_response, ..
            }
            | Self::SemanticVad {
                interrupt_response, ..
            } => *interrupt_response != Some(false),
            Self::None {} => false,
        }
    }

    /// Where it is said whether speech stops a running response, if there is a place for it.
    pub(super) fn interrupt_response(&mut self) -> Option<&mut Option<bool>> {
        match self {
            Self::ServerVad {
                interrupt_response, ..
            }
            | Self::SemanticVad {
                interrupt_response, ..
            } => Some(interrupt_response),
            Self::None {} => None,
        }
    }
}

/// How soon a pause counts as the end of the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The vendor's words say all there is.
pub enum Eagerness {
    Low,
    Medium,
    High,
    Auto,
}

/// The model that writes down what the user says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transcription {
    /// The model; on Azure the name of a deployment.
    pub model: String,
    /// The language, as ISO 639-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Words to expect, as prose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Words to expect, as a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keywords: Option<Vec<String>>,
    /// How long a streaming model waits for more context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<TranscriptionDelay>,
}

impl Default for Transcription {
    fn default() -> Self {
        Self {
            model: "gpt-4o-mini-transcribe".into(),
            language: None,
            languages: None,
            prompt: None,
            keywords: None,
            delay: None,
        }
    }
}

/// How long a streaming transcription model waits for more context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The vendor's words say all there is.
pub enum TranscriptionDelay {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

/// Where the microphone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseReduction {
    /// At the mouth: a headset, a handset.
    NearField,
    /// Elsewhere: a laptop, a conference phone.
    FarField,
}

/// Whether and which tools the model calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be \"auto\", \"none\", \"required\", {\"type\": \"function\", \"name\": ...} \
                 or {\"type\": \"mcp\", \"server_label\": ..., \"name\": ...}"
)]
pub enum ToolChoice {
    /// In general.
    Mode(ToolMode),
    /// One certain tool, always.
    Tool(ToolTarget),
}

/// One certain tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolTarget {
    /// A tool of the session.
    Function {
        /// Its name.
        name: String,
    },
    /// A tool of an MCP server that the vendor calls.
    Mcp {
        /// The server.
        server_label: String,
        /// The tool; any of the server's otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

/// Whether the model calls tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolMode {
    /// When it sees fit.
    Auto,
    /// Never.
    None,
    /// Always at least one.
    Required,
}

/// The most tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be 1 to 4096, or \"inf\"")]
pub enum MaxOutputTokens {
    /// 1 to 4096.
    Limit(u32),
    /// As many as the model can.
    Infinite(Unbounded),
}

/// No limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unbounded {
    /// Spelled `inf` in JSON.
    #[serde(rename = "inf")]
    Inf,
}

/// What is forgotten when the context is full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be \"auto\", \"disabled\" or {\"type\": \"retention_ratio\", \
                 \"retention_ratio\": 0 to 1}"
)]
pub enum Truncation {
    /// In general.
    Mode(TruncationMode),
    /// More than needed, so that the cache holds for longer.
    Retention(Retention),
}

/// How much is kept of a full context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Retention {
    /// A share of it.
    RetentionRatio {
        /// The share, 0 to 1.
        retention_ratio: f64,
        /// Further limits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_limits: Option<TokenLimits>,
    },
}

/// Whether the oldest parts of a full context are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TruncationMode {
    /// They are.
    Auto,
    /// They are not; a full context is an error.
    Disabled,
}

/// Limits of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenLimits {
    /// The most tokens after the instructions.
    pub post_instructions: u32,
}

/// A prompt stored with the vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptReference {
    /// Its id, `pmpt_...`.
    pub id: String,
    /// Its version; the current one otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Map<String, Value>>,
}

/// The vendor's own tracing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be \"auto\", or an object of `workflow_name`, `group_id` and `metadata`"
)]
pub enum Tracing {
    /// On, with the vendor's names.
    Mode(TracingMode),
    /// On, with names of your own.
    Named {
        /// The workflow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow_name: Option<String>,
        /// The group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group_id: Option<String>,
        /// Anything else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Map<String, Value>>,
    },
}

/// How the vendor names traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TracingMode {
    /// As it sees fit.
    Auto,
}

/// How much the model thinks before it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The vendor's words say all there is.
pub enum ReasoningEffort {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

/// What the model answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Speech, with its transcript.
    Audio,
    /// Text alone.
    Text,
}

/// How audio travels between us and the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioCodec {
    /// PCM16 at 24 kHz.
    Pcm,
    /// G.711 µ-law at 8 kHz.
    Pcmu,
    /// G.711 A-law at 8 kHz.
    Pcma,
}

impl AudioCodec {
    /// The rate of the PCM on our side, in Hz.
    pub fn rate(self) -> u32 {
        self.law().map_or(PCM_RATE, |_| g711::RATE)
    }

    /// Which G.711 it is, if it is one.
    pub(crate) fn law(self) -> Option<g711::Law> {
        match self {
            Self::Pcm => None,
            Self::Pcmu => Some(g711::Law::Mu),
            Self::Pcma => Some(g711::Law::A),
        }
    }
}

/// How closely images are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The vendor's words say all there is.
pub enum ImageDetail {
    Auto,
    Low,
    High,
}
