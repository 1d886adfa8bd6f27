//! Keys and tokens that change while the provider lives.

use std::path::Path;

use roomkit_core::provider::ProviderErrorKind;
use roomkit_dial::{Token, api_key};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn read(json: Value) -> Result<Token, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_file_is_read_again_for_each_connection() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("token");
    let token = read(json!({ "file": path })).unwrap();
    let token = api_key(Some(&token), "ROOMKIT_TEST_NO_SUCH_VARIABLE").unwrap();
    for written in ["token-1\n", "token-2"] {
        std::fs::write(&path, written).unwrap();
        let got = token.get("api_key").await.unwrap();
        assert_eq!(got.expose_secret(), written.trim());
    }
    for (written, told) in [
        (Some(" \n"), "is empty"),
        (Some("a b"), "holds characters that no token has"),
        (None, "cannot be read"),
    ] {
        match written {
            Some(written) => std::fs::write(&path, written).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = token.get("api_key").await.unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Authentication);
        assert!(error.message().contains(told), "{error}");
        assert!(error.message().contains("`api_key.file`"), "{error}");
    }
}

#[tokio::test]
async fn x1_a_token_in_the_wrong_place_is_refused_without_being_shown() {
    for json in [
        json!(47_114_711),
        json!({ "env": 47_114_711 }),
        json!({ "path": "hunter-4711" }),
        json!({ "env": "NAME", "file": "hunter-4711" }),
        json!(["hunter-4711"]),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.starts_with("must be a string in quotes"), "{error}");
        assert!(!error.contains("4711"), "{error}");
    }
    for (json, told) in [
        (json!("hunter 4711"), "holds characters"),
        (json!({ "env": "hunter-4711" }), "must be the name"),
        (json!({ "file": "" }), "names no file"),
    ] {
        let token = read(json).unwrap();
        let error = token.check("auth.token").unwrap_err().to_string();
        assert!(error.starts_with("auth.token: "), "{error}");
        assert!(error.contains(told) && !error.contains("4711"), "{error}");
    }
    let file = read(json!({ "file": "hunter-4711" })).unwrap();
    assert!(!format!("{file:?}").contains("4711"));
    let error = file.get("auth.token").await.unwrap_err();
    assert!(!error.message().contains("4711"), "{error}");
    assert_eq!(format!("{:?}", Token::from("4711")), "Fixed([redacted])");
}
