//! The call and the store of its room (contracts R3, R9).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use roomkit_core::{
    RealtimeSessionState, RoomKit,
    framework::FrameworkEventKind,
    id::{ChannelId, RoomId},
    provider::{HistoryItem, HistorySupport, RealtimeVoiceProvider, Role},
    room::{Room, RoomEvent, TimelineQuery},
    store::{MemoryStore, RoomStore, StoreError},
    voice::HistorySeed,
};
use roomkit_mock::{
    Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport, provider::InjectedText,
};

use crate::support::{DESK, House, ROOM, ms, pcm, settle, soon};

/// A store whose disk may be full.
#[derive(Default)]
struct Disk {
    rooms: MemoryStore,
    is_full: AtomicBool,
    /// Where a page that was read waits.
    reading: Option<Gate>,
}

#[async_trait]
impl RoomStore for Disk {
    async fn create_room(&self, room: &Room) -> Result<(), StoreError> {
        self.rooms.create_room(room).await
    }

    async fn update_room(&self, room: &Room) -> Result<(), StoreError> {
        self.rooms.update_room(room).await
    }

    async fn remove_room(&self, room: &RoomId) -> Result<(), StoreError> {
        self.rooms.remove_room(room).await
    }

    async fn room(&self, room: &RoomId) -> Result<Option<Room>, StoreError> {
        self.rooms.room(room).await
    }

    async fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        self.rooms.rooms().await
    }

    async fn append(&self, event: &RoomEvent) -> Result<(), StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("the disk is full".into()));
        }
        self.rooms.append(event).await
    }

    async fn length(&self, room: &RoomId) -> Result<u64, StoreError> {
        self.rooms.length(room).await
    }

    async fn event_by_key(
        &self,
        room: &RoomId,
        writer: &ChannelId,
        key: &str,
    ) -> Result<Option<RoomEvent>, StoreError> {
        self.rooms.event_by_key(room, writer, key).await
    }

    async fn timeline(
        &self,
        room: &RoomId,
        query: &TimelineQuery,
    ) -> Result<Vec<RoomEvent>, StoreError> {
        let page = self.rooms.timeline(room, query).await;
        if let Some(gate) = &self.reading {
            gate.wait().await;
        }
        page
    }
}

#[tokio::test(start_paused = true)]
async fn r9_the_live_call_goes_on_and_what_could_not_be_stored_is_reported() {
    let disk = Arc::new(Disk::default());
    let store = Arc::clone(&disk) as Arc<dyn RoomStore>;
    let house = House::built(
        RoomKit::builder().store(store).build(),
        MockRealtimeProvider::new(),
        MockRealtimeTransport::new(),
        |voice| voice,
    )
    .await;
    let call = house.call().await;
    let said = |text: &str| call.ai.simulate_transcription(text, Role::User, true, None);
    said("kept before");
    call.wait_for_final("kept before").await;
    disk.is_full.store(true, Ordering::SeqCst);
    said("not kept");
    call.wait_for_final("not kept").await;
    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(pcm(ms(100)));
    call.ai
        .simulate_transcription("not kept either", Role::Assistant, true, None);
    call.ai.simulate_response_end(None);
    call.wait_for_final("not kept either").await;
    call.client.wait_for_audio(pcm(ms(100)).len()).await;
    settle().await;
    disk.is_full.store(false, Ordering::SeqCst);
    said("kept after");
    call.wait_for_final("kept after").await;
    settle().await;
    assert_eq!(call.session.state(), RealtimeSessionState::Active);
    let kept = house.messages().await;
    let texts: Vec<_> = kept.iter().map(|event| event.content.as_text()).collect();
    assert_eq!(texts, [Some("kept before"), Some("kept after")]);
    assert_eq!(kept[1].index, kept[0].index + 1, "without a gap");
    let reports = house.close(FrameworkEventKind::StoreFailed).await;
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert_eq!(report.data["operation"], "append");
        assert_eq!(report.room_id, Some(ROOM.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn r3_what_is_written_while_a_session_reads_the_rooms_past_is_told_once() {
    let gate = Gate::closed();
    let disk = Disk {
        reading: Some(gate.clone()),
        ..Disk::default()
    };
    let kit = RoomKit::builder().store(Arc::new(disk)).build();
    let provider = MockRealtimeProvider::new();
    let mut capabilities = provider.capabilities();
    capabilities.history = HistorySupport::Full;
    let provider = provider.with_capabilities(capabilities);
    let house = House::built(kit, provider, MockRealtimeTransport::new(), |voice| {
        voice.seed_history(HistorySeed::Turns(9))
    })
    .await;
    house.kit.send_event(ROOM, DESK, "before").await.unwrap();
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        let start = voice.start_session(ROOM, "ann", MockConnection::new());
        start.await.unwrap()
    });
    settle().await;
    house.kit.send_event(ROOM, DESK, "meanwhile").await.unwrap();
    settle().await;
    gate.open();
    let session = soon(start).await.unwrap();
    house.kit.send_event(ROOM, DESK, "after").await.unwrap();
    settle().await;
    let told = |text: &str| (Role::System, text.to_owned());
    let history = house.provider.connects().remove(0).history.into_iter();
    let history: Vec<_> = history
        .filter_map(|item| match item {
            HistoryItem::Message { role, text } => Some((role, text)),
            _ => None,
        })
        .collect();
    assert_eq!(history, [told("before")]);
    let injected = house.provider.session(session.id()).injected_texts();
    let injected: Vec<_> = injected
        .into_iter()
        .map(|InjectedText { role, text, .. }| (role, text))
        .collect();
    assert_eq!(injected, [told("meanwhile"), told("after")]);
}
