//! xAI: its form of the session, its growing transcripts, its statuses.

use std::collections::VecDeque;

use roomkit_core::{
    provider::{
        ProviderCommand, ProviderErrorKind, ProviderEvent, RealtimeVoiceProvider, ResponseStatus,
        Role, SessionSetup, SessionUpdate, TranscriptionUsage, Usage,
    },
    tool::ToolDefinition,
};
use roomkit_mock::fake_openai::{FakeOpenAi, Reply, TranscriptTiming, UserTranscript};
use roomkit_provider_openai::{
    AudioCodec, Dialect, OpenAIConfig, OpenAIRealtimeProvider, Redactor,
    protocol::{Decoder, Encoder},
};
use serde_json::{Value, json};

use crate::support::{KEY, next, setup};

fn config(json: Value) -> OpenAIConfig {
    serde_json::from_value(json).unwrap()
}

fn with_config(config: Value) -> SessionSetup {
    let mut setup = setup();
    setup.provider_config = serde_json::from_value(config).unwrap();
    setup
}

#[test]
fn xai_has_voice_and_turn_detection_flat_and_rates_of_its_own() {
    let defaults = OpenAIConfig::xai().session;
    let mut setup = with_config(json!({ "input_rate": 16_000, "output_rate": 48_000,
        "silence_duration_ms": 300 }));
    setup.voice = Some("eve".into());
    setup.system_prompt = Some("Be brief.".into());
    setup.tools = [ToolDefinition::new("f", "d", json!({ "type": "object" }))].into();
    let mut encoder = Encoder::new(Dialect::XAi, &defaults, &setup).unwrap();
    let capabilities = encoder.session().capabilities();
    assert_eq!(
        (capabilities.input_rate, capabilities.output_rate),
        (16_000, 48_000)
    );
    let frame: Value = serde_json::from_str(&encoder.setup(&setup, None).unwrap()).unwrap();
    assert_eq!(
        frame["session"],
        json!({ "type": "realtime", "instructions": "Be brief.", "voice": "eve",
            "turn_detection": { "type": "server_vad", "silence_duration_ms": 300 },
            "tools": [{ "type": "function", "name": "f", "description": "d",
                "parameters": { "type": "object" } }],
            "audio": {
                "input": { "format": { "type": "audio/pcm", "rate": 16_000 },
                    "transcription": { "model": "grok-transcribe" } },
                "output": { "format": { "type": "audio/pcm", "rate": 48_000 } } } })
    );
    let update = ProviderCommand::Update(SessionUpdate {
        voice: Some("voice_mine".into()),
        ..SessionUpdate::default()
    });
    let frame = encoder.encode(&update).unwrap().unwrap();
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(
        frame["session"],
        json!({ "type": "realtime", "voice": "voice_mine" })
    );
    let manual = with_config(json!({ "turn_detection": null }));
    let mut encoder = Encoder::new(Dialect::XAi, &defaults, &manual).unwrap();
    let frame: Value = serde_json::from_str(&encoder.setup(&manual, None).unwrap()).unwrap();
    assert_eq!(frame["session"]["turn_detection"], Value::Null);
}

/// What xAI's events mean, one after the other.
struct Wire(Decoder);

impl Wire {
    fn new() -> Self {
        let redactor = Redactor::default();
        Self(Decoder::new(Dialect::XAi, AudioCodec::Pcm, redactor))
    }

    fn read(&mut self, event: &Value) -> Vec<ProviderEvent> {
        let mut events = VecDeque::new();
        self.0.decode(&event.to_string(), &mut events);
        events.into()
    }

    fn transcript(&mut self, name: &str, item: &str, text: &str) -> Vec<ProviderEvent> {
        let kind = format!("conversation.item.input_audio_transcription.{name}");
        self.read(&json!({ "type": kind, "item_id": item, "transcript": text }))
    }
}

fn heard(item: &str, text: &str, is_final: bool) -> ProviderEvent {
    ProviderEvent::Transcript {
        role: Role::User,
        item_id: Some(item.into()),
        text: text.into(),
        is_final,
    }
}

#[test]
fn t3_growing_transcripts_of_one_item_become_one_final_when_it_is_answered() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.transcript("completed", "i1", "How"),
        [heard("i1", "How", false)]
    );
    assert_eq!(
        wire.transcript("updated", "i1", "How are"),
        [heard("i1", " are", false)]
    );
    // Corrected: there is no partial for that, the final has it.
    assert_eq!(wire.transcript("completed", "i1", "Who are you"), []);
    let created = json!({ "type": "response.created",
        "response": { "id": "r1", "conversation_id": null } });
    assert_eq!(
        wire.read(&created),
        [
            heard("i1", "Who are you", true),
            ProviderEvent::ResponseStarted {
                response_id: Some("r1".into())
            }
        ]
    );
    // Told once; and what comes during the answer waits for nothing.
    assert_eq!(wire.transcript("completed", "i1", "Who are you?"), []);
    assert_eq!(
        wire.transcript("completed", "i2", "Late")[1],
        heard("i2", "Late", true)
    );
}

