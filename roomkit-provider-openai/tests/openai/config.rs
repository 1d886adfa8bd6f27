//! What is accepted, what is refused and in which words.

use roomkit_core::{
    provider::{Continuation, SessionSetup, SessionUpdate, UpdateWay},
    registry::Registry,
};
use roomkit_provider_openai::{
    AudioCodec, Dialect, OpenAIConfig, OpenAIRealtimeProvider, OpenAISessionConfig, Transcription,
    TurnDetection, protocol::Encoder,
};
use serde_json::{Map, Value, json};

use crate::support::map;

fn build(config: Value) -> Result<OpenAIRealtimeProvider, String> {
    let config: OpenAIConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    OpenAIRealtimeProvider::new(config).map_err(|error| error.to_string())
}

fn session(overrides: Value) -> Result<OpenAISessionConfig, String> {
    OpenAISessionConfig::default()
        .with_overrides(&map(overrides))
        .map_err(|error| error.to_string())
}

#[test]
fn defaults_are_pinned() {
    let config = OpenAIConfig::default();
    assert_eq!(config.model, "gpt-realtime-2.1");
    assert_eq!(config.base_url, "wss://api.openai.com/v1/realtime");
    assert_eq!(config.auth_header, "Authorization: Bearer");
    assert_eq!(config.api_key_env, "OPENAI_API_KEY");
    assert_eq!(config.connect_timeout.as_secs(), 30);
    assert!(config.model_in_query && config.headers.is_empty());
    let session = OpenAISessionConfig::default();
    assert!(matches!(
        session.turn_detection,
        TurnDetection::SemanticVad { .. }
    ));
    assert_eq!(
        session.transcription.unwrap().model,
        "gpt-4o-mini-transcribe"
    );
}

#[test]
fn it_is_found_by_name_with_its_configuration_as_json() {
    let config = json!({ "api_key": "k", "model": "m", "session": { "codec": "pcmu" } });
    let provider = Registry::linked()
        .unwrap()
        .provider("openai", config)
        .unwrap();
    assert_eq!(provider.name(), "openai");
    assert_eq!(provider.model(), Some("m"));
    assert_eq!(provider.capabilities().input_rate, 8000);
}

