//! Which model takes what.

use roomkit_core::provider::SessionSetup;
use roomkit_provider_gemini::{GeminiSessionConfig, ModelFamily, Target, protocol::Encoder};
use serde_json::{Value, json};

use crate::support::{LIVE_31, LIVE_38, NATIVE_25, TRANSCRIBE, TRANSLATE, build, map};

const THINKING_38: &str = "gemini-3.8-live-extended-thinking";

/// The same settings, given to the provider and given to a session.
fn try_both(target: &Target, provider: Value, session: &Value) -> [Result<(), String>; 2] {
    let mut provider = provider;
    provider["session"] = session.clone();
    let mut setup = SessionSetup::new("session".into());
    setup.provider_config = map(session.clone());
    let encoder = Encoder::new(target, &GeminiSessionConfig::default(), &setup);
    [
        build(provider).map(|_| ()),
        encoder.map(|_| ()).map_err(|error| error.to_string()),
    ]
}

fn vertex() -> Value {
    let auth = json!({ "kind": "vertex", "project": "p", "location": "us-central1", "token": "t" });
    json!({ "auth": auth })
}

fn try_model(model: &str, session: &Value) -> [Result<(), String>; 2] {
    let config = json!({ "api_key": "k", "model": model });
    // Extended thinking wants a level, whatever else is said.
    let mut session = session.clone();
    if model == THINKING_38 && session.get("thinking_level").is_none() {
        session["thinking_level"] = "low".into();
    }
    try_both(&Target::gemini_api(model), config, &session)
}

#[test]
fn every_key_in_range_and_out_of_it() {
    let table: &[(&str, Value, Value, &str)] = &[
        ("voice", json!("Aoede"), json!(" "), "is empty"),
        ("language", json!("fr-FR"), json!(""), "is empty"),
        ("top_p", json!(0.9), json!(1.1), "is 1.1; use 0 to 1"),
        ("top_k", json!(40), json!(0), "is 0; use 1 to"),
        (
            "max_output_tokens",
            json!(512),
            json!(65_537),
            "is 65537; use 1 to 65536",
        ),
        ("seed", json!(-7), json!("x"), "invalid type"),
        (
            "presence_penalty",
            json!(-2),
            json!(2.5),
            "is 2.5; use -2 to 2",
        ),
        (
            "frequency_penalty",
            json!(2),
            json!(-3),
            "is -3; use -2 to 2",
        ),
        (
            "enable_affective_dialog",
            json!(true),
            json!("yes"),
            "invalid type",
        ),
        (
            "thinking_budget",
            json!(-1),
            json!(-2),
            "is -2; use -1 to 32768",
        ),
        (
            "thinking_level",
            json!("medium"),
            json!("deep"),
            "is `deep`; use `minimal`, `low`",
        ),
        ("include_thoughts", json!(true), json!(1), "invalid type"),
        ("proactive_audio", json!(true), json!(1), "invalid type"),
        ("proactive_video", json!(true), json!(1), "invalid type"),
        (
            "response_modalities",
            json!(["audio"]),
            json!(["AUDIO", "TEXT"]),
            "holds 2 entries",
        ),
        (
            "response_modalities",
            json!("text"),
            json!(["smell"]),
            "is `smell`; use `audio`, `text`",
        ),
        (
            "media_resolution",
            json!("HIGH"),
            json!("4k"),
            "is `4k`; use `low`",
        ),
        ("server_vad", json!(false), json!("off"), "invalid type"),
        (
            "start_of_speech_sensitivity",
            json!("Low"),
            json!("LOWER"),
            "is `LOWER`; use `high`, `low`",
        ),
        (
            "start_of_speech_sensitivity",
            json!("START_SENSITIVITY_HIGH"),
            json!("END_SENSITIVITY_HIGH"),
            "use `high`",
        ),
        (
            "end_of_speech_sensitivity",
            json!("end_sensitivity_low"),
            json!("medium"),
            "use `high`, `low`",
        ),
        (
            "silence_duration_ms",
            json!(500),
            json!(60_001),
            "is 60001; use 0 to 60000",
        ),
        ("prefix_padding_ms", json!(0), json!(-1), "invalid value"),
        ("no_interruption", json!(true), json!("no"), "invalid type"),
        (
            "turn_coverage",
            json!("turn_includes_all_input"),
            json!("all"),
            "is `all`; use",
        ),
        (
            "input_transcription",
            json!({ "mode": "verbatim" }),
            json!({ "model": "x" }),
            "unknown field `model`",
        ),
        (
            "input_transcription",
            json!(true),
            json!("on"),
            "invalid type",
        ),
        (
            "output_transcription",
            json!(false),
            json!({}),
            "invalid type",
        ),
        (
            "tool_behavior",
            json!("NON_BLOCKING"),
            json!("async"),
            "is `async`; use `blocking`",
        ),
        ("google_search", json!(true), json!("x"), "invalid type"),
        (
            "session_resumption",
            json!(false),
            json!({}),
            "invalid type",
        ),
        (
            "context_compression",
            json!("off"),
            json!({ "trigger_tokens": 0 }),
            "context_compression.trigger_tokens: is 0; use 1 to 131072",
        ),
        (
            "context_compression",
            json!({ "trigger_tokens": 10, "target_tokens": 9 }),
            json!({ "trigger_tokens": 10, "target_tokens": 10 }),
            "target_tokens: is 10; use 0 to 9",
        ),
        (
            "translation",
            json!({ "target_language": "fr" }),
            json!({ "target_language": " " }),
            "translation.target_language: is empty",
        ),
        (
            "safety_settings",
            json!([{ "category": "c", "threshold": "t" }]),
            json!([{}]),
            "missing field",
        ),
        (
            "labels",
            json!({ "a": "b" }),
            json!({ "a": 1 }),
            "invalid type",
        ),
    ];
    for (key, good, bad, expected) in table {
        for result in try_model("a-model-of-tomorrow", &json!({ *key: good })) {
            assert_eq!(result, Ok(()), "{key}: {good}");
        }
        for result in try_model("a-model-of-tomorrow", &json!({ *key: bad })) {
            let error = result.unwrap_err();
            assert!(error.contains(key), "{error}");
            assert!(error.contains(expected), "{key}: {error}");
        }
    }
    for result in try_model(LIVE_38, &json!({ "top_q": 1 })) {
        assert!(result.unwrap_err().contains("top_q: unknown field `top_q`"));
    }
    let both = json!({ "thinking_budget": 0, "thinking_level": "low" });
    for result in try_model("a-model-of-tomorrow", &both) {
        assert!(result.unwrap_err().contains("models take one of the two"));
    }
}

