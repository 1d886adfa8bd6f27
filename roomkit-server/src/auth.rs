//! Who may come in: who shows a static token, one that was minted, or one that an issuer signed
//! (contract X2).

mod token;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use roomkit::{
    error::ConfigError,
    http::{AuthRequest, Authenticate, Identity, Purpose, Refusal, Scope},
};
use roomkit_dial::secret_from_env;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use self::token::Token;
use crate::{
    jwt::{Jwt, JwtConfig},
    minted::{self, Minted},
};

/// Tokens that were taken away and are remembered, the latest ones: more than are given out by hand.
const MOST_FORMER: usize = 1024;

/// Who has to show a token. Without tokens everybody may come in, and the server listens on
/// loopback addresses only unless it is told that this is meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The tokens: `"..."` opens everything, `{ token = "...", scopes = ["call"] }` what it says; with
    /// `agent = "..."` calls begin as this agent.
    #[serde(deserialize_with = "token::token_list")]
    pub tokens: Vec<Token>,
    /// An environment variable with further tokens, with commas between them.
    pub token_env: Option<String>,
    /// A file with further tokens, each on a line of its own; read again at SIGHUP, as the environment of
    /// a process is not.
    pub token_file: Option<PathBuf>,
    /// An environment variable with the key that signs minted tokens, of at least 32 characters, for
    /// servers that take each other's. By default each server draws its own as it starts.
    pub signing_key_env: Option<String>,
    /// Whose JSON Web Tokens are taken beside these; needs the feature `jwt`.
    pub jwt: Option<JwtConfig>,
    /// Lets everybody in, on any address.
    pub no_auth: bool,
}

