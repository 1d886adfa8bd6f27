//! What a token says: whose it is, what it opens, for whom and when.

use super::*;

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
        json!("a/b"),
        json!("x".repeat(129)),
    ] {
        assert_eq!(
            issuer.says(&with("room", room)),
            Err(Refused::Claim("room"))
        );
    }
    for sub in [
        json!(""),
        json!(null),
        json!("a\nb"),
        json!("x".repeat(257)),
    ] {
        assert_eq!(issuer.says(&with("sub", sub)), Err(Refused::Claim("sub")));
    }
    for sub in ["auth0|abc", "google-oauth2|1", "a b/c,d", &"x".repeat(256)] {
        let identity = issuer.says(&with("sub", json!(sub))).unwrap();
        assert_eq!(identity.participant, Some(sub.into()));
    }
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
fn x2_any_claim_can_name_the_room() {
    let es256 = Signer::es256();
    let keys = keys::read(&set(&[es256.jwk("es")])).unwrap();
    let jwt = Jwt::with_keys(&config("room_claim = 'sub'"), None, keys);
    let token = es256.token(&json!({"alg": "ES256", "kid": "es"}), &claims());
    let identity = read(&jwt, &token).unwrap();
    assert_eq!(
        identity.room,
        Some("ann".into()),
        "one of the standard's, too"
    );
}

#[test]
fn x2_the_agent_is_that_of_the_claim_which_is_configured_and_of_no_other() {
    let es256 = Signer::es256();
    let token = |agent: Value| {
        let claims = json!({"billing_line": agent, "agent": "other", "first_agent": "other"});
        let Value::Object(mut all) = super::claims() else {
            unreachable!()
        };
        all.extend(claims.as_object().unwrap().clone());
        es256.token(&json!({"alg": "ES256", "kid": "es"}), &all.into())
    };
    let jwt = |settings: &str| {
        let keys = keys::read(&set(&[es256.jwk("es")])).unwrap();
        Jwt::with_keys(&config(settings), None, keys)
    };
    let asked = jwt("agent_claim = 'billing_line'");
    let identity = read(&asked, &token(json!("billing"))).unwrap();
    assert_eq!(identity.metadata["first_agent"], "billing");
    let refused = read(&asked, &token(json!(7))).unwrap_err();
    assert_eq!(refused, Refused::Claim("agent"));
    let identity = read(&jwt(""), &token(json!("billing"))).unwrap();
    assert_eq!(identity.metadata.get("first_agent"), None, "not asked for");
}

#[test]
fn x2_settings_with_which_every_token_would_be_refused_are_refused() {
    for (settings, name) in [
        (
            "jwks = 'https://issuer.example/keys'\nalgorithms = ['HS256']",
            "algorithms",
        ),
        (
            "secret_env = 'CARGO_PKG_DESCRIPTION'\nalgorithms = ['RS256']",
            "algorithms",
        ),
        (
            "secret_env = 'CARGO_PKG_DESCRIPTION'\nscope_claim = ''",
            "scope_claim",
        ),
        (
            "secret_env = 'CARGO_PKG_DESCRIPTION'\nroom_claim = ''",
            "room_claim",
        ),
        (
            "secret_env = 'CARGO_PKG_DESCRIPTION'\nagent_claim = ''",
            "agent_claim",
        ),
        ("secret_env = 'sk-hunter2'", "secret_env"),
        // Each of these has a key that nothing would be verified by, or an authority for nothing.
        (
            "secret_env = 'CARGO_PKG_DESCRIPTION'\nca_file = '/no/such'",
            "ca_file",
        ),
        (
            "jwks = 'https://issuer.example/keys'\nsecret_env = 'CARGO_PKG_DESCRIPTION'\n\
             algorithms = ['RS256']",
            "secret_env",
        ),
        (
            "jwks = 'https://issuer.example/keys'\nsecret_env = 'CARGO_PKG_DESCRIPTION'\n\
             algorithms = ['HS256']",
            "jwks",
        ),
    ] {
        let error = Jwt::new(&config(settings)).err().unwrap().to_string();
        assert!(error.contains(&format!("auth.jwt.{name}: ")), "{error}");
        assert!(!error.contains("hunter2"), "x1: {error}");
    }
    assert!(Jwt::new(&config("secret_env = 'CARGO_PKG_DESCRIPTION'")).is_ok());
}
