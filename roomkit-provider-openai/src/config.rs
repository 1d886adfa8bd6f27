//! What the provider is told: the connection here, the conversation in [`OpenAISessionConfig`].

mod overrides;
mod session;
mod vocabulary;

use std::{collections::BTreeMap, fmt, time::Duration};

use roomkit_core::registry::ConfigError;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

pub use session::OpenAISessionConfig;
pub use vocabulary::{
    AudioCodec, Eagerness, ImageDetail, MaxOutputTokens, Modality, NoiseReduction, PromptReference,
    ReasoningEffort, Retention, TokenLimits, ToolChoice, ToolMode, ToolTarget, Tracing,
    TracingMode, Transcription, TranscriptionDelay, Truncation, TruncationMode, TurnDetection,
    Unbounded, Voice,
};

/// How to reach the vendor, and how a conversation is set up unless its session says otherwise.
///
/// [`OpenAIRealtimeProvider::new`](crate::OpenAIRealtimeProvider::new) checks it. `Debug` shows
/// neither the key nor header values nor the query of `base_url` (contract X1).
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAIConfig {
    /// The API key. Without one, the environment variable named by `api_key_env` is read.
    pub api_key: Option<SecretString>,
    /// The environment variable that holds the key when `api_key` is not set.
    pub api_key_env: String,
    /// The model, or the name of the deployment on Azure.
    pub model: String,
    /// The endpoint: `wss://`, or `ws://` for a server nearby.
    pub base_url: String,
    /// How the key is sent: a header's name and, after a colon, what precedes the key in it.
    /// `Authorization: Bearer` for OpenAI, `api-key` for Azure; empty for a server that wants no
    /// key.
    pub auth_header: String,
    /// Further headers, such as `OpenAI-Organization`. Their values are treated as secrets.
    pub headers: BTreeMap<String, SecretString>,
    /// Whether the model goes into the URL as `?model=`, which OpenAI wants; otherwise into the
    /// session.
    pub model_in_query: bool,
    /// How long [`connect`](roomkit_core::provider::RealtimeVoiceProvider::connect) may take in
    /// all, from the first packet to the accepted session. `connect_timeout_ms` in JSON.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    /// The largest message taken from the vendor, in bytes.
    pub max_message_bytes: usize,
    /// The conversation, as far as a session's `provider_config` does not say otherwise.
    #[serde(deserialize_with = "session_config")]
    pub session: OpenAISessionConfig,
}

impl Default for OpenAIConfig {
    fn default() -> Self {
        Self {
            api_key: None,
            api_key_env: "OPENAI_API_KEY".into(),
            model: "gpt-realtime-2.1".into(),
            base_url: "wss://api.openai.com/v1/realtime".into(),
            auth_header: "Authorization: Bearer".into(),
            headers: BTreeMap::new(),
            model_in_query: true,
            connect_timeout: Duration::from_secs(30),
            max_message_bytes: 16 * 1024 * 1024,
            session: OpenAISessionConfig::default(),
        }
    }
}

/// What a checked configuration comes to.
pub(crate) struct Endpoint {
    /// The URL, with the model in it where that is wanted.
    pub(crate) url: Url,
    /// Header names with their values; all values are secrets.
    pub(crate) headers: Vec<(String, SecretString)>,
    /// What must not appear in any message.
    pub(crate) secrets: Vec<SecretString>,
}

