//! Secrets as configurations hold them. serde's own messages show what they refuse, and a key of digits
//! alone is easily written without quotes (contract X1).

use std::{
    collections::BTreeMap,
    env::{self, VarError},
};

use roomkit_core::registry::ConfigError;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// Reads a secret that may be left out, for `#[serde(deserialize_with)]`.
///
/// # Errors
///
/// When it is no string; the message does not show it.
pub fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into())),
        _ => Err(D::Error::custom(
            "a key or token must be a string; put it into quotes",
        )),
    }
}

/// Reads secrets by their names, for `#[serde(deserialize_with)]`.
///
/// # Errors
///
/// When one of them is no string; the message has its name and does not show it.
pub fn secrets<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, SecretString>, D::Error> {
    let Value::Object(fields) = Value::deserialize(deserializer)? else {
        return Err(D::Error::custom("must be a table of names and strings"));
    };
    fields
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text.into())),
            _ => Err(D::Error::custom(format_args!(
                "the value of `{name}` must be a string; put it into quotes"
            ))),
        })
        .collect()
}

/// Reads a secret from the environment variable that `field` names; none where it is not set. Then
/// `variable` is a name, and may be shown.
///
/// # Errors
///
/// When `variable` is no name, and so perhaps the secret itself, which the message does not show; or
/// when what it holds is no text.
pub fn secret_from_env(field: &str, variable: &str) -> Result<Option<SecretString>, ConfigError> {
    let starts_as_name = variable.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !starts_as_name || !variable.chars().all(is_name) {
        let problem = "must be the name of an environment variable (letters, digits and `_`), not \
                       what it holds";
        return Err(ConfigError::field(field, problem));
    }
    match env::var(variable) {
        Ok(secret) => Ok(Some(secret.into())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            let problem =
                format!("what the environment variable `{variable}` holds is no text in UTF-8");
            Err(ConfigError::field(field, problem))
        }
    }
}
