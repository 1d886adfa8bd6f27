//! Commands in, exact JSON out, and the setup in all its variants.
#![allow(clippy::unwrap_used)]

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use roomkit_core::{
    id::CallId,
    provider::{
        HistoryItem, ProviderCommand, ProviderErrorKind, ProviderEvent, ResumeToken, Role,
        SessionSetup, SessionUpdate,
    },
    tool::ToolDefinition,
};
use roomkit_provider_gemini::{GeminiSessionConfig, Redactor, Target, protocol::Encoder};
use serde_json::{Map, Value, json};

const NATIVE_25: &str = "gemini-2.5-flash-native-audio-preview-12-2025";
const LIVE_31: &str = "gemini-3.1-flash-live-preview";
const LIVE_38: &str = "gemini-3.8-live";

fn setup(config: Value) -> SessionSetup {
    let mut setup = SessionSetup::new("session".into());
    setup.provider_config = serde_json::from_value(config).unwrap();
    setup
}

fn encoder(model: &str, config: Value) -> Encoder {
    let defaults = GeminiSessionConfig::default();
    Encoder::new(&Target::gemini_api(model), &defaults, &setup(config)).unwrap()
}

fn frames(encoder: &mut Encoder, command: &ProviderCommand) -> Vec<Value> {
    let mut frames = VecDeque::new();
    encoder.encode(command, &mut frames).unwrap();
    let frames = frames.iter();
    frames
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect()
}

fn refusal(encoder: &mut Encoder, command: &ProviderCommand) -> (ProviderErrorKind, String) {
    let error = encoder.encode(command, &mut VecDeque::new()).unwrap_err();
    (error.kind(), error.message().to_owned())
}

fn setup_message(target: &Target, setup: &SessionSetup) -> Value {
    let encoder = Encoder::new(target, &GeminiSessionConfig::default(), setup).unwrap();
    let frame: Value = serde_json::from_str(&encoder.setup(setup).unwrap()).unwrap();
    frame["setup"].clone()
}

fn text(role: Role, text: &str, respond: bool) -> ProviderCommand {
    let text = text.to_owned();
    ProviderCommand::Text {
        role,
        text,
        respond,
    }
}

fn audio() -> ProviderCommand {
    ProviderCommand::Audio(Bytes::from_static(&[0, 0, 1, 0, 2, 0, 3, 0]))
}

fn image(mime_type: &str, prompt: Option<&str>, respond: bool) -> ProviderCommand {
    ProviderCommand::Image {
        mime_type: mime_type.into(),
        data: Bytes::from_static(&[0xff, 0xd8, 0xff]),
        prompt: prompt.map(str::to_owned),
        respond,
    }
}

fn result(call_id: &str, output: &str, is_error: bool) -> ProviderCommand {
    ProviderCommand::ToolResult {
        call_id: CallId::from(call_id),
        name: "get_weather".into(),
        output: output.into(),
        is_error,
    }
}

// ----- the setup

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
    setup.tools = vec![
        ToolDefinition::new(
            "get_weather",
            "Weather by city",
            json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] }),
        ),
        ToolDefinition::new("hang_up", "", json!({ "type": "object", "properties": {} })),
    ];
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

// ----- the history

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
            let announced = frame["setup"].get("historyConfig").cloned();
            let expected = json!({ "initialHistoryInClientContent": true });
            assert_eq!(announced, is_seed.then_some(expected), "{model}");
            let frame = encoder.history(&setup).unwrap().unwrap();
            let frame: Value = serde_json::from_str(&frame).unwrap();
            let content = json!({ "turns": turns, "turnComplete": is_seed });
            assert_eq!(frame, json!({ "clientContent": content }), "{model}");
        }
    }
    let nothing = setup(json!({}));
    assert_eq!(encoder(LIVE_31, json!({})).history(&nothing).unwrap(), None);
}

// ----- commands

#[test]
fn audio_names_its_rate() {
    let mut encoder = encoder(LIVE_38, json!({}));
    let mut sent = VecDeque::new();
    encoder.encode(&audio(), &mut sent).unwrap();
    assert_eq!(
        sent,
        [
            r#"{"realtimeInput":{"audio":{"data":"AAABAAIAAwA=","mimeType":"audio/pcm;rate=16000"}}}"#
        ]
    );
    assert_eq!(
        frames(&mut encoder, &ProviderCommand::Audio(Bytes::new())),
        [] as [Value; 0]
    );
}

