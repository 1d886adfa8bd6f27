//! The setup in all its variants, and what was said before it.

use roomkit_core::{
    provider::{HistoryItem, ResumeToken, Role, SessionSetup},
    tool::ToolDefinition,
};
use roomkit_provider_gemini::{GeminiSessionConfig, Target, protocol::Encoder};
use serde_json::{Value, json};

use crate::support::{LIVE_31, LIVE_38, NATIVE_25, encoder, setup};

fn setup_message(target: &Target, setup: &SessionSetup) -> Value {
    let encoder = Encoder::new(target, &GeminiSessionConfig::default(), setup).unwrap();
    let frame: Value = serde_json::from_str(&encoder.setup(setup).unwrap()).unwrap();
    frame["setup"].clone()
}

#[test]
fn a_setup_that_says_nothing_has_the_defaults() {
    let message = setup_message(&Target::gemini_api(LIVE_38), &setup(json!({})));
    let expected = json!({
        "model": "models/gemini-3.8-live",
        "generationConfig": { "responseModalities": ["AUDIO"] },
        "sessionResumption": {},
        "contextWindowCompression": { "slidingWindow": {} },
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    });
    assert_eq!(message, expected);
}

#[test]
fn a3_where_the_channel_allows_no_interruptions_the_vendor_is_told_so() {
    for config in [
        json!({}),
        json!({ "server_vad": false }),
        json!({ "no_interruption": true }),
        json!({ "no_interruption": null }),
    ] {
        let mut polite = setup(config.clone());
        polite.interruptions = false;
        for model in [NATIVE_25, LIVE_31, LIVE_38] {
            let message = setup_message(&Target::gemini_api(model), &polite);
            let told = &message["realtimeInputConfig"]["activityHandling"];
            assert_eq!(*told, json!("NO_INTERRUPTION"), "{model}: {config}");
        }
    }
}

#[test]
fn a3_no_setting_says_the_opposite_of_the_channel() {
    let mut polite = setup(json!({ "no_interruption": false }));
    polite.interruptions = false;
    let defaults = GeminiSessionConfig::default();
    let encoder = Encoder::new(&Target::gemini_api(LIVE_38), &defaults, &polite);
    let error = encoder.unwrap_err().to_string();
    for setting in ["no_interruption", "interruptions"] {
        assert!(error.contains(setting), "{error}");
    }
}

#[test]
fn every_key_has_its_place() {
    let mut setup = setup(json!({
        "language": "en-US", "top_p": 0.95, "top_k": 40, "max_output_tokens": 2048, "seed": 7,
        "enable_affective_dialog": true, "thinking_budget": 0, "include_thoughts": false,
        "proactive_audio": true, "proactive_video": true,
        "start_of_speech_sensitivity": "low", "end_of_speech_sensitivity": "END_SENSITIVITY_HIGH",
        "silence_duration_ms": 500, "prefix_padding_ms": 20, "no_interruption": true,
        "presence_penalty": 0.5, "frequency_penalty": -0.5, "media_resolution": "low",
        "turn_coverage": "turn_includes_only_activity", "tool_behavior": "non_blocking",
        "google_search": true, "labels": { "team": "a" },
        "context_compression": { "trigger_tokens": 25600, "target_tokens": 12800 },
        "input_transcription": { "language_codes": ["en-US"], "custom_vocabulary": ["roomkit"],
            "diarization": true, "word_timestamp": false, "mode": "smart" },
        "safety_settings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE" }],
    }));
    setup.system_prompt = Some("You answer\u{7} phone calls.".into());
    setup.voice = Some("Kore".into());
    setup.temperature = Some(0.7);
    setup.tools = [
        ToolDefinition::new(
            "get_weather",
            "Weather by city",
            json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] }),
        ),
        ToolDefinition::new("hang_up", "", json!({ "type": "object", "properties": {} })),
    ].into();
    let expected = json!({
        "model": format!("models/{NATIVE_25}"),
        "generationConfig": {
            "responseModalities": ["AUDIO"], "temperature": 0.7, "topP": 0.95, "topK": 40,
            "maxOutputTokens": 2048, "seed": 7, "presencePenalty": 0.5, "frequencyPenalty": -0.5,
            "mediaResolution": "MEDIA_RESOLUTION_LOW", "enableAffectiveDialog": true,
            "thinkingConfig": { "thinkingBudget": 0, "includeThoughts": false },
            "speechConfig": { "languageCode": "en-US",
                "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": "Kore" } } },
        },
        "systemInstruction": { "parts": [{ "text": "You answer phone calls." }] },
        "tools": [
            { "functionDeclarations": [
                { "name": "get_weather", "description": "Weather by city", "behavior": "NON_BLOCKING",
                  "parameters": { "type": "OBJECT", "properties": { "city": { "type": "STRING" } },
                      "required": ["city"] } },
                { "name": "hang_up", "behavior": "NON_BLOCKING" },
            ] },
            { "googleSearch": {} },
        ],
        "realtimeInputConfig": {
            "automaticActivityDetection": {
                "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                "prefixPaddingMs": 20, "silenceDurationMs": 500 },
            "activityHandling": "NO_INTERRUPTION",
            "turnCoverage": "TURN_INCLUDES_ONLY_ACTIVITY",
        },
        "sessionResumption": {},
        "contextWindowCompression": { "triggerTokens": 25600, "slidingWindow": { "targetTokens": 12800 } },
        "inputAudioTranscription": { "languageCodes": ["en-US"], "customVocabulary": ["roomkit"],
            "diarization": true, "wordTimestamp": false, "mode": "SMART" },
        "outputAudioTranscription": {},
        "proactivity": { "proactiveAudio": true, "proactiveVideo": true },
        "safetySettings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE" }],
        "labels": { "team": "a" },
    });
    assert_eq!(
        setup_message(&Target::gemini_api(NATIVE_25), &setup),
        expected
    );
}

