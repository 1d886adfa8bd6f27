//! What operators and clients write as functions of bytes, for the project's own fuzzing. No part of
//! the API.

use jiff::Timestamp;
use roomkit::http::Purpose;

use crate::{config::Config, minted};

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

/// Configuration files.
pub fn config(input: &[u8]) {
    if let Ok(config) = Config::parse(&String::from_utf8_lossy(input)) {
        let _ = config.channel.check();
        let _ = config.admission();
    }
}