#[test]
fn text_goes_the_way_of_its_model() {
    use Role::{Assistant, System, User};
    let content = |role: &str, text: &str, complete: bool| {
        json!({ "clientContent": { "turns": [{ "role": role, "parts": [{ "text": text }] }],
            "turnComplete": complete } })
    };
    let live = |text: &str| json!({ "realtimeInput": { "text": text } });
    let words = [
        (User, true, content("user", "x", true), live("x")),
        (System, true, content("user", "x", true), live("x")),
        (
            Assistant,
            true,
            content("model", "x", true),
            live("[Assistant previously said] x"),
        ),
        (
            System,
            false,
            content("user", "x", false),
            live("[Context update, do not respond to this] x"),
        ),
        (
            Assistant,
            false,
            content("model", "x", false),
            live("[Context update, do not respond to this] [Assistant previously said] x"),
        ),
    ];
    // Before any audio, and after it.
    let models = [
        (LIVE_38, true, true),
        (NATIVE_25, true, false),
        ("something-new", true, false),
        (LIVE_31, false, false),
    ];
    for (model, before, after) in models {
        for (role, respond, as_content, as_live) in &words {
            let mut encoder = encoder(model, json!({}));
            let command = text(*role, "x", *respond);
            let chosen = |is_content| if is_content { as_content } else { as_live };
            assert_eq!(
                frames(&mut encoder, &command),
                [chosen(before).clone()],
                "{model}"
            );
            frames(&mut encoder, &audio());
            assert_eq!(
                frames(&mut encoder, &command),
                [chosen(after).clone()],
                "{model}"
            );
        }
    }
}

#[test]
fn text_is_made_fit_first() {
    let mut encoder = encoder(LIVE_31, json!({}));
    let sent = |encoder: &mut Encoder, said: &str| {
        let frames = frames(encoder, &text(Role::User, said, true));
        frames
            .first()
            .map(|frame| frame["realtimeInput"]["text"].as_str().unwrap().to_owned())
    };
    for nothing in ["", "  \n", "\u{0}\u{1b}\u{7f}\u{85}"] {
        assert_eq!(sent(&mut encoder, nothing), None, "{nothing:?}");
    }
    assert_eq!(
        sent(&mut encoder, "a\u{0}\tb\r\n\u{9b}c").unwrap(),
        "a\tb\r\nc"
    );
    let whole = "ä".repeat(32_000);
    assert_eq!(sent(&mut encoder, &whole).unwrap(), whole);
    let cut = sent(&mut encoder, &format!("{whole}ä")).unwrap();
    assert_eq!(cut, format!("{whole} [the rest of this text was cut off]"));
}

#[test]
fn images_are_video_once_there_was_audio() {
    let blob = |mime: &str| json!({ "data": "/9j/", "mimeType": mime });
    let mut early = encoder(NATIVE_25, json!({}));
    let parts = json!([{ "inlineData": blob("image/png") }, { "text": "What is it?" }]);
    assert_eq!(
        frames(&mut early, &image("image/png", Some("What is it?"), true)),
        [
            json!({ "clientContent": { "turns": [{ "role": "user", "parts": parts }],
            "turnComplete": true } })
        ]
    );
    let video = json!({ "realtimeInput": { "video": blob("image/jpeg") } });
    let question = json!({ "realtimeInput": { "text": "What is it?" } });
    let nudge = json!({ "realtimeInput": { "text": "." } });
    let quiet = "[Context update, do not respond to this] A photo.";
    let quiet = json!({ "realtimeInput": { "text": quiet } });
    for model in [NATIVE_25, LIVE_31] {
        let mut encoder = encoder(model, json!({}));
        frames(&mut encoder, &audio());
        let table = [
            (
                image("image/jpg", Some("What is it?"), true),
                vec![&video, &question],
            ),
            (
                image("IMAGE/JPEG", Some("A photo."), false),
                vec![&video, &quiet],
            ),
            (image("image/jpeg", None, true), vec![&video, &nudge]),
            (image("image/jpeg", Some("\u{0}"), false), vec![&video]),
        ];
        for (command, expected) in table {
            let expected: Vec<Value> = expected.into_iter().cloned().collect();
            assert_eq!(frames(&mut encoder, &command), expected, "{model}");
        }
        let (kind, message) = refusal(&mut encoder, &image("image/gif", None, true));
        assert_eq!(kind, ProviderErrorKind::InvalidRequest);
        assert_eq!(
            message,
            "the image is `image/gif`; the model sees `image/jpeg` and `image/png`"
        );
    }
    let mut newest = encoder(LIVE_38, json!({}));
    frames(&mut newest, &audio());
    let ask = json!({ "clientContent": { "turnComplete": true } });
    assert_eq!(
        frames(&mut newest, &image("image/jpeg", None, true)),
        [video, ask]
    );
}

