//! A first call: a voice channel in a room, a WebSocket server before it, and a caller.
//!
//! `cargo run --example first_call` plays the caller as well, and ends. With `-- --serve` it waits
//! for real ones on port 8765.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    mock::EchoProvider,
    room::TimelineQuery,
    websocket::{WebSocketRealtimeTransport, WebSocketTransportConfig, WsConnection},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{accept_async_with_config, connect_async, tungstenite::Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Arc::new(EchoProvider::default());
    let transport = Arc::new(WebSocketRealtimeTransport::default());

    // The channel: whose voice it is, and how callers reach it.
    let channel = RealtimeVoiceChannel::builder("realtime-voice", provider, transport)
        .system_prompt("You are a helpful voice assistant.")
        .build()?;
    let kit = RoomKit::new();
    kit.register_channel(channel.clone())?;

    // The room, with the channel in it.
    kit.create_room("voice-room").await?;
    kit.attach_channel("voice-room", "realtime-voice").await?;

    let serve_on = std::env::args().any(|argument| argument == "--serve");
    let port = if serve_on { 8765 } else { 0 };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("ws://{}", listener.local_addr()?);
    println!("listening on {url}");
    let server = tokio::spawn(serve(listener, channel));

    if serve_on {
        server.await?;
    } else {
        call(&url).await?;
        for event in kit.timeline("voice-room", TimelineQuery::new()).await? {
            println!("timeline {}: {:?}", event.index, event.content);
        }
    }
    kit.close().await;
    Ok(())
}

/// Makes a session of every connection.
async fn serve(listener: TcpListener, channel: RealtimeVoiceChannel) {
    while let Ok((socket, peer)) = listener.accept().await {
        let channel = channel.clone();
        tokio::spawn(async move {
            match start(socket, &channel).await {
                Ok(()) => println!("{peer} is in the room"),
                Err(error) => println!("{peer} could not be connected: {error}"),
            }
        });
    }
}

async fn start(socket: TcpStream, channel: &RealtimeVoiceChannel) -> Result<(), Box<dyn Error>> {
    // Small buffers, and a limit on what a client may send.
    let config = WebSocketTransportConfig::default().socket_config();
    let socket = accept_async_with_config(socket, Some(config)).await?;
    let connection = WsConnection::from(socket);
    channel
        .start_session("voice-room", "participant-1", connection)
        .await?;
    Ok(())
}

/// Says something for half a second, listens to the answer, and leaves.
async fn call(url: &str) -> Result<(), Box<dyn Error>> {
    let (mut socket, _) = Box::pin(connect_async(url)).await?;
    let (loud, quiet): (Vec<u8>, _) = ([0, 32, 0, 224].repeat(240), vec![0; 960]);
    for frame in 0..60 {
        // 20 ms of PCM16 at 24 kHz.
        let pcm = if frame < 25 { &loud } else { &quiet };
        socket.send(Message::binary(pcm.clone())).await?;
    }
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let message: Value = serde_json::from_str(&text)?;
        if message["type"] == "transcription" && message["is_final"] == true {
            println!("{}: {}", message["role"], message["text"]);
            if message["role"] == "assistant" {
                socket
                    .send(Message::text(json!({"type": "end"}).to_string()))
                    .await?;
            }
        }
    }
    Ok(())
}