#[test]
fn t3_what_is_said_again_of_the_last_utterance_does_not_end_the_next() {
    let mut wire = Wire::new();
    wire.transcript("completed", "i1", "How");
    wire.read(&json!({ "type": "response.created", "response": { "id": "r1" } }));
    wire.read(&json!({ "type": "input_audio_buffer.speech_started", "item_id": "i2" }));
    assert_eq!(
        wire.transcript("updated", "i2", "And how"),
        [heard("i2", "And how", false)]
    );
    assert_eq!(wire.transcript("completed", "i1", "How?"), []);
    assert_eq!(
        wire.transcript("updated", "i2", "And how are"),
        [heard("i2", " are", false)]
    );
}

#[test]
fn t3_push_to_talk_says_when_the_next_utterance_begins() {
    for begins in [
        json!({ "type": "input_audio_buffer.cleared" }),
        json!({ "type": "input_audio_buffer.committed", "item_id": "i2" }),
    ] {
        let mut wire = Wire::new();
        wire.transcript("completed", "i1", "How");
        wire.read(&json!({ "type": "response.created", "response": { "id": "r1" } }));
        assert_eq!(wire.read(&begins), []);
        let next = ["And", " how", " are you"];
        let mut text = String::new();
        for piece in next {
            text.push_str(piece);
            let heard = [heard("i2", piece, false)];
            assert_eq!(wire.transcript("updated", "i2", &text), heard, "{begins}");
        }
        let answered = json!({ "type": "response.created", "response": { "id": "r2" } });
        assert_eq!(wire.read(&answered)[0], heard("i2", &text, true));
    }
}

#[test]
fn t3_a_growing_transcript_is_final_when_another_item_comes() {
    let other = [
        json!({ "type": "conversation.item.added", "previous_item_id": "unknown",
            "item": { "id": "i2", "type": "message", "role": "user",
                "content": [{ "type": "input_audio", "transcript": null }] } }),
        json!({ "type": "conversation.item.created", "item": { "id": "i2", "role": "assistant" } }),
        json!({ "type": "input_audio_buffer.committed", "item_id": "i2" }),
        json!({ "type": "input_audio_buffer.speech_started", "item_id": "i2" }),
        json!({ "type": "response.output_item.added",
            "item": { "id": "i2", "role": "assistant" } }),
        json!({ "type": "conversation.item.input_audio_transcription.updated", "item_id": "i2",
            "transcript": "Next" }),
    ];
    for event in other {
        let mut wire = Wire::new();
        wire.transcript("completed", "i1", "First");
        // The same item says nothing, neither does an empty id, nor text that is slipped in.
        let spoken = json!([{ "type": "input_audio" }]);
        let whispered = json!([{ "type": "input_text", "text": "psst" }]);
        for (id, content) in [("i1", &spoken), ("", &spoken), ("i9", &whispered)] {
            let item = json!({ "id": id, "role": "system", "content": content });
            let added = json!({ "type": "conversation.item.added", "item": item });
            assert_eq!(wire.read(&added), []);
        }
        let deleted = json!({ "type": "conversation.item.deleted", "item_id": "" });
        assert_eq!(wire.read(&deleted), []);
        let events = wire.read(&event);
        assert_eq!(events[0], heard("i1", "First", true), "{event}");
    }
}

#[test]
fn t3_pieces_beside_growing_transcripts_are_not_told_twice() {
    let mut wire = Wire::new();
    let piece = |text: &str| {
        json!({ "type": "conversation.item.input_audio_transcription.delta",
            "item_id": "i1", "delta": text })
    };
    assert_eq!(wire.read(&piece("Good ")), [heard("i1", "Good ", false)]);
    assert_eq!(wire.read(&piece("day")), [heard("i1", "day", false)]);
    assert_eq!(wire.transcript("completed", "i1", "Good day"), []);
    assert_eq!(
        wire.transcript("completed", "i1", "Good day!"),
        [heard("i1", "!", false)]
    );
}

