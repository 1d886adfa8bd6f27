//! Contract X5: whatever comes, nothing panics and nothing grows without bound.

use std::collections::VecDeque;

use proptest::prelude::*;
use roomkit_provider_openai::{AudioCodec, Dialect, Redactor, protocol::Decoder};
use serde_json::{Value, json};

const SAMPLES: &str = include_str!("../fixtures/server_events.jsonl");

fn feed<'a>(frames: impl IntoIterator<Item = &'a str>) {
    let frames: Vec<&str> = frames.into_iter().collect();
    for dialect in [Dialect::OpenAI, Dialect::XAi] {
        let mut decoder = Decoder::new(dialect, AudioCodec::Pcmu, Redactor::default());
        for frame in &frames {
            let mut events = VecDeque::new();
            decoder.decode(frame, &mut events);
            assert!(events.len() <= 5, "{frame}");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("turn_detected")),
        Just(json!("function_call")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field_name(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn field_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "type",
        "id",
        "item",
        "item_id",
        "response",
        "response_id",
        "call_id",
        "name",
        "arguments",
        "delta",
        "transcript",
        "text",
        "error",
        "code",
        "message",
        "param",
        "event_id",
        "status",
        "status_details",
        "reason",
        "usage",
        "conversation_id",
        "content_index",
        "session",
        "input_tokens",
        "input_token_details",
    ])
    .prop_map(str::to_owned)
}

fn event_type() -> impl Strategy<Value = String> {
    let types: Vec<String> = SAMPLES
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|event| Some(event["type"].as_str()?.to_owned()))
        .collect();
    prop::sample::select(types)
}

proptest! {
    #[test]
    fn x5_any_text(frame in ".*") {
        feed([frame.as_str()]);
    }

    #[test]
    fn x5_known_types_with_any_fields(
        kind in event_type(),
        fields in prop::collection::hash_map(field_name(), any_json(), 0..8),
    ) {
        let mut event = Value::Object(fields.into_iter().collect());
        event["type"] = kind.into();
        feed([event.to_string().as_str()]);
    }

    #[test]
    fn x5_samples_cut_and_changed(line in 0_usize..40, at in 0_usize..800, byte in any::<u8>()) {
        let Some(sample) = SAMPLES.lines().nth(line) else { return Ok(()) };
        let at = at % sample.len();
        let mut changed = sample.as_bytes().to_vec();
        changed[at] = byte;
        let changed = String::from_utf8_lossy(&changed).into_owned();
        feed([&sample[..at], changed.as_str()]);
    }
}

#[test]
fn x5_deep_nesting_is_refused_not_followed() {
    let deep = "[".repeat(100_000);
    let frames = [
        deep.clone(),
        format!("{{\"type\":\"error\",\"error\":{deep}"),
        format!("{{\"type\":\"response.done\",\"response\":{{\"status_details\":{deep}"),
    ];
    feed(frames.iter().map(String::as_str));
}
