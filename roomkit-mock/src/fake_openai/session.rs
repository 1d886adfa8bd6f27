//! The session object: its defaults, and what a valid `session.update` changes in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::schema;
use super::vendor::Vendor;
use super::wire::WireError;
use crate::fake::audio::AudioFormat;
use crate::fake::vad::Detection;

/// What the client asked for in the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// A conversation with this model.
    Realtime { model: String },
    /// `intent=transcription`: text of what is heard, no responses.
    Transcription,
}

/// How turns of the user are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TurnDetection {
    pub(crate) detection: Detection,
    pub(crate) idle_timeout_ms: Option<u64>,
    pub(crate) create_response: bool,
    pub(crate) interrupt_response: bool,
}

/// The configuration in force, as JSON (it is echoed whole) with typed views of what is used.
#[derive(Debug)]
pub(crate) struct Settings {
    json: Value,
    kind: SessionKind,
    vendor: Vendor,
    turn_detection: Option<TurnDetection>,
    input_format: AudioFormat,
}

impl Settings {
    /// The defaults a fresh session of the live service was captured with.
    pub(crate) fn new(
        id: &str,
        kind: SessionKind,
        vendor: Vendor,
        lifetime: Option<Duration>,
    ) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let expires_at = lifetime.map(|lifetime| (now + lifetime).as_secs());
        let turn_detection = json!({
            "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
            "silence_duration_ms": 200, "idle_timeout_ms": null,
            "create_response": true, "interrupt_response": true,
        });
        let input = json!({
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": null, "noise_reduction": null, "turn_detection": turn_detection,
        });
        let json = match &kind {
            SessionKind::Realtime { model } => json!({
                "type": "realtime", "object": "realtime.session", "id": id, "model": model,
                "output_modalities": ["audio"], "instructions": "",
                "tools": [], "tool_choice": "auto", "max_output_tokens": "inf",
                "tracing": null, "truncation": "auto", "prompt": null, "expires_at": expires_at,
                "audio": {"input": input, "output": {
                    "format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0,
                }},
                "include": null,
            }),
            SessionKind::Transcription => json!({
                "type": "transcription", "object": "realtime.transcription_session", "id": id,
                "expires_at": expires_at, "audio": {"input": input}, "include": null,
            }),
        };
        let mut settings = Self {
            json,
            kind,
            vendor,
            turn_detection: None,
            input_format: AudioFormat::PCM_24K,
        };
        settings.refresh();
        settings
    }

    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    pub(crate) fn is_transcription(&self) -> bool {
        self.kind == SessionKind::Transcription
    }

    pub(crate) fn input_format(&self) -> AudioFormat {
        self.input_format
    }

    pub(crate) fn turn_detection(&self) -> Option<TurnDetection> {
        self.turn_detection
    }

    /// How the detector listens, if there is one.
    pub(crate) fn detection(&self) -> Option<Detection> {
        self.turn_detection.map(|turns| turns.detection)
    }

    pub(crate) fn output_format(&self) -> &Value {
        &self.json["audio"]["output"]["format"]
    }

    pub(crate) fn voice(&self) -> &Value {
        &self.json["audio"]["output"]["voice"]
    }

    pub(crate) fn transcribes_input(&self) -> bool {
        !self.json["audio"]["input"]["transcription"].is_null()
    }

    /// Whether the transcription is charged by tokens, as that of the newer models is.
    pub(crate) fn transcribes_by_tokens(&self) -> bool {
        let model = &self.json["audio"]["input"]["transcription"]["model"];
        model
            .as_str()
            .is_some_and(|model| model.starts_with("gpt-"))
    }

    /// Applies a `session.update`, or refuses all of it.
    pub(crate) fn update(
        &mut self,
        session: &Value,
        assistant_audio_present: bool,
    ) -> Result<(), WireError> {
        let translated = self.vendor.translate(session)?;
        match &self.kind {
            SessionKind::Realtime { model } => {
                schema::check_realtime(&translated.session, model)?;
            }
            SessionKind::Transcription => schema::check_transcription(&translated.session)?,
        }
        let mut session = translated.session.clone();
        translated.restore(&mut session);
        let session = &session;
        if let Some(voice) = session.pointer("/audio/output/voice") {
            self.check_voice(voice, assistant_audio_present)?;
        }
        let tracing = &self.json["tracing"];
        if let Some(requested) = session.get("tracing")
            && !tracing.is_null()
            && requested != tracing
        {
            return Err(WireError::invalid_value(
                "session.tracing",
                "Cannot update tracing once it is enabled for the session.",
            ));
        }
        let merged = merge(&self.json, session);
        let input = &merged["audio"]["input"];
        if input["transcription"]["model"] == "gpt-realtime-whisper"
            && !input["turn_detection"].is_null()
        {
            return Err(WireError::invalid_value(
                "session.audio.input.turn_detection",
                "Turn detection is not supported with model 'gpt-realtime-whisper'.",
            ));
        }
        self.json = merged;
        self.refresh();
        Ok(())
    }

    /// The voice is locked once the conversation holds assistant audio; the same voice is fine.
    pub(crate) fn check_voice(
        &self,
        voice: &Value,
        assistant_audio_present: bool,
    ) -> Result<(), WireError> {
        if assistant_audio_present && voice != self.voice() {
            return Err(WireError::new(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
            ));
        }
        Ok(())
    }

    fn refresh(&mut self) {
        let input = &self.json["audio"]["input"];
        self.input_format = audio_format(&input["format"]);
        self.turn_detection = read_turn_detection(&input["turn_detection"]);
    }
}

