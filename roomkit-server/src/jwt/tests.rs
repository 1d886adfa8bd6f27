//! What an attacker tries, and what works.

mod rotation;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair,
    },
};
use roomkit::http::{Identity, Purpose, Scope};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

#[test]
fn x2_tokens_of_each_algorithm_are_taken() {
    let issuer = Issuer::new(Some(SECRET));
    let es256 = issuer.es256.token(
        &json!({"alg": "ES256", "kid": "es", "typ": "JWT"}),
        &claims(),
    );
    let ed_dsa = issuer
        .ed_dsa
        .token(&json!({"alg": "EdDSA", "typ": "at+jwt"}), &claims());
    let hs256 = Signer::hs256(SECRET).token(&json!({"alg": "HS256", "kid": "any"}), &claims());
    for token in [RSA_TOKEN, &es256, &ed_dsa, &hs256] {
        let identity = issuer.read(token).unwrap();
        assert_eq!(identity.participant, Some("ann".into()));
        assert_eq!(identity.scopes.iter().collect::<Vec<_>>(), [Scope::Call]);
    }
}

#[test]
fn x2_what_a_token_says_is_what_it_opens() {
    let issuer = Issuer::new(None);
    let mut all = with(
        "scope",
        json!(["openid", "watch", "mint", "write", "metrics", "call"]),
    );
    all["room"] = json!("lobby");
    let identity = issuer.says(&all).unwrap();
    assert_eq!(identity.scopes.iter().count(), Scope::ALL.len());
    assert_eq!(identity.room, Some("lobby".into()));
    assert_eq!(identity.participant, None, "a service");
    assert_eq!(identity.metadata["subject"], "ann");
    let identity = issuer
        .says(&with("scope", json!("openid call watch")))
        .unwrap();
    assert!(!identity.scopes.contains(Scope::Write) && identity.scopes.contains(Scope::Watch));
    for none in [
        json!(""),
        json!("openid"),
        json!("CALL"),
        json!("call,watch"),
        json!(1),
        json!({"call": true}),
    ] {
        assert_eq!(issuer.says(&with("scope", none)), Err(Refused::Scopes));
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("scope");
    assert_eq!(
        issuer.says(&without),
        Err(Refused::Scopes),
        "none is not all"
    );
    for room in [
        json!(1),
        json!(""),
        json!(null),
        json!("a\nb"),
        json!("x".repeat(300)),
    ] {
        assert_eq!(
            issuer.says(&with("room", room)),
            Err(Refused::Claim("room"))
        );
    }
    for sub in [json!(""), json!(null), json!("x".repeat(300))] {
        assert_eq!(issuer.says(&with("sub", sub)), Err(Refused::Claim("sub")));
    }
}

#[test]
fn x2_who_cannot_sign_is_refused() {
    for secret in [None, Some(SECRET)] {
        let issuer = Issuer::new(secret);
        let stranger = Signer::es256();
        let unsigned = Signer::Fixed(Vec::new());
        let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
        for none in [
            "none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "HS384", "RS512",
        ] {
            let token = unsigned.token(&header(none, "es"), &claims());
            assert_eq!(issuer.read(&token), Err(Refused::Algorithm), "{none:?}");
        }
        // With the public key as the secret of HS256, in each form that one could take it for.
        let (n, x) = (BASE64.decode(RSA_N).unwrap(), issuer.ed_dsa.jwk("ed"));
        let x = x["x"].as_str().unwrap();
        let document = set(&[rsa()]);
        for public in [
            &n[..],
            RSA_N.as_bytes(),
            x.as_bytes(),
            &BASE64.decode(x).unwrap(),
            &document,
            b"",
        ] {
            for kid in ["rsa", "ed", "es"] {
                let token = Signer::hs256(public).token(&header("HS256", kid), &claims());
                let refused = issuer.read(&token).unwrap_err();
                assert!(
                    matches!(refused, Refused::Algorithm | Refused::Signature),
                    "{refused:?}"
                );
            }
        }
        for (token, refused) in [
            // Another's key under a known name, and under an unknown one.
            (stranger.token(&header("ES256", "es"), &claims()), Refused::Signature),
            (stranger.token(&header("ES256", "other"), &claims()), Refused::UnknownKey),
            (stranger.token(&json!({"alg": "ES256"}), &claims()), Refused::Signature),
            // A known key under the name, or the algorithm, of another.
            (issuer.es256.token(&header("ES256", "ed"), &claims()), Refused::UnknownKey),
            (issuer.es256.token(&header("EdDSA", "ed"), &claims()), Refused::Signature),
            (issuer.ed_dsa.token(&header("RS256", "rsa"), &claims()), Refused::Signature),
            (issuer.ed_dsa.token(&header("ES256", "rsa"), &claims()), Refused::UnknownKey),
            // A key that the token brings along.
            (
                stranger.token(
                    &json!({"alg": "ES256", "kid": "es", "jwk": stranger.jwk("es"), "jku": "https://evil.example"}),
                    &claims(),
                ),
                Refused::Signature,
            ),
            (unsigned.token(&header("ES256", "es"), &claims()), Refused::Signature),
            (Signer::Fixed(vec![0; 64]).token(&header("ES256", "es"), &claims()), Refused::Signature),
            (
                issuer.es256.token(&json!({"alg": "ES256", "kid": "es", "crit": ["exp"]}), &claims()),
                Refused::Malformed,
            ),
            (
                issuer.es256.token(&json!({"alg": "ES256", "kid": "es", "typ": "logout+jwt"}), &claims()),
                Refused::Malformed,
            ),
        ] {
            assert_eq!(issuer.read(&token), Err(refused));
        }
    }
}

#[test]
fn x2_a_token_that_was_changed_is_refused() {
    let issuer = Issuer::new(None);
    let header = json!({"alg": "ES256", "kid": "es"});
    let token = issuer.es256.token(&header, &claims());
    assert!(issuer.read(&token).is_ok());
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}")
    };
    let other = BASE64.encode(with("sub", json!("bob")).to_string());
    for (changed, refused) in [
        (format!("{head}.{other}.{signature}"), Refused::Signature),
        (format!("{head}.{body}."), Refused::Signature),
        (format!("{head}.{body}.{signature}="), Refused::Malformed),
        (format!("{head}.{body}.{signature} "), Refused::Malformed),
        (format!("{head}.{body}"), Refused::Malformed),
        (format!("{head}..{signature}"), Refused::Signature),
        (format!(".{body}.{signature}"), Refused::Malformed),
        (
            format!("{head}.{body}.{signature}.{signature}"),
            Refused::Signature,
        ),
        (String::new(), Refused::Malformed),
        ("..".into(), Refused::Malformed),
        (format!("{token}{}", "A".repeat(8192)), Refused::TooLong),
        ("A".repeat(10_000_000), Refused::TooLong),
    ] {
        assert_eq!(issuer.read(&changed), Err(refused), "{}", changed.len());
    }
    // The signature of another form of ECDSA.
    let (asn1, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let pair = EcdsaKeyPair::generate_pkcs8(asn1, &random).unwrap();
    let pair = Signer::Asn1(EcdsaKeyPair::from_pkcs8(asn1, pair.as_ref(), &random).unwrap());
    let keys = keys::read(&set(&[pair.jwk("es")])).unwrap();
    let jwt = Jwt::with_keys(&config(""), None, keys);
    assert_eq!(
        read(&jwt, &pair.token(&header, &claims())),
        Err(Refused::Signature)
    );
}