#[test]
fn voices_are_spelled_as_the_vendor_does() {
    for (given, sent) in [
        ("kore", "Kore"),
        (" ZEPHYR ", "Zephyr"),
        ("en-us-tavi", "en-us-tavi"),
    ] {
        let mut setup = setup(json!({ "voice": "Puck" }));
        setup.voice = Some(given.into());
        let message = setup_message(&Target::gemini_api(LIVE_38), &setup);
        let speech = &message["generationConfig"]["speechConfig"];
        let name = &speech["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"];
        assert_eq!(name, sent);
    }
}

#[test]
fn what_is_off_is_left_out() {
    let off = json!({ "session_resumption": false, "context_compression": false,
        "input_transcription": null, "output_transcription": false, "proactive_audio": false,
        "enable_affective_dialog": false });
    let message = setup_message(&Target::gemini_api(NATIVE_25), &setup(off));
    let expected = json!({
        "model": format!("models/{NATIVE_25}"),
        "generationConfig": { "responseModalities": ["AUDIO"] },
    });
    assert_eq!(message, expected);
}

#[test]
fn manual_turns_leave_out_what_finds_speech() {
    let manual = json!({ "server_vad": false, "silence_duration_ms": 500 });
    let input = |model: &str| {
        let message = setup_message(&Target::gemini_api(model), &setup(manual.clone()));
        message["realtimeInputConfig"].clone()
    };
    let disabled = json!({ "automaticActivityDetection": { "disabled": true } });
    assert_eq!(input(LIVE_38), disabled);
    // By default this model would not hear what lies between the edges.
    let mut covered = disabled;
    covered["turnCoverage"] = "TURN_INCLUDES_ONLY_ACTIVITY".into();
    assert_eq!(input(LIVE_31), covered);
}