impl OpenAIConfig {
    /// Checks every field and finds the key.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, ConfigError> {
        self.check_numbers()?;
        self.session
            .check()
            .map_err(|error| in_section("session", error))?;
        let mut endpoint = Endpoint {
            url: self.url()?,
            headers: Vec::new(),
            secrets: self.headers.values().cloned().collect(),
        };
        for (name, value) in &self.headers {
            if !is_header_name(name) || !is_header_value(value.expose_secret()) {
                return Err(ConfigError::field(
                    format!("headers.{name}"),
                    "is not a valid HTTP header; use a name of letters and hyphens and a value of \
                     printable ASCII",
                ));
            }
            endpoint.headers.push((name.clone(), value.clone()));
        }
        if let Some((name, prefix)) = self.auth_scheme()? {
            let key = self.key()?;
            let value = match prefix {
                "" => key.expose_secret().to_owned(),
                prefix => format!("{prefix} {}", key.expose_secret()),
            };
            endpoint.headers.push((name.to_owned(), value.into()));
            endpoint.secrets.push(key);
        }
        Ok(endpoint)
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        if self.model.trim().is_empty() {
            return Err(ConfigError::field(
                "model",
                "is empty; name a model, such as `gpt-realtime-2.1`",
            ));
        }
        if self.connect_timeout.is_zero() {
            return Err(ConfigError::field(
                "connect_timeout_ms",
                "is 0, so that no connection could ever be made; 30000 is usual",
            ));
        }
        if self.max_message_bytes < 64 * 1024 {
            return Err(ConfigError::field(
                "max_message_bytes",
                format!(
                    "is {}, less than the vendor's larger events; use 65536 or more",
                    self.max_message_bytes
                ),
            ));
        }
        Ok(())
    }

    fn url(&self) -> Result<Url, ConfigError> {
        // The value is not repeated in an error: gateways take keys in the query.
        let wrong = |problem: &str| ConfigError::field("base_url", problem);
        let mut url = Url::parse(&self.base_url)
            .map_err(|error| wrong(&format!("is not a URL ({error}); it begins with `wss://`")))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(wrong(&format!(
                "has the scheme `{}`; use `wss://`, or `ws://` for a server nearby",
                url.scheme()
            )));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong(
                "names no host; `wss://api.openai.com/v1/realtime` does",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "holds a user or password; put credentials into `api_key` or `headers`",
            ));
        }
        url.set_fragment(None);
        if self.model_in_query && !url.query_pairs().any(|(key, _)| key == "model") {
            url.query_pairs_mut().append_pair("model", &self.model);
        }
        Ok(url)
    }

    /// The header for the key and what precedes the key in it; none when no key is wanted.
    fn auth_scheme(&self) -> Result<Option<(&str, &str)>, ConfigError> {
        if self.auth_header.trim().is_empty() {
            return Ok(None);
        }
        let (name, prefix) = self
            .auth_header
            .split_once(':')
            .unwrap_or((&self.auth_header, ""));
        let (name, prefix) = (name.trim(), prefix.trim());
        if !is_header_name(name) || !is_header_value(prefix) {
            return Err(ConfigError::field(
                "auth_header",
                "is not a header's name, optionally with a colon and a prefix; \
                 `Authorization: Bearer` and `api-key` are",
            ));
        }
        Ok(Some((name, prefix)))
    }

    fn key(&self) -> Result<SecretString, ConfigError> {
        let (field, key) = match &self.api_key {
            Some(key) => ("api_key", key.clone()),
            None => match std::env::var(&self.api_key_env) {
                Ok(key) => ("api_key_env", key.into()),
                Err(_) => ("api_key_env", SecretString::from(String::new())),
            },
        };
        let trimmed = key.expose_secret().trim();
        if trimmed.is_empty() {
            return Err(ConfigError::field(
                "api_key",
                format!(
                    "there is no key; set `api_key`, or the environment variable `{}`",
                    self.api_key_env
                ),
            ));
        }
        if !is_header_value(trimmed) {
            return Err(ConfigError::field(
                field,
                "the key holds characters that no key has; copy it again, without line breaks",
            ));
        }
        Ok(trimmed.to_owned().into())
    }
}

impl fmt::Debug for OpenAIConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base_url = self.base_url.split(['?', '#']).next().unwrap_or_default();
        f.debug_struct("OpenAIConfig")
            .field("api_key", &self.api_key)
            .field("api_key_env", &self.api_key_env)
            .field("model", &self.model)
            .field("base_url", &base_url)
            .field("auth_header", &self.auth_header)
            .field("headers", &self.headers)
            .field("model_in_query", &self.model_in_query)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .field("session", &self.session)
            .finish()
    }
}

/// The same error with its field's place in the whole configuration.
pub(crate) fn in_section(section: &str, error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Field { field, problem } => {
            ConfigError::field(format!("{section}.{field}"), problem)
        }
        other => other,
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| (0x20..0x7F).contains(&byte))
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn session_config<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<OpenAISessionConfig, D::Error> {
    let settings = Map::<String, Value>::deserialize(deserializer)?;
    OpenAISessionConfig::default()
        .with_overrides(&settings)
        .map_err(|error| serde::de::Error::custom(in_section("session", error)))
}
