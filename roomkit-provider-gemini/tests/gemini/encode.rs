//! Commands in, exact JSON out, and the setup in all its variants.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use roomkit_core::{
    id::CallId,
    provider::{ProviderCommand, ProviderErrorKind, ProviderEvent, Role, SessionUpdate},
    tool::{ToolDefinition, ToolRules},
};
use roomkit_provider_gemini::{GeminiSessionConfig, Redactor, Target, protocol::Encoder};
use serde_json::{Map, Value, json};

use crate::support::{LIVE_31, LIVE_38, NATIVE_25, encoder, setup};

fn frames(encoder: &mut Encoder, command: &ProviderCommand) -> Vec<Value> {
    let mut frames = VecDeque::new();
    encoder.encode(command, &mut frames).unwrap();
    let frames = frames.iter();
    frames
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect()
}

/// The one frame of a command.
fn frame(encoder: &mut Encoder, command: &ProviderCommand) -> Value {
    let mut frames = frames(encoder, command);
    assert_eq!(frames.len(), 1, "{frames:?}");
    frames.remove(0)
}

fn refusal(encoder: &mut Encoder, command: &ProviderCommand) -> (ProviderErrorKind, String) {
    let error = encoder.encode(command, &mut VecDeque::new()).unwrap_err();
    (error.kind(), error.message().to_owned())
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
        let silent = frames(&mut encoder, &text(Role::User, nothing, false));
        assert_eq!(silent, [] as [Value; 0], "{nothing:?}");
        // An answer is asked for all the same.
        assert_eq!(sent(&mut encoder, nothing).unwrap(), ".", "{nothing:?}");
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
        let nothing = ProviderCommand::Image {
            mime_type: "image/png".into(),
            data: Bytes::new(),
            prompt: None,
            respond: true,
        };
        let (kind, message) = refusal(&mut encoder, &nothing);
        assert_eq!(kind, ProviderErrorKind::InvalidRequest);
        assert!(message.contains("the image is empty"), "{message}");
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
        (
            "{\"a\\u0007\":[\"\\u0000y\"]}",
            false,
            json!({ "a": ["y"] }),
        ),
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
fn a_tool_during_which_the_model_may_speak_is_not_waited_for() {
    let mut setup = setup(json!({}));
    let parameters = json!({ "type": "object" });
    let tool = |name: &str| ToolDefinition::new(name, "", parameters.clone());
    let rules = ToolRules::new().speak_while_running(true);
    setup.tools = [tool("get_weather"), tool("book").rules(rules)].into();
    let defaults = GeminiSessionConfig::default();
    let encoder = Encoder::new(&Target::gemini_api(NATIVE_25), &defaults, &setup).unwrap();
    let sent: Value = serde_json::from_str(&encoder.setup(&setup).unwrap()).unwrap();
    assert_eq!(
        sent["setup"]["tools"][0]["functionDeclarations"],
        json!([{ "name": "get_weather" }, { "name": "book", "behavior": "NON_BLOCKING" }])
    );
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
        assert_eq!(frame(&mut encoder, &ProviderCommand::Respond), *before);
        frames(&mut encoder, &audio());
        assert_eq!(frame(&mut encoder, &ProviderCommand::Respond), *after);
    }
}

#[test]
fn activities_are_for_manual_turns() {
    let start = json!({ "realtimeInput": { "activityStart": {} } });
    let end = json!({ "realtimeInput": { "activityEnd": {} } });
    let mut manual = encoder(LIVE_38, json!({ "server_vad": false }));
    let nothing: [Value; 0] = [];
    assert_eq!(frame(&mut manual, &ProviderCommand::ActivityStart), start);
    assert_eq!(frame(&mut manual, &ProviderCommand::ActivityEnd), end);
    assert_eq!(
        frames(&mut manual, &ProviderCommand::CancelResponse),
        [start, end]
    );

    // What is open is not opened again, and has stopped the answer already.
    assert_eq!(frames(&mut manual, &ProviderCommand::ActivityEnd), nothing);
    frame(&mut manual, &ProviderCommand::ActivityStart);
    for command in [
        ProviderCommand::ActivityStart,
        ProviderCommand::CancelResponse,
    ] {
        assert_eq!(frames(&mut manual, &command), nothing);
    }
    let deaf = json!({ "server_vad": false, "no_interruption": true });
    let mut deaf = encoder(LIVE_38, deaf);
    assert_eq!(frames(&mut deaf, &ProviderCommand::CancelResponse), nothing);

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
        tools: Some(tools.into()),
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
        tools: Some([].into()),
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
    for (raw, is_speech) in [
        (json!({ "clientContent": { "turnComplete": true } }), false),
        (
            json!({ "client_content": { "turn_complete": true } }),
            false,
        ),
        (json!({ "realtimeInput": { "text": "Stop." } }), false),
        (json!({ "realtimeInput": { "audioStreamEnd": true } }), true),
    ] {
        let told = format!("{raw}");
        let heard = feed(&mut encoder, Some(ProviderCommand::Raw(raw)));
        assert_eq!(heard, is_speech, "{told}");
    }
}

#[test]
fn what_the_host_writes_itself_counts_like_commands() {
    let raw = |input: Value| ProviderCommand::Raw(json!({ "realtimeInput": input }));
    let mut manual = encoder(LIVE_38, json!({ "server_vad": false }));
    frame(&mut manual, &raw(json!({ "activityStart": {} })));
    // Said already.
    let again = frames(&mut manual, &ProviderCommand::ActivityStart);
    assert_eq!(again, Vec::<Value>::new());
    frame(&mut manual, &raw(json!({ "activityEnd": {} })));
    let again = frames(&mut manual, &ProviderCommand::ActivityEnd);
    assert_eq!(again, Vec::<Value>::new());
    let next = frame(&mut manual, &ProviderCommand::ActivityStart);
    assert_eq!(next, json!({ "realtimeInput": { "activityStart": {} } }));

    let mut encoder = encoder(NATIVE_25, json!({}));
    let told = frames(&mut encoder, &text(Role::User, "Hi.", true));
    assert!(told[0]["clientContent"].is_object(), "{told:?}");
    frames(&mut encoder, &raw(json!({ "audio": { "data": "AAA=" } })));
    let told = frames(&mut encoder, &text(Role::User, "Hi.", true));
    assert!(told[0]["realtimeInput"].is_object(), "{told:?}");
}