#[test]
fn every_model_takes_its_own_settings_and_names_the_others() {
    let models = [
        NATIVE_25,
        LIVE_31,
        LIVE_38,
        THINKING_38,
        TRANSLATE,
        TRANSCRIBE,
    ];
    let table: &[(Value, &[&str])] = &[
        (json!({ "enable_affective_dialog": true }), &[NATIVE_25]),
        (json!({ "enable_affective_dialog": false }), &models),
        (
            json!({ "proactive_audio": true }),
            &[NATIVE_25, LIVE_38, THINKING_38],
        ),
        (
            json!({ "proactive_audio": false }),
            &[NATIVE_25, LIVE_31, TRANSLATE, TRANSCRIBE],
        ),
        (json!({ "proactive_video": true }), &[NATIVE_25]),
        (json!({ "thinking_budget": 0 }), &[NATIVE_25]),
        (json!({ "thinking_level": "low" }), &[LIVE_31, THINKING_38]),
        (json!({ "thinking_level": "minimal" }), &[LIVE_31]),
        (json!({ "thinking_level": "xhigh" }), &[]),
        (
            json!({ "include_thoughts": true }),
            &[NATIVE_25, LIVE_31, THINKING_38],
        ),
        (json!({ "response_modalities": ["TEXT"] }), &[TRANSCRIBE]),
        (
            json!({ "translation": { "target_language": "fr" } }),
            &[TRANSLATE],
        ),
        (
            json!({ "google_search": true }),
            &[NATIVE_25, LIVE_31, LIVE_38, THINKING_38],
        ),
        (
            json!({ "tool_behavior": "blocking" }),
            &[NATIVE_25, LIVE_31, LIVE_38],
        ),
        (
            json!({ "tool_behavior": "non_blocking" }),
            &[NATIVE_25, LIVE_31, LIVE_38, THINKING_38],
        ),
        (
            json!({ "tool_scheduling": "when_idle" }),
            &[LIVE_38, THINKING_38],
        ),
        (
            json!({ "tool_behavior": "non_blocking", "tool_scheduling": "interrupt" }),
            &[NATIVE_25, LIVE_31, LIVE_38, THINKING_38],
        ),
        (
            json!({ "server_vad": false, "turn_coverage": "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO" }),
            &[NATIVE_25, LIVE_38, THINKING_38, TRANSLATE, TRANSCRIBE],
        ),
        (json!({ "explicit_vad_signal": true }), &[]),
        (json!({ "transparent_resumption": true }), &[]),
        (json!({ "labels": { "a": "b" } }), &models),
        (
            json!({ "top_p": 0.9, "seed": 1, "no_interruption": true, "language": "de-DE" }),
            &models,
        ),
    ];
    for (session, taken_by) in table {
        for model in models {
            for result in try_model(model, session) {
                let is_taken = taken_by.contains(&model);
                assert_eq!(result.is_ok(), is_taken, "{model} {session}: {result:?}");
                if let Err(error) = result {
                    let names_both = session
                        .as_object()
                        .unwrap()
                        .keys()
                        .any(|key| error.contains(key.as_str()));
                    assert!(names_both, "{error}");
                    assert!(
                        error.contains("leave it out")
                            || error.contains("use ")
                            || error.contains("set "),
                        "{error}"
                    );
                }
            }
        }
    }
    let [provider, session] = try_model(LIVE_38, &json!({ "thinking_budget": 0 }));
    let problem = "thinking_budget: is 0, which `gemini-3.8-live` does not take; leave it out; 3.1 \
                   and extended thinking models take `thinking_level`";
    assert_eq!(provider.unwrap_err(), format!("session.{problem}"));
    assert_eq!(session.unwrap_err(), format!("provider_config.{problem}"));
    let missing = build(json!({ "api_key": "k", "model": THINKING_38 })).map(|_| ());
    assert_eq!(
        missing.unwrap_err(),
        format!(
            "session.thinking_level: is missing; `{THINKING_38}` wants `low`, `medium` or `high`"
        )
    );
}

