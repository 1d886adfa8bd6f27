//! Calls over WebRTC, and a session for each that comes: the signalling is mounted on the program's
//! own axum application, and the transport tells of each client that is connected.
//!
//! `cargo run --example webrtc` plays the caller as well, and ends. With `-- --serve` it waits for
//! browsers at <http://localhost:8766>.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "webrtc/caller.rs"]
mod caller;

use std::{error::Error, net::SocketAddr, sync::Arc};

use axum::{Router, response::Html, routing::get};
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    error::{RoomError, StartError},
    http::{Admission, AdmissionConfig},
    id::RoomId,
    mock::EchoProvider,
    webrtc::{
        ClientConnected, WebRtcRealtimeTransport, WebRtcTransportConfig, mount_fastrtc_realtime,
    },
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Arc::new(EchoProvider::default());
    // Rates need not be named: audio is decoded to what the provider takes, and encoded from what
    // it gives.
    let transport = WebRtcRealtimeTransport::new(WebRtcTransportConfig::default())?;
    println!(
        "callers are listened to at {:?}",
        transport.local_addresses()
    );

    let channel =
        RealtimeVoiceChannel::builder("realtime-voice", provider, Arc::new(transport.clone()))
            .system_prompt("You are a helpful voice assistant.")
            .build()?;
    let kit = RoomKit::new();
    kit.register_channel(channel.clone())?;

    // Sessions by themselves, one for each client.
    let host = (kit.clone(), channel);
    transport.on_client_connected(move |client| {
        let (kit, channel) = host.clone();
        async move {
            match start(&kit, &channel, client).await {
                Ok(room) => println!("a client is connected, in room {room}"),
                Err(error) => println!("a client got no session: {error}"),
            }
        }
    });

    // The signalling, on an application of the program's own.
    let app = Router::new().route("/", get(async || Html(PAGE)));
    let admission = Admission::new(&AdmissionConfig::default())?;
    let app = mount_fastrtc_realtime(app, &transport, "/rtc-realtime", admission)?;

    let serve_on = std::env::args().any(|argument| argument == "--serve");
    let port = if serve_on { 8766 } else { 0 };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    // With the callers' addresses, for the limit of sessions per address.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async { axum::serve(listener, app).await });

    if serve_on {
        server.await??;
    } else {
        caller::call(address, "/rtc-realtime/webrtc/offer").await?;
    }
    kit.close().await;
    transport.close().await;
    Ok(())
}

/// In the room and as the participant that its credentials hold it to, or it asks for in its query;
/// otherwise in a room of its own.
async fn start(
    kit: &RoomKit,
    channel: &RealtimeVoiceChannel,
    client: ClientConnected,
) -> Result<RoomId, StartError> {
    let room = client.room.unwrap_or_else(RoomId::random);
    match kit.create_room(&room).await {
        // Somebody may be there already.
        Ok(_) | Err(RoomError::Exists(_)) => {}
        Err(error) => return Err(error.into()),
    }
    // Attached again, it would lose its permissions there, such as a mute.
    if kit.binding(&room, "realtime-voice").await.is_err() {
        kit.attach_channel(&room, "realtime-voice").await?;
    }
    let participant = client.participant.unwrap_or_else(|| "user-1".into());
    channel.start_session(&room, participant, client.id).await?;
    Ok(room)
}

/// What a page needs: a microphone, a track to listen to, a channel for the messages, and one request.
const PAGE: &str = include_str!("webrtc/page.html");
