//! Whole calls: a caller, the engine, this provider and the fake of the vendor.

use std::{sync::Arc, time::Duration};

use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    provider::Role,
    tool::{Tool, ToolDefinition},
    transport::ClientCommand,
};
use roomkit_mock::{
    MockClient, MockConnection, MockRealtimeTransport,
    fake_gemini::{FakeConnection, FakeGemini, FakeGeminiBuilder, Reply, UserTranscript},
};
use serde_json::{Map, Value, json};

use crate::support::{
    LIVE_38, NATIVE_25,
    server::{KEY, provider},
};

struct Call {
    voice: RealtimeVoiceChannel,
    session: RealtimeSession,
    client: MockClient,
    peer: FakeConnection,
    // The room and the vendor live as long as the call.
    _kit: RoomKit,
    _server: FakeGemini,
}

impl Call {
    async fn start(server: FakeGeminiBuilder, model: &str) -> Self {
        let server = server.api_key(KEY).start().await.unwrap();
        let parameters =
            json!({ "type": "object", "properties": { "city": { "type": "string" } } });
        let weather = Tool::new(
            ToolDefinition::new("get_weather", "The weather", parameters),
            |_: RealtimeSession, _: String, _: Map<String, Value>| async { Ok("sunny".into()) },
        );
        let voice = RealtimeVoiceChannel::builder(
            "voice",
            Arc::new(provider(&server, model)),
            Arc::new(MockRealtimeTransport::new()),
        );
        let voice = voice.tool(weather).build().unwrap();
        let kit = RoomKit::new();
        kit.register_channel(voice.clone()).unwrap();
        kit.create_room("lobby").await.unwrap();
        kit.attach_channel("lobby", "voice").await.unwrap();
        let connection = MockConnection::new();
        let client = connection.client();
        let session = voice
            .start_session("lobby", "ann", connection)
            .await
            .unwrap();
        Self {
            peer: server.wait_for_connection(0).await.unwrap(),
            voice,
            session,
            client,
            _kit: kit,
            _server: server,
        }
    }

    /// Half a second of voice and a second of silence, at the rate the client was offered.
    fn speak(&self) {
        for frame in 0..75 {
            let level = if frame < 25 { 8_000_i16 } else { 0 };
            let pcm = (0..320_i16).map(|at| if at % 40 < 20 { level } else { -level });
            let pcm: Vec<u8> = pcm.flat_map(i16::to_le_bytes).collect();
            self.client.send_audio(pcm);
        }
    }

    async fn hears_of(&self, role: Role, words: &str) {
        let wanted = |message: &ServerMessage| {
            matches!(message, ServerMessage::Transcription { text, role: who, is_final: true, .. }
                if *who == role && text == words)
        };
        let heard = self.client.wait_for_message(wanted);
        let heard = tokio::time::timeout(Duration::from_secs(60), heard).await;
        assert!(
            heard.is_ok(),
            "no {words:?} in {:?}",
            self.client.messages()
        );
    }

    /// What was settled, in the order in which the client was told.
    fn finals(&self) -> Vec<String> {
        let messages = self.client.messages().into_iter();
        let finals = messages.filter_map(|message| match message {
            ServerMessage::Transcription {
                text,
                role,
                is_final: true,
                ..
            } => Some(format!("{}: {text}", role.as_str())),
            _ => None,
        });
        finals.collect()
    }
}

#[tokio::test]
async fn t1_a_question_its_tool_and_its_answer_in_order() {
    for model in [NATIVE_25, LIVE_38] {
        let server = FakeGemini::builder()
            .transcript(UserTranscript::completed("How is the weather?"))
            .reply(Reply::tool_call("get_weather", json!({ "city": "Oslo" })))
            .reply(Reply::speech("It is sunny.", 200));
        let call = Call::start(server, model).await;
        call.speak();
        call.hears_of(Role::Assistant, "It is sunny.").await;
        assert_eq!(
            call.finals(),
            ["user: How is the weather?", "assistant: It is sunny."],
            "{model}"
        );
        let answers = call.peer.events();
        let answers = answers
            .iter()
            .filter(|event| event.json.get("toolResponse").is_some());
        assert_eq!(answers.count(), 1, "k2: one answer");
        assert_eq!(call.peer.violations(), []);
    }
}

#[tokio::test]
async fn a3_a_caller_who_speaks_up_silences_the_model() {
    let server = FakeGemini::builder()
        .transcript(UserTranscript::completed("Tell me a story."))
        .transcript(UserTranscript::completed("Stop."))
        .reply(Reply::speech("Once upon a time", 5_000).stalling_after_ms(2_000))
        .reply(Reply::speech("Yes?", 200));
    let call = Call::start(server, LIVE_38).await;
    call.speak();
    call.client.wait_for_audio(4_800).await;
    call.speak();
    let clear = call
        .client
        .wait_for_command(|command| matches!(command, ClientCommand::Clear));
    tokio::time::timeout(Duration::from_secs(60), clear)
        .await
        .expect("the client is told to be silent");
    call.hears_of(Role::Assistant, "Yes?").await;
    let finals = call.finals();
    assert_eq!(finals[0], "user: Tell me a story.");
    assert_eq!(
        finals[finals.len() - 2..],
        ["user: Stop.", "assistant: Yes?"]
    );
    assert_eq!(call.peer.violations(), []);
}

#[tokio::test]
async fn r3_a_whisper_is_said_without_a_false_interruption() {
    let call = Call::start(FakeGemini::builder(), LIVE_38).await;
    call.voice
        .inject_text(&call.session, "Offer 20 %.", Role::System, false)
        .unwrap();
    call.hears_of(Role::Assistant, "You wrote: Offer 20 %.")
        .await;
    let speaking = |message: &ServerMessage| {
        matches!(
            message,
            ServerMessage::Speaking {
                who: Role::User,
                ..
            }
        )
    };
    assert!(!call.client.messages().iter().any(speaking));
    assert_eq!(call.peer.violations(), []);
}