/// Sent fields replace, the rest stays; only `audio.input` and `audio.output` are merged per key.
fn merge(current: &Value, update: &Value) -> Value {
    let mut merged = current.clone();
    for (key, value) in update.as_object().into_iter().flatten() {
        if key != "audio" {
            merged[key.as_str()] = value.clone();
        }
    }
    for direction in ["input", "output"] {
        let changes = update["audio"][direction].as_object();
        for (key, value) in changes.into_iter().flatten() {
            merged["audio"][direction][key.as_str()] = match key.as_str() {
                "turn_detection" => complete_turn_detection(value),
                "transcription" => without(value, "delay"),
                _ => value.clone(),
            };
        }
    }
    merged
}

/// Keys of a new `turn_detection` that were not sent get the documented defaults.
fn complete_turn_detection(value: &Value) -> Value {
    let Some(sent) = value.as_object() else {
        return Value::Null;
    };
    let mut complete = if sent.get("type").is_some_and(|kind| kind == "semantic_vad") {
        json!({"eagerness": "auto", "create_response": true, "interrupt_response": true})
    } else {
        json!({
            "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200,
            "idle_timeout_ms": null, "create_response": true, "interrupt_response": true,
        })
    };
    for (key, value) in sent {
        complete[key.as_str()] = value.clone();
    }
    complete
}

/// The live service does not echo `delay` in `session.updated`.
fn without(value: &Value, key: &str) -> Value {
    value.as_object().map_or(Value::Null, |map| {
        let kept: Map<String, Value> = map
            .iter()
            .filter(|(name, _)| *name != key)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Value::Object(kept)
    })
}

/// Reads a validated `{"type": ...}` object.
pub(crate) fn audio_format(format: &Value) -> AudioFormat {
    match format["type"].as_str() {
        Some("audio/pcmu") => AudioFormat::Mulaw,
        Some("audio/pcma") => AudioFormat::Alaw,
        _ => format["rate"]
            .as_u64()
            .map_or(AudioFormat::PCM_24K, |rate| AudioFormat::Pcm(rate as u32)),
    }
}

fn read_turn_detection(value: &Value) -> Option<TurnDetection> {
    let map = value.as_object()?;
    let number = |key: &str, default: u64| map.get(key).and_then(Value::as_u64).unwrap_or(default);
    let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(true);
    // A semantic detector needs a language model; here eagerness only sets the length of silence.
    let silence_ms = match map.get("eagerness").and_then(Value::as_str) {
        None => number("silence_duration_ms", 200),
        Some("high") => 200,
        Some("low") => 800,
        Some(_) => 400,
    };
    Some(TurnDetection {
        detection: Detection {
            threshold: map.get("threshold").and_then(Value::as_f64).unwrap_or(0.5),
            prefix_ms: number("prefix_padding_ms", 300),
            silence_ms,
        },
        idle_timeout_ms: map.get("idle_timeout_ms").and_then(Value::as_u64),
        create_response: flag("create_response"),
        interrupt_response: flag("interrupt_response"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(
            "sess_1",
            SessionKind::Realtime {
                model: "gpt-realtime-2.1".to_owned(),
            },
            Vendor::OpenAi,
            None,
        )
    }

    #[test]
    fn one_bad_field_changes_nothing() {
        let mut settings = settings();
        let before = settings.json().clone();
        let update = json!({"type": "realtime", "instructions": "x", "audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 16000}}}});
        let error = settings.update(&update, false).unwrap_err();
        assert_eq!(error.code.as_deref(), Some("integer_below_min_value"));
        assert_eq!(
            error.param.as_deref(),
            Some("session.audio.input.format.rate")
        );
        assert_eq!(settings.json(), &before);
    }

    #[test]
    fn updates_are_partial() {
        let mut settings = settings();
        let update = json!({"type": "realtime", "audio": {"input": {"turn_detection": null}}});
        settings.update(&update, false).unwrap();
        assert_eq!(settings.turn_detection(), None);
        assert_eq!(settings.voice(), "alloy");
        assert_eq!(settings.input_format(), AudioFormat::PCM_24K);
    }
}
