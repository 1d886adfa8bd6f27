//! The settings of the echo.

use std::time::Duration;

use roomkit_core::{audio::check_rate, registry::ConfigError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Settings of an [`EchoProvider`](super::EchoProvider); fields that are left out have their
/// default, unknown ones are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EchoConfig {
    /// Rate of the audio it takes and gives, in Hz: 8000 to 48 000, a multiple of 25. Default 24 000.
    pub sample_rate: u32,
    /// What counts as speech, in dBFS: −50 to 0. Default −40.
    pub threshold_dbfs: f32,
    /// Silence that ends an utterance, in ms: 50 to 5000. Default 500.
    pub silence_ms: u32,
    /// Audio before the speech that belongs to it, in ms: at most 2000. Default 300.
    pub prefix_ms: u32,
    /// An utterance ends here even if the user goes on, in ms: 500 to 60 000. Default 15 000.
    pub max_utterance_ms: u32,
    /// Pause before the audio of an answer, in ms: at most 30 000. Default 0.
    pub answer_delay_ms: u32,
    /// How much faster than real time an answer comes: 0.1 to 1000. Default 8.
    pub speed: f64,
}

impl Default for EchoConfig {
    fn default() -> Self {
        Self {
            sample_rate: 24_000,
            threshold_dbfs: -40.0,
            silence_ms: 500,
            prefix_ms: 300,
            max_utterance_ms: 15_000,
            answer_delay_ms: 0,
            speed: 8.0,
        }
    }
}

impl EchoConfig {
    /// Refuses what is out of range.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let ms = [
            ("silence_ms", self.silence_ms, 50, 5000),
            ("prefix_ms", self.prefix_ms, 0, 2000),
            ("max_utterance_ms", self.max_utterance_ms, 500, 60_000),
            ("answer_delay_ms", self.answer_delay_ms, 0, 30_000),
        ];
        for (field, value, least, most) in ms {
            if !(least..=most).contains(&value) {
                let problem = format!("is {value}; give it {least} to {most}");
                return Err(ConfigError::field(field, problem));
            }
        }
        check_rate("sample_rate", self.sample_rate)?;
        if !(-50.0..=0.0).contains(&self.threshold_dbfs) {
            let problem = format!("is {}; give it -50 to 0", self.threshold_dbfs);
            return Err(ConfigError::field("threshold_dbfs", problem));
        }
        if !(0.1..=1000.0).contains(&self.speed) {
            let problem = format!("is {}; give it 0.1 to 1000", self.speed);
            return Err(ConfigError::field("speed", problem));
        }
        Ok(())
    }

    /// The same settings with some replaced.
    pub(super) fn with(&self, changes: Map<String, Value>) -> Result<Self, ConfigError> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            return Ok(self.clone());
        };
        fields.extend(changes);
        let config: Self = roomkit_core::registry::read_config(Value::Object(fields))?;
        config.check()?;
        Ok(config)
    }

    /// The pause before the audio of an answer.
    pub(super) fn answer_delay(&self) -> Duration {
        Duration::from_millis(self.answer_delay_ms.into())
    }

    /// How many bytes of audio last so many milliseconds.
    pub(super) fn bytes(&self, ms: u32) -> usize {
        roomkit_core::audio::bytes_for(Duration::from_millis(ms.into()), self.sample_rate)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(field: &str, value: Value) -> Result<EchoConfig, ConfigError> {
        EchoConfig::default().with(Map::from_iter([(field.to_owned(), value)]))
    }

    #[test]
    fn every_field_has_a_range_and_the_error_names_it() {
        for (field, value) in [
            ("sample_rate", json!(7999)),
            ("threshold_dbfs", json!(1)),
            ("silence_ms", json!(49)),
            ("prefix_ms", json!(2001)),
            ("max_utterance_ms", json!(499)),
            ("answer_delay_ms", json!(30_001)),
            ("speed", json!(0)),
            ("speed", json!(-1)),
            ("voice", json!("alto")),
        ] {
            let error = changed(field, value).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn s5_a_session_changes_some_and_keeps_the_others() {
        let config = changed("silence_ms", json!(200)).unwrap();
        assert_eq!(config.silence_ms, 200);
        assert_eq!(config.sample_rate, 24_000);
    }
}
