//! Settings over settings: a session's `provider_config` over the provider's defaults.
//!
//! Both are merged as JSON, field by field and into objects, before the result is read into the
//! typed struct; so a session that says only `{"top_p": 0.8}` keeps the rest.

use roomkit_core::registry::ConfigError;
use serde_json::{Map, Value};

use super::session::GeminiSessionConfig;

/// Objects that may also be switched: true is the vendor's defaults, false and `"off"` are none.
const SWITCHED: [&str; 2] = ["input_transcription", "context_compression"];

impl GeminiSessionConfig {
    /// These settings with others on top, field by field; fields that are objects are merged too.
    ///
    /// # Errors
    /// When a field is unknown or holds something it must not; the error names the field. Whether
    /// the model takes it is checked when the session is connected.
    pub fn with_overrides(&self, overrides: &Map<String, Value>) -> Result<Self, ConfigError> {
        let overrides = normalise(overrides);
        let base = self.to_map();
        let config = apply(&base, &overrides).map_err(|error| blame(&base, &overrides, &error))?;
        config.check()?;
        Ok(config)
    }

    /// The settings as JSON: the vendor's words under this struct's names.
    fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

fn apply(
    base: &Map<String, Value>,
    overrides: &Map<String, Value>,
) -> Result<GeminiSessionConfig, serde_json::Error> {
    let mut merged = base.clone();
    merge(&mut merged, overrides);
    serde_json::from_value(Value::Object(merged))
}

/// Finds the field that does not fit: serde knows the problem, but not the place.
fn blame(
    base: &Map<String, Value>,
    overrides: &Map<String, Value>,
    error: &serde_json::Error,
) -> ConfigError {
    for (name, value) in overrides {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = apply(base, &alone) {
            return ConfigError::field(name.clone(), error.to_string());
        }
    }
    ConfigError::field("session", error.to_string())
}

fn merge(base: &mut Map<String, Value>, overrides: &Map<String, Value>) {
    for (name, value) in overrides {
        match (base.get_mut(name), value) {
            // Labels of the session replace the default ones: there is no other way to drop one.
            (Some(Value::Object(old)), Value::Object(new)) if name != "labels" => merge(old, new),
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Brings the forms that a setting may also have into the one it is stored in.
fn normalise(overrides: &Map<String, Value>) -> Map<String, Value> {
    let mut settings = overrides.clone();
    for name in SWITCHED {
        if let Some(value) = settings.get_mut(name) {
            match value {
                Value::Bool(true) => *value = Value::Object(Map::new()),
                Value::Bool(false) => *value = Value::Null,
                Value::String(word) if word == "off" => *value = Value::Null,
                _ => {}
            }
        }
    }
    // One modality needs no list.
    if let Some(value) = settings.get_mut("response_modalities")
        && value.is_string()
    {
        *value = Value::Array(vec![value.take()]);
    }
    settings
}
