//! What is accepted, what is refused and in which words.

use std::time::Duration;

use roomkit_core::{
    provider::{
        Continuation, HistorySupport, RealtimeVoiceProvider, SessionSetup, SessionUpdate,
        UpdateSupport, UpdateWay,
    },
    registry::Registry,
    tool::ToolDefinition,
};
use roomkit_provider_gemini::{
    Auth, GeminiConfig, GeminiLiveProvider, GeminiSessionConfig, Target, Token, protocol::Encoder,
};
use serde_json::{Value, json};

use crate::support::{LIVE_31, LIVE_38, NATIVE_25, TRANSCRIBE, TRANSLATE, build, map};

#[test]
fn defaults_are_pinned() {
    let config = GeminiConfig::default();
    assert_eq!(config.model, NATIVE_25);
    assert_eq!(config.api_key_env, "GOOGLE_API_KEY");
    assert!(matches!(config.auth, Auth::ApiKey {}));
    assert_eq!(config.connect_timeout.as_secs(), 30);
    assert_eq!((config.base_url, config.api_version), (None, None));
    let session = GeminiSessionConfig::default();
    assert!(session.server_vad && session.session_resumption && session.output_transcription);
    assert!(session.input_transcription.is_some() && session.context_compression.is_some());
}

#[test]
fn it_is_found_by_name_with_its_configuration_as_json() {
    let config = json!({ "api_key": "k", "model": LIVE_38, "session": { "voice": "Kore" } });
    let provider = Registry::linked()
        .unwrap()
        .provider("gemini", config)
        .unwrap();
    assert_eq!(provider.name(), "gemini");
    assert_eq!(provider.model(), Some(LIVE_38));
    assert_eq!(provider.capabilities().output_rate, 24_000);
}

