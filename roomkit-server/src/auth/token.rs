//! Access tokens of the configuration: how they are read, and found again (contract X2).

use std::{fmt, fs, hint::black_box, path::Path};

use roomkit::{
    error::ConfigError,
    http::{Identity, Scope, Scopes},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::read_env;
use crate::{first_agent, minted};

/// An access token and what it opens. Never shown.
#[derive(Clone, PartialEq)]
pub struct Token {
    text: String,
    scopes: Scopes,
    agent: Option<String>,
}

/// Takes any value first, because serde's own messages show what they refuse (contract X1).
pub(super) fn token_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Token>, D::Error> {
    let refuse = serde::de::Error::custom;
    let Value::Array(list) = Value::deserialize(deserializer)? else {
        return Err(refuse("`tokens` must be a list"));
    };
    let tokens = list.iter().map(Token::read_value);
    tokens.map(|token| token.map_err(refuse)).collect()
}

/// Those of an environment variable, with commas between them.
pub(super) fn from_env(variable: &str) -> Result<Vec<Token>, ConfigError> {
    let listed = read_env("auth.token_env", variable)?;
    let tokens = listed.expose_secret().split(',').map(|token| {
        Token::read(token, Scopes::default()).map_err(|problem| {
            ConfigError::field("auth.token_env", format!("`{variable}`: {problem}"))
        })
    });
    tokens.collect()
}

/// A file without any is taken for one that is being written, or the wrong one.
pub(super) fn from_file(file: &Path) -> Result<Vec<Token>, ConfigError> {
    let refused = |problem: &str| {
        ConfigError::field("auth.token_file", format!("{}: {problem}", file.display()))
    };
    let listed = fs::read_to_string(file)
        .map(SecretString::from)
        .map_err(|error| refused(&format!("cannot be read: {error}")))?;
    let lines = listed.expose_secret().lines().map(str::trim);
    let tokens: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(|line| Token::read(line, Scopes::default()).map_err(refused))
        .collect::<Result<_, _>>()?;
    if tokens.is_empty() {
        return Err(refused("holds no token; write each on a line of its own"));
    }
    Ok(tokens)
}

/// All are compared, so that the time tells nothing about which was nearly right.
pub(super) fn find<'a>(tokens: &'a [Token], shown: &str) -> Option<&'a Token> {
    tokens.iter().fold(None, |known, token| {
        let is_it = equal(token.text.as_bytes(), shown.as_bytes());
        known.or(is_it.then_some(token))
    })
}

fn equal(left: &[u8], right: &[u8]) -> bool {
    let differing = left
        .iter()
        .zip(right)
        .fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    left.len() == right.len() && differing == 0
}

impl Token {
    /// Tokens travel in headers and in WebSocket subprotocols, which are lists with commas.
    fn read(text: &str, scopes: Scopes) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty()
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            return Err("a token is one or more visible ASCII characters other than a comma");
        }
        if minted::looks_minted(text) {
            return Err(
                "a token must not begin as those do that the server mints itself (`rk1.`); choose another",
            );
        }
        Ok(Self {
            text: text.to_owned(),
            scopes,
            agent: None,
        })
    }

    fn read_value(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::String(text) => Self::read(text, Scopes::default()),
            Value::Object(fields) => Self::read_fields(fields),
            _ => Err("a token must be a string, or a table of `token` and `scopes`"),
        }
    }

    fn read_fields(fields: &Map<String, Value>) -> Result<Self, &'static str> {
        let known = ["token", "scopes", "agent"];
        let is_known = fields.keys().all(|field| known.contains(&field.as_str()));
        let agent = match fields.get("agent") {
            None => Some(None),
            Some(agent) => agent.as_str().map(|agent| Some(agent.to_owned())),
        };
        let (Some(Value::String(text)), Some(scopes), Some(agent), true) =
            (fields.get("token"), fields.get("scopes"), agent, is_known)
        else {
            return Err(
                "the table of a token has a string `token`, a list `scopes` and, if wanted, a string `agent`, no more",
            );
        };
        let scopes = Scopes::deserialize(scopes).ok();
        let scopes = scopes.filter(|scopes| !scopes.is_empty()).ok_or(
            "the `scopes` of a token are one or more of `call`, `watch`, `write`, `metrics`, `mint`",
        )?;
        Ok(Self {
            agent,
            ..Self::read(text, scopes)?
        })
    }

    /// As which agent its calls begin, if it says so.
    pub(crate) fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// It opens this.
    pub(super) fn opens(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    pub(super) fn identity(&self) -> Identity {
        let mut identity = Identity::default().scopes(self.scopes.clone());
        first_agent::bind(&mut identity, self.agent());
        identity
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_a_file_of_tokens_is_read_line_by_line_and_not_shown() {
        let file = std::env::temp_dir().join(format!("roomkit-{}-tokens", std::process::id()));
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            let read = from_file(&file).map_err(|error| error.to_string());
            read.map(|tokens| tokens.into_iter().map(|it| it.text).collect::<Vec<_>>())
        };
        assert_eq!(read("one\r\n\n two \n").unwrap(), ["one", "two"]);
        for (text, named) in [
            ("hunter 2", "visible"),
            ("one,hunter2", "comma"),
            ("rk1.hunter2", "mints itself"),
            ("\n", "no token"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.starts_with("auth.token_file: "), "{refused}");
            assert!(
                refused.contains(named) && !refused.contains("hunter"),
                "{refused}"
            );
        }
        fs::remove_file(&file).unwrap();
        let missing = from_file(&file).unwrap_err().to_string();
        assert!(missing.contains("cannot be read"), "{missing}");
    }

    #[test]
    fn x2_only_the_whole_token_is_equal() {
        assert!(equal(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!equal(b"abc", other));
        }
    }
}
