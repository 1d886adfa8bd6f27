//! Whose server the fake is: `OpenAI`'s own, or a relative's with its own ways.

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::wire::WireError;

/// Whose wire is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Vendor {
    #[default]
    OpenAi,
    Azure,
    XAi,
}

impl Vendor {
    /// The only path served.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::XAi => "/v1/realtime",
            Self::Azure => "/openai/v1/realtime",
        }
    }

    /// Models that answer without being named to the builder; on Azure, names are the customer's.
    pub(crate) fn knows(self, model: &str) -> bool {
        match self {
            Self::OpenAi => OPENAI_MODELS.contains(&model),
            Self::Azure => false,
            Self::XAi => XAI_MODELS.contains(&model),
        }
    }

    /// How the details of a response's status are written: xAI's are a plain string.
    pub(crate) fn status_details(self, details: Value) -> Value {
        if self != Self::XAi {
            return details;
        }
        let text = details["reason"]
            .as_str()
            .or(details["error"]["message"].as_str());
        text.map_or(Value::Null, Value::from)
    }

    /// A session's settings as `OpenAI` would write them, and whether they are right where xAI's
    /// differ. Rates of PCM come back beside them, because `OpenAI` has only one.
    pub(crate) fn translate(self, session: &Value) -> Result<Translated, WireError> {
        let mut translated = Translated {
            session: session.clone(),
            real: Map::new(),
        };
        if self == Self::XAi {
            translated.rewrite()?;
        }
        Ok(translated)
    }
}

/// Models that answer on `/v1/realtime` today; `gpt-4o-realtime-preview*` went with the beta.
const OPENAI_MODELS: &[&str] = &[
    "gpt-realtime",
    "gpt-realtime-1.5",
    "gpt-realtime-2",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
    "gpt-audio-1.5",
    "gpt-audio-mini",
    "gpt-audio-mini-2025-10-06",
    "gpt-audio-mini-2025-12-15",
];

const XAI_MODELS: &[&str] = &[
    "grok-voice-latest",
    "grok-voice-3.0",
    "grok-voice-think-fast-1.0",
    "grok-voice-fast-1.0",
];

/// A session in `OpenAI`'s form.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) session: Value,
    /// What xAI takes and `OpenAI` would not, by its place: to be put in after the checks.
    real: Map<String, Value>,
}

impl Translated {
    /// Puts back what `OpenAI` would not have taken.
    pub(crate) fn restore(&self, session: &mut Value) {
        for (place, value) in &self.real {
            if let Some(slot) = session.pointer_mut(place) {
                *slot = value.clone();
            }
        }
    }

    fn rewrite(&mut self) -> Result<(), WireError> {
        for place in [
            "/audio/output/voice",
            "/audio/input/turn_detection",
            "/audio/input/noise_reduction",
        ] {
            if self.session.pointer(place).is_some() {
                let path = format!("session{}", place.replace('/', "."));
                return Err(WireError::unknown_parameter(&path));
            }
        }
        for (direction, flat) in [("input", "turn_detection"), ("output", "voice")] {
            let Some(map) = self.session.as_object_mut() else {
                return Ok(());
            };
            if let Some(value) = map.remove(flat) {
                self.session["audio"][direction][flat] = value;
            }
            let place = format!("/audio/{direction}/format");
            if let Some(format) = self.session.pointer_mut(&place)
                && format["type"] == "audio/pcm"
            {
                let path = format!("session.audio.{direction}.format");
                let rate = Fields::read(format, path, &["type", "rate"])?
                    .integer("rate", 8_000, 48_000)?
                    .unwrap_or(24_000);
                format["rate"] = json!(24_000);
                self.real.insert(format!("{place}/rate"), json!(rate));
            }
        }
        // Voices of one's own have names like all others.
        if let Some(voice) = self.session.pointer_mut("/audio/output/voice")
            && voice.is_string()
        {
            let name = std::mem::replace(voice, json!("alloy"));
            self.real.insert("/audio/output/voice".to_owned(), name);
        }
        Ok(())
    }
}
