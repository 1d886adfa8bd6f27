use roomkit::mock::Counters;

use super::*;

const KEY: &str = "a signing key for tests, which is not drawn at random";
const MINUTE: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn grant() -> Grant {
    Grant {
        scopes: [Scope::Call].into_iter().collect(),
        room: Some("lobby".into()),
        participant: None,
        agent: None,
        metadata: [("user".to_owned(), Value::from("ann"))]
            .into_iter()
            .collect(),
    }
}

fn minted() -> (Minted, String) {
    let minted = Minted::with_key(KEY).unwrap();
    let token = minted.mint(grant(), MINUTE, at(0)).unwrap().token;
    (minted, token)
}

/// The code of a refusal.
fn code(answer: Result<Identity, Refusal>) -> String {
    let rejection = Rejection::from(answer.unwrap_err());
    assert!(!rejection.message().contains(VERSION), "X1: {rejection}");
    rejection.code().to_owned()
}

#[test]
fn x2_a_minted_token_says_what_it_was_minted_for() {
    let (minted, token) = minted();
    let stands_everywhere = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    assert!(token.bytes().all(stands_everywhere), "{token}");
    let identity = minted.admit(&token, Purpose::Other, at(59)).unwrap();
    assert_eq!(identity.scopes, grant().scopes);
    assert_eq!(identity.room, Some("lobby".into()));
    assert_eq!(identity.participant, None);
    assert_eq!(identity.metadata["user"], "ann");
    assert_eq!(identity.metadata[TOKEN_ID].as_str().unwrap().len(), 22);
}

#[test]
fn x2_metadata_pretends_to_be_no_other_token() {
    let minted = Minted::with_key(KEY).unwrap();
    let mut liar = grant();
    liar.metadata.insert(TOKEN_ID.into(), "another's".into());
    let new = minted.mint(liar, MINUTE, at(0)).unwrap();
    let identity = minted.admit(&new.token, Purpose::Other, at(0)).unwrap();
    assert_eq!(identity.metadata[TOKEN_ID], new.id);
}

#[test]
fn x2_a_token_is_used_once_and_stays_good_for_its_call() {
    let (minted, token) = minted();
    let first = minted.admit(&token, Purpose::Session, at(1)).unwrap();
    let again = minted.admit(&token, Purpose::Session, at(2));
    assert_eq!(code(again), "token_used");
    // Reads are no calls.
    assert!(minted.admit(&token, Purpose::Other, at(59)).is_ok());
    for purpose in [Purpose::Session, Purpose::Other] {
        let late = minted.admit(&token, purpose, at(60));
        assert_eq!(code(late), "token_expired");
    }
    let restart = minted.admit(&token, Purpose::Existing, at(9_999)).unwrap();
    assert_eq!(restart, first, "the owner of the call");
}

#[test]
fn x2_two_tokens_are_two_clients() {
    let (minted, one) = minted();
    let two = minted.mint(grant(), MINUTE, at(0)).unwrap().token;
    let one = minted.admit(&one, Purpose::Existing, at(1)).unwrap();
    let two = minted.admit(&two, Purpose::Existing, at(1)).unwrap();
    assert_ne!(one.metadata, two.metadata);
}

