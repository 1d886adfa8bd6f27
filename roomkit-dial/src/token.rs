//! Keys and tokens that may be renewed while the provider lives.

use std::{fmt, future::Future, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use roomkit_core::{
    provider::{ProviderError, ProviderErrorKind},
    registry::ConfigError,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use tokio::{fs::File, io::AsyncReadExt};

use crate::secret_from_env;

/// The longest token that is read from a file, in bytes. Those of the vendors have two or three
/// thousand.
const LONGEST: u64 = 64 * 1024;

/// Where a key or token comes from. It is asked for anew for each connection. `Debug` does not show
/// it.
///
/// In JSON a string is the token itself, `{"env": "NAME"}` an environment variable and
/// `{"file": "/run/token"}` a file.
#[derive(Clone)]
#[non_exhaustive]
pub enum Token {
    /// This one, for as long as it is good.
    Fixed(SecretString),
    /// What the environment variable of this name holds by then.
    Env(String),
    /// What the file holds by then, without space around it: something beside the program writes a
    /// new one before the last expires.
    File(PathBuf),
    /// Whatever the source gives: this is how a program renews tokens itself.
    Source(Arc<dyn TokenSource>),
}

impl Token {
    /// A token from a source, such as a closure that returns a future.
    pub fn source(source: impl TokenSource) -> Self {
        Self::Source(Arc::new(source))
    }

    /// Checks what can be known before a token is needed; `field` is the setting that holds it, for
    /// errors. A variable may be set and a file be written later.
    ///
    /// # Errors
    /// When the token itself, the name of its variable or the path of its file cannot be one. The
    /// message shows none of them.
    pub fn check(&self, field: &str) -> Result<(), ConfigError> {
        let problem = match self {
            Self::Fixed(token) => unfit(token.expose_secret()),
            Self::Env(name) => return secret_from_env(field, name).map(drop),
            Self::File(path) if path.as_os_str().is_empty() => Some("names no file"),
            Self::File(_) | Self::Source(_) => None,
        };
        problem.map_or(Ok(()), |problem| {
            Err(ConfigError::field(
                field,
                format!(
                    "{problem}; give the token as it was issued, {{\"env\": \"NAME\"}} or \
                     {{\"file\": \"PATH\"}}"
                ),
            ))
        })
    }

    /// The token for a connection that is about to be made, without space around it; `field` is the
    /// setting that holds it, for errors.
    ///
    /// # Errors
    /// [`Authentication`](ProviderErrorKind::Authentication) when there is none, or it cannot be one,
    /// and whatever a source fails with.
    pub async fn get(&self, field: &str) -> Result<SecretString, ProviderError> {
        let refuse = |message: String| {
            Err(ProviderError::new(
                ProviderErrorKind::Authentication,
                message,
            ))
        };
        let (token, origin) = match self {
            Self::Fixed(token) => (token.clone(), format!("`{field}`")),
            Self::Env(name) => match secret_from_env(field, name) {
                Ok(Some(token)) => (token, format!("the environment variable `{name}`")),
                Ok(None) => {
                    return refuse(format!(
                        "there is no token; set the environment variable `{name}` (`{field}`)"
                    ));
                }
                Err(error) => return refuse(error.to_string()),
            },
            Self::File(path) => {
                // The path is not shown: it may be the token, in the wrong place.
                let origin = format!("the file that `{field}.file` names");
                let mut text = String::new();
                let read = match File::open(path).await {
                    Ok(file) => file.take(LONGEST).read_to_string(&mut text).await,
                    Err(error) => Err(error),
                };
                match read {
                    Ok(_) => (text.into(), origin),
                    Err(error) => {
                        return refuse(format!(
                            "there is no token: {origin} cannot be read ({error})"
                        ));
                    }
                }
            }
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

impl From<SecretString> for Token {
    fn from(token: SecretString) -> Self {
        Self::Fixed(token)
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self::Fixed(token.into())
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self::Fixed(token.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed([redacted])"),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::File(_) => f.write_str("File"),
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
            Elsewhere(Elsewhere),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Elsewhere {
            Env(String),
            File(PathBuf),
        }
        // The derived error would be about variants, and might repeat the value.
        match Form::deserialize(deserializer) {
            Ok(Form::Token(token)) => Ok(Self::Fixed(token)),
            Ok(Form::Elsewhere(Elsewhere::Env(name))) => Ok(Self::Env(name)),
            Ok(Form::Elsewhere(Elsewhere::File(path))) => Ok(Self::File(path)),
            Err(_) => Err(de::Error::custom(
                "must be a string in quotes, {\"env\": \"NAME\"} or {\"file\": \"PATH\"}",
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
