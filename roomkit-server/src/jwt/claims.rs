//! What a token says, and whether that is enough.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roomkit::http::{Identity, Purpose, Scope, Scopes, is_id};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{JwtConfig, refused::Refused};
use crate::{first_agent, host::is_usable_id};

/// The field of a session's metadata that says whose token it came in by.
const SUBJECT: &str = "subject";

/// What is expected of a token.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    issuer: String,
    audience: String,
    leeway: Duration,
    scope_claim: String,
    room_claim: String,
    agent_claim: Option<String>,
}

/// Those of the standard, of which none may come twice.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<Value>,
    exp: Option<f64>,
    nbf: Option<f64>,
    sub: Option<String>,
}

impl From<&JwtConfig> for Expected {
    fn from(config: &JwtConfig) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: Duration::from_secs(config.leeway_s),
            scope_claim: config.scope_claim.clone(),
            room_claim: config.room_claim.clone(),
            agent_claim: config.agent_claim.clone(),
        }
    }
}

impl Expected {
    /// Who shows a token with this payload, whose signature is right.
    pub(super) fn identity(
        &self,
        payload: &[u8],
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<Identity, Refused> {
        let claims: Claims = serde_json::from_slice(payload).map_err(|_| Refused::Malformed)?;
        // Any of them may be named in the configuration, the standard's too.
        let all: Map<String, Value> =
            serde_json::from_slice(payload).map_err(|_| Refused::Malformed)?;
        if claims.iss.as_deref() != Some(&self.issuer) {
            return Err(Refused::Issuer);
        }
        if !claims.aud.as_ref().is_some_and(|aud| self.is_for_us(aud)) {
            return Err(Refused::Audience);
        }
        self.check_time(&claims, purpose, now)?;
        let participant = claims.sub.as_deref().filter(|sub| is_id(sub));
        let participant = participant.ok_or(Refused::Claim("sub"))?;
        let room = match all.get(&self.room_claim) {
            // A restriction that cannot be read cannot be kept, and a room that cannot be is none.
            Some(room) => {
                let room = room.as_str().filter(|room| is_usable_id(room));
                Some(room.ok_or(Refused::Claim("room"))?)
            }
            None => None,
        };
        let agent = self.agent_claim.as_ref().and_then(|claim| all.get(claim));
        let agent = match agent {
            // One that is not here is found out where it is to begin.
            Some(agent) => Some(agent.as_str().ok_or(Refused::Claim("agent"))?),
            None => None,
        };
        let scopes = scopes(all.get(&self.scope_claim));
        if scopes.is_empty() {
            return Err(Refused::Scopes);
        }
        // Who mints is a service that hands out tokens for others.
        let is_held = !scopes.contains(Scope::Mint);
        let mut identity = Identity::new([(SUBJECT, participant)]).scopes(scopes);
        identity.participant = is_held.then(|| participant.into());
        identity.room = room.map(Into::into);
        first_agent::bind(&mut identity, agent);
        Ok(identity)
    }

    fn is_for_us(&self, audience: &Value) -> bool {
        match audience {
            Value::String(audience) => *audience == self.audience,
            Value::Array(audiences) => audiences.iter().any(|one| *one == self.audience.as_str()),
            _ => false,
        }
    }

    fn check_time(
        &self,
        claims: &Claims,
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<(), Refused> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (now, leeway) = (now.as_secs_f64(), self.leeway.as_secs_f64());
        let exp = claims.exp.ok_or(Refused::Claim("exp"))?;
        // One that began a call stays good for what its holder says of that call.
        if purpose != Purpose::Existing && exp + leeway <= now {
            return Err(Refused::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf - leeway > now) {
            return Err(Refused::NotYet);
        }
        Ok(())
    }
}

/// Those that are known here; issuers write others beside them. A token without any opens nothing.
fn scopes(claim: Option<&Value>) -> Scopes {
    let names: Vec<&str> = match claim {
        Some(Value::String(names)) => names.split(' ').collect(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    Scope::ALL
        .into_iter()
        .filter(|scope| names.contains(&scope.as_str()))
        .collect()
}
