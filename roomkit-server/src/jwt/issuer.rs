//! An issuer whose tokens are taken, and its keys as they are now.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use roomkit::{
    error::ConfigError,
    http::{Identity, Purpose, Refusal},
};
use roomkit_dial::secret_from_env;
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep},
};

use super::{
    JwtAlgorithm, JwtConfig, claims::Expected, keys::Key, refused::Refused, source::Source,
};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;
/// Shortest secret, in bytes: as long as what it makes (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The longest leeway, and the shortest time between two looks at the keys, in seconds.
const MAX_LEEWAY_S: u64 = 300;
const MIN_REFRESH: Duration = Duration::from_secs(30);
/// Keys that are remembered once they are withdrawn.
const MOST_WITHDRAWN: usize = 64;

/// Takes the tokens of one issuer. A cheap handle.
#[derive(Clone)]
pub(crate) struct Jwt(Arc<Inner>);

struct Inner {
    expected: Expected,
    algorithms: Vec<JwtAlgorithm>,
    secret: Option<Key>,
    source: RwLock<Option<Arc<Source>>>,
    refresh: Duration,
    keys: RwLock<Keys>,
    /// Says that they were read, and some may be withdrawn.
    read_again: watch::Sender<()>,
    /// When the keys were last asked for because of a token. Held while they are.
    asked: Arc<Mutex<Option<Instant>>>,
    /// Held while keys are read, so that of two sets the one that was asked for later is taken.
    reading: Mutex<()>,
}

/// The keys of the issuer's set. Cheap to clone.
#[derive(Clone)]
struct Keys {
    now: Arc<[Key]>,
    /// What is in the set no more. They are good for what callers say of calls that began by them.
    withdrawn: Arc<[Key]>,
}

impl Keys {
    /// The latest that were withdrawn are remembered.
    fn replaced_by(&self, now: Vec<Key>) -> Self {
        let before = self.now.iter().chain(self.withdrawn.iter());
        let withdrawn = before.filter(|key| !now.contains(key));
        let withdrawn = withdrawn.take(MOST_WITHDRAWN).cloned().collect();
        let now = now.into();
        Self { now, withdrawn }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// What one has to understand to read the token; nothing is understood here.
    crit: Option<serde_json::Value>,
}

impl Jwt {
    /// With the keys of a file; those of an address come with [`fetch`](Self::fetch).
    pub(crate) fn new(config: &JwtConfig) -> Result<Self, ConfigError> {
        let field =
            |name: &str, problem: String| ConfigError::field(format!("auth.jwt.{name}"), problem);
        if config.leeway_s > MAX_LEEWAY_S {
            let problem = format!("is {}; must be at most {MAX_LEEWAY_S}", config.leeway_s);
            return Err(field("leeway_s", problem));
        }
        let refresh = Duration::from_secs(config.refresh_s);
        if refresh < MIN_REFRESH {
            let problem = format!("is {}; must be at least 30", config.refresh_s);
            return Err(field("refresh_s", problem));
        }
        for (name, value) in [
            ("issuer", &config.issuer),
            ("audience", &config.audience),
            ("scope_claim", &config.scope_claim),
        ] {
            if value.is_empty() {
                return Err(field(name, "is empty; every token would be refused".into()));
            }
        }
        if config.room_claim.is_empty() {
            let problem = "is empty; leave it out for `room`, no token could restrict itself";
            return Err(field("room_claim", problem.into()));
        }
        if config.agent_claim.as_deref() == Some("") {
            let problem = "is empty; leave it out, no token could name an agent";
            return Err(field("agent_claim", problem.into()));
        }
        if config.algorithms.is_empty() {
            let problem = "is empty; every token would be refused, leave it out to take all";
            return Err(field("algorithms", problem.into()));
        }
        if config.ca_file.is_some() && config.jwks.is_none() {
            let problem = "is for the address in `jwks`, and there is none; leave it out";
            return Err(field("ca_file", problem.into()));
        }
        let secret = config.secret_env.as_ref().map(|variable| secret(variable));
        let secret = secret.transpose()?;
        let source = config.jwks.as_ref().map(|jwks| Source::new(jwks, config));
        let source = source.transpose()?;
        if secret.is_none() && source.is_none() {
            return Err(field(
                "jwks",
                "is missing; without keys no token can be verified".into(),
            ));
        }
        let is_keyed = |algorithm: &JwtAlgorithm| match algorithm {
            JwtAlgorithm::HS256 => secret.is_some(),
            JwtAlgorithm::RS256 | JwtAlgorithm::ES256 | JwtAlgorithm::EdDSA => source.is_some(),
        };
        if !config.algorithms.iter().any(is_keyed) {
            let problem = "has none with a key, and every token would be refused: HS256 takes \
                           `secret_env`, the others take `jwks`";
            return Err(field("algorithms", problem.into()));
        }
        if secret.is_some() && !config.algorithms.contains(&JwtAlgorithm::HS256) {
            let problem = "is for HS256, which is not among `algorithms`; leave one of them out";
            return Err(field("secret_env", problem.into()));
        }
        if source.is_some() && config.algorithms == [JwtAlgorithm::HS256] {
            let problem = "is for signatures by public keys, and `algorithms` has HS256 alone; \
                           leave one of them out";
            return Err(field("jwks", problem.into()));
        }
        let keys = match &source {
            Some(source) => source
                .read_file()
                .map_err(|problem| field("jwks", problem))?,
            None => Vec::new(),
        };
        let mut jwt = Inner::new(config, secret, keys);
        jwt.source = RwLock::new(source.map(Arc::new));
        Ok(Self(Arc::new(jwt)))
    }

