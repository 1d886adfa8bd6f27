//! A call that outlives the connection to its AI: one is cut while the caller speaks, the next is
//! replaced because the host wants it.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc, time::Duration};

use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    event::HandOverPhase,
    mock::{
        MockClient, MockConnection, MockRealtimeTransport,
        fake_openai::{FakeOpenAi, Reply, UserTranscript},
    },
    openai::{OpenAIConfig, OpenAIRealtimeProvider},
    provider::Role,
};
use tokio::{sync::mpsc, time::interval};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A fake of the vendor's server, which needs no key and can be told to misbehave.
    let vendor = FakeOpenAi::builder()
        .transcript(UserTranscript::completed("When will my order arrive?"))
        .transcript(UserTranscript::completed("And can it come earlier?"))
        .reply(Reply::speech("On Thursday.", 400))
        .reply(Reply::speech("It can come on Wednesday.", 400))
        .start()
        .await?;
    let provider = Arc::new(OpenAIRealtimeProvider::new(OpenAIConfig {
        api_key: Some("a-key".into()),
        base_url: vendor.url(),
        ..OpenAIConfig::default()
    })?);

    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport).build()?;
    let mut moved = print_hand_overs(&voice);
    let mut begun = speech_starts(&voice);
    voice.on_transcription(async |said| {
        if said.is_final {
            println!("{}: {}", said.role.as_str(), said.text);
        }
    });

    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.create_room("support-1").await?;
    kit.attach_channel("support-1", "voice").await?;
    let connection = MockConnection::new();
    let caller = connection.client();
    let session = voice.start_session("support-1", "ann", connection).await?;

    println!("the caller begins to speak, and the connection is cut");
    speak(&caller).await;
    begun.recv().await;
    vendor.wait_for_connection(0).await?.drop_connection();
    let told = caller.wait_for_message(|message| *message == ServerMessage::Reconnecting);
    println!("the caller is told: {:?}", told.await);
    // The caller goes on. The sentence is held, and heard from its beginning by the new connection.
    speak(&caller).await;
    pause(&caller).await;
    moved.recv().await;
    let told = caller.wait_for_message(|message| *message == ServerMessage::Reconnected);
    println!("the caller is told: {:?}", told.await);
    begun.recv().await;
    caller.wait_for_message(|said| says(said, "Thursday")).await;

    println!("\nthe caller speaks again, and the host asks for another connection");
    speak(&caller).await;
    begun.recv().await;
    voice.hand_over(&session)?;
    pause(&caller).await;
    // Not in mid-sentence, and not in the answer: it waits until everybody is quiet.
    caller
        .wait_for_message(|said| says(said, "Wednesday"))
        .await;
    moved.recv().await;
    println!("of that the caller is told nothing");
    kit.close().await;
    Ok(())
}

/// Prints what becomes of the connection, and tells each time that another one is there.
fn print_hand_overs(voice: &RealtimeVoiceChannel) -> mpsc::UnboundedReceiver<()> {
    let (done, moved) = mpsc::unbounded_channel();
    voice.on_hand_over(move |event| {
        match event.phase {
            HandOverPhase::Started { reason } => println!("hand-over: started, {reason:?}"),
            HandOverPhase::Finished {
                outcome,
                attempts,
                held,
                ..
            } => {
                let held = held.as_millis();
                println!("hand-over: {outcome:?}, attempts: {attempts}, audio held: {held} ms");
                let _ = done.send(());
            }
            _ => {}
        }
        std::future::ready(())
    });
    moved
}

/// Tells each time that the AI hears the caller begin to speak.
fn speech_starts(voice: &RealtimeVoiceChannel) -> mpsc::UnboundedReceiver<()> {
    let (begins, begun) = mpsc::unbounded_channel();
    voice.on_speech_start(move |_| {
        let _ = begins.send(());
        std::future::ready(())
    });
    begun
}

/// 600 ms of a voice.
async fn speak(caller: &MockClient) {
    send(caller, &[0, 32, 0, 224].repeat(240), 30).await;
}

/// Silence that is long enough to end a sentence.
async fn pause(caller: &MockClient) {
    send(caller, &[0; 960], 40).await;
}

/// Frames of 20 ms at 24 kHz, as a microphone gives them.
async fn send(caller: &MockClient, frame: &[u8], times: usize) {
    let mut clock = interval(Duration::from_millis(20));
    for _ in 0..times {
        clock.tick().await;
        caller.send_audio(frame.to_vec());
    }
}

fn says(message: &ServerMessage, part: &str) -> bool {
    matches!(
        message,
        ServerMessage::Transcription { text, role: Role::Assistant, is_final: true, .. }
            if text.contains(part)
    )
}
