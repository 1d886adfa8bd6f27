//! Who we are to the vendor: an API key, an ephemeral token, or a Google Cloud account.

use roomkit_core::registry::ConfigError;
use roomkit_dial::Token;
use serde::{Deserialize, Deserializer, de};

/// How a connection is authenticated, and with it which of the two services is talked to.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Auth {
    /// The Gemini API with an API key ([`GeminiConfig::api_key`](super::GeminiConfig::api_key)), in
    /// the header `x-goog-api-key`.
    ApiKey {},
    /// The Gemini API with a token made for one session, of the form `auth_tokens/...`. Uses API
    /// version `v1alpha`.
    EphemeralToken {
        /// The token.
        #[serde(deserialize_with = "token")]
        token: Token,
    },
    /// Vertex AI with an OAuth 2 access token of scope `cloud-platform`.
    Vertex {
        /// The Google Cloud project.
        project: String,
        /// The region, such as `us-central1`, or `global`.
        location: String,
        /// The access token.
        #[serde(deserialize_with = "token")]
        token: Token,
        /// Another project to charge, in the header `x-goog-user-project`.
        #[serde(default)]
        user_project: Option<String>,
    },
}

impl Auth {
    /// Checks what goes into host names, paths and headers.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::ApiKey {} => Ok(()),
            Self::EphemeralToken { token } => token.check("auth.token"),
            Self::Vertex {
                project,
                location,
                token,
                user_project,
            } => {
                plain(
                    "auth.project",
                    project,
                    ".:-",
                    "the project's id, such as `my-project-1`",
                )?;
                plain(
                    "auth.location",
                    location,
                    "-",
                    "a region, such as `us-central1`",
                )?;
                if let Some(project) = user_project {
                    plain("auth.user_project", project, ".:-", "the project's id")?;
                }
                token.check("auth.token")
            }
        }
    }
}

fn plain(field: &str, value: &str, also: &str, what: &str) -> Result<(), ConfigError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(());
    }
    let shown: String = value.chars().take(64).collect();
    Err(ConfigError::field(
        field,
        format!("is `{shown}`; use {what}"),
    ))
}

/// The setting is named here: of an enum with a tag, nobody else knows the path.
fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
    Token::deserialize(deserializer)
        .map_err(|error| de::Error::custom(format_args!("auth.token: {error}")))
}