#[test]
fn other_models_and_services_have_their_own_settings() {
    let vertex = Target::vertex(
        "gemini-live-2.5-flash-native-audio",
        "my-project",
        "europe-west4",
    );
    let config = json!({ "explicit_vad_signal": true, "transparent_resumption": true });
    let mut resumed = setup(config);
    resumed.resume = Some(ResumeToken::new("handle-1"));
    let message = setup_message(&vertex, &resumed);
    assert_eq!(
        message["model"],
        "projects/my-project/locations/europe-west4/publishers/google/models/gemini-live-2.5-flash-native-audio"
    );
    assert_eq!(message["explicitVadSignal"], true);
    assert_eq!(
        message["sessionResumption"],
        json!({ "handle": "handle-1", "transparent": true })
    );
    let whole = "projects/p/locations/l/publishers/google/models/m";
    let message = setup_message(&Target::vertex(whole, "x", "y"), &setup(json!({})));
    assert_eq!(message["model"], whole);

    let level = json!({ "thinking_level": "High" });
    let message = setup_message(
        &Target::gemini_api("gemini-3.8-live-extended-thinking"),
        &setup(level),
    );
    assert_eq!(
        message["generationConfig"]["thinkingConfig"],
        json!({ "thinkingLevel": "HIGH" })
    );
    let translation =
        json!({ "translation": { "target_language": "fr", "echo_target_language": false } });
    let message = setup_message(
        &Target::gemini_api("models/gemini-3.5-live-translate-preview"),
        &setup(translation),
    );
    assert_eq!(message["model"], "models/gemini-3.5-live-translate-preview");
    assert_eq!(
        message["generationConfig"]["translationConfig"],
        json!({ "targetLanguageCode": "fr", "echoTargetLanguage": false })
    );
}

#[test]
fn h1_what_was_said_before_is_given_in_the_form_of_the_model() {
    let said = |role, text: &str| HistoryItem::Message {
        role,
        text: text.into(),
    };
    let history = vec![
        said(Role::User, "My name is Ann."),
        said(Role::System, "She is a member."),
        said(Role::Assistant, "Hi Ann."),
        said(Role::Assistant, "  "),
        HistoryItem::ToolCall {
            call_id: "c".into(),
            name: "lookup".into(),
            arguments: "{\"id\":1}".into(),
        },
        HistoryItem::ToolResult {
            call_id: "c".into(),
            name: "lookup".into(),
            output: "nothing".into(),
            is_error: false,
        },
    ];
    let turns = json!([
        { "role": "user", "parts": [{ "text": "My name is Ann." }, { "text": "She is a member." }] },
        { "role": "model", "parts": [{ "text": "Hi Ann." },
            { "text": "[Called the tool lookup with {\"id\":1}]" }] },
        { "role": "user", "parts": [{ "text": "[The tool lookup answered: nothing]" }] },
    ]);
    for (model, is_seed) in [
        (LIVE_38, false),
        (NATIVE_25, false),
        (LIVE_31, true),
        ("new", false),
    ] {
        for resume in [None, Some(ResumeToken::new("h"))] {
            let mut setup = setup(json!({}));
            setup.resume = resume;
            setup.history.clone_from(&history);
            let encoder = Encoder::new(
                &Target::gemini_api(model),
                &GeminiSessionConfig::default(),
                &setup,
            );
            let encoder = encoder.unwrap();
            let frame: Value = serde_json::from_str(&encoder.setup(&setup).unwrap()).unwrap();
            let instruction = &frame["setup"]["systemInstruction"]["parts"][0]["text"];
            // Spoken to first, it overlooks what it is told as content.
            let is_recapped = model == NATIVE_25 && setup.resume.is_none();
            let recap = "\nuser: My name is Ann.\nuser: She is a member.\nmodel: Hi Ann.";
            let text = instruction.as_str().unwrap_or_default();
            assert_eq!(text.contains(recap), is_recapped, "{model}: {text}");
            let announced = frame["setup"].get("historyConfig").cloned();
            let expected = json!({ "initialHistoryInClientContent": true });
            assert_eq!(announced, is_seed.then_some(expected), "{model}");
            let frame = encoder.history(&setup).unwrap().unwrap();
            let frame: Value = serde_json::from_str(&frame).unwrap();
            let content = json!({ "turns": turns, "turnComplete": is_seed });
            assert_eq!(frame, json!({ "clientContent": content }), "{model}");
        }
    }
    let mut unheard = setup(json!({}));
    unheard.history = history;
    let deaf = encoder("gemini-3.5-transcribe-live", json!({}));
    assert_eq!(deaf.history(&unheard).unwrap(), None);
    let nothing = setup(json!({}));
    assert_eq!(encoder(LIVE_31, json!({})).history(&nothing).unwrap(), None);
}
