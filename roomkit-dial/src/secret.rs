//! Secrets as configurations hold them. serde's own messages show what they refuse, and a key of digits
//! alone is easily written without quotes (contract X1).

use std::collections::BTreeMap;

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
