//! Client links whose plugin panics: the session ends all the same, and in order (contracts S3, S8).

use std::sync::Arc;

use async_trait::async_trait;
use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel,
    client_protocol::ServerMessage,
    error::TransportError,
    framework::FrameworkEventKind,
    hook::Hook,
    transport::{
        AudioOffer, ClientCommand, ClientLink, ClientSink, Connection, RealtimeAudioTransport,
    },
};
use roomkit_mock::{MockConnection, MockRealtimeProvider, MockRealtimeTransport};

use crate::support::{Notes, ROOM, VOICE, lobby, ms, pcm, soon};

/// What its sinks do not survive.
#[derive(Clone, Copy, PartialEq)]
enum Weakness {
    Clear,
    Goodbye,
    Close,
}

struct Brittle(MockRealtimeTransport, Weakness);

struct BrittleSink(Box<dyn ClientSink>, Weakness);

#[async_trait]
impl RealtimeAudioTransport for Brittle {
    fn name(&self) -> &'static str {
        "brittle"
    }

    async fn accept(
        &self,
        session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let mut link = self.0.accept(session, connection, offer).await?;
        link.sink = Box::new(BrittleSink(link.sink, self.1));
        Ok(link)
    }
}

#[async_trait]
impl ClientSink for BrittleSink {
    async fn send(&mut self, command: ClientCommand) -> Result<(), TransportError> {
        let is_too_much = match &command {
            ClientCommand::Clear => self.1 == Weakness::Clear,
            ClientCommand::Message(ServerMessage::SessionEnded { .. }) => {
                self.1 == Weakness::Goodbye
            }
            _ => false,
        };
        assert!(!is_too_much, "a defect of the plugin");
        self.0.send(command).await
    }

    async fn close(&mut self, reason: &str) {
        assert!(self.1 != Weakness::Close, "a defect of the plugin");
        self.0.close(reason).await;
    }
}

/// A call over such a link ends once and whole: for this reason.
async fn ends_whole(weakness: Weakness, reason: &str) {
    let (provider, transport) = (MockRealtimeProvider::new(), MockRealtimeTransport::new());
    let brittle = Arc::new(Brittle(transport.clone(), weakness));
    let voice = RealtimeVoiceChannel::builder(VOICE, Arc::new(provider.clone()), brittle)
        .build()
        .unwrap();
    let kit = lobby(&voice).await;
    let mut reports = kit.framework_events();
    let notes = Notes::default();
    let log = notes.clone();
    kit.add_hook(Hook::session_ended(move |event| {
        log.add(event.reason.as_str());
        async {}
    }));
    let start = voice.start_session(ROOM, "ann", MockConnection::new());
    let session = soon(start).await.unwrap();
    let (ai, client) = (provider.last(), transport.last());
    ai.simulate_response_start(None);
    ai.simulate_audio(pcm(ms(2000)));
    client.wait_for_audio(pcm(ms(100)).len()).await;
    if weakness == Weakness::Clear {
        ai.simulate_speech_start(None);
        soon(client.wait_for_close_or_drop()).await;
    }
    soon(voice.end_session(&session)).await;
    soon(kit.close()).await;
    let mut ended = Vec::new();
    while let Some(report) = reports.recv().await {
        if report.kind == FrameworkEventKind::SessionEnded {
            ended.push(report.data["reason"].clone());
        }
    }
    assert_eq!(ended, [reason]);
    assert_eq!(notes.all(), [reason]);
    assert_eq!(voice.sessions(), []);
    assert_eq!(ai.closes(), 1);
    assert_eq!(
        (provider.open_connections(), transport.open_links()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn s3_s8_a_client_sink_that_panics_while_it_sends_ends_its_session() {
    ends_whole(Weakness::Clear, "internal").await;
}

#[tokio::test(start_paused = true)]
async fn s3_s8_a_client_sink_that_panics_at_the_goodbye_skips_nothing_else() {
    ends_whole(Weakness::Goodbye, "host").await;
}

#[tokio::test(start_paused = true)]
async fn s3_s8_a_client_sink_that_panics_while_it_closes_skips_nothing_else() {
    ends_whole(Weakness::Close, "host").await;
}