#[test]
fn errors_name_the_field_and_the_remedy() {
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
            json!({ "api_key": "a\nb" }),
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
            json!({ "api_key": "k", "auth_header": "a b: c" }),
            "auth_header: is not a header's name",
        ),
        (
            json!({ "api_key": "k", "auth_header": "Upgrade" }),
            "auth_header: `upgrade` belongs to the WebSocket handshake",
        ),
        (
            json!({ "api_key": { "env": "a secret" } }),
            "api_key: must be the name of an environment variable",
        ),
        (
            json!({ "api_key": "k", "proxy": "socks5://me:secret@proxy" }),
            "proxy: has the scheme `socks5`",
        ),
        (
            json!({ "api_key": "k", "headers": { "x": "a\nb" } }),
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
            json!({ "api_key": "k", "session": { "speed": 9.0 } }),
            "speed: is 9; use 0.25 to 1.5",
        ),
        (
            json!({ "api_key": "k", "session": { "temperature": 1 } }),
            "session.temperature: unknown field `temperature`",
        ),
    ];
    for (config, expected) in table {
        let error = build(config.clone()).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn errors_of_a_session_name_the_field_and_what_would_do() {
    let table = [
        (json!({ "voices": "x" }), "voices: unknown field `voices`"),
        (
            json!({ "voice": 7 }),
            "voice: must be a voice's name, or an object with the `id`",
        ),
        (json!({ "speed": 0.1 }), "speed: is 0.1; use 0.25 to 1.5"),
        (
            json!({ "max_output_tokens": 0 }),
            "max_output_tokens: is 0; use 1 to 4096",
        ),
        (
            json!({ "max_output_tokens": "all" }),
            "max_output_tokens: must be 1 to 4096, or \"inf\"",
        ),
        (
            json!({ "output_modalities": ["audio", "text"] }),
            "output_modalities: holds 2 entries",
        ),
        (
            json!({ "reasoning_effort": "huge" }),
            "reasoning_effort: unknown variant `huge`",
        ),
        (
            json!({ "tool_choice": "maybe" }),
            "tool_choice: must be \"auto\"",
        ),
        (
            json!({ "truncation": "some" }),
            "truncation: must be \"auto\"",
        ),
        (json!({ "tracing": 1 }), "tracing: must be \"auto\""),
        (
            json!({ "codec": "opus" }),
            "input_codec: unknown variant `opus`",
        ),
        (
            json!({ "turn_detection": "sometimes" }),
            "turn_detection: unknown variant `sometimes`",
        ),
        (
            json!({ "turn_detection": { "type": "server_vad", "threshold": 1.5 } }),
            "turn_detection.threshold: is 1.5; use 0 to 1",
        ),
        (
            json!({ "threshold": 0.5 }),
            "turn_detection: unknown field `threshold`",
        ),
        (
            json!({ "turn_detection": { "type": "server_vad", "threshold": 0.1 },
                "threshold": 0.2 }),
            "turn_detection.threshold: is given twice",
        ),
        (
            json!({ "transcription": "off", "language": "fr" }),
            "language: belongs to",
        ),
    ];
    for (overrides, expected) in table {
        let error = session(overrides.clone()).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{overrides}: {error}");
    }
}

#[test]
fn s5_a_session_overrides_field_by_field() {
    let defaults = session(json!({ "voice": "marin", "speed": 1.2, "turn_detection": {
        "type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300 } }))
    .unwrap();
    let overridden = defaults
        .with_overrides(&map(json!({ "speed": null, "silence_duration_ms": 700,
            "transcription": { "language": "fr" } })))
        .unwrap();
    assert_eq!(overridden.voice, defaults.voice);
    assert_eq!(overridden.speed, None);
    assert_eq!(
        overridden.turn_detection,
        session(
            json!({ "turn_detection": { "type": "server_vad", "threshold": 0.4,
            "silence_duration_ms": 700 } })
        )
        .unwrap()
        .turn_detection
    );
    let transcription = overridden.transcription.unwrap();
    assert_eq!(transcription.model, Transcription::default().model);
    assert_eq!(transcription.language.as_deref(), Some("fr"));
    // Another type shares no fields with the one before it.
    let semantic = defaults
        .with_overrides(&map(json!({ "turn_detection": "semantic_vad" })))
        .unwrap();
    assert_eq!(semantic.turn_detection, TurnDetection::default());
}

#[test]
fn what_is_off_stays_off_until_it_is_set_again() {
    let off = session(json!({ "transcription": null, "noise_reduction": "off" })).unwrap();
    let still = off.with_overrides(&Map::new()).unwrap();
    assert_eq!((still.transcription, still.noise_reduction), (None, None));
    let on = off
        .with_overrides(&map(json!({ "language": "de" })))
        .unwrap();
    assert_eq!(
        on.transcription.unwrap().model,
        Transcription::default().model
    );
}

#[test]
fn the_names_of_the_python_original_are_understood() {
    let python = session(
        json!({ "codec": "pcma", "stt_model": "whisper-1", "language": "fr",
        "transcription_prompt": "Foo", "noise_reduction": "near_field", "speed": 1.1,
        "turn_detection_type": "server_vad", "interrupt_response": false, "create_response": true,
        "threshold": 0.5, "silence_duration_ms": 500, "prefix_padding_ms": 300,
        "idle_timeout_ms": 6000, "reasoning_effort": "low", "image_detail": "auto" }),
    );
    let own = session(json!({ "input_codec": "pcma", "output_codec": "pcma",
        "transcription": { "model": "whisper-1", "language": "fr", "prompt": "Foo" },
        "noise_reduction": { "type": "near_field" }, "speed": 1.1,
        "turn_detection": { "type": "server_vad", "interrupt_response": false,
            "create_response": true, "threshold": 0.5, "silence_duration_ms": 500,
            "prefix_padding_ms": 300, "idle_timeout_ms": 6000 },
        "reasoning_effort": "low", "image_detail": "auto" }));
    assert_eq!(python.unwrap(), own.unwrap());
    assert!(matches!(
        session(json!({ "eagerness": "low" }))
            .unwrap()
            .turn_detection,
        TurnDetection::SemanticVad {
            eagerness: Some(_),
            ..
        }
    ));
}

#[test]
fn a2_capabilities_follow_the_settings() {
    let of = |overrides| session(overrides).unwrap().capabilities();
    let plain = of(json!({}));
    assert_eq!((plain.input_rate, plain.output_rate), (24_000, 24_000));
    assert_eq!(plain.continuation, Continuation::Explicit);
    assert!(plain.interrupts_itself && plain.heeds_interruptions);
    assert!(plain.truncates && plain.transcribes_user);
    assert_eq!(plain.updates.voice, UpdateWay::LiveUntilVoice);
    assert!(plain.updates.tools == UpdateWay::Live && plain.images);
    assert!(!plain.manual_turns && of(json!({ "turn_detection": null })).manual_turns);
    let mixed = of(json!({ "output_codec": "pcmu" }));
    assert_eq!((mixed.input_rate, mixed.output_rate), (24_000, 8_000));
    assert!(!of(json!({ "turn_detection": null })).interrupts_itself);
    assert!(!of(json!({ "interrupt_response": false })).interrupts_itself);
    assert!(!of(json!({ "transcription": "off" })).transcribes_user);
    assert_eq!(AudioCodec::Pcma.rate(), 8_000);
}

#[test]
fn x1_debug_shows_no_secret() {
    let config = json!({ "api_key": "secret-1", "headers": { "x-tenant": "secret-2" },
        "base_url": "wss://host/realtime?key=secret-3", "proxy": "http://me:secret-6@proxy:3128" });
    let config: OpenAIConfig = serde_json::from_value(config).unwrap();
    let provider = OpenAIRealtimeProvider::new(config.clone()).unwrap();
    for shown in [format!("{config:?}"), format!("{provider:#?}")] {
        assert!(shown.contains("wss://host/realtime"), "{shown}");
        assert!(!shown.contains("secret-"), "{shown}");
    }
    let config = json!({ "base_url": "wss://user:secret-4@host/path?key=secret-5" });
    let config: OpenAIConfig = serde_json::from_value(config).unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("\"wss://host/path\""), "{shown}");
    assert!(!shown.contains("secret-"), "{shown}");
}

#[test]
fn x1_a_key_that_is_no_string_is_refused_without_being_shown() {
    for config in [
        json!({"api_key": 47_114_711}),
        json!({"headers": {"x-key": 47_114_711}}),
    ] {
        let error = serde_json::from_value::<OpenAIConfig>(config).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("must be a string"), "{error}");
        assert!(!error.contains("4711"), "{error}");
    }
}

#[test]
fn no_key_is_needed_where_none_is_sent() {
    let config = json!({ "auth_header": "", "api_key_env": "ROOMKIT_TEST_NO_SUCH_VARIABLE",
        "base_url": "ws://localhost:8080/v1/realtime" });
    assert!(build(config).is_ok());
    // An environment variable that Cargo always sets.
    assert!(build(json!({ "api_key_env": "CARGO_PKG_NAME" })).is_ok());
}

#[test]
fn s5_how_a_setting_of_a_live_session_changes_depends_on_what_the_engine_was_told() {
    let setup = SessionSetup::new("s".into());
    let defaults = OpenAISessionConfig::default();
    let encoder = Encoder::new(Dialect::OpenAI, &defaults, &setup).unwrap();
    let way = |settings: Value| {
        let update = SessionUpdate {
            provider_config: settings.as_object().cloned(),
            ..SessionUpdate::default()
        };
        let support = encoder.check_update(&update);
        support.map(|support| support.provider_config)
    };
    assert_eq!(way(json!({"speed": 1.2})), Ok(UpdateWay::NewConnection));
    assert_eq!(way(json!({"speed": null})), Ok(UpdateWay::Live));
    assert_eq!(way(json!({"eagerness": "low"})), Ok(UpdateWay::Live));
    assert_eq!(way(json!({"codec": "pcmu"})), Ok(UpdateWay::NewConnection));
    let off = way(json!({"turn_detection": null}));
    assert_eq!(off, Ok(UpdateWay::NewConnection));
    let error = way(json!({"speed": 9})).unwrap_err().to_string();
    assert!(error.contains("provider_config.speed"), "{error}");
    // It has a way of its own, and a voice that is set there would win.
    let error = way(json!({"voice": "cedar"})).unwrap_err().to_string();
    assert!(error.contains("provider_config.voice"), "{error}");
}

#[test]
fn s5_changes_are_layers_over_what_the_session_began_with() {
    let mut setup = SessionSetup::new("s".into());
    let map = |value: Value| value.as_object().cloned().unwrap();
    setup.provider_config = map(json!({"speed": 1.1, "codec": "pcmu"}));
    setup.provider_changes = vec![
        map(json!({"input_codec": "pcm"})),
        map(json!({"speed": 1.2})),
    ];
    let defaults = OpenAISessionConfig::default();
    let encoder = Encoder::new(Dialect::OpenAI, &defaults, &setup).unwrap();
    let capabilities = encoder.session().capabilities();
    assert_eq!(
        (capabilities.input_rate, capabilities.output_rate),
        (24_000, 8000)
    );
    assert_eq!(encoder.session().speed, Some(1.2));
}
