//! What the provider is told: the connection here, the conversation in [`GeminiSessionConfig`].

mod auth;
mod models;
mod overrides;
mod session;
mod vocabulary;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use roomkit_core::registry::ConfigError;
use roomkit_dial::{DialOptions, Endpoint, api_key, check_connection, shown_url};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use auth::Auth;
pub use models::{ModelFamily, Target};
pub use roomkit_dial::{Token, TokenSource};
pub use session::GeminiSessionConfig;
pub(crate) use session::{INPUT_RATE, OUTPUT_RATE, within};
pub use vocabulary::{
    ContextCompression, EndSensitivity, InputTranscription, MediaResolution, Modality,
    SafetySetting, StartSensitivity, ThinkingLevel, ToolBehavior, ToolScheduling,
    TranscriptionMode, Translation, TurnCoverage,
};

/// A version of the vendor's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The vendor's names say all there is.
pub enum ApiVersion {
    V1,
    V1Alpha,
    V1Beta,
    V1Beta1,
}

impl ApiVersion {
    fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Alpha => "v1alpha",
            Self::V1Beta => "v1beta",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

/// How to reach the vendor, and how a conversation is set up unless its session says otherwise.
///
/// [`GeminiLiveProvider::new`](crate::GeminiLiveProvider::new) checks it. `Debug` shows neither
/// keys and tokens nor header values nor the query of `base_url` (contract X1).
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeminiConfig {
    /// The API key, or where it is read anew for each connection. Without one, the environment
    /// variable named by `api_key_env` is read, once.
    pub api_key: Option<Token>,
    /// The environment variable that holds the key when `api_key` is not set.
    pub api_key_env: String,
    /// The model's id, with or without `models/`; on Vertex AI also a whole resource name.
    pub model: String,
    /// An API key, an ephemeral token, or Vertex AI.
    pub auth: Auth,
    /// Another server in place of the vendor's: `wss://host`, or `ws://` for one nearby. The
    /// vendor's path is added to it, unless it ends in a path of the vendor's already.
    pub base_url: Option<String>,
    /// The version of the API. `None`: `v1beta` (`v1beta1` on Vertex AI), or `v1alpha` where a
    /// session's settings or the kind of token need it.
    pub api_version: Option<ApiVersion>,
    /// Further headers. Their values are treated as secrets.
    #[serde(deserialize_with = "roomkit_dial::secrets")]
    pub headers: BTreeMap<String, SecretString>,
    /// A file of further certificate authorities to trust, in PEM or DER, for a server with a
    /// certificate of your own making. It is read once, when the provider is built.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy to go through, `http://host:port` or `http://user:password@host:port`. `None`:
    /// the one of the environment, if it has one for the vendor's host
    /// ([`Proxy::from_env`](roomkit_dial::Proxy::from_env)); empty: none.
    #[serde(deserialize_with = "roomkit_dial::secret")]
    pub proxy: Option<SecretString>,
    /// How long [`connect`](roomkit_core::provider::RealtimeVoiceProvider::connect) may take in
    /// all, from the token to the accepted session. `connect_timeout_ms` in JSON. The vendor
    /// answers some settings it does not like with silence.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    /// The largest message taken from the vendor, in bytes.
    pub max_message_bytes: usize,
    /// The conversation, as far as a session's `provider_config` does not say otherwise.
    #[serde(deserialize_with = "session_config")]
    pub session: GeminiSessionConfig,
}

impl Default for GeminiConfig {
    fn default() -> Self {
        Self {
            api_key: None,
            api_key_env: "GOOGLE_API_KEY".into(),
            model: "gemini-2.5-flash-native-audio-preview-12-2025".into(),
            auth: Auth::ApiKey {},
            base_url: None,
            api_version: None,
            headers: BTreeMap::new(),
            ca_file: None,
            proxy: None,
            connect_timeout: Duration::from_secs(30),
            max_message_bytes: 16 * 1024 * 1024,
            session: GeminiSessionConfig::default(),
        }
    }
}

impl GeminiConfig {
    /// The model, and where it runs.
    pub fn target(&self) -> Target {
        match &self.auth {
            Auth::Vertex {
                project, location, ..
            } => Target::vertex(&self.model, project, location),
            _ => Target::gemini_api(&self.model),
        }
    }

    /// Checks every field. Gives the endpoint of a session that overrides nothing, without key or
    /// token, and where that comes from.
    pub(crate) fn check(&self) -> Result<(Endpoint, Token), ConfigError> {
        let (timeout, size) = (self.connect_timeout, self.max_message_bytes);
        check_connection(&self.model, "gemini-3.8-live", timeout, size)?;
        self.auth.check()?;
        self.check_version()?;
        let session = self.session.check();
        session
            .and_then(|()| self.target().check(&self.session))
            .map_err(|error| error.in_section("session"))?;
        let credential = match &self.auth {
            Auth::ApiKey {} => api_key(self.api_key.as_ref(), &self.api_key_env)?,
            Auth::EphemeralToken { token } | Auth::Vertex { token, .. } => token.clone(),
        };
        Ok((self.endpoint(&self.session, None)?, credential))
    }