#[test]
fn x2_a_forged_token_is_not_valid() {
    let (minted, token) = minted();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let payload = BASE64.decode(&signed[VERSION.len()..]).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let more = BASE64.encode(payload.replace("call", "mint"));
    let other_key = Minted::with_key(&KEY.to_uppercase()).unwrap();
    let other_key = other_key.mint(grant(), MINUTE, at(0)).unwrap().token;
    let drawn = Minted::with_drawn_key().unwrap();
    let drawn = drawn.mint(grant(), MINUTE, at(0)).unwrap().token;
    let mut forged = vec![
        String::new(),
        VERSION.into(),
        "rk1..".into(),
        format!("{VERSION}{more}.{signature}"),
        format!("{signed}."),
        format!("{signed}.{signature}{signature}"),
        format!("{signed}.{}", BASE64.encode([0; 32])),
        format!("rk2.{}.{signature}", &signed[VERSION.len()..]),
        format!("{token}="),
        format!("{token}\0"),
        "x".repeat(MAX_TOKEN_BYTES + 1),
        format!("{VERSION}{}.{signature}", "A".repeat(1_000_000)),
        other_key,
        drawn,
    ];
    forged.extend((0..token.len()).map(|end| token[..end].to_owned()));
    forged.extend((0..token.len()).map(|place| {
        let mut bytes = token.clone().into_bytes();
        bytes[place] ^= 1;
        String::from_utf8(bytes).unwrap()
    }));
    for token in forged {
        for purpose in [Purpose::Session, Purpose::Existing, Purpose::Other] {
            let answer = minted.admit(&token, purpose, at(1));
            assert_eq!(code(answer), "unauthorized", "{token:.100}");
        }
    }
    assert!(minted.admit(&token, Purpose::Session, at(1)).is_ok());
}

#[test]
fn x2_who_has_the_key_is_held_to_the_same_limits() {
    let (minted, _) = minted();
    let claims = |id: &str, seconds: i64, more: &str| {
        format!(
            r#"{{"id":"{id}","expires_at_ms":{},"grant":{{"scopes":["call"]{more}}}}}"#,
            seconds * 1000
        )
    };
    let long = "x".repeat(MAX_ID_BYTES + 1);
    for (payload, valid) in [
        (claims("a", 60, ""), true),
        (claims("a", 3660, ""), true),
        (claims("a", 3661, ""), false),
        (claims("a", i64::MAX / 1000, ""), false),
        (claims(&long, 60, ""), false),
        (claims("a", 60, r#","only_on_sundays":true"#), false),
        (claims("a", 60, "").replace("call", "everything"), false),
        (claims("a", 60, "").replace("call", "mint"), false),
        ("not JSON".into(), false),
    ] {
        let token = sign(&minted.0.key, payload.as_bytes());
        let answer = minted.admit(&token, Purpose::Other, at(0));
        assert_eq!(answer.is_ok(), valid, "{payload}");
    }
}

#[test]
fn x2_servers_of_one_key_take_each_others_tokens() {
    let (_, token) = minted();
    let other = Minted::with_key(KEY).unwrap();
    assert!(other.admit(&token, Purpose::Session, at(1)).is_ok());
}

#[test]
fn x5_when_no_more_can_be_remembered_the_answer_is_503_and_nothing_is_forgotten() {
    let (minted, used) = minted();
    let unused = minted.mint(grant(), 2 * MINUTE, at(0)).unwrap().token;
    assert!(minted.admit(&used, Purpose::Session, at(0)).is_ok());
    let take = |id: usize| minted.with_used(|used| used.take(id.to_string(), at(50), at(0)));
    let refused = (0..).find_map(|id| take(id).err());
    assert_eq!(refused, Some(Unusable::Full));

    let full = minted.admit(&unused, Purpose::Session, at(1));
    assert_eq!(code(full), "too_many_tokens");
    let counters = Counters::default();
    let counting = counters.here();
    let full = minted.mint(grant(), MINUTE, at(1)).err().unwrap();
    drop(counting);
    let refused = counters.all("roomkit_admission_refused_total");
    assert_eq!(refused, [("too_many_tokens".to_owned(), 1)].into());
    assert_eq!(
        (full.status().as_u16(), full.code()),
        (503, "too_many_tokens")
    );
    let again = minted.admit(&used, Purpose::Session, at(1));
    assert_eq!(code(again), "token_used");
    assert!(minted.admit(&unused, Purpose::Other, at(1)).is_ok());
    let over = at(50) + CLOCK_SKEW;
    assert!(minted.admit(&unused, Purpose::Session, over).is_ok());
}

#[test]
fn x1_debug_shows_no_key() {
    let shown = format!("{:?}", minted().0);
    assert_eq!(shown, "Minted(..)");
}
