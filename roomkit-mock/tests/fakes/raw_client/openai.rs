//! A client of `OpenAI`'s Realtime wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roomkit_mock::fake_openai::{FakeConnection, FakeOpenAi};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Next, Socket, wave};

pub(crate) struct Client {
    pub(crate) socket: Socket,
}

impl Client {
    /// Connects with a key and a model and takes `session.created`.
    pub(crate) async fn connect(server: &FakeOpenAi) -> Self {
        let mut client = Self::dial(server, "?model=gpt-realtime-2.1", &[KEY])
            .await
            .unwrap();
        let created = client.event().await;
        assert_eq!(created["type"], "session.created");
        client
    }

    /// As [`Self::connect`], then takes over `input` as `session.audio.input`.
    pub(crate) async fn configured(server: &FakeOpenAi, input: Value) -> Self {
        let mut client = Self::connect(server).await;
        client.send(json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": input}}})).await;
        client.until("session.updated").await;
        client
    }

    pub(crate) async fn dial(
        server: &FakeOpenAi,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let url = format!("{}{query}", server.url());
        let socket = Socket::dial(url, headers).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, event: Value) {
        self.send_text(event.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await;
    }

    /// Appends audio in chunks of 20 ms.
    pub(crate) async fn append(&mut self, audio: &[u8], bytes_per_ms: usize) {
        for chunk in audio.chunks(20 * bytes_per_ms) {
            self.send(
                json!({"type": "input_audio_buffer.append", "audio": STANDARD.encode(chunk)}),
            )
            .await;
        }
    }

    /// Appends a 24 kHz utterance: 300 ms of silence, a tone, half a second of silence.
    pub(crate) async fn say(&mut self, tone_ms: usize) {
        self.append(&utterance(tone_ms), 48).await;
    }

    pub(crate) async fn next(&mut self) -> Next {
        self.socket.next().await
    }

    /// The next event of a type the vendor has.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            match self.next().await {
                Next::Event(event) if kind(&event).contains("novelty") => {}
                Next::Event(event) => return event,
                other => panic!("wanted an event, got {other:?}"),
            }
        }
    }

    /// Everything up to and with the next event of this type.
    pub(crate) async fn until(&mut self, wanted: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let done = event["type"] == wanted;
            assert!(wanted == "error" || event["type"] != "error", "{event}");
            events.push(event);
            if done {
                return events;
            }
        }
    }

    /// Sends an event and takes the `error` object that answers it.
    pub(crate) async fn refused(&mut self, event: Value) -> Value {
        self.send(event).await;
        self.until("error").await.pop().unwrap()["error"].take()
    }

    /// Sends the `session` of an update that must be refused.
    pub(crate) async fn update_refused(&mut self, session: Value) -> Value {
        self.refused(json!({"type": "session.update", "session": session}))
            .await
    }
}

pub(crate) const KEY: (&str, &str) = ("authorization", "Bearer sk-test-0123456789");

pub(crate) fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap()
}

pub(crate) fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(kind).collect()
}

pub(crate) fn of_kind<'a>(events: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| kind(event) == wanted)
        .collect()
}

/// The audio of all deltas, joined.
pub(crate) fn audio_of(events: &[Value]) -> Vec<u8> {
    of_kind(events, "response.output_audio.delta")
        .iter()
        .flat_map(|event| STANDARD.decode(event["delta"].as_str().unwrap()).unwrap())
        .collect()
}

/// The text of all deltas of one type, joined.
pub(crate) fn text_of(events: &[Value], wanted: &str) -> String {
    of_kind(events, wanted)
        .iter()
        .map(|event| event["delta"].as_str().unwrap())
        .collect()
}

/// A square wave of 24 kHz PCM16.
pub(crate) fn tone(milliseconds: usize) -> Vec<u8> {
    wave(24, milliseconds)
}

pub(crate) fn utterance(tone_ms: usize) -> Vec<u8> {
    [vec![0; 300 * 48], tone(tone_ms), vec![0; 500 * 48]].concat()
}

/// The only connection.
pub(crate) async fn first(server: &FakeOpenAi) -> FakeConnection {
    server.wait_for_connection(0).await.unwrap()
}

pub(crate) fn is_done(event: &Value) -> bool {
    event["type"] == "response.done"
}
