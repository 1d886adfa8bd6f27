//! Contract X5: whatever comes, nothing panics and nothing grows without bound.

use std::collections::VecDeque;

use proptest::prelude::*;
use roomkit_core::provider::ProviderEvent;
use roomkit_provider_gemini::protocol::{Decoder, tool_parameters};
use serde_json::{Value, json};

use crate::support::{self, decoder};

const SAMPLES: &str = include_str!("../fixtures/server_events.jsonl");

fn decoders() -> [Decoder; 3] {
    [
        decoder(json!({})),
        decoder(json!({ "server_vad": false, "response_modalities": "text" })),
        decoder(json!({ "input_transcription": false })),
    ]
}

/// Feeds the frames to every kind of decoder; starts and ends must balance all the while.
fn feed<'a>(frames: &(impl IntoIterator<Item = &'a [u8]> + Clone)) {
    for mut decoder in decoders() {
        let (mut speaking, mut answering) = (false, false);
        for frame in frames.clone() {
            let mut events = VecDeque::new();
            decoder.decode(frame, &mut events);
            assert!(events.len() <= frame.len() / 2 + 8);
            for event in events {
                let (state, is) = match event {
                    ProviderEvent::SpeechStarted { .. } => (&mut speaking, true),
                    ProviderEvent::SpeechStopped { .. } => (&mut speaking, false),
                    ProviderEvent::ResponseStarted { .. } => (&mut answering, true),
                    ProviderEvent::ResponseEnded { .. } => (&mut answering, false),
                    _ => continue,
                };
                assert_ne!(*state, is);
                *state = is;
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("AAABAA==")),
        Just(json!("audio/pcm;rate=24000")),
        Just(json!("ACTIVITY_START")),
        Just(json!("18446744073709551615")),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field_name(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn field_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "setupComplete",
        "serverContent",
        "modelTurn",
        "parts",
        "inlineData",
        "data",
        "mimeType",
        "text",
        "thought",
        "interrupted",
        "turnComplete",
        "turnCompleteReason",
        "waitingForInput",
        "interactionStatus",
        "inputTranscription",
        "interimInputTranscription",
        "outputTranscription",
        "finished",
        "toolCall",
        "functionCalls",
        "id",
        "ids",
        "name",
        "args",
        "toolCallCancellation",
        "goAway",
        "timeLeft",
        "sessionResumptionUpdate",
        "newHandle",
        "resumable",
        "voiceActivity",
        "voiceActivityType",
        "voiceActivityDetectionSignal",
        "vadSignalType",
        "usageMetadata",
        "promptTokenCount",
        "responseTokenCount",
        "responseTokensDetails",
        "error",
        "message",
    ])
    .prop_map(str::to_owned)
}

fn schema() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "enum",
        "const",
        "anyOf",
        "allOf",
        "oneOf",
        "$ref",
        "$defs",
        "required",
        "format",
        "minimum",
        "description",
        "nullable",
        "prefixItems",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec![
            "object",
            "array",
            "string",
            "null",
            "#",
            "#/$defs/x",
            "x"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn x5_any_bytes(frame in prop::collection::vec(any::<u8>(), 0..400)) {
        feed(&[frame.as_slice()]);
    }

    #[test]
    fn x5_known_fields_with_anything(
        frames in prop::collection::vec(
            prop::collection::hash_map(field_name(), any_json(), 0..6), 1..8),
    ) {
        let frames: Vec<String> = frames
            .into_iter()
            .map(|fields| Value::Object(fields.into_iter().collect()).to_string())
            .collect();
        feed(&frames.iter().map(String::as_bytes));
    }

    #[test]
    fn x5_samples_in_any_order(order in prop::collection::vec(0_usize..27, 0..60)) {
        let samples: Vec<&[u8]> = SAMPLES.lines().map(str::as_bytes).collect();
        feed(&order.iter().map(|at| samples[*at]));
    }

    #[test]
    fn x5_samples_cut_and_changed(line in 0_usize..27, at in 0_usize..800, byte in any::<u8>()) {
        let Some(sample) = SAMPLES.lines().nth(line) else { return Ok(()) };
        let at = at % sample.len();
        let mut changed = sample.as_bytes().to_vec();
        changed[at] = byte;
        feed(&[&sample.as_bytes()[..at], changed.as_slice()]);
    }

    #[test]
    fn x5_any_schema(schema in schema()) {
        if let Some(cleaned) = tool_parameters(&schema) {
            prop_assert_eq!(&cleaned["type"], "OBJECT");
            prop_assert!(cleaned.to_string().len() < 1_000_000);
        }
    }
}

#[test]
fn x5_deep_nesting_is_refused_not_followed() {
    let deep = "[".repeat(100_000);
    let frames = [
        deep.clone(),
        format!("{{\"error\":{deep}"),
        format!("{{\"novelty\":{deep}"),
        format!("{{\"toolCall\":{{\"functionCalls\":[{{\"args\":{deep}"),
    ];
    feed(&frames.iter().map(String::as_bytes));
}

#[test]
fn x5_references_that_lead_back_and_multiply_end() {
    let schema = json!({ "type": "object", "$defs": { "node": { "type": "object", "properties": {
        "a": { "$ref": "#/$defs/node" }, "b": { "$ref": "#/$defs/node" },
        "c": { "$ref": "#/$defs/node" }, "d": { "$ref": "#/$defs/node" },
    } } }, "properties": { "root": { "$ref": "#/$defs/node" } } });
    let cleaned = tool_parameters(&schema).unwrap();
    assert!(cleaned.to_string().len() < 200_000);
    let itself = json!({ "$ref": "#", "anyOf": [{ "$ref": "#" }], "properties": { "a": {} } });
    assert!(tool_parameters(&itself).is_some());
}

#[test]
fn x5_a_vendor_that_never_ends_a_turn_fills_no_memory() {
    let mut decoder = decoder(json!({}));
    let text = "x".repeat(100_000);
    let mut finals = 0;
    for _ in 0..20 {
        for frame in [support::hears(&text), support::says(&text)] {
            support::decode(&mut decoder, &frame);
        }
    }
    for event in support::decode(&mut decoder, &support::complete()) {
        if let ProviderEvent::Transcript { text, .. } = event {
            assert!(text.len() <= 256 * 1024);
            finals += 1;
        }
    }
    assert!(finals >= 1);
}
