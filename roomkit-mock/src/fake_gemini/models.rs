//! The models and what sets them apart.

use super::access::Service;
use super::refusal::Refusal;

/// A generation of models that behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `gemini-2.5-*` native audio.
    V25,
    /// `gemini-3.1-flash-live-*`.
    V31,
    /// `gemini-3.8-live`.
    V38,
    /// `gemini-3.8-live-extended-thinking`.
    V38Thinking,
    /// `gemini-3.5-live-translate-*`.
    Translate,
    /// `gemini-3.5-transcribe-*`.
    Transcribe,
}

/// Models that answer today; older ones are gone.
const MODELS: &[&str] = &[
    "gemini-3.8-live",
    "gemini-3.8-live-extended-thinking",
    "gemini-3.1-flash-live-preview",
    "gemini-2.5-flash-native-audio-preview-09-2025",
    "gemini-2.5-flash-native-audio-preview-12-2025",
    "gemini-2.5-flash-native-audio-latest",
    "gemini-3.5-live-translate-preview",
    "gemini-3.5-transcribe-live",
    "gemini-3.5-transcribe-live-preview",
    "gemini-live-2.5-flash-native-audio",
];

/// Finds the model that `setup.model` names. `extra` are ids known besides the vendor's.
pub(crate) fn find(name: &str, service: Service, extra: &[String]) -> Result<Family, Refusal> {
    let unknown = || Refusal::unknown_model(name, service.version());
    let id = match service {
        Service::Gemini { .. } => name.strip_prefix("models/").ok_or_else(unknown)?,
        Service::Vertex => {
            let parts: Vec<&str> = name.split('/').collect();
            match parts.as_slice() {
                [
                    "projects",
                    _,
                    "locations",
                    _,
                    "publishers",
                    "google",
                    "models",
                    id,
                ] => *id,
                _ => return Err(unknown()),
            }
        }
    };
    let known = MODELS.contains(&id) || extra.iter().any(|extra| extra == id);
    if known {
        Ok(family(id))
    } else {
        Err(unknown())
    }
}

fn family(id: &str) -> Family {
    if id.contains("translate") {
        Family::Translate
    } else if id.contains("transcribe") {
        Family::Transcribe
    } else if id.contains("2.5") {
        Family::V25
    } else if id.contains("3.1") {
        Family::V31
    } else if id.contains("thinking") {
        Family::V38Thinking
    } else {
        Family::V38
    }
}

impl Family {
    /// `gemini-3.8-*`, either of them.
    pub(crate) fn is_38(self) -> bool {
        matches!(self, Self::V38 | Self::V38Thinking)
    }

    /// Whether a tool call without a declared behavior holds the conversation up.
    pub(crate) fn blocks_by_default(self) -> bool {
        !self.is_38()
    }
}
