//! What the configurations of all providers have in common.

use std::{path::Path, time::Duration};

use roomkit_core::{
    provider::{ProviderError, ProviderErrorKind, SessionUpdate},
    registry::ConfigError,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{DialOptions, Proxy, Roots, Token, secret_from_env};

impl DialOptions {
    /// The options for the settings `max_message_bytes`, `ca_file` and `proxy`. Reads the file now.
    /// Without `proxy` there is the one of the environment, if any ([`Proxy::from_env`]); an empty one
    /// is none.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate, or the proxy is none to go through.
    pub fn of(
        max_message_bytes: usize,
        ca_file: Option<&Path>,
        proxy: Option<&SecretString>,
    ) -> Result<Self, ConfigError> {
        let roots = match ca_file {
            Some(path) => Roots::public().with_file("ca_file", path)?,
            None => Roots::public(),
        };
        let proxy = match proxy.map(|proxy| proxy.expose_secret().trim()) {
            None => Proxy::from_env().map_err(|error| {
                let remedy = "give another here, or `\"\"` to go without one";
                ConfigError::field("proxy", format!("the environment's {error}; {remedy}"))
            })?,
            Some("") => None,
            Some(url) => Some(Proxy::new("proxy", url)?),
        };
        Ok(Self {
            max_message_bytes,
            roots,
            proxy,
        })
    }
}

/// The type of an image as both vendors spell it, where they take the image: a JPEG or PNG with
/// something in it.
///
/// # Errors
/// [`InvalidRequest`](ProviderErrorKind::InvalidRequest) for any other.
pub fn image_type(mime_type: &str, data: &[u8]) -> Result<&'static str, ProviderError> {
    let known = match mime_type.to_ascii_lowercase().as_str() {
        "image/jpeg" | "image/jpg" => "image/jpeg",
        "image/png" => "image/png",
        _ => {
            let shown: String = mime_type.chars().take(64).collect();
            return Err(ProviderError::new(
                ProviderErrorKind::InvalidRequest,
                format!("the image is `{shown}`; the model sees `image/jpeg` and `image/png`"),
            ));
        }
    };
    if data.is_empty() {
        return Err(ProviderError::new(
            ProviderErrorKind::InvalidRequest,
            "the image is empty; give the bytes of a JPEG or PNG file",
        ));
    }
    Ok(known)
}

/// Checks the settings `model`, `connect_timeout_ms` and `max_message_bytes`; `example` is the name of
/// a model.
///
/// # Errors
/// When the model is empty, the time is none, or the size less than vendors need.
pub fn check_connection(
    model: &str,
    example: &str,
    connect_timeout: Duration,
    max_message_bytes: usize,
) -> Result<(), ConfigError> {
    if model.trim().is_empty() {
        let problem = format!("is empty; name a model, such as `{example}`");
        return Err(ConfigError::field("model", problem));
    }
    if connect_timeout.is_zero() {
        let problem = "is 0, so that no connection could ever be made; 30000 is usual";
        return Err(ConfigError::field("connect_timeout_ms", problem));
    }
    if max_message_bytes < 64 * 1024 {
        let problem = format!(
            "is {max_message_bytes}, less than the vendor's larger events; use 65536 or more"
        );
        return Err(ConfigError::field("max_message_bytes", problem));
    }
    Ok(())
}

/// The key of the setting `api_key`, or else of the environment variable that `api_key_env` names,
/// without space around it. One that stands elsewhere or comes from a source is asked for with each
/// connection, and only its place is checked here.
///
/// # Errors
/// When there is none, or it holds what cannot stand in a header.
pub fn api_key(api_key: Option<&Token>, api_key_env: &str) -> Result<Token, ConfigError> {
    let (field, key) = match api_key {
        Some(Token::Fixed(key)) => ("api_key", key.clone()),
        Some(elsewhere) => {
            elsewhere.check("api_key")?;
            return Ok(elsewhere.clone());
        }
        None => {
            let key = secret_from_env("api_key_env", api_key_env)?;
            ("api_key_env", key.unwrap_or_default())
        }
    };
    let key = key.expose_secret().trim();
    if key.is_empty() {
        let problem =
            format!("there is no key; set `api_key`, or the environment variable `{api_key_env}`");
        return Err(ConfigError::field("api_key", problem));
    }
    if !key.bytes().all(|byte| (0x21..0x7F).contains(&byte)) {
        let problem = "the key holds characters that no key has; copy it again, without spaces or line breaks";
        return Err(ConfigError::field(field, problem));
    }
    Ok(key.into())
}

/// Checks that a change has no voice among the vendor's settings: it has a way of its own, and one that
/// is set there would win over later ones.
///
/// # Errors
/// When `provider_config` holds a `voice`.
pub fn check_voice(update: &SessionUpdate) -> Result<(), ConfigError> {
    match &update.provider_config {
        Some(config) if config.contains_key("voice") => Err(ConfigError::field(
            "provider_config.voice",
            "is not changed here; set `voice` of the update, or of the agent",
        )),
        _ => Ok(()),
    }
}