    /// The setting that says where key or token come from.
    pub(crate) fn credential_field(&self) -> &'static str {
        match self.auth {
            Auth::ApiKey {} => "api_key",
            Auth::EphemeralToken { .. } | Auth::Vertex { .. } => "auth.token",
        }
    }

    /// How endpoints are dialled. Reads `ca_file`, and the environment for a proxy.
    pub(crate) fn dial_options(&self) -> Result<DialOptions, ConfigError> {
        let (size, ca_file) = (self.max_message_bytes, self.ca_file.as_deref());
        DialOptions::of(size, ca_file, self.proxy.as_ref())
    }

    fn check_version(&self) -> Result<(), ConfigError> {
        use ApiVersion::{V1, V1Alpha, V1Beta, V1Beta1};
        let Some(version) = self.api_version else {
            return Ok(());
        };
        let (fitting, remedy): (&[ApiVersion], _) = match self.auth {
            Auth::Vertex { .. } => (&[V1, V1Beta1], "Vertex AI has `v1beta1` and `v1`"),
            Auth::EphemeralToken { .. } => (
                &[V1Alpha, V1Beta],
                "ephemeral tokens are for `v1alpha`; leave it out",
            ),
            Auth::ApiKey {} => (
                &[V1, V1Alpha, V1Beta],
                "the Gemini API has `v1beta`, `v1alpha` and `v1`",
            ),
        };
        if fitting.contains(&version) {
            return Ok(());
        }
        let version = version.as_str();
        Err(ConfigError::field(
            "api_version",
            format!("is {version}; {remedy}"),
        ))
    }

    /// Where a connection with these settings is dialled, with the key or token that was got for it.
    pub(crate) fn endpoint(
        &self,
        session: &GeminiSessionConfig,
        credential: Option<SecretString>,
    ) -> Result<Endpoint, ConfigError> {
        let mut endpoint = self.address(session)?;
        for (name, value) in &self.headers {
            endpoint = endpoint.with_header(&format!("headers.{name}"), name, value.clone())?;
        }
        if let Auth::Vertex {
            user_project: Some(project),
            ..
        } = &self.auth
        {
            let project = SecretString::from(project.clone());
            endpoint = endpoint.with_header("auth.user_project", "x-goog-user-project", project)?;
        }
        let Some(credential) = credential else {
            return Ok(endpoint);
        };
        let (name, prefix) = match self.auth {
            Auth::ApiKey {} => ("x-goog-api-key", ""),
            Auth::EphemeralToken { .. } => ("authorization", "Token"),
            Auth::Vertex { .. } => ("authorization", "Bearer"),
        };
        endpoint.with_credential(self.credential_field(), name, prefix, credential)
    }

    fn address(&self, session: &GeminiSessionConfig) -> Result<Endpoint, ConfigError> {
        let version = self.version(session).as_str();
        let (server, path) = match &self.auth {
            Auth::Vertex { location, .. } => {
                let server = match location.as_str() {
                    "global" => "wss://aiplatform.googleapis.com".to_owned(),
                    region => format!("wss://{region}-aiplatform.googleapis.com"),
                };
                let service = "LlmBidiService/BidiGenerateContent";
                (
                    server,
                    format!("/ws/google.cloud.aiplatform.{version}.{service}"),
                )
            }
            auth => {
                let method = match auth {
                    Auth::EphemeralToken { .. } => "BidiGenerateContentConstrained",
                    _ => "BidiGenerateContent",
                };
                let service = format!("GenerativeService.{method}");
                let server = "wss://generativelanguage.googleapis.com".to_owned();
                (
                    server,
                    format!("/ws/google.ai.generativelanguage.{version}.{service}"),
                )
            }
        };
        let server = self.base_url.as_deref().unwrap_or(&server);
        let given = Endpoint::new("base_url", server)?;
        let mut url = given.url().clone();
        if url.path().contains("BidiGenerateContent") {
            return Ok(given);
        }
        url.set_path(&format!(
            "{}{path}",
            given.url().path().trim_end_matches('/')
        ));
        Endpoint::new("base_url", url.as_str())
    }

    fn version(&self, session: &GeminiSessionConfig) -> ApiVersion {
        self.api_version.unwrap_or(match self.auth {
            Auth::Vertex { .. } => ApiVersion::V1Beta1,
            Auth::EphemeralToken { .. } => ApiVersion::V1Alpha,
            Auth::ApiKey {} if self.target().needs_alpha(session) => ApiVersion::V1Alpha,
            Auth::ApiKey {} => ApiVersion::V1Beta,
        })
    }
}

impl fmt::Debug for GeminiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base_url = self.base_url.as_deref().map(shown_url);
        f.debug_struct("GeminiConfig")
            .field("api_key", &self.api_key)
            .field("api_key_env", &self.api_key_env)
            .field("model", &self.model)
            .field("auth", &self.auth)
            .field("base_url", &base_url)
            .field("api_version", &self.api_version)
            .field("headers", &self.headers)
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .field("session", &self.session)
            .finish()
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn session_config<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<GeminiSessionConfig, D::Error> {
    let settings = Map::<String, Value>::deserialize(deserializer)?;
    GeminiSessionConfig::default()
        .with_overrides(&settings)
        .map_err(|error| serde::de::Error::custom(error.in_section("session")))
}
