//! Who we are to the vendor: an API key, an ephemeral token, or a Google Cloud account.

use std::{fmt, future::Future, sync::Arc};

use async_trait::async_trait;
use roomkit_core::{
    provider::{ProviderError, ProviderErrorKind},
    registry::ConfigError,
};
use roomkit_dial::secret_from_env;
use secrecy::{ExposeSecret, SecretString};
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
        token: Token,
    },
    /// Vertex AI with an OAuth 2 access token of scope `cloud-platform`.
    Vertex {
        /// The Google Cloud project.
        project: String,
        /// The region, such as `us-central1`, or `global`.
        location: String,
        /// The access token.
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

/// Where a token comes from. It is asked for anew for each connection.
///
/// In JSON a string is the token itself, and `{"env": "NAME"}` an environment variable.
#[derive(Clone)]
#[non_exhaustive]
pub enum Token {
    /// This one, for as long as it is good.
    Fixed(SecretString),
    /// What the environment variable of this name holds by then.
    Env(String),
    /// Whatever the source gives: this is how tokens are renewed.
    Source(Arc<dyn TokenSource>),
}

impl Token {
    /// A token from a source, such as a closure that returns a future.
    pub fn source(source: impl TokenSource) -> Self {
        Self::Source(Arc::new(source))
    }

    fn check(&self, field: &str) -> Result<(), ConfigError> {
        let problem = match self {
            Self::Fixed(token) => unfit(token.expose_secret()),
            // It may be set later.
            Self::Env(name) => return secret_from_env(field, name).map(drop),
            Self::Source(_) => None,
        };
        problem.map_or(Ok(()), |problem| {
            Err(ConfigError::field(
                field,
                format!("{problem}; give the token as it was issued, or {{\"env\": \"NAME\"}}"),
            ))
        })
    }

    /// A token for a connection that is about to be made.
    pub(crate) async fn get(&self) -> Result<SecretString, ProviderError> {
        let refuse = |message: String| {
            Err(ProviderError::new(
                ProviderErrorKind::Authentication,
                message,
            ))
        };
        let (token, origin) = match self {
            Self::Fixed(token) => (token.clone(), "`auth.token`".to_owned()),
            Self::Env(name) => match secret_from_env("auth.token", name) {
                Ok(Some(token)) => (token, format!("the environment variable `{name}`")),
                Ok(None) => {
                    return refuse(format!(
                        "there is no token; set the environment variable `{name}` (`auth.token`)"
                    ));
                }
                Err(error) => return refuse(error.to_string()),
            },
            Self::Source(source) => (source.token().await?, "the token source".to_owned()),
        };
        let trimmed = token.expose_secret().trim();
        match unfit(trimmed) {
            Some(problem) => refuse(format!("the token of {origin} {problem}")),
            None => Ok(trimmed.to_owned().into()),
        }
    }
}

fn unfit(token: &str) -> Option<&'static str> {
    let token = token.trim();
    if token.is_empty() {
        Some("is empty")
    } else if !token.bytes().all(|byte| (0x21..0x7F).contains(&byte)) {
        Some("holds characters that no token has")
    } else {
        None
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed([redacted])"),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Source(_) => f.write_str("Source"),
        }
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Token(SecretString),
            Env(Env),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Env {
            env: String,
        }
        // The derived error would be about variants, and might repeat the value.
        match Form::deserialize(deserializer) {
            Ok(Form::Token(token)) => Ok(Self::Fixed(token)),
            Ok(Form::Env(Env { env })) => Ok(Self::Env(env)),
            Err(_) => Err(de::Error::custom(
                "auth.token: must be a token, or {\"env\": \"NAME\"}",
            )),
        }
    }
}

/// Gives tokens that are valid now. Implemented for closures that return a future; an `async` closure is
/// one only if it captures nothing, as its future borrows from it.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot give tokens",
    note = "pass a closure `move || {{ let cache = cache.clone(); async move {{ Ok(cache.token().await) }} }}` or implement `TokenSource`"
)]
pub trait TokenSource: Send + Sync + 'static {
    /// A token for a connection that is made now. It should come from a cache while it is good:
    /// the time this takes is part of the time a connection may take.
    ///
    /// # Errors
    /// The connection fails with this error, and its kind says whether it is tried again.
    async fn token(&self) -> Result<SecretString, ProviderError>;
}

#[async_trait]
impl<F, Fut> TokenSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<SecretString, ProviderError>> + Send + 'static,
{
    async fn token(&self) -> Result<SecretString, ProviderError> {
        self().await
    }
}
