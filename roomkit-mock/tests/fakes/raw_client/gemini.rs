//! A client of Gemini's Live wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roomkit_mock::fake_gemini::{FakeConnection, FakeGemini};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{Next, Socket, wave};

pub(crate) const KEY: (&str, &str) = ("x-goog-api-key", "AIza-test");
pub(crate) const MODEL: &str = "models/gemini-3.8-live";
pub(crate) const MODEL_31: &str = "models/gemini-3.1-flash-live-preview";
pub(crate) const MODEL_25: &str = "models/gemini-2.5-flash-native-audio-preview-12-2025";
pub(crate) const VERTEX_MODEL: &str =
    "projects/p/locations/l/publishers/google/models/gemini-live-2.5-flash-native-audio";

/// What a request that makes no sense is refused with.
pub(crate) const INVALID: &str = "Request contains an invalid argument.";

pub(crate) struct Client {
    pub(crate) socket: Socket,
}

impl Client {
    /// Connects to the Gemini API with a key.
    pub(crate) async fn dial(server: &FakeGemini) -> Self {
        Self::dial_at(server.url(), &[KEY]).await
    }

    pub(crate) async fn dial_at(url: String, headers: &[(&'static str, &str)]) -> Self {
        let socket = Socket::dial(url, headers).await.unwrap();
        Self { socket }
    }

    /// As [`Self::dial`], and set up as a voice agent is.
    pub(crate) async fn connect(server: &FakeGemini) -> Self {
        Self::configured(server, agent(MODEL)).await
    }

    /// As [`Self::dial`], and set up with `setup`.
    pub(crate) async fn configured(server: &FakeGemini, setup: Value) -> Self {
        let mut client = Self::dial(server).await;
        client.set_up(setup).await;
        client
    }

    pub(crate) async fn set_up(&mut self, setup: Value) {
        self.send(json!({"setup": setup})).await;
        let complete = self.message().await;
        assert!(complete.get("setupComplete").is_some(), "{complete}");
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await;
    }

    pub(crate) async fn realtime(&mut self, input: Value) {
        self.send(json!({"realtimeInput": input})).await;
    }

    /// Sends PCM16 at 16 kHz in chunks of 20 ms.
    pub(crate) async fn audio(&mut self, pcm: &[u8]) {
        for chunk in pcm.chunks(20 * 32) {
            self.realtime(json!({"audio": {
                "data": STANDARD.encode(chunk), "mimeType": "audio/pcm;rate=16000"}}))
                .await;
        }
    }

    /// 300 ms of silence, a tone, 600 ms of silence: a turn.
    pub(crate) async fn say(&mut self, tone_ms: usize) {
        self.audio(&utterance(tone_ms)).await;
    }

    pub(crate) async fn next(&mut self) -> Next {
        self.socket.next().await
    }

    pub(crate) async fn message(&mut self) -> Value {
        match self.next().await {
            Next::Event(message) => message,
            other => panic!("wanted a message, got {other:?}"),
        }
    }

    /// Everything up to and with the next message of this kind.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await;
            let done = kinds(&message).iter().any(|one| one == kind);
            messages.push(message);
            if done {
                return messages;
            }
        }
    }

    /// The close that comes next, whatever comes before it.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Next::Closed { code, reason } => return (code, reason),
                Next::Dropped => panic!("dropped"),
                _ => {}
            }
        }
    }

    /// Closes and waits until the server has.
    pub(crate) async fn close(&mut self) {
        let code = 1000.into();
        let reason = "".into();
        self.socket
            .send(Message::Close(Some(CloseFrame { code, reason })))
            .await;
        while self.next().await != Next::Dropped {}
    }

    /// Sends a message and takes the close it is answered with.
    pub(crate) async fn refused(mut self, message: Value) -> (u16, String) {
        self.send(message).await;
        self.closed().await
    }
}

/// What a voice agent sets up.
pub(crate) fn agent(model: &str) -> Value {
    json!({
        "model": model,
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}},
        "systemInstruction": {"parts": [{"text": "You answer phone calls."}]},
        "tools": [{"functionDeclarations": [
            {"name": "look", "behavior": "BLOCKING"},
            {"name": "search", "behavior": "NON_BLOCKING", "parameters": {
                "type": "OBJECT", "properties": {"for": {"type": "STRING"}}}}]}],
        "sessionResumption": {},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    })
}