impl AuthConfig {
    /// The tokens that are valid on this address; `None` lets everybody in.
    pub(crate) fn tokens_for(&self, address: SocketAddr) -> Result<Option<Tokens>, ConfigError> {
        let mut tokens = self.tokens.clone();
        if let Some(variable) = &self.token_env {
            tokens.extend(token::from_env(variable)?);
        }
        if let Some(file) = &self.token_file {
            tokens.extend(token::from_file(file)?);
        }
        let nobody_asked =
            tokens.is_empty() && self.signing_key_env.is_none() && self.jwt.is_none();
        match (nobody_asked, self.no_auth) {
            (false, false) => Ok(Some(Tokens {
                fixed: tokens.into(),
                minted: self.minted()?,
                jwt: self.jwt.as_ref().map(Jwt::new).transpose()?,
                former: Former::default(),
            })),
            (false, true) => Err(ConfigError::field(
                "auth.no_auth",
                "is set, and so are tokens, a key to sign them or an issuer; leave one of them out",
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

    fn minted(&self) -> Result<Minted, ConfigError> {
        let Some(variable) = &self.signing_key_env else {
            return Minted::with_drawn_key()
                .map_err(|problem| ConfigError::field("auth.signing_key_env", problem));
        };
        let key = read_env("auth.signing_key_env", variable)?;
        Minted::with_key(key.expose_secret()).map_err(|problem| {
            ConfigError::field("auth.signing_key_env", format!("`{variable}`: {problem}"))
        })
    }
}

fn read_env(field: &str, variable: &str) -> Result<SecretString, ConfigError> {
    secret_from_env(field, variable)?.ok_or_else(|| {
        let problem = format!("the environment variable `{variable}` is not set");
        ConfigError::field(field, problem)
    })
}

/// Lets those in who show one of the tokens, for what it opens.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    fixed: Arc<[Token]>,
    /// The tokens this server mints.
    pub(crate) minted: Minted,
    /// The issuer whose tokens are taken, if there is one.
    pub(crate) jwt: Option<Jwt>,
    former: Former,
}

/// What was taken away while calls ran that it may have begun: it is good for what their callers say of
/// them (contract X7), and for nothing else.
#[derive(Debug, Clone, Default)]
struct Former {
    fixed: Arc<[Token]>,
    jwt: Option<Jwt>,
}

impl Tokens {
    /// No token of the configuration, and the minted ones.
    pub(crate) fn only_minted(minted: Minted) -> Self {
        Self {
            fixed: Arc::default(),
            minted,
            jwt: None,
            former: Former::default(),
        }
    }

    /// The same with another issuer, or none.
    pub(crate) fn with_issuer(self, jwt: Option<Jwt>) -> Self {
        Self { jwt, ..self }
    }

    /// The same in place of others, whose minted ones stay.
    pub(crate) fn replacing(self, before: &Self) -> Self {
        let begins_calls = |token: &&Token| token.opens(Scope::Call);
        let former = before.fixed.iter().chain(before.former.fixed.iter());
        let former = former.filter(begins_calls);
        let former = former.filter(|token| !self.fixed.contains(token));
        let former = Former {
            fixed: former.take(MOST_FORMER).cloned().collect(),
            jwt: before.jwt.clone().or_else(|| before.former.jwt.clone()),
        };
        let minted = before.minted.clone();
        Self {
            minted,
            former,
            ..self
        }
    }

    /// Whether minted ones alone open anything.
    pub(crate) fn is_only_minted(&self) -> bool {
        self.fixed.is_empty() && self.jwt.is_none()
    }

    /// Whether a token that has opened this still would, had it not expired meanwhile.
    pub(crate) fn still_open(&self, shown: &str, scope: Scope) -> bool {
        match (token::find(&self.fixed, shown), &self.jwt) {
            (Some(token), _) => token.opens(scope),
            // None of them can be taken away: the key that signs them stays.
            (None, _) if minted::looks_minted(shown) => true,
            (None, Some(jwt)) => jwt.still_takes(shown),
            (None, None) => false,
        }
    }
}

#[async_trait]
impl Authenticate for Tokens {
    async fn authenticate(&self, request: AuthRequest) -> Result<Identity, Refusal> {
        let Some(shown) = request.bearer_token() else {
            return Err(Refusal::Unauthorized("a token is needed".into()));
        };
        let known = token::find(&self.fixed, shown);
        let (known, jwt) = if request.purpose == Purpose::Existing {
            let jwt = self.jwt.as_ref().or(self.former.jwt.as_ref());
            // What a token may no longer do, it may have done when the call began.
            (token::find(&self.former.fixed, shown).or(known), jwt)
        } else {
            (known, self.jwt.as_ref())
        };
        match (known, jwt) {
            (Some(token), _) => Ok(token.identity()),
            (None, Some(jwt)) if !minted::looks_minted(shown) => {
                jwt.admit(shown, request.purpose, SystemTime::now()).await
            }
            _ => self.minted.admit(shown, request.purpose, Timestamp::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set by cargo, and long enough for a key.
    const LONG_VARIABLE: &str = "CARGO_PKG_DESCRIPTION";
    /// Set by cargo, and too short.
    const SHORT_VARIABLE: &str = "CARGO_PKG_NAME";

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
        let scoped = "tokens = ['a', { token = 'b', scopes = ['call', 'watch'] }]";
        assert_eq!(tokens_for(scoped, "0.0.0.0:1"), Ok(true));
        // Who takes the tokens of other servers needs none of its own.
        let shared = format!("signing_key_env = '{LONG_VARIABLE}'");
        assert_eq!(tokens_for(&shared, "0.0.0.0:1"), Ok(true));
    }

    #[test]
    fn x2_settings_that_contradict_or_miss_are_refused() {
        let both = tokens_for("tokens = ['a']\nno_auth = true", "127.0.0.1:1");
        assert!(both.unwrap_err().starts_with("auth.no_auth: "));
        let unset = tokens_for("token_env = 'ROOMKIT_NO_SUCH_VARIABLE'", "127.0.0.1:1");
        assert!(unset.unwrap_err().contains("ROOMKIT_NO_SUCH_VARIABLE"));
        let both = format!("signing_key_env = '{LONG_VARIABLE}'\nno_auth = true");
        let both = tokens_for(&both, "127.0.0.1:1").unwrap_err();
        assert!(both.starts_with("auth.no_auth: "), "{both}");
    }

    #[test]
    fn x1_a_refused_signing_key_is_not_shown() {
        let short = format!("signing_key_env = '{SHORT_VARIABLE}'");
        let short = tokens_for(&short, "127.0.0.1:1").unwrap_err();
        assert!(short.starts_with("auth.signing_key_env: "), "{short}");
        assert!(short.contains("32"), "the remedy: {short}");
        assert!(
            !short.contains(&std::env::var(SHORT_VARIABLE).unwrap()),
            "{short}"
        );
    }

    #[test]
    fn x1_a_refused_token_is_not_shown() {
        for text in [
            "tokens = ['hunter 2']",
            "tokens = 'hunter2'",
            "tokens = [47114711]",
            "tokens = ['']",
            "tokens = [{ token = 'hunter2' }]",
            "tokens = [{ token = 'hunter2', scopes = [] }]",
            "tokens = [{ token = 'hunter2', scopes = ['hunter2'] }]",
            "tokens = [{ token = 'hunter2', scopes = ['call'], note = 'hunter2' }]",
            "tokens = [{ token = 'hunter 2', scopes = ['call'] }]",
            "tokens = [{ token = 'hunter2', scopes = ['call'], agent = 4711 }]",
            "tokens = [{ token = 47114711, scopes = ['call'] }]",
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
}