#[test]
fn t2_what_is_open_at_the_end_of_the_connection_is_told() {
    let mut wire = Wire::new();
    let event = json!({ "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "i1", "transcript": "Bye", "usage": { "input_tokens": 7 } });
    wire.read(&event);
    let mut events = VecDeque::new();
    roomkit_dial::Decode::finish(&mut wire.0, &mut events);
    let usage = ProviderEvent::TranscriptionUsage(TranscriptionUsage {
        input_tokens: 7,
        ..TranscriptionUsage::default()
    });
    assert_eq!(events, [heard("i1", "Bye", true), usage]);
}

#[test]
fn xai_tells_the_tokens_of_a_response_beside_it() {
    let ended = |response: Value| {
        Wire::new().read(&json!({ "type": "response.done", "response": response,
            "usage": { "input_tokens": 7, "output_tokens": 5 } }))
    };
    for (response, input_tokens, output_tokens) in [
        (json!({ "id": "r" }), 7, 5),
        (json!({ "id": "r", "usage": {} }), 7, 5),
        (json!({ "id": "r", "usage": { "input_tokens": 3 } }), 3, 0),
    ] {
        let usage = Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        };
        let end = ProviderEvent::ResponseEnded {
            response_id: Some("r".into()),
            status: ResponseStatus::Completed,
            usage: Some(Box::new(usage)),
        };
        assert_eq!(ended(response), [end]);
    }
}

#[test]
fn xai_details_are_text_and_its_own_items_are_let_pass() {
    let mut wire = Wire::new();
    let done = |status: &str, details: &str| {
        json!({ "type": "response.done", "response": { "id": "r", "status": status,
            "status_details": details, "usage": null } })
    };
    let table = [
        ("cancelled", "turn_detected", ResponseStatus::Cancelled),
        ("incomplete", "turn_detected", ResponseStatus::Cancelled),
        (
            "incomplete",
            "max_output_tokens",
            ResponseStatus::Incomplete("max_output_tokens".into()),
        ),
        ("completed", "", ResponseStatus::Completed),
    ];
    for (status, details, expected) in table {
        let events = wire.read(&done(status, details));
        let [ProviderEvent::ResponseEnded { status, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(*status, expected);
    }
    let events = wire.read(&done("failed", "You exceeded your current quota."));
    let [
        ProviderEvent::ResponseEnded {
            status: ResponseStatus::Failed(error),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind(), ProviderErrorKind::Quota);

    let scripted = json!({ "id": "f1", "type": "force_message", "role": "assistant",
        "content": [{ "type": "output_text", "text": "Scripted." }] });
    for kind in [
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.added",
        "response.output_item.done",
    ] {
        assert_eq!(wire.read(&json!({ "type": kind, "item": scripted })), []);
    }
    let create = json!({ "type": "conversation.item.create", "item": scripted, "event_id": "e1" });
    let config = OpenAIConfig::xai();
    let mut encoder = Encoder::new(Dialect::XAi, &config.session, &setup()).unwrap();
    let frame = encoder.encode(&ProviderCommand::Raw(create.clone()));
    assert_eq!(frame.unwrap().unwrap(), create.to_string());
}

#[tokio::test]
async fn a2_a_turn_with_xai_at_rates_of_its_own() {
    let server = FakeOpenAi::builder()
        .xai()
        .api_key(KEY)
        .reply(Reply::speech("Fine.", 400))
        .default_transcript(
            UserTranscript::completed("how are you").at(TranscriptTiming::BeforeResponse),
        )
        .start()
        .await
        .unwrap();
    let config = config(
        json!({ "preset": "xai", "api_key": KEY, "base_url": server.url(),
        "session": { "input_rate": 16_000, "output_rate": 48_000, "voice": "ara" } }),
    );
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    let mut connection = provider.connect(setup()).await.unwrap();
    for (samples, level) in [(16_000, 8_000_i16), (16_000, 0)] {
        let pcm: Vec<u8> = (0..samples)
            .flat_map(|at| (if at % 40 < 20 { level } else { -level }).to_le_bytes())
            .collect();
        let audio = ProviderCommand::Audio(pcm.into());
        connection.sink.send(audio).await.unwrap();
    }
    let (mut partials, mut finals, mut bytes) = (String::new(), Vec::new(), 0);
    loop {
        match next(&mut connection).await {
            ProviderEvent::Transcript {
                role: Role::User,
                text,
                is_final,
                ..
            } => {
                if is_final {
                    finals.push(text);
                } else {
                    partials.push_str(&text);
                }
            }
            ProviderEvent::ResponseStarted { .. } => {
                assert_eq!(finals, ["how are you"], "the question precedes the answer");
            }
            ProviderEvent::Audio { pcm, .. } => bytes += pcm.len(),
            ProviderEvent::ResponseEnded { status, .. } => {
                assert_eq!(status, ResponseStatus::Completed);
                break;
            }
            ProviderEvent::Error(error) => panic!("{error}"),
            _ => {}
        }
    }
    assert_eq!(partials, "how are you");
    assert_eq!(bytes, 48_000 * 2 * 400 / 1000);
    assert_eq!(finals.len(), 1);
    let peer = server.wait_for_connection(0).await.unwrap();
    assert_eq!(peer.violations(), []);
    assert_eq!(peer.session()["audio"]["output"]["voice"], "ara");
    assert_eq!(
        peer.request().query_value("model"),
        Some("grok-voice-latest")
    );
}
