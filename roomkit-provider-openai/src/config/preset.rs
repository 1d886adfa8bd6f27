//! Servers known by name: what each wants where OpenAI wants something else.

use std::time::Duration;

use roomkit_core::registry::ConfigError;
use serde::Deserialize;
use serde_json::{Map, json};

use super::{OpenAIConfig, OpenAISessionConfig, Raw};

/// A server known by name. It sets the defaults of an [`OpenAIConfig`]; a field that is given wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Preset {
    /// OpenAI's own.
    #[default]
    OpenAI,
    /// Azure OpenAI, generally available form. Needs `resource` or `base_url`, and `model`.
    Azure,
    /// xAI's Grok.
    XAi,
}

/// How a server departs from OpenAI's form of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Not at all.
    #[default]
    OpenAI,
    /// As xAI does: `voice` and `turn_detection` lie flat in the session, PCM has any rate, and the
    /// final transcript of the user comes several times, longer each time.
    XAi,
}

impl OpenAIConfig {
    /// The settings for a deployment on Azure OpenAI: `resource` is the name before
    /// `.openai.azure.com`. The key is read from `AZURE_OPENAI_API_KEY` unless it is set.
    pub fn azure(resource: &str, deployment: &str) -> Self {
        Self {
            api_key_env: "AZURE_OPENAI_API_KEY".into(),
            model: deployment.into(),
            base_url: format!("wss://{resource}.openai.azure.com/openai/v1/realtime"),
            auth_header: "api-key".into(),
            ..Self::default()
        }
    }

    /// The settings for xAI's Grok. The key is read from `XAI_API_KEY` unless it is set.
    pub fn xai() -> Self {
        Self {
            api_key_env: "XAI_API_KEY".into(),
            model: "grok-voice-latest".into(),
            base_url: "wss://api.x.ai/v1/realtime".into(),
            dialect: Dialect::XAi,
            session: xai_session(),
            ..Self::default()
        }
    }
}

/// xAI knows neither OpenAI's transcription models nor its noise reduction and semantic detection.
fn xai_session() -> OpenAISessionConfig {
    let own = json!({
        "transcription": { "model": "grok-transcribe" },
        "turn_detection": "server_vad",
        "noise_reduction": null,
    });
    let none = Map::new();
    OpenAISessionConfig::default()
        .with_overrides(own.as_object().unwrap_or(&none))
        .unwrap_or_default()
}

impl TryFrom<Raw> for OpenAIConfig {
    type Error = ConfigError;

    /// The fields that are given, over those of the preset.
    fn try_from(raw: Raw) -> Result<Self, ConfigError> {
        let preset = match raw.preset {
            Preset::OpenAI => Self::default(),
            Preset::XAi => Self::xai(),
            Preset::Azure => azure(&raw)?,
        };
        if raw.resource.is_some() && raw.preset != Preset::Azure {
            return Err(ConfigError::field(
                "resource",
                "is a name of Azure's; set `preset` to `azure`, or leave it out",
            ));
        }
        let session = preset
            .session
            .with_overrides(&raw.session)
            .map_err(|error| error.in_section("session"))?;
        Ok(Self {
            api_key: raw.api_key,
            api_key_env: raw.api_key_env.unwrap_or(preset.api_key_env),
            model: raw.model.unwrap_or(preset.model),
            base_url: raw.base_url.unwrap_or(preset.base_url),
            auth_header: raw.auth_header.unwrap_or(preset.auth_header),
            headers: raw.headers,
            model_in_query: raw.model_in_query.unwrap_or(preset.model_in_query),
            dialect: raw.dialect.unwrap_or(preset.dialect),
            ca_file: raw.ca_file,
            proxy: raw.proxy,
            connect_timeout: raw
                .connect_timeout_ms
                .map_or(preset.connect_timeout, Duration::from_millis),
            max_message_bytes: raw.max_message_bytes.unwrap_or(preset.max_message_bytes),
            session,
        })
    }
}

fn azure(raw: &Raw) -> Result<OpenAIConfig, ConfigError> {
    let missing = |field: &str, remedy: &str| {
        ConfigError::field(
            field,
            format!("is missing, and the preset `azure` cannot guess it; {remedy}"),
        )
    };
    let resource = match (&raw.resource, &raw.base_url) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::field(
                "resource",
                "is given beside `base_url`, which names the resource already; leave one out",
            ));
        }
        (Some(resource), None) => resource.as_str(),
        (None, Some(_)) => "",
        (None, None) => {
            return Err(missing(
                "resource",
                "set it to the name before `.openai.azure.com`, or set `base_url`",
            ));
        }
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if raw.resource.is_some() && (resource.is_empty() || !resource.chars().all(is_name)) {
        return Err(ConfigError::field(
            "resource",
            format!(
                "is `{resource}`, which is no name of a resource; use what stands before \
                 `.openai.azure.com`, or set `base_url`"
            ),
        ));
    }
    let Some(deployment) = &raw.model else {
        return Err(missing("model", "set it to the name of your deployment"));
    };
    Ok(OpenAIConfig::azure(resource, deployment))
}
