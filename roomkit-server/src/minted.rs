//! Tokens that this server mints: short-lived, for one call, signed, so that a page needs no other
//! (contract X2).
//!
//! A token is `rk1.PAYLOAD.SIGNATURE`, both parts base64url: what it allows, as JSON, and its HMAC. It
//! is signed, not encrypted: who holds it can read it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jiff::Timestamp;
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use roomkit::http::{Identity, Purpose, Refusal, Rejection, Scope, Scopes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    first_agent,
    used_tokens::{MAX_USED, Unusable, UsedTokens},
};

/// The version of the format, which begins each token.
const VERSION: &str = "rk1.";
/// Longest life of a token.
pub(crate) const MAX_LIFE: Duration = Duration::from_secs(3600);
/// How far the clocks of servers that share a key may be apart.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Longest token that is looked at, in bytes; none that is minted comes near.
const MAX_TOKEN_BYTES: usize = 8192;
/// Longest id of a token that is taken, in bytes. A server's own have 22.
const MAX_ID_BYTES: usize = 64;
/// Shortest signing key, in bytes: as long as what it makes.
const MIN_KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// The field of a session's metadata that says by which token it came in.
const TOKEN_ID: &str = "token_id";
/// When to try again while too many used tokens are remembered.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Mints tokens, and knows those it minted. A cheap handle.
#[derive(Clone)]
pub(crate) struct Minted(Arc<Inner>);

struct Inner {
    key: hmac::Key,
    random: SystemRandom,
    used: Mutex<UsedTokens>,
}

/// What a token is to allow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) scopes: Scopes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) participant: Option<String>,
    /// As which agent its call begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
}

/// A token's payload. A field that is not known here would be a restriction that is not kept, so it
/// makes the token invalid.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    id: String,
    /// In ms since 1970.
    expires_at_ms: i64,
    grant: Grant,
}

/// A new token. Its `token` is for the client only.
#[derive(Serialize)]
pub(crate) struct NewToken {
    token: String,
    id: String,
    expires_at: Timestamp,
}

impl Minted {
    /// Signs with a key of its own, which ends with the process.
    pub(crate) fn with_drawn_key() -> Result<Self, &'static str> {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| "this system has no random numbers to draw a key from")?;
        Ok(Self::new(key, random))
    }

    /// Signs with this key.
    pub(crate) fn with_key(key: &str) -> Result<Self, String> {
        let key = key.trim().as_bytes();
        if key.len() < MIN_KEY_BYTES {
            return Err(format!(
                "a signing key has at least {MIN_KEY_BYTES} characters, drawn at random"
            ));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Ok(Self::new(key, SystemRandom::new()))
    }

    fn new(key: hmac::Key, random: SystemRandom) -> Self {
        Self(Arc::new(Inner {
            key,
            random,
            used: Mutex::default(),
        }))
    }

    /// Mints a token that lives as long as this, which is at most [`MAX_LIFE`].
    pub(crate) fn mint(
        &self,
        grant: Grant,
        life: Duration,
        now: Timestamp,
    ) -> Result<NewToken, Rejection> {
        let is_full = self.with_used(|used| used.is_full(now));
        if is_full {
            return Err(too_many().counted());
        }
        let mut id = [0; 16];
        self.0.random.fill(&mut id).map_err(|_| failed())?;
        let claims = Claims {
            id: BASE64.encode(id),
            expires_at_ms: (now + life.min(MAX_LIFE)).as_millisecond(),
            grant,
        };
        let payload = serde_json::to_vec(&claims).map_err(|_| failed())?;
        Ok(NewToken {
            token: self.signed(&payload),
            expires_at: claims.expires_at().ok_or_else(failed)?,
            id: claims.id,
        })
    }

    /// Who shows this token, which is used up when it is shown for a session.
    pub(crate) fn admit(
        &self,
        token: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Identity, Refusal> {
        let read = self.read(token, now);
        let (claims, expires_at) =
            read.ok_or_else(|| Refusal::Unauthorized("this token is not valid".into()))?;
        // One that began a call stays good for what its holder says of that call.
        if purpose != Purpose::Existing && expires_at <= now {
            return Err(refused("token_expired", "this token has expired"));
        }
        if purpose == Purpose::Session {
            let used = self.with_used(|used| used.take(claims.id.clone(), expires_at, now));
            used.map_err(|error| match error {
                Unusable::Used => refused("token_used", "this token was used for another call"),
                Unusable::Full => Refusal::Other(too_many()),
            })?;
        }
        Ok(claims.identity())
    }

    /// This payload as a token with a signature that is right, whatever it says.
    pub(crate) fn signed(&self, payload: &[u8]) -> String {
        sign(&self.0.key, payload)
    }

    /// What a token says, if it is one that was minted with this key.
    fn read(&self, token: &str, now: Timestamp) -> Option<(Claims, Timestamp)> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let payload = signed.strip_prefix(VERSION)?;
        let signature = BASE64.decode(signature).ok()?;
        hmac::verify(&self.0.key, signed.as_bytes(), &signature).ok()?;
        let payload = BASE64.decode(payload).ok()?;
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        let expires_at = claims.expires_at()?;
        // Others who have the key are held to what this server would mint: short lives, because what
        // is used is remembered no longer, and no offspring.
        let would_be_minted = expires_at <= now + MAX_LIFE + CLOCK_SKEW
            && claims.id.len() <= MAX_ID_BYTES
            && !claims.grant.scopes.contains(Scope::Mint);
        would_be_minted.then_some((claims, expires_at))
    }

    fn with_used<T>(&self, work: impl FnOnce(&mut UsedTokens) -> T) -> T {
        work(&mut self.0.used.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minted(..)")
    }
}

impl Claims {
    fn expires_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.expires_at_ms).ok()
    }

    fn identity(self) -> Identity {
        let mut identity = Identity::new(self.grant.metadata).scopes(self.grant.scopes);
        // Last, so that no metadata can pretend to be another token's, or for another agent.
        first_agent::bind(&mut identity, self.grant.agent.as_deref());
        identity.metadata.insert(TOKEN_ID.into(), self.id.into());
        identity.room = self.grant.room.map(Into::into);
        identity.participant = self.grant.participant.map(Into::into);
        identity
    }
}

/// Whether it says of itself that it was minted.
pub(crate) fn looks_minted(token: &str) -> bool {
    token.starts_with(VERSION)
}

fn sign(key: &hmac::Key, payload: &[u8]) -> String {
    let signed = format!("{VERSION}{}", BASE64.encode(payload));
    let signature = BASE64.encode(hmac::sign(key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn refused(code: &'static str, message: &str) -> Refusal {
    Refusal::Other(Rejection::new(StatusCode::UNAUTHORIZED, code, message))
}

fn too_many() -> Rejection {
    let message = format!(
        "{MAX_USED} tokens were used that have not expired, and no more can be remembered; have them minted with a \
         shorter `expires_in_s`"
    );
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_tokens", message)
        .with_retry_after(RETRY_AFTER)
}

fn failed() -> Rejection {
    let message = "the token could not be minted";
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
}

#[cfg(test)]
mod tests;
