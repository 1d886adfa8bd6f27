//! The keys of an issuer, each with the one algorithm that is its own.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};
use serde::Deserialize;

use super::JwtAlgorithm;

/// Keys of a set that are looked at.
const MAX_KEYS: usize = 64;

/// A key and its name.
#[derive(Clone)]
pub(crate) struct Key {
    pub(super) id: Option<String>,
    public: Public,
}

#[derive(Clone)]
enum Public {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// The point, uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    /// No public key: never of a set.
    Secret(hmac::Key),
}

impl Key {
    /// A secret that issuer and server share.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        let public = Public::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Self { id: None, public }
    }

    pub(super) fn algorithm(&self) -> JwtAlgorithm {
        match self.public {
            Public::Rsa(_) => JwtAlgorithm::RS256,
            Public::P256(_) => JwtAlgorithm::ES256,
            Public::Ed25519(_) => JwtAlgorithm::EdDSA,
            Public::Secret(_) => JwtAlgorithm::HS256,
        }
    }

    /// Whether this is the signature of that message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.public {
            Public::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Public::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Public::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            Public::Secret(key) => hmac::verify(key, message, signature),
        };
        verified.is_ok()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let is_equal = match (&self.public, &other.public) {
            (Public::Rsa(one), Public::Rsa(other)) => one.n == other.n && one.e == other.e,
            (Public::P256(one), Public::P256(other))
            | (Public::Ed25519(one), Public::Ed25519(other)) => one == other,
            // Secrets are not compared.
            _ => false,
        };
        is_equal && self.id == other.id
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct JwkSet {
    /// Each by itself, so that one of a kind that is not known here does no harm.
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a JWK set that can verify signatures.
///
/// # Errors
///
/// When it is no such set, or has no such key.
pub(crate) fn read(set: &[u8]) -> Result<Vec<Key>, &'static str> {
    let set: JwkSet = serde_json::from_slice(set).map_err(|_| "is no JWK set")?;
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .take(MAX_KEYS)
        .filter_map(|value| serde_json::from_value(value).ok())
        .filter_map(key)
        .collect();
    if keys.is_empty() {
        return Err("has no public key for RS256, ES256 or EdDSA");
    }
    Ok(keys)
}

fn key(jwk: Jwk) -> Option<Key> {
    let signs = jwk.usage.is_none_or(|usage| usage == "sig");
    let verifies = jwk
        .key_ops
        .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !(signs && verifies) {
        return None;
    }
    let (public, algorithm) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", None) => {
            let (n, e) = (bytes(jwk.n)?, bytes(jwk.e)?);
            (Public::Rsa(RsaPublicKeyComponents { n, e }), "RS256")
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
            let is_point = x.len() == 32 && y.len() == 32;
            let point = [&[4][..], &x, &y].concat();
            (is_point.then_some(Public::P256(point))?, "ES256")
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes(jwk.x).filter(|x| x.len() == 32)?;
            (Public::Ed25519(x), "EdDSA")
        }
        // Above all no `oct`: who can read a set must not be able to sign.
        _ => return None,
    };
    if jwk.alg.is_some_and(|alg| alg != algorithm) {
        return None;
    }
    let id = jwk.kid;
    Some(Key { id, public })
}

fn bytes(text: Option<String>) -> Option<Vec<u8>> {
    BASE64.decode(text?).ok()
}
