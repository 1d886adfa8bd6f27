//! A channel of your own: it reads along in a room and writes down what is said.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    channel::{Channel, ChannelError, DetachReason},
    id::{ChannelId, RoomId},
    mock::{EchoProvider, MockConnection, MockRealtimeTransport},
    room::{Access, BindingOptions, ChannelBinding, RoomEvent},
    transport::ClientEvent,
};
use tokio::sync::mpsc;

/// Prints each event of its rooms, and hands it on to the program.
struct LogChannel {
    id: ChannelId,
    lines: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Channel for LogChannel {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "log"
    }

    async fn on_attached(&self, binding: &ChannelBinding) -> Result<(), ChannelError> {
        println!("log: attached to {}", binding.room_id);
        Ok(())
    }

    /// Called for one event after the other, in the order of the timeline.
    async fn on_event(
        &self,
        event: Arc<RoomEvent>,
        _binding: &ChannelBinding,
    ) -> Result<(), ChannelError> {
        let Some(text) = event.content.as_text() else {
            return Ok(());
        };
        let who = event.source.participant_id.as_ref();
        let who = who.map_or("the AI", |participant| participant.as_str());
        let line = format!("{} {who}: {text}", event.created_at.strftime("%H:%M:%S"));
        println!("log: {line}");
        self.lines
            .send(line)
            .map_err(|_| ChannelError::new("the log's reader is gone"))
    }

    async fn on_detached(&self, room: &RoomId, why: DetachReason) {
        println!("log: {room} is left: {why:?}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Arc::new(EchoProvider::default());
    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport).build()?;
    let (lines, mut written) = mpsc::unbounded_channel();

    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.register_channel(LogChannel {
        id: "log".into(),
        lines,
    })?;
    kit.create_room("support-1").await?;
    kit.attach_channel("support-1", "voice").await?;
    let read_only = BindingOptions::new().access(Access::ReadOnly);
    kit.attach_channel_with("support-1", "log", read_only)
        .await?;

    let connection = MockConnection::new();
    let caller = connection.client();
    voice.start_session("support-1", "ann", connection).await?;
    caller.send_audio(speech());
    while let Some(line) = written.recv().await {
        if line.contains("echo of") {
            caller.send(ClientEvent::End);
            break;
        }
    }
    kit.close_room("support-1").await?;
    kit.close().await;
    Ok(())
}

/// A second of tone and a second of silence: PCM16 at 24 kHz.
fn speech() -> Vec<u8> {
    let mut pcm = [0, 32, 0, 224].repeat(12_000);
    pcm.resize(96_000, 0);
    pcm
}
