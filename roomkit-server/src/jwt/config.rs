//! The settings of `[auth.jwt]`.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// Whose tokens are taken, and what they must say.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The issuer's public keys as a JWK set: an `https` URL (`http` for this machine alone), or a file.
    pub jwks: Option<String>,
    /// Further authorities for that URL: a file of certificates in PEM, or of one in DER.
    pub ca_file: Option<PathBuf>,
    /// An environment variable with the secret of HS256, of at least 32 characters. Without it no token
    /// of HS256 is taken; keys of a JWK set are never secrets.
    pub secret_env: Option<String>,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or have among others.
    pub audience: String,
    /// Algorithms that are taken; default all that there are keys for.
    #[serde(default = "JwtAlgorithm::all")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// How far the issuer's clock may be off, in seconds; default 30, at most 300.
    #[serde(default = "leeway")]
    pub leeway_s: u64,
    /// How often the keys are read again, in seconds; default 600, at least 30. An unknown key has them
    /// read at once, but not more often than every 30 s.
    #[serde(default = "refresh")]
    pub refresh_s: u64,
    /// The claim with the scopes, as a list or with spaces between them; default `scope`.
    #[serde(default = "scope_claim")]
    pub scope_claim: String,
    /// The claim with the only room the client may have to do with, if it has one; default `room`.
    #[serde(default = "room_claim")]
    pub room_claim: String,
    /// The claim with the agent as which the client's calls begin, if it has one; default none: whatever
    /// a token says, calls begin as `[channel]` says.
    pub agent_claim: Option<String>,
}

impl fmt::Debug for JwtConfig {
    /// Without the query of the keys' address, which may hold a secret (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jwks = self.jwks.as_deref().map(|jwks| jwks.split('?').next());
        f.debug_struct("JwtConfig")
            .field("jwks", &jwks.flatten())
            .field("secret_env", &self.secret_env)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum JwtAlgorithm {
    /// RSA with SHA-256 (PKCS #1 v1.5), keys of 2048 to 8192 bits.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
    /// HMAC with SHA-256, by a secret that both sides have.
    HS256,
}

impl JwtAlgorithm {
    fn all() -> Vec<Self> {
        vec![Self::RS256, Self::ES256, Self::EdDSA, Self::HS256]
    }
}

fn leeway() -> u64 {
    30
}

fn refresh() -> u64 {
    600
}

fn scope_claim() -> String {
    "scope".into()
}

fn room_claim() -> String {
    "room".into()
}
