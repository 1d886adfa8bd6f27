//! The words of [`GeminiSessionConfig`](super::GeminiSessionConfig): serialised, each is what the
//! vendor's `setup` holds; read, case does not matter and the vendor's prefix may be left out.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An enum of the vendor's: Rust name, wire word, and the prefix all its words share.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident $prefix:literal {
        $($(#[$word_doc:meta])* $word:ident = $wire:literal,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// The word as the vendor writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => concat!($prefix, $wire),)+
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let given = String::deserialize(deserializer)?;
                let word = given.trim().to_uppercase().replace(['-', ' '], "_");
                match word.strip_prefix($prefix).unwrap_or(&word) {
                    $($wire => Ok(Self::$word),)+
                    _ => Err(de::Error::custom(format!(
                        "is `{}`; use {}",
                        given.chars().take(64).collect::<String>(),
                        [$(concat!("`", $wire, "`")),+].join(", ").to_lowercase(),
                    ))),
                }
            }
        }
    )+};
}

words! {
    /// How easily the beginning of speech is seen.
    StartSensitivity "START_SENSITIVITY_" {
        /// Sooner and more often, noise included.
        High = "HIGH",
        /// Later and more surely.
        Low = "LOW",
    }

    /// How easily the end of speech is seen.
    EndSensitivity "END_SENSITIVITY_" {
        /// Ends a turn sooner.
        High = "HIGH",
        /// Waits longer for more to come.
        Low = "LOW",
    }

    /// What counts as part of the user's turn.
    TurnCoverage "" {
        /// Only what was recognised as activity.
        OnlyActivity = "TURN_INCLUDES_ONLY_ACTIVITY",
        /// Everything that was sent, silence included.
        AllInput = "TURN_INCLUDES_ALL_INPUT",
        /// Audio with activity, and all video.
        AudioActivityAndAllVideo = "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    }

    /// What the model answers with.
    Modality "" {
        /// Speech; its words come as a transcript.
        Audio = "AUDIO",
        /// Text; most live models do not.
        Text = "TEXT",
    }

    /// How closely images are looked at.
    MediaResolution "MEDIA_RESOLUTION_" {
        /// Fewest tokens.
        Low = "LOW",
        /// More.
        Medium = "MEDIUM",
        /// Most tokens.
        High = "HIGH",
    }

    /// How much the model thinks before it speaks.
    ThinkingLevel "" {
        /// As good as nothing.
        Minimal = "MINIMAL",
        /// A little.
        Low = "LOW",
        /// Some.
        Medium = "MEDIUM",
        /// Much.
        High = "HIGH",
        /// Most.
        ExtraHigh = "XHIGH",
    }

    /// Whether the model waits for a tool's result.
    ToolBehavior "" {
        /// It says nothing until the result is there.
        Blocking = "BLOCKING",
        /// It talks on, and takes the result up when it comes.
        NonBlocking = "NON_BLOCKING",
    }

    /// When a result that nobody waits for is taken up.
    ToolScheduling "" {
        /// At once, whatever is being said.
        Interrupt = "INTERRUPT",
        /// After what is being said.
        WhenIdle = "WHEN_IDLE",
        /// It is remembered and not spoken of.
        Silent = "SILENT",
    }

    /// How the user's words are written down.
    TranscriptionMode "" {
        /// Every word.
        Verbatim = "VERBATIM",
        /// Readable.
        Smart = "SMART",
    }
}

/// How the user's speech is written down. What is unset is left to the vendor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputTranscription {
    /// Languages to expect, BCP-47, such as `en-US`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub language_codes: Vec<String>,
    /// Names and terms to listen for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub custom_vocabulary: Vec<String>,
    /// Whether speakers are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diarization: Option<bool>,
    /// Whether words have times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_timestamp: Option<bool>,
    /// Every word, or readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<TranscriptionMode>,
}

/// How a long conversation is kept within the model's context: the oldest turns are forgotten. It
/// also lifts the vendor's limit of 15 minutes per session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextCompression {
    /// Forget when there are this many tokens, 1 to 131072.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_tokens: Option<u32>,
    /// Keep this many, fewer than `trigger_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_tokens: Option<u32>,
}

/// What a translating model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// The language to translate into, BCP-47, such as `fr`.
    pub target_language: String,
    /// Whether speech that is in that language already is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_target_language: Option<bool>,
}

/// One of the vendor's filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetySetting {
    /// The vendor's word for the harm, such as `HARM_CATEGORY_HARASSMENT`.
    pub category: String,
    /// The vendor's word for what is blocked, such as `BLOCK_ONLY_HIGH`.
    pub threshold: String,
}