#[test]
fn x2_a_token_for_somebody_else_or_of_another_time_is_refused() {
    let issuer = Issuer::new(None);
    for (claim, value, refused) in [
        ("iss", json!("https://issuer.example/"), Refused::Issuer),
        ("iss", json!(null), Refused::Issuer),
        ("aud", json!("roomkit2"), Refused::Audience),
        ("aud", json!([]), Refused::Audience),
        ("aud", json!(["other", ["roomkit"]]), Refused::Audience),
        ("aud", json!(null), Refused::Audience),
        ("exp", json!(null), Refused::Claim("exp")),
        ("exp", json!("4102444800"), Refused::Malformed),
        ("exp", json!(NOW - 30), Refused::Expired),
        ("exp", json!(0), Refused::Expired),
        ("exp", json!(-1e300), Refused::Expired),
        ("nbf", json!(NOW + 31), Refused::NotYet),
        ("nbf", json!(1e300), Refused::NotYet),
    ] {
        assert_eq!(
            issuer.says(&with(claim, value.clone())),
            Err(refused),
            "{claim} {value}"
        );
    }
    for (claim, value) in [
        ("aud", json!(["other", "roomkit"])),
        ("exp", json!(NOW - 29)),
        ("exp", json!(NOW as f64 + 0.5)),
        ("nbf", json!(NOW + 30)),
    ] {
        assert!(
            issuer.says(&with(claim, value.clone())).is_ok(),
            "{claim} {value}"
        );
    }
    let twice = claims()
        .to_string()
        .replace("\"aud\"", "\"aud\":\"x\",\"aud\"");
    let signed = format!(
        "{}.{}",
        BASE64.encode(r#"{"alg":"ES256"}"#),
        BASE64.encode(twice)
    );
    let signature = BASE64.encode(issuer.es256.sign(signed.as_bytes()));
    assert_eq!(
        issuer.read(&format!("{signed}.{signature}")),
        Err(Refused::Malformed)
    );
}

#[test]
fn x2_a_call_that_runs_is_spoken_for_by_the_token_that_began_it() {
    let issuer = Issuer::new(None);
    let header = json!({"alg": "ES256", "kid": "es"});
    let token = issuer.es256.token(&header, &with("exp", json!(NOW - 1000)));
    for (purpose, is_taken) in [
        (Purpose::Existing, true),
        (Purpose::Session, false),
        (Purpose::Other, false),
    ] {
        assert_eq!(
            issuer.jwt.read(&token, purpose, now()).is_ok(),
            is_taken,
            "{purpose:?}"
        );
    }
}

#[test]
fn x2_only_the_algorithms_that_were_named_are_taken() {
    let es256 = Signer::es256();
    let keys = keys::read(&set(&[es256.jwk("es"), rsa()])).unwrap();
    let jwt = Jwt::with_keys(&config("algorithms = ['RS256']"), None, keys);
    assert!(read(&jwt, RSA_TOKEN).is_ok());
    let token = es256.token(&json!({"alg": "ES256"}), &claims());
    assert_eq!(read(&jwt, &token), Err(Refused::Algorithm));
}

#[test]
fn x2_of_a_set_only_public_keys_for_signatures_are_taken() {
    let jwk = |change: &dyn Fn(&mut Value)| {
        let mut jwk = Signer::es256().jwk("es");
        change(&mut jwk);
        keys::read(&set(&[jwk])).map(|keys| keys.len())
    };
    assert_eq!(jwk(&|_| {}), Ok(1));
    let changes: [&dyn Fn(&mut Value); 7] = [
        &|jwk| jwk["use"] = json!("enc"),
        &|jwk| jwk["key_ops"] = json!(["sign"]),
        &|jwk| jwk["alg"] = json!("HS256"),
        &|jwk| jwk["crv"] = json!("secp256k1"),
        &|jwk| jwk["x"] = json!("AAAA"),
        &|jwk| jwk["kty"] = json!(7),
        &|jwk| {
            *jwk = json!({"kty": "oct", "kid": "es", "alg": "HS256", "k": BASE64.encode(SECRET)});
        },
    ];
    for change in changes {
        assert!(jwk(change).is_err());
    }
    for none in [&b""[..], b"{}", b"[]", br#"{"keys":[]}"#, br#"{"keys":{}}"#] {
        assert!(keys::read(none).is_err());
    }
}