    /// With this secret and these keys, which stay as they are.
    pub(crate) fn with_keys(config: &JwtConfig, secret: Option<Key>, keys: Vec<Key>) -> Self {
        Self(Arc::new(Inner::new(config, secret, keys)))
    }

    /// Reads the keys as they are now.
    pub(crate) async fn fetch(&self) -> Result<(), ConfigError> {
        let _reading = self.0.reading.lock().await;
        let Some(source) = self.source() else {
            return Ok(());
        };
        let keys = source.read().await;
        let keys = keys.map_err(|problem| ConfigError::field("auth.jwt.jwks", problem))?;
        self.take(keys);
        Ok(())
    }

    /// Reads the keys anew where the same configuration has them now, by an address's authorities as
    /// they are now; if that fails, those known stay.
    pub(crate) async fn read_as(&self, read: &Self) {
        let source = read.source();
        *self
            .0
            .source
            .write()
            .unwrap_or_else(PoisonError::into_inner) = source;
        self.try_fetch().await;
    }

    /// Reads the keys again and again; what cannot be read leaves those there are. Never returns.
    pub(crate) async fn keep_fresh(self) {
        loop {
            sleep(self.0.refresh).await;
            self.try_fetch().await;
        }
    }

    /// Who shows this token.
    pub(crate) async fn admit(
        &self,
        token: &str,
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<Identity, Refusal> {
        let admitted = match self.read(token, purpose, now) {
            Err(Refused::UnknownKey) => {
                // The issuer may have others by now.
                self.ask_again().await;
                self.read(token, purpose, now)
            }
            read => read,
        };
        Ok(admitted?)
    }

    pub(crate) fn read(
        &self,
        token: &str,
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<Identity, Refused> {
        let keys = self.keys();
        let payload = self.payload(token, &keys.now).or_else(|refused| {
            let may_be_former = purpose == Purpose::Existing;
            let payload = may_be_former.then(|| self.payload(token, &keys.withdrawn));
            payload.and_then(Result::ok).ok_or(refused)
        })?;
        self.0.expected.identity(&payload, purpose, now)
    }

    /// Says that keys were read, and some may be withdrawn.
    pub(crate) fn read_again(&self) -> watch::Sender<()> {
        self.0.read_again.clone()
    }

    /// Whether a token that was taken still would be, had it not expired meanwhile: its key has not
    /// been withdrawn.
    pub(crate) fn still_takes(&self, token: &str) -> bool {
        self.payload(token, &self.keys().now).is_ok()
    }

    /// What a token says, if one of these keys, or the secret, has signed it.
    fn payload(&self, token: &str, keys: &[Key]) -> Result<Vec<u8>, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let decoded = |part: &str| BASE64.decode(part).map_err(|_| Refused::Malformed);
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_| Refused::Malformed)?;
        if header.crit.is_some() || !is_access_token(header.typ.as_deref()) {
            return Err(Refused::Malformed);
        }
        let algorithm = self.algorithm(&header.alg)?;
        let signature = decoded(signature)?;
        self.verify(
            keys,
            algorithm,
            header.kid.as_deref(),
            signed.as_bytes(),
            &signature,
        )?;
        decoded(payload)
    }

