//! Recordings in the configuration file.

use std::fmt;

use roomkit::{
    error::ConfigError,
    recording::{Consent, Recording},
    registry::Registry,
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::of_plugin;

/// Recordings of calls.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingConfig {
    /// The registered name of what keeps them, such as `ogg_opus` or `wav`.
    pub sink: String,
    /// Its own settings, such as `directory`.
    #[serde(default)]
    pub config: Value,
    /// `given`: callers have consented before they call, and every call is recorded. `ask`: a call
    /// is recorded once its caller consents. Default `ask`.
    #[serde(default = "ask")]
    pub consent: Consent,
    /// Whether a caller may begin, pause and resume the recording; default true with `ask`, where
    /// nobody else could consent, and false with `given`.
    pub client_decides: Option<bool>,
}

fn ask() -> Consent {
    Consent::Ask
}

impl RecordingConfig {
    /// What keeps the recordings, and who allows them.
    pub(crate) fn build(&self, registry: &Registry) -> Result<Recording, ConfigError> {
        let asks = self.consent == Consent::Ask;
        let client_decides = self.client_decides.unwrap_or(asks);
        if asks && !client_decides {
            let problem =
                "is false, so nobody can consent; leave it out, or set `consent = \"given\"`";
            return Err(ConfigError::field("recording.client_decides", problem));
        }
        let sink = registry
            .recording_sink(&self.sink, self.config.clone())
            .map_err(|error| of_plugin(error, "recording.sink", "recording.config"))?;
        Ok(Recording::new(sink)
            .consent(self.consent)
            .client_decides(client_decides))
    }
}

impl fmt::Debug for RecordingConfig {
    /// Without the sink's settings, which may hold a key (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingConfig")
            .field("sink", &self.sink)
            .field("consent", &self.consent)
            .field("client_decides", &self.client_decides)
            .finish_non_exhaustive()
    }
}
