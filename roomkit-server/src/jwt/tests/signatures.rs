//! Who can sign, by which keys and algorithms.

use ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;

use super::*;

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