#[test]
fn vertex_has_settings_of_its_own() {
    let table = [
        (
            json!({ "explicit_vad_signal": true, "transparent_resumption": true }),
            None,
        ),
        (
            json!({ "labels": { "a": "b" } }),
            Some("labels: are set, which Vertex AI does not take"),
        ),
        (
            json!({ "turn_coverage": "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO" }),
            Some("turn_coverage: is TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO, which"),
        ),
    ];
    for (session, expected) in table {
        let mut config = vertex();
        config["model"] = LIVE_38.into();
        let target = Target::vertex(LIVE_38, "p", "us-central1");
        for result in try_both(&target, config.clone(), &session) {
            match expected {
                None => assert_eq!(result, Ok(()), "{session}"),
                Some(expected) => assert!(result.unwrap_err().contains(expected), "{session}"),
            }
        }
    }
}

#[test]
fn families_go_by_the_models_id() {
    for (model, family) in [
        (NATIVE_25, ModelFamily::NativeAudio25),
        (
            "models/gemini-2.5-flash-native-audio-latest",
            ModelFamily::NativeAudio25,
        ),
        ("gemini-live-2.5-flash-native-audio", ModelFamily::Vertex25),
        (
            "projects/p/locations/l/publishers/google/models/gemini-3.8-live",
            ModelFamily::Live38,
        ),
        (LIVE_31, ModelFamily::Live31),
        (THINKING_38, ModelFamily::Live38Thinking),
        (TRANSLATE, ModelFamily::Translate),
        (
            "gemini-3.5-transcribe-live-preview",
            ModelFamily::Transcribe,
        ),
        ("gemini-4-live", ModelFamily::Unknown),
    ] {
        assert_eq!(ModelFamily::of(model), family, "{model}");
    }
}
