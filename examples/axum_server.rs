//! Callers on an axum application of your own: who may come in, in which room, what is not to be kept of
//! what they say, and what the AI may not do.
//!
//! `cargo run --example axum_server` plays the callers as well, and ends. With `-- --serve` it waits for
//! real ones at <ws://localhost:8767/ws>.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use futures_util::{SinkExt, StreamExt};
use roomkit::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit,
    error::{RoomError, StartError},
    event::{RealtimeToolCallEvent, RealtimeTranscriptionEvent},
    hook::{Decision, Hook},
    http::{
        Admission, AdmissionConfig, AuthRequest, Identity, MountContext, Refusal, StartRequest,
    },
    id::{ParticipantId, RoomId},
    mock::EchoProvider,
    room::TimelineQuery,
    websocket::WebSocketRealtimeTransport,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Arc::new(EchoProvider::default());
    let transport = WebSocketRealtimeTransport::default();
    let channel = RealtimeVoiceChannel::builder("voice", provider, Arc::new(transport.clone()))
        .system_prompt("You are a helpful voice assistant.")
        .build()?;
    let kit = RoomKit::new();
    kit.register_channel(channel.clone())?;
    kit.add_hook(Hook::transcription(redact));
    kit.add_hook(Hook::before_tool_use(in_office_hours));

    // The session of a caller who was let in.
    let host = (kit.clone(), channel);
    let host = Arc::new(move |request: StartRequest| {
        let (kit, channel) = host.clone();
        async move { start(&kit, &channel, request).await }
    });
    let admission = Admission::with_authentication(&AdmissionConfig::default(), who)?;
    let app = Router::new()
        .route("/", get(async || "an application with a telephone"))
        .merge(transport.routes(MountContext::new("/ws", admission, host)?));

    let serve_on = std::env::args().any(|argument| argument == "--serve");
    let port = if serve_on { 8767 } else { 0 };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("ws://{}/ws", listener.local_addr()?);
    println!("listening on {url}");
    // With the callers' addresses, for the limit of sessions per address.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async { axum::serve(listener, app).await });

    if serve_on {
        server.await??;
    } else {
        if let Err(refusal) = Box::pin(connect_async(&url)).await {
            println!("without a key: {refusal}");
        }
        // In the room of her key: asking for another one is a 403.
        call(&format!("{url}?token=key-of-ann")).await?;
        for event in kit.timeline("room-of-ann", TimelineQuery::new()).await? {
            println!("timeline {}: {:?}", event.index, event.content.as_text());
        }
    }
    kit.close().await;
    Ok(())
}

/// Whoever has a key is the participant it belongs to, in a room of their own. A real one looks it up.
async fn who(request: AuthRequest) -> Result<Identity, Refusal> {
    let name = request
        .bearer_token()
        .and_then(|key| key.strip_prefix("key-of-"));
    match name {
        Some(name) => Ok(Identity::new([("user", name)])
            .participant(name)
            .room(format!("room-of-{name}"))),
        None => Err(Refusal::Unauthorized("a key is needed".into())),
    }
}

async fn start(
    kit: &RoomKit,
    channel: &RealtimeVoiceChannel,
    request: StartRequest,
) -> Result<RealtimeSession, StartError> {
    let room = request.room.unwrap_or_else(RoomId::random);
    match kit.create_room(&room).await {
        // Somebody may be there already.
        Ok(_) | Err(RoomError::Exists(_)) => {}
        Err(error) => return Err(error.into()),
    }
    // Attached again, it would lose its permissions there, such as a mute.
    if kit.binding(&room, "voice").await.is_err() {
        kit.attach_channel(&room, "voice").await?;
    }
    let participant = request.participant.unwrap_or_else(ParticipantId::random);
    channel
        .start_session(&room, participant, request.connection)
        .await
}

/// A number that nobody else has to read: what is shown and stored is without it. The AI is given what is
/// said and typed as it is.
async fn redact(mut said: RealtimeTranscriptionEvent) -> Decision<RealtimeTranscriptionEvent> {
    let is_number = |word: &str| word.len() >= 12 && word.chars().all(|c| c.is_ascii_digit());
    if !said.text.split_whitespace().any(is_number) {
        return Decision::Allow;
    }
    let words = said.text.split_whitespace();
    let words = words.map(|word| if is_number(word) { "****" } else { word });
    said.text = words.collect::<Vec<_>>().join(" ");
    Decision::Replace(said)
}

/// The AI is told why, and says so.
async fn in_office_hours(call: RealtimeToolCallEvent) -> Decision<RealtimeToolCallEvent> {
    if call.name == "transfer_to_human" {
        Decision::block("nobody is there at this hour")
    } else {
        Decision::Allow
    }
}

/// Types a number, waits for the answer, and leaves.
async fn call(url: &str) -> Result<(), Box<dyn Error>> {
    let (mut socket, _) = Box::pin(connect_async(url)).await?;
    let typed = json!({"type": "text", "text": "my card is 4111111111111111"});
    socket.send(Message::text(typed.to_string())).await?;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let message: Value = serde_json::from_str(&text)?;
        if message["type"] == "transcription" && message["is_final"] == true {
            println!("{}: {}", message["role"], message["text"]);
            if message["role"] == "assistant" {
                let end = json!({"type": "end"});
                socket.send(Message::text(end.to_string())).await?;
            }
        }
    }
    Ok(())
}
