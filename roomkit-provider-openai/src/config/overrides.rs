//! Settings over settings: a session's `provider_config` over the provider's defaults.
//!
//! Both are merged as JSON, field by field and into objects, before the result is read into the
//! typed struct; so a session that says only `{"silence_duration_ms": 700}` keeps the rest.

use roomkit_core::registry::ConfigError;
use serde_json::{Map, Value, json};

use super::session::OpenAISessionConfig;

/// Flat names of the Python original, and where their values go. `codec` stands for both
/// directions.
const FLAT_NAMES: [(&str, &str, &str); 11] = [
    ("stt_model", "transcription", "model"),
    ("language", "transcription", "language"),
    ("transcription_prompt", "transcription", "prompt"),
    ("turn_detection_type", "turn_detection", "type"),
    ("eagerness", "turn_detection", "eagerness"),
    ("interrupt_response", "turn_detection", "interrupt_response"),
    ("create_response", "turn_detection", "create_response"),
    ("threshold", "turn_detection", "threshold"),
    (
        "silence_duration_ms",
        "turn_detection",
        "silence_duration_ms",
    ),
    ("prefix_padding_ms", "turn_detection", "prefix_padding_ms"),
    ("idle_timeout_ms", "turn_detection", "idle_timeout_ms"),
];

impl OpenAISessionConfig {
    /// These settings with others on top, field by field. Fields that are objects are merged too,
    /// unless their `type` changes. Takes the flat names of the Python original as well.
    ///
    /// The error names the field.
    pub fn with_overrides(&self, overrides: &Map<String, Value>) -> Result<Self, ConfigError> {
        self.apply(&normalise(overrides)?)
    }

    /// Like [`with_overrides`](Self::with_overrides); tells also which fields were named.
    pub(crate) fn with_update(
        &self,
        overrides: &Map<String, Value>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let overrides = normalise(overrides)?;
        let changed = self.apply(&overrides)?;
        Ok((
            changed,
            overrides.into_iter().map(|(name, _)| name).collect(),
        ))
    }

    /// The settings as JSON: the vendor's words under this struct's names.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    fn apply(&self, overrides: &Map<String, Value>) -> Result<Self, ConfigError> {
        let base = self.to_map();
        let mut merged = base.clone();
        merge(&mut merged, overrides);
        let config: Self = serde_json::from_value(Value::Object(merged))
            .map_err(|error| blame(&base, overrides, &error))?;
        config.check_ranges()?;
        Ok(config)
    }
}

/// Finds the field that does not fit: serde knows the problem, but not the place.
fn blame(
    base: &Map<String, Value>,
    overrides: &Map<String, Value>,
    error: &serde_json::Error,
) -> ConfigError {
    for (name, value) in overrides {
        let mut alone = base.clone();
        merge(&mut alone, &Map::from_iter([(name.clone(), value.clone())]));
        if let Err(error) = serde_json::from_value::<OpenAISessionConfig>(Value::Object(alone)) {
            return ConfigError::field(name.clone(), error.to_string());
        }
    }
    ConfigError::field("session", error.to_string())
}

fn merge(base: &mut Map<String, Value>, overrides: &Map<String, Value>) {
    for (name, value) in overrides {
        match (base.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) if same_type(old, new) => {
                merge(old, new);
            }
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Objects of another `type` share no fields.
fn same_type(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    new.get("type")
        .is_none_or(|kind| old.get("type") == Some(kind))
}

/// Brings shorthands and the Python original's names into this struct's own form.
fn normalise(overrides: &Map<String, Value>) -> Result<Map<String, Value>, ConfigError> {
    let mut settings = overrides.clone();
    if let Some(codec) = settings.remove("codec") {
        for name in ["input_codec", "output_codec"] {
            put(&mut settings, name, codec.clone(), "codec")?;
        }
    }
    // Shorthands first: a flat name goes into the object that a shorthand becomes.
    if let Some(value) = settings.get_mut("turn_detection") {
        match value {
            Value::Null => *value = json!({ "type": "none" }),
            Value::String(kind) => *value = json!({ "type": kind }),
            _ => {}
        }
    }
    for name in ["transcription", "noise_reduction"] {
        if let Some(value) = settings.get_mut(name)
            && (*value == "off" || *value == Value::Bool(false))
        {
            *value = Value::Null;
        }
    }
    if let Some(Value::Object(object)) = settings.get("noise_reduction")
        && object.len() == 1
        && let Some(kind) = object.get("type").cloned()
    {
        settings.insert("noise_reduction".into(), kind);
    }
    for (flat, section, name) in FLAT_NAMES {
        let Some(value) = settings.remove(flat) else {
            continue;
        };
        match settings
            .entry(section)
            .or_insert_with(|| Value::Object(Map::new()))
        {
            Value::Object(section_map) => {
                put(section_map, name, value, flat).map_err(|error| error.in_section(section))?;
            }
            _ => {
                return Err(ConfigError::field(
                    flat,
                    format!("belongs to `{section}`, which is off; leave one of the two out"),
                ));
            }
        }
    }
    Ok(settings)
}

fn put(
    map: &mut Map<String, Value>,
    name: &str,
    value: Value,
    flat: &str,
) -> Result<(), ConfigError> {
    if map.contains_key(name) {
        return Err(ConfigError::field(
            name,
            format!("is given twice, also as `{flat}`; leave one of them out"),
        ));
    }
    map.insert(name.into(), value);
    Ok(())
}