/// `setup` with one more field, which may lie in an object that is there already.
pub(crate) fn with(mut setup: Value, field: &str, value: Value) -> Value {
    let pointer = format!("/{}", field.replace('.', "/"));
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    setup.pointer_mut(parent).unwrap()[name] = value;
    setup
}

/// The fields of a message, those of `serverContent` by their own names.
pub(crate) fn kinds(message: &Value) -> Vec<String> {
    let map = message.as_object().unwrap();
    let content = message["serverContent"].as_object();
    let outer = map.keys().filter(|key| *key != "serverContent");
    outer
        .chain(content.into_iter().flat_map(|fields| fields.keys()))
        .filter(|key| *key != "novelty")
        .cloned()
        .collect()
}

/// The kinds of all messages, repeats next to each other and asides left out, words and audio as
/// one.
pub(crate) fn shape(messages: &[Value]) -> Vec<String> {
    let mut shape: Vec<String> = messages
        .iter()
        .flat_map(kinds)
        .filter(|kind| !["usageMetadata", "interactionStatus"].contains(&kind.as_str()))
        .map(|kind| match kind.as_str() {
            "outputTranscription" => "modelTurn".to_owned(),
            _ => kind,
        })
        .collect();
    shape.dedup();
    shape
}

/// The `serverContent` field of all messages that have it.
pub(crate) fn contents<'a>(messages: &'a [Value], field: &str) -> Vec<&'a Value> {
    messages
        .iter()
        .filter_map(|message| message["serverContent"].get(field))
        .collect()
}

/// The deltas of one kind of transcription, joined.
pub(crate) fn text_of(messages: &[Value], field: &str) -> String {
    let deltas = contents(messages, field);
    deltas
        .iter()
        .map(|one| one["text"].as_str().unwrap())
        .collect()
}

/// The audio of all model turns, joined.
pub(crate) fn audio_of(messages: &[Value]) -> Vec<u8> {
    contents(messages, "modelTurn")
        .iter()
        .flat_map(|turn| turn["parts"].as_array().unwrap())
        .filter_map(|part| part["inlineData"]["data"].as_str())
        .flat_map(|data| STANDARD.decode(data).unwrap())
        .collect()
}

/// The ids of all function calls.
pub(crate) fn call_ids(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .filter_map(|message| message["toolCall"]["functionCalls"].as_array())
        .flatten()
        .map(|call| call["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The handle of the last `sessionResumptionUpdate` that has one.
pub(crate) fn handle_of(messages: &[Value]) -> String {
    let mut updates = messages.iter().rev();
    updates
        .find_map(|message| message["sessionResumptionUpdate"]["newHandle"].as_str())
        .unwrap()
        .to_owned()
}

pub(crate) fn response(id: &str, name: &str, output: &str) -> Value {
    json!({"id": id, "name": name, "response": {"output": output}})
}

pub(crate) fn tool_response(responses: &[Value]) -> Value {
    json!({"toolResponse": {"functionResponses": responses}})
}

/// A square wave of PCM16 at 16 kHz.
pub(crate) fn tone(milliseconds: usize) -> Vec<u8> {
    wave(16, milliseconds)
}

pub(crate) fn silence(milliseconds: usize) -> Vec<u8> {
    vec![0; 32 * milliseconds]
}

pub(crate) fn utterance(tone_ms: usize) -> Vec<u8> {
    [silence(300), tone(tone_ms), silence(600)].concat()
}

/// The only connection.
pub(crate) async fn first(server: &FakeGemini) -> FakeConnection {
    server.wait_for_connection(0).await.unwrap()
}

/// What a field is refused with that there is not.
pub(crate) fn unknown(name: &str, place: &str) -> String {
    format!(
        "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
    )
}

/// What a `setup` is answered with on this server's path.
pub(crate) async fn verdict(url: String, setup: Value) -> Result<Value, (u16, String)> {
    let mut client = Client::dial_at(url, &[KEY]).await;
    client.send(json!({"setup": setup})).await;
    match client.next().await {
        Next::Event(message) => Ok(message),
        Next::Closed { code, reason } => Err((code, reason)),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn refused(server: &FakeGemini, setup: Value) -> String {
    let (code, reason) = verdict(server.url(), setup).await.unwrap_err();
    assert_eq!(code, 1007, "{reason}");
    reason
}
