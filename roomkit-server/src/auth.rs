//! Who may come in: who shows a static token, one that was minted, or one that an issuer signed
//! (contract X2).

use std::{
    fmt, fs,
    hint::black_box,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use jiff::Timestamp;
use roomkit::{
    error::ConfigError,
    http::{AuthRequest, Authenticate, Identity, Purpose, Refusal, Scope, Scopes},
};
use roomkit_dial::secret_from_env;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::{
    first_agent,
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
    #[serde(deserialize_with = "token_list")]
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

/// An access token and what it opens. Never shown.
#[derive(Clone, PartialEq)]
pub struct Token {
    text: String,
    scopes: Scopes,
    agent: Option<String>,
}

impl AuthConfig {
    /// The tokens that are valid on this address; `None` lets everybody in.
    pub(crate) fn tokens_for(&self, address: SocketAddr) -> Result<Option<Tokens>, ConfigError> {
        let mut tokens = self.tokens.clone();
        if let Some(variable) = &self.token_env {
            let listed = read_env("auth.token_env", variable)?;
            for token in listed.expose_secret().split(',') {
                let token = Token::read(token, Scopes::default()).map_err(|problem| {
                    ConfigError::field("auth.token_env", format!("`{variable}`: {problem}"))
                })?;
                tokens.push(token);
            }
        }
        if let Some(file) = &self.token_file {
            tokens.extend(read_file(file)?);
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

/// A file without any is taken for one that is being written, or the wrong one.
fn read_file(file: &Path) -> Result<Vec<Token>, ConfigError> {
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

    fn identity(&self) -> Identity {
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

/// Takes any value first, because serde's own messages show what they refuse (contract X1).
fn token_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Token>, D::Error> {
    let refuse = serde::de::Error::custom;
    let Value::Array(list) = Value::deserialize(deserializer)? else {
        return Err(refuse("`tokens` must be a list"));
    };
    let tokens = list.iter().map(Token::read_value);
    tokens.map(|token| token.map_err(refuse)).collect()
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
        let begins_calls = |token: &&Token| token.scopes.contains(Scope::Call);
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
        match (find(&self.fixed, shown), &self.jwt) {
            (Some(token), _) => token.scopes.contains(scope),
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
        let known = find(&self.fixed, shown);
        let (known, jwt) = if request.purpose == Purpose::Existing {
            let jwt = self.jwt.as_ref().or(self.former.jwt.as_ref());
            // What a token may no longer do, it may have done when the call began.
            (find(&self.former.fixed, shown).or(known), jwt)
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

/// All are compared, so that the time tells nothing about which was nearly right.
fn find<'a>(tokens: &'a [Token], shown: &str) -> Option<&'a Token> {
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
    fn x1_a_file_of_tokens_is_read_line_by_line_and_not_shown() {
        let file = std::env::temp_dir().join(format!("roomkit-{}-tokens", std::process::id()));
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            let read = read_file(&file).map_err(|error| error.to_string());
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
        let missing = read_file(&file).unwrap_err().to_string();
        assert!(missing.contains("cannot be read"), "{missing}");
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

    #[test]
    fn x2_only_the_whole_token_is_equal() {
        assert!(equal(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!equal(b"abc", other));
        }
    }
}
