//! A supervisor follows a call and whispers to the AI, which the caller cannot hear.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc};

use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    mock::{EchoProvider, MockConnection, MockRealtimeTransport},
    room::NewEvent,
    subscriber::{RoomUpdate, SubscribeOptions, SubscriberChannel},
    transport::ClientEvent,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Arc::new(EchoProvider::default());
    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport).build()?;

    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.register_channel(SubscriberChannel::new("supervisor"))?;
    kit.create_room("support-1").await?;
    kit.attach_channel("support-1", "voice").await?;
    kit.attach_channel("support-1", "supervisor").await?;

    // What a dashboard would show: events of the timeline, and words while they are being spoken.
    let mut dashboard = kit.subscribe("support-1", SubscribeOptions::new()).await?;

    let connection = MockConnection::new();
    let caller = connection.client();
    voice.start_session("support-1", "ann", connection).await?;

    caller.send(ClientEvent::Text("What does the large plan cost?".into()));
    println!("\nthe AI answers the caller:");
    follow(&mut dashboard, "large plan").await;

    // Visible to the voice channel only: the AI hears it, no other channel does. It answers aloud.
    let whisper = NewEvent::text("Offer 20% discount").visibility("voice".parse()?);
    kit.send_event("support-1", "supervisor", whisper).await?;
    println!("\nthe supervisor whispers, and the AI takes it up:");
    follow(&mut dashboard, "Noted").await;

    // Silently: the AI knows it from now on, and says nothing before it is asked.
    let hint = NewEvent::text("She is a customer since 2019")
        .visibility("voice".parse()?)
        .metadata("silent", true);
    kit.send_event("support-1", "supervisor", hint).await?;
    let prompt = NewEvent::text("Thank her").visibility("voice".parse()?);
    kit.send_event("support-1", "supervisor", prompt).await?;
    println!("\na silent hint shows in the next answer:");
    follow(&mut dashboard, "2019").await;

    kit.close().await;
    Ok(())
}

/// Prints what happens in the room until the AI has said something with `part` in it.
async fn follow(dashboard: &mut roomkit::subscriber::Subscription, part: &str) {
    while let Some(update) = dashboard.recv().await {
        let RoomUpdate::Event(event) = update else {
            continue; // Words that are still being spoken, for example.
        };
        let Some(text) = event.content.as_text() else {
            continue;
        };
        let role = event.metadata.get("role").and_then(|role| role.as_str());
        let who = role.unwrap_or(event.source.channel_id.as_str());
        println!("  {} (for {}): {text}", who, event.visibility);
        if role == Some("assistant") && text.contains(part) {
            return;
        }
    }
}
