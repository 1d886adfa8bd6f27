//! Static access tokens: the simplest answer to who may come in (contract X2).

use std::{env, fmt, hint::black_box, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use roomkit::{
    error::ConfigError,
    http::{AuthRequest, Authenticate, Identity, Refusal},
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Who has to show a token. Without tokens everybody may come in, and the server listens on
/// loopback addresses only unless it is told that this is meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The tokens; each of them opens everything.
    #[serde(deserialize_with = "token_list")]
    pub tokens: Vec<Token>,
    /// An environment variable with further tokens, with commas between them.
    pub token_env: Option<String>,
    /// Lets everybody in, on any address.
    pub no_auth: bool,
}

/// An access token. Never shown.
#[derive(Clone)]
pub struct Token(String);

impl AuthConfig {
    /// The tokens that are valid on this address; `None` lets everybody in.
    pub(crate) fn tokens_for(&self, address: SocketAddr) -> Result<Option<Tokens>, ConfigError> {
        let mut tokens = self.tokens.clone();
        if let Some(variable) = &self.token_env {
            let listed = env::var(variable).map_err(|_| {
                let problem = format!("the environment variable `{variable}` is not set");
                ConfigError::field("auth.token_env", problem)
            })?;
            for token in listed.split(',') {
                let token = Token::read(token).map_err(|problem| {
                    ConfigError::field("auth.token_env", format!("`{variable}`: {problem}"))
                })?;
                tokens.push(token);
            }
        }
        match (tokens.is_empty(), self.no_auth) {
            (false, false) => Ok(Some(Tokens(tokens.into()))),
            (false, true) => Err(ConfigError::field(
                "auth.no_auth",
                "is set, and so are tokens; leave one of them out",
            )),
            (true, false) if !address.ip().is_loopback() => Err(ConfigError::field(
                "listen",
                format!(
                    "{address} can be reached from other machines, and nobody has to show a \
                     token; give --auth-token-env or [auth] tokens, or say --no-auth"
                ),
            )),
            (true, _) => Ok(None),
        }
    }
}

impl Token {
    /// Tokens travel in headers and in WebSocket subprotocols, which are lists with commas.
    fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty()
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            return Err("a token is one or more visible ASCII characters other than a comma");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Takes any value first, because serde's own messages show what they refuse (contract X1).
fn token_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Token>, D::Error> {
    let refuse = serde::de::Error::custom;
    let Value::Array(list) = Value::deserialize(deserializer)? else {
        return Err(refuse("`tokens` must be a list of strings"));
    };
    let tokens = list.iter().map(|token| match token {
        Value::String(text) => Token::read(text).map_err(refuse),
        _ => Err(refuse("a token must be a string")),
    });
    tokens.collect()
}

/// Lets those in who show one of the tokens.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Arc<[Token]>);

#[async_trait]
impl Authenticate for Tokens {
    async fn authenticate(&self, request: AuthRequest) -> Result<Identity, Refusal> {
        let Some(shown) = request.bearer_token() else {
            return Err(Refusal::Unauthorized("a token is needed".into()));
        };
        // All are compared, so that the time tells nothing about which was nearly right.
        let known = self.0.iter().fold(false, |known, token| {
            known | equal(token.0.as_bytes(), shown.as_bytes())
        });
        if known {
            Ok(Identity::default())
        } else {
            Err(Refusal::Unauthorized("this token is not valid".into()))
        }
    }
}

fn equal(left: &[u8], right: &[u8]) -> bool {
    let differing = left
        .iter()
        .zip(right)
        .fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    left.len() == right.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> AuthConfig {
        toml::from_str(text).unwrap()
    }

    fn tokens_for(text: &str, address: &str) -> Result<bool, String> {
        let tokens = config(text).tokens_for(address.parse().unwrap());
        tokens
            .map(|tokens| tokens.is_some())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn x2_without_tokens_only_this_machine_is_served() {
        assert_eq!(tokens_for("", "127.0.0.1:1"), Ok(false));
        assert_eq!(tokens_for("", "[::1]:1"), Ok(false));
        let refused = tokens_for("", "0.0.0.0:1").unwrap_err();
        assert!(refused.contains("--no-auth"), "{refused}");
        assert_eq!(tokens_for("no_auth = true", "0.0.0.0:1"), Ok(false));
        assert_eq!(tokens_for("tokens = ['a']", "0.0.0.0:1"), Ok(true));
    }

    #[test]
    fn x2_settings_that_contradict_or_miss_are_refused() {
        let both = tokens_for("tokens = ['a']\nno_auth = true", "127.0.0.1:1");
        assert!(both.unwrap_err().starts_with("auth.no_auth: "));
        let unset = tokens_for("token_env = 'ROOMKIT_NO_SUCH_VARIABLE'", "127.0.0.1:1");
        assert!(unset.unwrap_err().contains("ROOMKIT_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn x1_a_refused_token_is_not_shown() {
        for text in [
            "tokens = ['hunter 2']",
            "tokens = 'hunter2'",
            "tokens = [47114711]",
            "tokens = ['']",
        ] {
            let error = toml::from_str::<AuthConfig>(text).unwrap_err();
            let message = error.message();
            assert!(message.contains("token"), "{message}");
            assert!(
                !message.contains("hunter") && !message.contains("4711"),
                "{message}"
            );
        }
    }

    #[test]
    fn x2_only_the_whole_token_is_equal() {
        assert!(equal(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!equal(b"abc", other));
        }
    }
}
