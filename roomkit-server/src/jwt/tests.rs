//! What an attacker tries, and what works. Here is an issuer of tokens for it.

mod claims;
mod rotation;
mod signatures;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use roomkit::http::{Identity, Purpose, Scope};
use serde_json::{Value, json};

use super::{
    Jwt, JwtConfig,
    keys::{self, Key},
    refused::Refused,
};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// A public key of RSA, and a token that its owner signed, for `ann` until the year 2100.
const RSA_N: &str = "o6zmmXNoKaF127vjkytzN_8ZiJkCuay_VAY9KEXgpKFubNiseLSYGx-Z70a_rVSG5xsPiG6xfMmB1i-JCKEFEvi-bz\
    L5wj3YTIVmnMwRERPVq_1UjiC_HQhZOqWIOtEpPmtvztLPTa1CPCPIO0yYer3qadcBkv8tKc-dnhlE7_6IJ2Qlpw-j\
    vPWn_QqQPOaJOHyMj9j2RVDFbZJGCL7zOWwRbI3NTfZOQbCu7svpbm_gMAKADK5bpZuDoMInwRLyieaz1EE_JP8_rO\
    4Q8W0cqmv_QeNP7zfgKm6-yp0Bowf_5kPio3i2M2xdTqyywtQ323BoMKrZRtQfNAqrNF3tQw";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtc\
    GxlIiwiYXVkIjoicm9vbWtpdCIsInN1YiI6ImFubiIsImV4cCI6NDEwMjQ0NDgwMCwic2NvcGUiOiJjYWxsIn0.NpN\
    8huknlbWqGGbfHj-efKUC5btWqebN28AVbfAzsKZnpqPQZk53FyS1Uc5xDpYn9Fct-aei173MwG2w57SOUSZyA5Yr-\
    F2wd67gLeZGrMcSEcpx56v1Yrdsm3VFwATNy5i9s3pTvvJ7ZqT3ssTVa76P2IhwwzSJRy1YAgCdn5VWpgeaF6iGWca\
    Lck4cdEBwkbiFL-wdMEK1yzNzx8pAzG3acHqQS2yWtsAuPIAJNNhFMqfetgEKF5rOEHkMu88ws2YMtCpDinCpwYyVH\
    z5tbAcj_Zs9fbnl_Bipib3IqmYzkzGaTesmxUGFnT0w1Q0Jv6AQj8mTBeA0wWfqv6Ra9g";

enum Signer {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Hs256(Vec<u8>),
    /// By P-256, in the form that other protocols have.
    Asn1(EcdsaKeyPair),
    /// This, whatever the token.
    Fixed(Vec<u8>),
}

impl Signer {
    fn es256() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap())
    }

    fn ed_dsa() -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap())
    }

    fn hs256(secret: &[u8]) -> Self {
        Self::Hs256(secret.to_vec())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair) | Self::Asn1(pair) => pair
                .sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Fixed(signature) => signature.clone(),
        }
    }

    /// Its public key.
    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Es256(pair) | Self::Asn1(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (BASE64.encode(x), BASE64.encode(y));
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": x, "y": y})
            }
            Self::EdDsa(pair) => {
                let x = BASE64.encode(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "x": x})
            }
            Self::Hs256(_) | Self::Fixed(_) => unreachable!("no public key"),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| BASE64.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = BASE64.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn config(more: &str) -> JwtConfig {
    let text = format!("issuer = 'https://issuer.example'\naudience = 'roomkit'\n{more}");
    toml::from_str(&text).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "roomkit", "sub": "ann", "exp": NOW + 60,
        "scope": "call"
    })
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

fn rsa() -> Value {
    json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": RSA_N, "e": "AQAB"})
}

/// The issuer's keys, and a server that knows them.
struct Issuer {
    es256: Signer,
    ed_dsa: Signer,
    jwt: Jwt,
}

impl Issuer {
    fn new(secret: Option<&[u8]>) -> Self {
        let (es256, ed_dsa) = (Signer::es256(), Signer::ed_dsa());
        let set = set(&[rsa(), es256.jwk("es"), ed_dsa.jwk("ed")]);
        let keys = keys::read(&set).unwrap();
        let jwt = Jwt::with_keys(&config(""), secret.map(Key::secret), keys);
        Self { es256, ed_dsa, jwt }
    }

    fn read(&self, token: &str) -> Result<Identity, Refused> {
        read(&self.jwt, token)
    }

    /// What becomes of a token of this issuer with these claims.
    fn says(&self, claims: &Value) -> Result<Identity, Refused> {
        self.read(
            &self
                .es256
                .token(&json!({"alg": "ES256", "kid": "es"}), claims),
        )
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn read(jwt: &Jwt, token: &str) -> Result<Identity, Refused> {
    let read = jwt.read(token, Purpose::Session, now());
    if let Err(refused) = read {
        // X1: nothing of the token.
        let told = refused.to_string();
        assert!(
            !token
                .split('.')
                .any(|part| part.len() > 3 && told.contains(part))
        );
    }
    read
}
