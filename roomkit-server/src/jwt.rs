//! JSON Web Tokens that somebody else signs, such as an identity provider (contract X2; RFC 7519, 7515,
//! 7517).
//!
//! A key has one algorithm, its own, and a token that names another is refused: what a token says of
//! itself never decides how it is verified. Nothing of a token is read before its signature is right
//! but its header. The signatures are verified by `ring`, as everything else in this workspace.

mod config;

#[cfg(not(feature = "jwt"))]
mod absent;
#[cfg(feature = "jwt")]
mod claims;
#[cfg(feature = "jwt")]
mod issuer;
#[cfg(feature = "jwt")]
pub(crate) mod keys;
#[cfg(feature = "jwt")]
mod refused;
#[cfg(feature = "jwt")]
mod source;
#[cfg(test)]
#[cfg(feature = "jwt")]
mod tests;

pub use config::{JwtAlgorithm, JwtConfig};

#[cfg(not(feature = "jwt"))]
pub(crate) use absent::Jwt;
#[cfg(feature = "jwt")]
pub(crate) use issuer::Jwt;