    /// The algorithm of this name, if it is taken. `none` is none of them.
    fn algorithm(&self, name: &str) -> Result<JwtAlgorithm, Refused> {
        let algorithm = match name {
            "RS256" => JwtAlgorithm::RS256,
            "ES256" => JwtAlgorithm::ES256,
            "EdDSA" => JwtAlgorithm::EdDSA,
            "HS256" if self.0.secret.is_some() => JwtAlgorithm::HS256,
            _ => return Err(Refused::Algorithm),
        };
        let is_taken = self.0.algorithms.contains(&algorithm);
        is_taken.then_some(algorithm).ok_or(Refused::Algorithm)
    }

    /// Whether a key whose own algorithm this is has made the signature: the one of this name, or any
    /// where the token names none.
    fn verify(
        &self,
        keys: &[Key],
        algorithm: JwtAlgorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Refused> {
        let of_set = keys
            .iter()
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        // The secret has no name of its own.
        let mut candidates = of_set
            .chain(&self.0.secret)
            .filter(|key| key.algorithm() == algorithm)
            .peekable();
        if candidates.peek().is_none() {
            return Err(Refused::UnknownKey);
        }
        let is_right = candidates.any(|key| key.verifies(message, signature));
        is_right.then_some(()).ok_or(Refused::Signature)
    }

    /// Reads the keys again because a token names one that is not known, unless that was done just
    /// now: strangers can name what they like.
    async fn ask_again(&self) {
        let mut asked = Arc::clone(&self.0.asked).lock_owned().await;
        if asked.is_some_and(|asked| asked.elapsed() < MIN_REFRESH) {
            return;
        }
        *asked = Some(Instant::now());
        let jwt = self.clone();
        // In a task of its own: the keys are for all, and whoever shows the token may hang up or be
        // given up before they are there.
        let reading = tokio::spawn(async move {
            jwt.try_fetch().await;
            // Whoever waits to ask waits for these.
            drop(asked);
        });
        // A panic in it has been told.
        let _ = reading.await;
    }

    fn keys(&self) -> Keys {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    fn take(&self, read: Vec<Key>) {
        {
            let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
            *keys = keys.replaced_by(read);
        }
        self.0.read_again.send_replace(());
    }

    fn source(&self) -> Option<Arc<Source>> {
        let source = self.0.source.read().unwrap_or_else(PoisonError::into_inner);
        source.clone()
    }

    async fn try_fetch(&self) {
        if let Err(error) = self.fetch().await {
            tracing::warn!(%error, "the issuer's keys cannot be read; those known stay");
        }
    }
}

impl Inner {
    fn new(config: &JwtConfig, secret: Option<Key>, keys: Vec<Key>) -> Self {
        Self {
            expected: Expected::from(config),
            algorithms: config.algorithms.clone(),
            secret,
            source: RwLock::default(),
            refresh: Duration::from_secs(config.refresh_s),
            keys: RwLock::new(Keys {
                now: keys.into(),
                withdrawn: Arc::default(),
            }),
            read_again: watch::Sender::default(),
            asked: Arc::default(),
            reading: Mutex::default(),
        }
    }
}

/// Tokens of other kinds (RFC 8725, 3.11), such as those that end a login, are no access tokens.
fn is_access_token(kind: Option<&str>) -> bool {
    let is = |known: &str| kind.is_none_or(|kind| kind.eq_ignore_ascii_case(known));
    is("JWT") || is("at+jwt") || is("application/at+jwt")
}

fn secret(variable: &str) -> Result<Key, ConfigError> {
    let field = "auth.jwt.secret_env";
    let refused = |problem: &str| ConfigError::field(field, format!("`{variable}`: {problem}"));
    let secret = secret_from_env(field, variable)?.ok_or_else(|| refused("is not set"))?;
    let secret = secret.expose_secret().trim();
    if secret.len() < MIN_SECRET_BYTES {
        return Err(refused(
            "a secret has at least 32 characters, drawn at random",
        ));
    }
    Ok(Key::secret(secret.as_bytes()))
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("expected", &self.0.expected)
            .field("source", &self.source().is_some())
            .finish_non_exhaustive()
    }
}