#[test]
fn k6_results_are_objects_under_their_calls_id_and_name() {
    let response = |id: Value, response: Value| {
        let mut result = json!({ "id": id, "name": "get_weather", "response": response });
        if id.is_null() {
            result.as_object_mut().unwrap().remove("id");
        }
        json!({ "toolResponse": { "functionResponses": [result] } })
    };
    let table = [
        ("{\"temp_c\":3}", false, json!({ "temp_c": 3 })),
        ("{\"error\":\"no\"}", true, json!({ "error": "no" })),
        ("[1,2]", false, json!({ "result": [1, 2] })),
        ("3", false, json!({ "result": 3 })),
        ("null", false, json!({ "result": null })),
        ("sunny", false, json!({ "result": "sunny" })),
        ("", false, json!({ "result": "" })),
        ("timeout", true, json!({ "error": "timeout" })),
        ("{\"code\":5}", true, json!({ "error": { "code": 5 } })),
        ("{\"cut", false, json!({ "result": "{\"cut" })),
        // Control characters, and half a character, close the connection.
        ("{\"a\":[\"x\\u0000y\"]}", false, json!({ "a": ["xy"] })),
        ("\"\\ud800\"", false, json!({ "result": "\"\\ud800\"" })),
    ];
    let mut encoder = encoder(NATIVE_25, json!({}));
    for (output, is_error, expected) in table {
        let sent = frames(&mut encoder, &result("call-1", output, is_error));
        assert_eq!(sent, [response(json!("call-1"), expected)], "{output}");
    }
    // An id that the vendor did not give is not given to it.
    let call = json!({ "toolCall": { "functionCalls": [{ "name": "get_weather" }] } });
    let mut events = VecDeque::new();
    let mut decoder = encoder.decoder(Redactor::default());
    decoder.decode(call.to_string().as_bytes(), &mut events);
    let Some(ProviderEvent::ToolCall { call_id, .. }) = events.pop_front() else {
        panic!("no call")
    };
    let sent = frames(&mut encoder, &result(call_id.as_str(), "{}", false));
    assert_eq!(sent, [response(Value::Null, json!({}))]);
}

#[test]
fn scheduling_stands_beside_the_response_of_calls_nobody_waits_for() {
    for (model, config) in [
        (LIVE_38, json!({ "tool_scheduling": "silent" })),
        (
            NATIVE_25,
            json!({ "tool_behavior": "non-blocking", "tool_scheduling": "SILENT" }),
        ),
    ] {
        let sent = frames(&mut encoder(model, config), &result("c", "{}", false));
        let expected =
            json!({ "id": "c", "name": "get_weather", "response": {}, "scheduling": "SILENT" });
        assert_eq!(
            sent[0]["toolResponse"]["functionResponses"],
            json!([expected])
        );
    }
}

#[test]
fn an_answer_that_is_owed_is_asked_for() {
    let ask = json!({ "clientContent": { "turnComplete": true } });
    let nudge = json!({ "realtimeInput": { "text": "." } });
    for (model, before, after) in [
        (LIVE_38, &ask, &ask),
        (NATIVE_25, &ask, &nudge),
        (LIVE_31, &nudge, &nudge),
    ] {
        let mut encoder = encoder(model, json!({}));
        assert_eq!(
            frames(&mut encoder, &ProviderCommand::Respond),
            [before.clone()]
        );
        frames(&mut encoder, &audio());
        assert_eq!(
            frames(&mut encoder, &ProviderCommand::Respond),
            [after.clone()]
        );
    }
}

#[test]
fn activities_are_for_manual_turns() {
    let start = json!({ "realtimeInput": { "activityStart": {} } });
    let end = json!({ "realtimeInput": { "activityEnd": {} } });
    let mut manual = encoder(LIVE_38, json!({ "server_vad": false }));
    let nothing: [Value; 0] = [];
    assert_eq!(
        frames(&mut manual, &ProviderCommand::ActivityStart),
        [start.clone()]
    );
    assert_eq!(
        frames(&mut manual, &ProviderCommand::ActivityEnd),
        [end.clone()]
    );
    // The end of an activity asks for the answer by itself.
    assert_eq!(frames(&mut manual, &ProviderCommand::Respond), nothing);
    assert_eq!(frames(&mut manual, &ProviderCommand::Respond).len(), 1);
    assert_eq!(
        frames(&mut manual, &ProviderCommand::CancelResponse),
        [start, end]
    );

    let mut automatic = encoder(LIVE_38, json!({}));
    assert_eq!(
        frames(&mut automatic, &ProviderCommand::CancelResponse),
        nothing
    );
    for command in [ProviderCommand::ActivityStart, ProviderCommand::ActivityEnd] {
        let (kind, message) = refusal(&mut automatic, &command);
        assert_eq!(kind, ProviderErrorKind::Unsupported);
        assert!(message.contains("`server_vad`"), "{message}");
    }
}

