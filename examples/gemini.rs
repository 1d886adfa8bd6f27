//! Gemini Live behind a WebSocket server, and a supervisor who whispers to it.
//!
//! With `GOOGLE_API_KEY` set, `cargo run --example gemini` waits for callers on port 8765. Without,
//! a fake of the vendor's server takes its place, a caller is played as well, and it ends.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{env, error::Error, net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    gemini::{GeminiConfig, GeminiLiveProvider},
    http::{Admission, AdmissionConfig, MountContext, StartRequest},
    mock::fake_gemini::{FakeGemini, Reply, UserTranscript},
    room::NewEvent,
    subscriber::SubscriberChannel,
    websocket::WebSocketRealtimeTransport,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if env::var_os("GOOGLE_API_KEY").is_some() {
        let (_, channel) = room(GeminiConfig::default()).await?;
        let listener = TcpListener::bind("127.0.0.1:8765").await?;
        println!("listening on ws://{}/ws", listener.local_addr()?);
        return serve(listener, channel).await;
    }

    println!("GOOGLE_API_KEY is not set; a fake answers");
    let vendor = fake().await?;
    let config = GeminiConfig {
        api_key: Some("a-key".into()),
        base_url: Some(vendor.base_url()),
        ..GeminiConfig::default()
    };
    let (kit, channel) = room(config).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/ws", listener.local_addr()?);
    tokio::spawn(async {
        if let Err(error) = serve(listener, channel).await {
            println!("no more callers: {error}");
        }
    });
    call(&url, &kit).await?;
    kit.close().await;
    Ok(())
}

/// A room with the AI and a supervisor in it.
async fn room(config: GeminiConfig) -> Result<(RoomKit, RealtimeVoiceChannel), Box<dyn Error>> {
    // Provider and transport.
    let provider = Arc::new(GeminiLiveProvider::new(config)?);
    let transport = Arc::new(WebSocketRealtimeTransport::default());

    // The channel.
    let channel = RealtimeVoiceChannel::builder("realtime-voice", provider, transport)
        .system_prompt("You are a helpful voice assistant.")
        .voice("Aoede")
        .build()?;
    let kit = RoomKit::new();
    kit.register_channel(channel.clone())?;
    kit.register_channel(SubscriberChannel::new("supervisor"))?;

    // The room. What is said becomes its events, which other channels see; what those write is
    // given to the AI.
    kit.create_room("voice-room").await?;
    kit.attach_channel("voice-room", "realtime-voice").await?;
    kit.attach_channel("voice-room", "supervisor").await?;
    Ok((kit, channel))
}

/// Makes a session of every connection. No web page but this server's own may open one, and spend the key:
/// it has none, and pages of others on this machine are kept out by the name that they ask for.
async fn serve(listener: TcpListener, channel: RealtimeVoiceChannel) -> Result<(), Box<dyn Error>> {
    let host = Arc::new(move |request: StartRequest| {
        let channel = channel.clone();
        async move {
            let participant = request.participant.unwrap_or("participant-1".into());
            channel
                .start_session("voice-room", participant, request.connection)
                .await
        }
    });
    let admission = Admission::new(&AdmissionConfig {
        local: true,
        ..AdmissionConfig::default()
    })?;
    let transport = WebSocketRealtimeTransport::default();
    let app = transport.routes(MountContext::new("/ws", admission, host)?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

/// What the vendor's server would say.
async fn fake() -> std::io::Result<FakeGemini> {
    FakeGemini::builder()
        .transcript(UserTranscript::completed("What does the large plan cost?"))
        .reply(Reply::speech("It is fifty a month.", 600))
        .reply(Reply::speech("For you it is forty: 20 % less.", 600))
        .start()
        .await
}

/// Asks something, has the supervisor whisper, and leaves when the AI has taken it up.
async fn call(url: &str, kit: &RoomKit) -> Result<(), Box<dyn Error>> {
    let (mut socket, _) = Box::pin(connect_async(url)).await?;
    let (loud, quiet): (Vec<u8>, _) = ([0, 32, 0, 224].repeat(160), vec![0; 640]);
    for frame in 0..80 {
        // 20 ms of PCM16 at 16 kHz, which is what Gemini hears.
        let pcm = if frame < 30 { &loud } else { &quiet };
        socket.send(Message::binary(pcm.clone())).await?;
    }
    let mut answers = 0;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue; // The AI's voice.
        };
        let message: Value = serde_json::from_str(&text)?;
        if message["type"] != "transcription" || message["is_final"] != true {
            continue;
        }
        println!("{}: {}", message["role"], message["text"]);
        if message["role"] != "assistant" {
            continue;
        }
        answers += 1;
        if answers == 1 {
            println!("the supervisor whispers: Offer 20% discount");
            let whisper =
                NewEvent::text("Offer 20% discount").visibility("realtime-voice".parse()?);
            kit.send_event("voice-room", "supervisor", whisper).await?;
        } else {
            let end = json!({"type": "end"}).to_string();
            socket.send(Message::text(end)).await?;
        }
    }
    Ok(())
}
