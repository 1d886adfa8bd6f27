//! The crate as an app meets it: linked, found by its name, driven through whole calls.
#![allow(clippy::unwrap_used)] // Also in what the tests share.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use roomkit_core::{
    RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    error::UpdateError,
    provider::{RealtimeVoiceProvider, SessionUpdate},
    registry::{ConfigError, Registry},
    room::TimelineQuery,
    tool::ToolDefinition,
    voice::{Agent, Updated},
};
use roomkit_mock::{MockConnection, MockRealtimeTransport};
use serde_json::json;
use third_party_provider::{FromVendor, NAME, PLUGIN, ToVendor};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// The vendor's end of one connection.
struct Vendor(BufReader<TcpStream>);

impl Vendor {
    async fn accept(listener: &TcpListener) -> (Self, ToVendor) {
        let (socket, _) = listener.accept().await.unwrap();
        let mut vendor = Self(BufReader::new(socket));
        let hello = vendor.next().await.unwrap();
        vendor.say(FromVendor::Ready).await;
        (vendor, hello)
    }

    async fn next(&mut self) -> Option<ToVendor> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    async fn say(&mut self, message: FromVendor) {
        let mut line = serde_json::to_string(&message).unwrap();
        line.push('\n');
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    /// Hears a question in whatever audio comes, and answers it.
    async fn converse(&mut self, question: &str, answer: &str) {
        while !matches!(self.next().await.unwrap(), ToVendor::Audio { .. }) {}
        self.say(FromVendor::Hears { on: true }).await;
        self.say(FromVendor::Hears { on: false }).await;
        let text = question.to_owned();
        self.say(FromVendor::Understood { text }).await;
        self.say(FromVendor::Speaks).await;
        let (data, text) = (BASE64.encode([0; 640]), answer.to_owned());
        self.say(FromVendor::Voice { data, text }).await;
        self.say(FromVendor::Done).await;
    }
}

fn provider(listener: &TcpListener) -> Arc<dyn RealtimeVoiceProvider> {
    let address = listener.local_addr().unwrap().to_string();
    let registry = Registry::linked().unwrap();
    registry
        .provider(NAME, json!({ "address": address }))
        .unwrap()
}

#[tokio::test]
async fn h6_a_call_by_name_outlives_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider(&listener), transport)
        .build()
        .unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room("lobby").await.unwrap();
    kit.attach_channel("lobby", "voice").await.unwrap();

    let connection = MockConnection::new();
    let client = connection.client();
    let (started, (mut first, _)) = tokio::join!(
        voice.start_session("lobby", "ann", connection),
        Vendor::accept(&listener)
    );
    let session = started.unwrap();
    client.send_audio(vec![0; 640]);
    first.converse("are you there?", "I am").await;
    let is_final = |text: &'static str| move |m: &ServerMessage| matches!(m, ServerMessage::Transcription { text: t, is_final: true, .. } if t == text);
    client.wait_for_message(is_final("I am")).await;
    let token = "thread-7".to_owned();
    first.say(FromVendor::Token { token }).await;
    first.say(FromVendor::Leaving { in_ms: 60_000 }).await;

    // The engine hands over by itself; this crate only passed the token on.
    let (mut second, hello) = Vendor::accept(&listener).await;
    assert!(
        matches!(&hello, ToVendor::Hello { resume: Some(token), history, .. } if token == "thread-7" && history.is_empty()),
        "{hello:?}"
    );
    client.send_audio(vec![0; 640]);
    second.converse("and now?", "still").await;
    client.wait_for_message(is_final("still")).await;
    voice.end_session(&session).await;
    let told = kit.timeline("lobby", TimelineQuery::new()).await.unwrap();
    let told: Vec<_> = told.iter().filter_map(|e| e.content.as_text()).collect();
    assert_eq!(told, ["are you there?", "I am", "and now?", "still"]);
}

#[tokio::test]
async fn s5_what_a_session_is_told_to_be_the_vendor_hears() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = Arc::new(MockRealtimeTransport::new());
    let parameters = json!({ "type": "object" });
    let look = ToolDefinition::new("look", "what the weather is like", parameters);
    let voice = RealtimeVoiceChannel::builder("voice", provider(&listener), transport)
        .tool(look)
        .voice("ada")
        .build()
        .unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room("lobby").await.unwrap();
    kit.attach_channel("lobby", "voice").await.unwrap();

    let (started, (_first, hello)) = tokio::join!(
        voice.start_session("lobby", "ann", MockConnection::new()),
        Vendor::accept(&listener)
    );
    let session = started.unwrap();
    let told = |hello: &ToVendor| match hello {
        ToVendor::Hello { voice, tools, .. } => {
            let tools: Vec<_> = tools.iter().map(|tool| tool.name.clone()).collect();
            (voice.clone().unwrap_or_default(), tools.concat())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&hello), ("ada".into(), "look".into()));

    let update = SessionUpdate {
        voice: Some("bob".into()),
        ..SessionUpdate::default()
    };
    let updated = voice.update_session(&session, update).await;
    assert_eq!(updated, Ok(Updated::OnHandOver));
    let (_second, hello) = Vendor::accept(&listener).await;
    assert_eq!(told(&hello), ("bob".into(), "look".into()));

    let warmer = SessionUpdate {
        temperature: Some(0.9),
        ..SessionUpdate::default()
    };
    let refused = voice.update_session(&session, warmer).await;
    let Err(UpdateError::Invalid(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().starts_with("temperature: "), "{error}");
}

#[test]
fn s5_what_the_vendor_has_no_setting_for_is_refused_when_the_channel_is_built() {
    let builder = || {
        let provider = Registry::linked().unwrap().provider(NAME, json!({}));
        let transport = Arc::new(MockRealtimeTransport::new());
        RealtimeVoiceChannel::builder("voice", provider.unwrap(), transport)
    };
    builder().build().unwrap();
    let mut settings = serde_json::Map::new();
    settings.insert("mood".into(), json!("merry"));
    let warm = Agent::new("warm", "be warm").temperature(0.7);
    for (builder, field) in [
        (builder().temperature(0.7), "temperature: "),
        (
            builder().provider_config(settings),
            "provider_config.mood: ",
        ),
        (builder().agents([warm]), "agents.warm: temperature: "),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn bad_settings_name_the_field() {
    let registry = Registry::linked().unwrap();
    for (config, field) in [
        (json!({ "address": "nowhere" }), "address"),
        (json!({ "sample_rate": 5 }), "sample_rate"),
        (json!({ "sample_rate": 47_999 }), "sample_rate"),
        (json!({ "connect_timeout_ms": 0 }), "connect_timeout_ms"),
        (json!({ "adress": "a:1" }), "adress"),
    ] {
        let Err(error) = registry.provider(NAME, config) else {
            panic!("`{field}` was taken")
        };
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn by_hand_it_works_too_and_only_once() {
    let mut registry = Registry::default();
    registry.register_provider(PLUGIN).unwrap();
    assert!(registry.provider(NAME, json!({})).is_ok());
    let again = registry.register_provider(PLUGIN);
    assert!(
        matches!(again, Err(ConfigError::Duplicate { .. })),
        "{again:?}"
    );
}
