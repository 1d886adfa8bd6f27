//! As which agent a call begins, where the token that opens it says so (contract X2).
//!
//! It travels in the identity's metadata, so that the session shows it. Nothing a caller sends gets there:
//! only a token's signed claims and the configuration do.

use std::sync::Arc;

use axum::http::StatusCode;
use roomkit::{
    error::ConfigError,
    http::{Identity, Rejection},
    voice::SessionOptions,
};

use crate::config::{AgentConfig, AuthConfig};

/// The field of a session's metadata that says as which agent it was to begin.
pub(crate) const FIRST_AGENT: &str = "first_agent";

/// The names of `[[agents]]`. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct AgentNames(Arc<[String]>);

impl AgentNames {
    pub(crate) fn of(agents: &[AgentConfig]) -> Self {
        Self(agents.iter().map(|agent| agent.name.clone()).collect())
    }

    /// What is wrong with this name, in words for whoever runs the server.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        if self.has(name) {
            return Ok(());
        }
        Err(format!(
            "`{name}` is no agent of this server; {}",
            self.known()
        ))
    }

    /// Whether the agents that tokens of the configuration name are there, and any for an issuer's.
    pub(crate) fn check_auth(&self, auth: &AuthConfig) -> Result<(), ConfigError> {
        for (place, token) in auth.tokens.iter().enumerate() {
            if let Some(agent) = token.agent() {
                let field = format!("auth.tokens[{place}].agent");
                self.check(agent)
                    .map_err(|problem| ConfigError::field(field, problem))?;
            }
        }
        let claim = auth.jwt.as_ref().and_then(|jwt| jwt.agent_claim.as_ref());
        if claim.is_some() && self.0.is_empty() {
            let problem = "names the claim with an agent, and there are none; add `[[agents]]`, or leave it out";
            return Err(ConfigError::field("auth.jwt.agent_claim", problem));
        }
        Ok(())
    }

    /// Turns a caller down whose token names an agent that is not here: it was signed elsewhere, or before
    /// the configuration changed.
    pub(crate) fn admit(&self, identity: &Identity) -> Result<(), Rejection> {
        match of(identity) {
            Some(name) if !self.has(name) => {
                let message = format!(
                    "agent: the token is for `{name}`, which is no agent of this server; ask for another token"
                );
                let refused = Rejection::new(StatusCode::FORBIDDEN, "unknown_agent", message);
                Err(refused.counted())
            }
            _ => Ok(()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    fn known(&self) -> String {
        if self.0.is_empty() {
            return "it has none, add `[[agents]]` to its configuration".into();
        }
        format!("it has {}", self.0.join(", "))
    }
}

/// As which agent this client's calls begin, if that is said.
pub(crate) fn of(identity: &Identity) -> Option<&str> {
    identity.metadata.get(FIRST_AGENT)?.as_str()
}

/// Says it. Without an agent, no metadata can pretend that there is one.
pub(crate) fn bind(identity: &mut Identity, agent: Option<&str>) {
    match agent {
        Some(agent) => identity.metadata.insert(FIRST_AGENT.into(), agent.into()),
        None => identity.metadata.remove(FIRST_AGENT),
    };
}

/// What a session of this client has different from the channel's settings.
pub(crate) fn options(identity: &Identity) -> SessionOptions {
    match of(identity) {
        Some(agent) => SessionOptions::new().agent(agent),
        None => SessionOptions::new(),
    }
}