#[test]
fn errors_of_the_connection_name_the_field_and_the_remedy() {
    let with_auth = |auth: Value| json!({ "auth": auth });
    let table = [
        (json!({ "api_key": "k", "modle": "m" }), "modle"),
        (json!({ "api_key": "k", "model": " " }), "model: is empty"),
        (
            json!({ "api_key_env": "ROOMKIT_TEST_NO_SUCH_VARIABLE" }),
            "api_key: there is no key; set `api_key`, or the environment variable \
             `ROOMKIT_TEST_NO_SUCH_VARIABLE`",
        ),
        (json!({ "api_key": "  " }), "api_key: there is no key"),
        (
            json!({ "api_key": "secret\nb" }),
            "api_key: the key holds characters",
        ),
        (
            json!({ "api_key": "k", "base_url": "https://host" }),
            "base_url: has the scheme `https`",
        ),
        (
            json!({ "api_key": "k", "base_url": "host" }),
            "base_url: is not a URL",
        ),
        (
            json!({ "api_key": "k", "base_url": "wss://me:secret@host" }),
            "base_url: holds a user or password",
        ),
        (
            json!({ "api_key": "k", "headers": { "x": "secret\nb" } }),
            "headers.x: is not a valid",
        ),
        (
            json!({ "api_key": "k", "connect_timeout_ms": 0 }),
            "connect_timeout_ms: is 0",
        ),
        (
            json!({ "api_key": "k", "max_message_bytes": 1 }),
            "max_message_bytes: is 1",
        ),
        (
            json!({ "api_key": "k", "api_version": "v1beta1" }),
            "api_version: is v1beta1; the Gemini API has `v1beta`, `v1alpha` and `v1`",
        ),
        (json!({ "api_key": "k", "api_version": "v2" }), "v2"),
        (
            json!({ "api_key": "k", "ca_file": "/no/such/file.pem" }),
            "ca_file: the file `/no/such/file.pem` cannot be read",
        ),
        (
            json!({ "api_key": "k", "proxy": "https://me:secret@proxy" }),
            "proxy: has the scheme `https`",
        ),
        (with_auth(json!({ "kind": "magic" })), "magic"),
        (
            with_auth(json!({ "kind": "api_key", "token": "secret" })),
            "unknown field `token`",
        ),
        (
            with_auth(json!({ "kind": "ephemeral_token" })),
            "missing field `token`",
        ),
        (
            with_auth(json!({ "kind": "ephemeral_token", "token": "" })),
            "auth.token: is empty",
        ),
        (
            with_auth(json!({ "kind": "ephemeral_token", "token": "secret token" })),
            "auth.token: holds characters that no token has",
        ),
        (
            with_auth(json!({ "kind": "ephemeral_token", "token": { "path": "secret" } })),
            "auth.token: must be a string in quotes, {\"env\": \"NAME\"}",
        ),
        (
            with_auth(json!({ "kind": "ephemeral_token", "token": { "env": "" } })),
            "auth.token: must be the name of an environment variable",
        ),
        (
            with_auth(json!({ "kind": "vertex", "project": "a/b", "location": "l", "token": "t" })),
            "auth.project: is `a/b`; use the project's id",
        ),
        (
            with_auth(
                json!({ "kind": "vertex", "project": "p", "location": "x.evil.org/", "token": "t" }),
            ),
            "auth.location: is `x.evil.org/`; use a region",
        ),
        (
            with_auth(
                json!({ "kind": "vertex", "project": "p", "location": "l", "token": "t", "user_project": "" }),
            ),
            "auth.user_project: is ``",
        ),
        (
            json!({ "api_key": "k", "session": { "top_p": 9.0 } }),
            "session.top_p: is 9; use 0 to 1",
        ),
    ];
    for (config, expected) in table {
        let error = build(config.clone()).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_session_is_laid_over_the_defaults_field_by_field() {
    let session = |base: &GeminiSessionConfig, overrides: Value| {
        base.with_overrides(&map(overrides)).unwrap()
    };
    let base = session(
        &GeminiSessionConfig::default(),
        json!({ "top_p": 0.5, "context_compression": { "trigger_tokens": 100 }, "labels": { "a": "1" },
            "input_transcription": { "mode": "smart" } }),
    );
    let changed = session(
        &base,
        json!({ "seed": 1, "context_compression": { "target_tokens": 50 }, "labels": { "b": "2" },
            "input_transcription": true }),
    );
    assert_eq!((changed.top_p, changed.seed), (Some(0.5), Some(1)));
    let compression = changed.context_compression.unwrap();
    assert_eq!(
        (compression.trigger_tokens, compression.target_tokens),
        (Some(100), Some(50))
    );
    assert_eq!(changed.labels.len(), 1);
    assert_eq!(changed.input_transcription, base.input_transcription);
    let off = session(
        &changed,
        json!({ "top_p": null, "input_transcription": false, "context_compression": "off" }),
    );
    assert_eq!(
        (off.top_p, off.input_transcription, off.context_compression),
        (None, None, None)
    );
}

#[test]
fn capabilities_follow_model_and_settings() {
    let of = |model: &str, overrides: Value| {
        let session = GeminiSessionConfig::default()
            .with_overrides(&map(overrides))
            .unwrap();
        session.capabilities(&Target::gemini_api(model))
    };
    let plain = of(NATIVE_25, json!({}));
    assert_eq!((plain.input_rate, plain.output_rate), (16_000, 24_000));
    assert_eq!(plain.continuation, Continuation::Automatic);
    assert_eq!(plain.history, HistorySupport::Text);
    assert!(plain.interrupts_itself && plain.heeds_interruptions);
    assert!(plain.transcribes_user && plain.resumes && plain.pings);
    assert!(plain.answers_results);
    let silently = json!({ "tool_behavior": "non_blocking", "tool_scheduling": "silent" });
    assert!(!of(LIVE_38, silently).answers_results);
    assert!(plain.images && !plain.truncates && !plain.overlaps);
    assert!(!plain.manual_turns);
    let by_hand_over = UpdateSupport::all(UpdateWay::NewConnection);
    assert_eq!(plain.updates, by_hand_over);
    assert!(plain.resumes_changed);
    assert!(!plain.text_during_tools && !plain.text_during_responses);
    assert_eq!(plain.catch_up, 4);
    let newest = of(LIVE_38, json!({}));
    assert!(newest.updates.system_prompt == UpdateWay::Live && newest.text_during_tools);
    assert!(!of(LIVE_38, json!({ "tool_behavior": "blocking" })).text_during_tools);
    assert!(of(LIVE_31, json!({ "tool_behavior": "non_blocking" })).text_during_tools);
    assert!(!of(LIVE_38, json!({ "no_interruption": true })).interrupts_itself);
    // The beginning of an activity interrupts by itself.
    let manual = of(LIVE_38, json!({ "server_vad": false }));
    assert!(manual.interrupts_itself && manual.manual_turns);
    assert!(!of(LIVE_38, json!({ "input_transcription": false })).transcribes_user);
    assert!(!of(LIVE_38, json!({ "session_resumption": false })).resumes);
    // Speech is noticed by its first words, unless the vendor reports it.
    assert_eq!(plain.speech_lag, Duration::from_secs(2));
    let reported = of(LIVE_38, json!({ "explicit_vad_signal": true }));
    assert_eq!(reported.speech_lag, Duration::from_millis(700));
    let deaf = of(TRANSCRIBE, json!({}));
    assert!(!deaf.images);
    assert_eq!(deaf.history, HistorySupport::None);
}

#[test]
fn what_is_not_in_the_settings_is_checked_too() {
    let target = Target::gemini_api(LIVE_38);
    let encode = |target: &Target, setup: &SessionSetup| {
        let encoder = Encoder::new(target, &GeminiSessionConfig::default(), setup);
        let frame = encoder.and_then(|encoder| encoder.setup(setup));
        frame.map(|_| ()).map_err(|error| error.to_string())
    };
    let mut setup = SessionSetup::new("session".into());
    setup.temperature = Some(2.5);
    assert_eq!(
        encode(&target, &setup).unwrap_err(),
        "temperature: is 2.5; use 0 to 2"
    );
    setup.temperature = Some(2.0);
    for (name, is_fit) in [
        ("get_weather", true),
        ("_a.b:c-d", true),
        (&"x".repeat(128), true),
        (&"x".repeat(129), false),
        ("1st", false),
        ("wetter für heute", false),
        ("", false),
    ] {
        setup.tools = [ToolDefinition::new(name, "", json!({}))].into();
        let result = encode(&target, &setup);
        assert_eq!(result.is_ok(), is_fit, "{name}: {result:?}");
        if let Err(error) = result {
            assert!(error.starts_with("tools: hold the name `"), "{error}");
        }
    }
    setup.tools = [ToolDefinition::new("f", "", json!({}))].into();
    let error = encode(&Target::gemini_api(TRANSLATE), &setup).unwrap_err();
    assert_eq!(
        error,
        format!("tools: are set, but `{TRANSLATE}` calls none; leave them out")
    );
}

#[test]
fn traces_name_who_serves_it() {
    let api = build(json!({ "api_key": "k" })).unwrap();
    assert_eq!(api.telemetry_name(), "gcp.gemini");
    let auth = json!({ "kind": "vertex", "project": "p", "location": "us-central1", "token": "t" });
    let vertex = build(json!({ "auth": auth, "model": "gemini-live-2.5-flash-native-audio" }));
    assert_eq!(vertex.unwrap().telemetry_name(), "gcp.vertex_ai");
}

#[test]
fn x1_debug_shows_no_secret() {
    let mut config: GeminiConfig = serde_json::from_value(json!({
        "api_key": "hunter2", "headers": { "x-proxy": "hunter2" },
        "proxy": "http://me:hunter2@proxy:3128",
        "base_url": "wss://user:hunter2@host/path?key=hunter2",
        "auth": { "kind": "ephemeral_token", "token": "hunter2" },
    }))
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    config.base_url = None;
    config.auth = Auth::EphemeralToken {
        token: Token::source(async || Ok("hunter2".to_owned().into())),
    };
    let provider = GeminiLiveProvider::new(config).unwrap();
    assert!(!format!("{provider:?}").contains("hunter2"), "{provider:?}");
}

#[test]
fn x1_a_key_that_is_no_string_is_refused_without_being_shown() {
    for config in [
        json!({"api_key": 47_114_711}),
        json!({"headers": {"x-key": 47_114_711}}),
    ] {
        let error = serde_json::from_value::<GeminiConfig>(config).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("must be a string"), "{error}");
        assert!(!error.contains("4711"), "{error}");
    }
}

#[test]
fn s5_a_change_is_checked_without_the_vendor() {
    let provider = build(json!({"api_key": "k", "model": LIVE_38})).unwrap();
    let setup = SessionSetup::new("s".into());
    let good = SessionUpdate {
        voice: Some("Puck".into()),
        provider_config: Some(map(json!({"silence_duration_ms": 700}))),
        ..SessionUpdate::default()
    };
    let support = provider.check_update(&setup, &good).unwrap();
    assert_eq!(support.system_prompt, UpdateWay::Live);
    assert_eq!(support.voice, UpdateWay::NewConnection);
    let hot = SessionUpdate {
        temperature: Some(7.0),
        ..SessionUpdate::default()
    };
    let long = SessionUpdate {
        provider_config: Some(map(json!({"silence_duration_ms": 90_000}))),
        ..SessionUpdate::default()
    };
    let voice = SessionUpdate {
        provider_config: Some(map(json!({"voice": "Puck"}))),
        ..SessionUpdate::default()
    };
    for (update, field) in [
        (voice, "provider_config.voice"),
        (hot, "temperature"),
        (long, "provider_config.silence_duration_ms"),
    ] {
        let error = provider.check_update(&setup, &update).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn k8_a_tool_whose_name_the_vendor_does_not_take_is_refused_by_itself() {
    let provider = build(json!({"api_key": "k", "model": LIVE_38})).unwrap();
    let check = |name: &str| {
        let tool = ToolDefinition::new(name, "", json!({"type": "object"}));
        provider.check_tool(&tool)
    };
    assert!(check("_3d.render").is_ok());
    for name in ["3d_render", "-x", "a b", ""] {
        let error = check(name).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
}
