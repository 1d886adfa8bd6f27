//! Events that the host wrote itself: what becomes of them is the host's to look after, and changes
//! nothing of what the engine asked for.

use std::collections::VecDeque;

use roomkit_core::provider::{ProviderCommand, ProviderEvent, SessionSetup};
use roomkit_dial::Redactor;
use roomkit_mock::fake_openai::{FakeOpenAi, Reply};
use roomkit_provider_openai::{
    Dialect, OpenAISessionConfig,
    protocol::{Decoder, Encoder},
};
use serde_json::{Value, json};

use crate::support::{
    call::{Call, text},
    setup,
};

/// Both halves of a connection.
struct Wire {
    encoder: Encoder,
    decoder: Decoder,
}

impl Wire {
    fn new() -> Self {
        let defaults = OpenAISessionConfig::default();
        let setup = SessionSetup::new("s".into());
        let encoder = Encoder::new(Dialect::OpenAI, &defaults, &setup).unwrap();
        let decoder = encoder.decoder(Redactor::default());
        Self { encoder, decoder }
    }

    /// Sends a command; gives the id that its event has.
    fn send(&mut self, command: &ProviderCommand) -> Value {
        let frame = self.encoder.encode(command).unwrap().unwrap();
        let frame: Value = serde_json::from_str(&frame).unwrap();
        frame["event_id"].clone()
    }

    fn write(&mut self, event: Value) -> Value {
        self.send(&ProviderCommand::Raw(event))
    }

    fn hear(&mut self, event: &Value) -> Vec<ProviderEvent> {
        let mut events = VecDeque::new();
        self.decoder.decode(&event.to_string(), &mut events);
        events.into()
    }

    fn refuse(&mut self, code: &str, event_id: &Value) -> ProviderEvent {
        let error = json!({ "type": "invalid_request_error", "code": code, "message": "No.",
            "param": null, "event_id": event_id });
        let mut events = self.hear(&json!({ "type": "error", "error": error }));
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    fn response_begins(&mut self) {
        let created = json!({ "type": "response.created", "response": { "id": "r" } });
        self.hear(&created);
    }
}

const RUNS: &str = "conversation_already_has_active_response";

fn is_hosts(event: &ProviderEvent) -> bool {
    matches!(event, ProviderEvent::RawRefused(error) if error.code() == RUNS)
}

#[test]
fn k7_a_request_that_the_host_wrote_and_that_is_refused_is_none_of_the_engines() {
    for (own_id, is_anonymous) in [(None, false), (Some("mine"), false), (None, true)] {
        let mut wire = Wire::new();
        let engines = wire.send(&ProviderCommand::Respond);
        wire.response_begins();
        let mut create = json!({ "type": "response.create" });
        if let Some(id) = own_id {
            create["event_id"] = id.into();
        }
        let id = wire.write(create);
        assert_ne!(id, engines);
        if let Some(own) = own_id {
            assert_eq!(id, own);
        }
        let named = if is_anonymous { &Value::Null } else { &id };
        let refused = wire.refuse(RUNS, named);
        assert!(is_hosts(&refused), "{refused:?}");
        // The engine's own is known for what it is, with and without its id.
        let engines = wire.send(&ProviderCommand::Respond);
        let named = if is_anonymous { &Value::Null } else { &engines };
        assert_eq!(wire.refuse(RUNS, named), ProviderEvent::ResponseRefused);
    }
}

#[test]
fn k7_refusals_without_an_id_are_told_to_who_asked_first() {
    let mut wire = Wire::new();
    wire.send(&ProviderCommand::Respond);
    wire.write(json!({ "type": "response.create" }));
    assert_eq!(
        wire.refuse(RUNS, &Value::Null),
        ProviderEvent::ResponseRefused
    );
    let second = wire.refuse(RUNS, &Value::Null);
    assert!(is_hosts(&second), "{second:?}");
    // The vendor has an id of its own for what nobody here has sent.
    let third = wire.refuse(RUNS, &"event_9".into());
    assert_eq!(third, ProviderEvent::ResponseRefused);
}

#[test]
fn an_error_of_what_the_host_wrote_is_told_as_that() {
    let mut wire = Wire::new();
    let item = json!({ "type": "conversation.item.create", "item": { "type": "none" } });
    let ids = [
        wire.write(item),
        wire.write(json!({ "type": "no.such.event", "event_id": "mine" })),
        wire.write(json!({ "type": "session.update", "event_id": "update_7" })),
    ];
    assert_eq!(ids[1], "mine");
    for id in ids {
        let refused = wire.refuse("invalid_value", &id);
        assert!(
            matches!(refused, ProviderEvent::RawRefused(_)),
            "{refused:?}"
        );
    }
    let engines = wire.send(&ProviderCommand::Respond);
    let failed = wire.refuse("invalid_value", &engines);
    assert!(matches!(failed, ProviderEvent::Error(_)), "{failed:?}");
}

#[tokio::test]
async fn k7_the_vendor_names_the_request_it_refuses() {
    let server = FakeOpenAi::builder().reply(Reply::speech("One.", 3_000).stalling_after_ms(100));
    let mut call = Call::start(server, setup()).await;
    call.send(text("hi")).await;
    call.send(ProviderCommand::Respond).await;
    call.until(|event| matches!(event, ProviderEvent::Audio { .. }))
        .await;
    let create = json!({ "type": "response.create" });
    call.send(ProviderCommand::Raw(create)).await;
    let events = call.until(is_hosts).await;
    assert!(!events.contains(&ProviderEvent::ResponseRefused));
    call.send(ProviderCommand::Respond).await;
    call.until(|event| *event == ProviderEvent::ResponseRefused)
        .await;
}
