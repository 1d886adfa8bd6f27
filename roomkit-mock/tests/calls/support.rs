//! A house with one voice channel in the room `lobby`, and callers for it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit, SessionOptions,
    audio::bytes_for,
    client_protocol::ServerMessage,
    framework::{FrameworkEvent, FrameworkEventKind, FrameworkEvents},
    provider::Role,
    room::{EventKind, RoomEvent, TimelineQuery},
    subscriber::SubscriberChannel,
    voice::RealtimeVoiceChannelBuilder,
};
use roomkit_mock::{
    MockClient, MockConnection, MockProviderConnection, MockRealtimeProvider, MockRealtimeTransport,
};

use crate::spans;

pub(crate) const ROOM: &str = "lobby";
pub(crate) const VOICE: &str = "voice";
pub(crate) const DESK: &str = "desk";

/// Waits for what must come; the limit is there only to fail.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), what)
        .await
        .expect("it came")
}

/// Lets everything that can happen now happen; virtual time.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Audio of this length at 24 kHz.
pub(crate) fn pcm(length: Duration) -> Bytes {
    pcm_at(length, 24_000)
}

pub(crate) fn pcm_at(length: Duration, rate: u32) -> Bytes {
    vec![1; bytes_for(length, rate)].into()
}

/// A kit whose lobby has this voice channel and nothing else.
pub(crate) async fn lobby(voice: &RealtimeVoiceChannel) -> RoomKit {
    spans::ask_every_thread();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room(ROOM).await.unwrap();
    kit.attach_channel(ROOM, VOICE).await.unwrap();
    kit
}

/// Kit, channel and mocks; the voice channel and a desk for people are attached to the lobby.
pub(crate) struct House {
    pub(crate) kit: RoomKit,
    pub(crate) provider: MockRealtimeProvider,
    pub(crate) transport: MockRealtimeTransport,
    pub(crate) voice: RealtimeVoiceChannel,
    pub(crate) reports: FrameworkEvents,
}

/// One running session and both of its ends.
pub(crate) struct Call {
    pub(crate) session: RealtimeSession,
    pub(crate) client: MockClient,
    pub(crate) ai: MockProviderConnection,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|voice| voice).await
    }

    pub(crate) async fn with(
        settings: impl FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder,
    ) -> Self {
        let (provider, transport) = (MockRealtimeProvider::new(), MockRealtimeTransport::new());
        Self::of(provider, transport, settings).await
    }

    pub(crate) async fn of(
        provider: MockRealtimeProvider,
        transport: MockRealtimeTransport,
        settings: impl FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder,
    ) -> Self {
        Self::built(RoomKit::new(), provider, transport, settings).await
    }

    /// A house in this kit.
    pub(crate) async fn built(
        kit: RoomKit,
        provider: MockRealtimeProvider,
        transport: MockRealtimeTransport,
        settings: impl FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder,
    ) -> Self {
        spans::ask_every_thread();
        let builder = RealtimeVoiceChannel::builder(
            VOICE,
            Arc::new(provider.clone()),
            Arc::new(transport.clone()),
        );
        let voice = settings(builder).build().unwrap();
        let reports = kit.framework_events();
        kit.register_channel(voice.clone()).unwrap();
        kit.register_channel(SubscriberChannel::new(DESK)).unwrap();
        kit.create_room(ROOM).await.unwrap();
        kit.attach_channel(ROOM, VOICE).await.unwrap();
        kit.attach_channel(ROOM, DESK).await.unwrap();
        Self {
            kit,
            provider,
            transport,
            voice,
            reports,
        }
    }

    pub(crate) async fn call(&self) -> Call {
        self.call_with(SessionOptions::new()).await
    }

    pub(crate) async fn call_with(&self, options: SessionOptions) -> Call {
        let connection = MockConnection::new();
        let client = connection.client();
        let start = self
            .voice
            .start_session_with(ROOM, "ann", connection, options);
        let session = soon(start).await.unwrap();
        let ai = self.provider.session(session.id());
        Call {
            session,
            client,
            ai,
        }
    }

    /// What people said, wrote or heard in the lobby so far.
    pub(crate) async fn messages(&self) -> Vec<RoomEvent> {
        let query = TimelineQuery::new().limit(1000);
        let mut events = self.kit.timeline(ROOM, query).await.unwrap();
        events.retain(|event| event.kind == EventKind::Message);
        events
    }

    /// The texts of those.
    pub(crate) async fn texts(&self) -> Vec<String> {
        let messages = self.messages().await;
        let texts = messages.iter().filter_map(|event| event.content.as_text());
        texts.map(str::to_owned).collect()
    }

    /// Nothing of any session is left, on any side.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.voice.sessions(), []);
        assert_eq!(self.provider.open_connections(), 0);
        assert_eq!(self.provider.pending_connects(), 0);
        assert_eq!(self.transport.open_links(), 0);
    }

    /// Closes the kit and gives the reports of this kind.
    pub(crate) async fn close(self, kind: FrameworkEventKind) -> Vec<FrameworkEvent> {
        let mut found = self.close_whole().await;
        found.retain(|event| event.kind == kind);
        found
    }

    /// Closes the kit and gives all reports.
    pub(crate) async fn close_whole(mut self) -> Vec<FrameworkEvent> {
        soon(self.kit.close()).await;
        let mut reports = Vec::new();
        while let Some(event) = self.reports.recv().await {
            reports.push(event);
        }
        reports
    }
}

impl Call {
    /// The messages that are transcripts: role, text, whether final.
    pub(crate) fn words(&self) -> Vec<(Role, String, bool)> {
        let words = self.client.messages().into_iter();
        words
            .filter_map(|message| match message {
                ServerMessage::Transcription {
                    role,
                    text,
                    is_final,
                    ..
                } => Some((role, text, is_final)),
                _ => None,
            })
            .collect()
    }

    pub(crate) async fn wait_for_final(&self, wanted: &str) {
        self.client
            .wait_for_message(|message| {
                matches!(message, ServerMessage::Transcription { text, is_final: true, .. } if text == wanted)
            })
            .await;
    }
}

/// What host code log, in order.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