#[test]
fn a_live_session_is_changed_where_the_model_can() {
    let tools = vec![ToolDefinition::new("hang_up", "", json!({}))];
    let update = SessionUpdate {
        system_prompt: Some("Now speak French.".into()),
        tools: Some(tools),
        ..SessionUpdate::default()
    };
    let mut newest = encoder(LIVE_38, json!({}));
    assert_eq!(
        frames(&mut newest, &ProviderCommand::Update(update.clone())),
        [json!({ "contextUpdate": {
            "systemInstruction": { "parts": [{ "text": "Now speak French." }] },
            "tools": { "tools": [{ "functionDeclarations": [{ "name": "hang_up" }] }] } } })]
    );
    let no_tools = SessionUpdate {
        tools: Some(Vec::new()),
        ..SessionUpdate::default()
    };
    assert_eq!(
        frames(&mut newest, &ProviderCommand::Update(no_tools)),
        [json!({ "contextUpdate": { "tools": { "tools": [] } } })]
    );
    let nothing = ProviderCommand::Update(SessionUpdate::default());
    assert_eq!(frames(&mut newest, &nothing), [] as [Value; 0]);
    for (field, change) in [
        (
            "voice",
            SessionUpdate {
                voice: Some("Kore".into()),
                ..SessionUpdate::default()
            },
        ),
        (
            "temperature",
            SessionUpdate {
                temperature: Some(1.0),
                ..SessionUpdate::default()
            },
        ),
        (
            "provider_config",
            SessionUpdate {
                provider_config: Some(Map::new()),
                ..SessionUpdate::default()
            },
        ),
    ] {
        let (kind, message) = refusal(&mut newest, &ProviderCommand::Update(change));
        assert_eq!(kind, ProviderErrorKind::Unsupported);
        assert!(message.contains(field), "{message}");
    }
    let (kind, message) = refusal(
        &mut encoder(LIVE_31, json!({})),
        &ProviderCommand::Update(update),
    );
    assert_eq!(kind, ProviderErrorKind::Unsupported);
    assert!(message.contains(LIVE_31), "{message}");
}

#[test]
fn what_there_is_no_message_for_is_unsupported() {
    let mut encoder = encoder("gemini-3.5-live-translate-preview", json!({}));
    let truncate = ProviderCommand::Truncate {
        item_id: "i".into(),
        content_index: 0,
        heard: Duration::ZERO,
    };
    let commands = [
        truncate,
        text(Role::User, "x", true),
        image("image/png", None, false),
        ProviderCommand::Respond,
        ProviderCommand::ActivityStart,
    ];
    for command in commands {
        let (kind, _) = refusal(&mut encoder, &command);
        assert_eq!(kind, ProviderErrorKind::Unsupported, "{command:?}");
    }
    let raw = json!({ "realtimeInput": { "audioStreamEnd": true } });
    assert_eq!(
        frames(&mut encoder, &ProviderCommand::Raw(raw.clone())),
        [raw]
    );
}

/// The vendor says `interrupted` in the same way whether the user spoke or we did.
#[test]
fn a3_an_interruption_of_our_own_making_is_no_speech() {
    let feed = |encoder: &mut Encoder, command: Option<ProviderCommand>| {
        let mut decoder = encoder.decoder(Redactor::default());
        let mut events = VecDeque::new();
        let sound = json!({ "inlineData": { "data": "AAA=" } });
        let sound = json!({ "serverContent": { "modelTurn": { "parts": [sound] } } });
        decoder.decode(sound.to_string().as_bytes(), &mut events);
        if let Some(command) = command {
            frames(encoder, &command);
        }
        let interrupted = json!({ "serverContent": { "interrupted": true } });
        decoder.decode(interrupted.to_string().as_bytes(), &mut events);
        events
            .iter()
            .any(|event| matches!(event, ProviderEvent::SpeechStarted { .. }))
    };
    let mut encoder = encoder(LIVE_38, json!({}));
    assert!(!feed(
        &mut encoder,
        Some(text(Role::System, "Be kind.", true))
    ));
    assert!(!feed(&mut encoder, Some(ProviderCommand::Respond)));
    assert!(feed(&mut encoder, None));
    assert!(feed(&mut encoder, Some(audio())));
}
