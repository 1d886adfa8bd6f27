//! What the provider is told: the connection here, the conversation in [`OpenAISessionConfig`].

mod overrides;
mod preset;
mod session;
mod vendor_tool;
mod vocabulary;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use preset::Preset;
use roomkit_core::registry::ConfigError;
use roomkit_dial::{DialOptions, Endpoint, api_key, check_connection, shown_url};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use preset::Dialect;
pub use roomkit_dial::{Token, TokenSource};
pub use session::OpenAISessionConfig;
pub use vendor_tool::VendorTool;
pub use vocabulary::{
    AudioCodec, Eagerness, ImageDetail, MaxOutputTokens, Modality, NoiseReduction, PromptReference,
    ReasoningEffort, Retention, TokenLimits, ToolChoice, ToolMode, ToolTarget, Tracing,
    TracingMode, Transcription, TranscriptionDelay, Truncation, TruncationMode, TurnDetection,
    Unbounded, Voice,
};

/// How to reach the vendor, and how a conversation is set up unless its session says otherwise.
///
/// [`Default`] is for OpenAI's own service; [`azure`](Self::azure) and [`xai`](Self::xai) begin
/// with what those want. In JSON, `preset` does the same, and `resource` belongs to Azure's.
///
/// [`OpenAIRealtimeProvider::new`](crate::OpenAIRealtimeProvider::new) checks it. `Debug` shows
/// neither the key nor header values nor a password or the query in `base_url` (contract X1).
#[derive(Clone, Deserialize)]
#[serde(try_from = "Raw")]
pub struct OpenAIConfig {
    /// The API key or access token, or where it is read anew for each connection. Without one, the
    /// environment variable named by `api_key_env` is read, once.
    pub api_key: Option<Token>,
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
    /// Whose form of the protocol is spoken.
    pub dialect: Dialect,
    /// A file of further certificate authorities to trust, in PEM or DER, for a server with a
    /// certificate of your own making. It is read once, when the provider is built.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy to go through, `http://host:port` or `http://user:password@host:port`. `None`:
    /// the one of the environment, if it has one for the vendor's host
    /// ([`Proxy::from_env`](roomkit_dial::Proxy::from_env)); empty: none.
    pub proxy: Option<SecretString>,
    /// How long [`connect`](roomkit_core::provider::RealtimeVoiceProvider::connect) may take in
    /// all, from the first packet to the accepted session. `connect_timeout_ms` in JSON.
    pub connect_timeout: Duration,
    /// The largest message taken from the vendor, in bytes.
    pub max_message_bytes: usize,
    /// The conversation, as far as a session's `provider_config` does not say otherwise.
    pub session: OpenAISessionConfig,
}

/// The configuration as it is written: what is not given is the preset's.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    preset: Preset,
    resource: Option<String>,
    api_key: Option<Token>,
    api_key_env: Option<String>,
    model: Option<String>,
    base_url: Option<String>,
    auth_header: Option<String>,
    #[serde(deserialize_with = "roomkit_dial::secrets")]
    headers: BTreeMap<String, SecretString>,
    model_in_query: Option<bool>,
    dialect: Option<Dialect>,
    ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "roomkit_dial::secret")]
    proxy: Option<SecretString>,
    connect_timeout_ms: Option<u64>,
    max_message_bytes: Option<usize>,
    session: Map<String, Value>,
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
            dialect: Dialect::OpenAI,
            ca_file: None,
            proxy: None,
            connect_timeout: Duration::from_secs(30),
            max_message_bytes: 16 * 1024 * 1024,
            session: OpenAISessionConfig::default(),
        }
    }
}

impl OpenAIConfig {
    /// Checks every field. Gives the endpoint without the key, and where the key comes from, if one
    /// is wanted.
    pub(crate) fn check(&self) -> Result<(Endpoint, Option<Token>), ConfigError> {
        let (timeout, size) = (self.connect_timeout, self.max_message_bytes);
        check_connection(&self.model, "gpt-realtime-2.1", timeout, size)?;
        self.session
            .check(self.dialect)
            .map_err(|error| error.in_section("session"))?;
        let endpoint = self.endpoint(None)?;
        self.check_protocol(&endpoint)?;
        let Some((name, prefix)) = self.auth_scheme()? else {
            return Ok((endpoint, None));
        };
        let key = api_key(self.api_key.as_ref(), &self.api_key_env)?;
        // Whether it is a header to send a key in, whatever the key will be.
        let any = SecretString::default();
        let endpoint_with_key = endpoint.clone();
        endpoint_with_key.with_credential("auth_header", name, prefix, any)?;
        Ok((endpoint, Some(key)))
    }

    /// Where a connection is dialled, with the key that was got for it.
    pub(crate) fn endpoint(&self, key: Option<SecretString>) -> Result<Endpoint, ConfigError> {
        let mut endpoint = Endpoint::new("base_url", &self.base_url)?;
        if self.model_in_query {
            endpoint = endpoint.with_query("model", &self.model);
        }
        for (name, value) in &self.headers {
            endpoint = endpoint.with_header(&format!("headers.{name}"), name, value.clone())?;
        }
        if let (Some(key), Some((name, prefix))) = (key, self.auth_scheme()?) {
            endpoint = endpoint.with_credential("auth_header", name, prefix, key)?;
        }
        Ok(endpoint)
    }

    /// OpenAI serves GPT-Live by another protocol, at another address. Whoever else is asked may name a
    /// deployment as they like.
    fn check_protocol(&self, endpoint: &Endpoint) -> Result<(), ConfigError> {
        let is_openai = endpoint.url().host_str() == Some("api.openai.com");
        if is_openai && self.model.starts_with("gpt-live") {
            let problem = format!(
                "is `{}`, which OpenAI does not serve as a Realtime model; GPT-Live, whose models hear and \
                 speak at once, has a protocol of its own, which is not spoken here: use a `gpt-realtime` \
                 model, such as `gpt-realtime-2.1`",
                self.model
            );
            return Err(ConfigError::field("model", problem));
        }
        Ok(())
    }

    /// Who serves it, as OpenTelemetry's conventions name them.
    pub(crate) fn service(&self, endpoint: &Endpoint) -> &'static str {
        let host = endpoint.url().host_str().unwrap_or_default();
        match self.dialect {
            Dialect::XAi => "x_ai",
            Dialect::OpenAI if host.ends_with(".azure.com") => "azure.ai.openai",
            Dialect::OpenAI => "openai",
        }
    }

    /// How the endpoint is dialled. Reads `ca_file`, and the environment for a proxy.
    pub(crate) fn dial_options(&self) -> Result<DialOptions, ConfigError> {
        let (size, ca_file) = (self.max_message_bytes, self.ca_file.as_deref());
        DialOptions::of(size, ca_file, self.proxy.as_ref())
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
}

impl fmt::Debug for OpenAIConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAIConfig")
            .field("api_key", &self.api_key)
            .field("api_key_env", &self.api_key_env)
            .field("model", &self.model)
            .field("base_url", &shown_url(&self.base_url))
            .field("auth_header", &self.auth_header)
            .field("headers", &self.headers)
            .field("model_in_query", &self.model_in_query)
            .field("dialect", &self.dialect)
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .field("session", &self.session)
            .finish()
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
