//! What operators and clients write as functions of bytes, for the project's own fuzzing. No part of
//! the API.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use roomkit::http::Purpose;

use crate::{agent_tools, config::Config, minted};

/// Tokens, with a signature that is right and as they are.
///
/// # Panics
///
/// When a token is taken that nobody signed.
pub fn tokens(input: &[u8]) {
    let Ok(minted) = minted::Minted::with_key("a key for fuzzing, of 32 characters") else {
        return;
    };
    let now = Timestamp::UNIX_EPOCH;
    let _ = minted.admit(&minted.signed(input), Purpose::Session, now);
    let text = String::from_utf8_lossy(input);
    let admitted = minted.admit(&text, Purpose::Session, now);
    assert!(admitted.is_err(), "a token that was not signed is taken");
}

/// Tokens of an issuer, with a signature that is right and as they are, and sets of its keys.
///
/// # Panics
///
/// When a token is taken that nobody signed.
#[cfg(feature = "jwt")]
pub fn jwt(input: &[u8]) {
    use std::time::UNIX_EPOCH;

    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
    use ring::hmac;

    use crate::jwt::{
        Jwt, JwtConfig,
        keys::{self, Key},
    };

    const SECRET: &[u8] = b"a secret for fuzzing, of 32 characters";

    let keys = keys::read(input).unwrap_or_default();
    let Ok(config) = toml::from_str::<JwtConfig>("issuer = 'i'\naudience = 'a'") else {
        return;
    };
    let jwt = Jwt::with_keys(&config, Some(Key::secret(SECRET)), keys);
    let header = BASE64.encode(br#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", BASE64.encode(input));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = BASE64.encode(hmac::sign(&key, signed.as_bytes()));
    let token = format!("{signed}.{signature}");
    let _ = jwt.read(&token, Purpose::Session, UNIX_EPOCH);
    let admitted = jwt.read(
        &String::from_utf8_lossy(input),
        Purpose::Session,
        UNIX_EPOCH,
    );
    assert!(admitted.is_err(), "a token that was not signed is taken");
}

/// Configuration files.
pub fn config(input: &[u8]) {
    if let Ok(config) = Config::parse(&String::from_utf8_lossy(input)) {
        let _ = config.channel.check();
        let _ = agent_tools::check(&config);
        let _ = config.admission((Ipv4Addr::LOCALHOST, 0).into(), false);
    }
}
