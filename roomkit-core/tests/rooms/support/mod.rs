//! Channels and stores that the room tests share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use roomkit_core::{
    RoomKit,
    channel::{Channel, ChannelCategory, ChannelError, DetachReason},
    framework::{FrameworkEvent, FrameworkEventKind, FrameworkEvents},
    id::{ChannelId, RoomId},
    room::{ChannelBinding, Room, RoomEvent, TimelineQuery},
    store::{MemoryStore, RoomStore, StoreError},
};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Waits for what must come; the limit is there only to fail.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("it came")
}

type Reaction =
    Arc<dyn Fn(Arc<RoomEvent>) -> BoxFuture<'static, Result<(), ChannelError>> + Send + Sync>;
type Detached = Arc<dyn Fn(RoomId, DetachReason) -> BoxFuture<'static, ()> + Send + Sync>;

/// A channel that notes everything it is told, and reacts as a test wants.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Inner>);

struct Inner {
    id: ChannelId,
    category: ChannelCategory,
    refusal: Option<String>,
    agreement: Option<Arc<Semaphore>>,
    reaction: Option<Reaction>,
    detached: Option<Detached>,
    close_timeout: Option<Duration>,
    events: mpsc::UnboundedSender<Arc<RoomEvent>>,
    log: Mutex<Vec<String>>,
}

pub(crate) struct RecorderBuilder(Inner, mpsc::UnboundedReceiver<Arc<RoomEvent>>);

impl Recorder {
    pub(crate) fn build(id: &str) -> RecorderBuilder {
        let (events, received) = mpsc::unbounded_channel();
        let inner = Inner {
            id: id.into(),
            category: ChannelCategory::Transport,
            refusal: None,
            agreement: None,
            reaction: None,
            detached: None,
            close_timeout: None,
            events,
            log: Mutex::default(),
        };
        RecorderBuilder(inner, received)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.0.log.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.0.log.lock().unwrap().push(line);
    }
}

impl RecorderBuilder {
    pub(crate) fn category(mut self, category: ChannelCategory) -> Self {
        self.0.category = category;
        self
    }

    pub(crate) fn refusing(mut self, reason: &str) -> Self {
        self.0.refusal = Some(reason.to_owned());
        self
    }

    /// Agrees to be attached once this has a permit.
    pub(crate) fn agreeing_with(mut self, permits: &Arc<Semaphore>) -> Self {
        self.0.agreement = Some(Arc::clone(permits));
        self
    }

    /// Runs after the event was noted.
    pub(crate) fn reacting<F, Fut>(mut self, reaction: F) -> Self
    where
        F: Fn(Arc<RoomEvent>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ChannelError>> + Send + 'static,
    {
        self.0.reaction = Some(Arc::new(move |event| Box::pin(reaction(event))));
        self
    }

    pub(crate) fn when_detached<F, Fut>(mut self, detached: F) -> Self
    where
        F: Fn(RoomId, DetachReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.detached = Some(Arc::new(move |room, why| Box::pin(detached(room, why))));
        self
    }

    /// So long it may take to let go of a room.
    pub(crate) fn close_timeout(mut self, limit: Duration) -> Self {
        self.0.close_timeout = Some(limit);
        self
    }

    /// Registered, and attached to the room.
    pub(crate) async fn attach(self, kit: &RoomKit, room: &str) -> (Recorder, Received) {
        let (recorder, received) = self.register(kit);
        kit.attach_channel(room, recorder.id()).await.unwrap();
        (recorder, received)
    }

    pub(crate) fn register(self, kit: &RoomKit) -> (Recorder, Received) {
        let recorder = Recorder(Arc::new(self.0));
        kit.register_channel(recorder.clone()).unwrap();
        (recorder, Received(self.1))
    }
}

/// What a [`Recorder`] was handed.
pub(crate) struct Received(mpsc::UnboundedReceiver<Arc<RoomEvent>>);

impl Received {
    pub(crate) async fn event(&mut self) -> Arc<RoomEvent> {
        soon(self.0.recv()).await.expect("the channel exists")
    }

    pub(crate) async fn text(&mut self) -> String {
        let event = self.event().await;
        event.content.as_text().expect("text").to_owned()
    }

    pub(crate) fn now(&mut self) -> Option<Arc<RoomEvent>> {
        self.0.try_recv().ok()
    }
}

#[async_trait]
impl Channel for Recorder {
    fn id(&self) -> &ChannelId {
        &self.0.id
    }

    fn kind(&self) -> &'static str {
        "recorder"
    }

    fn category(&self) -> ChannelCategory {
        self.0.category
    }

    async fn on_attached(&self, _binding: &ChannelBinding) -> Result<(), ChannelError> {
        self.note("attached".to_owned());
        if let Some(permits) = &self.0.agreement {
            permits.acquire().await.unwrap().forget();
        }
        match &self.0.refusal {
            Some(reason) => Err(ChannelError::new(reason.clone())),
            None => Ok(()),
        }
    }

    async fn on_event(
        &self,
        event: Arc<RoomEvent>,
        _binding: &ChannelBinding,
    ) -> Result<(), ChannelError> {
        let _ = self.0.events.send(Arc::clone(&event));
        match &self.0.reaction {
            Some(reaction) => reaction(event).await,
            None => Ok(()),
        }
    }

    fn on_binding_changed(&self, binding: &ChannelBinding) {
        self.note(format!(
            "muted={} output_muted={} access={:?} visibility={}",
            binding.muted, binding.output_muted, binding.access, binding.visibility
        ));
    }

    async fn on_detached(&self, room: &RoomId, why: DetachReason) {
        self.note(format!("detached from {room}: {why:?}"));
        if let Some(detached) = &self.0.detached {
            detached(room.clone(), why).await;
        }
    }

    async fn close(&self) {
        self.note("closed".to_owned());
    }

    fn close_timeout(&self) -> Option<Duration> {
        self.0.close_timeout
    }
}

/// A store that fails on command.
#[derive(Default)]
pub(crate) struct FailingStore {
    inner: MemoryStore,
    released: Notify,
    held: Notify,
    mode: AtomicU8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Writes fail.
    Refuse,
    /// Writes happen and are said to have failed.
    Lie,
    /// Writes panic.
    Panic,
    /// Each write waits until it is [released](FailingStore::release).
    Hold,
}

impl FailingStore {
    pub(crate) fn set(&self, fault: Fault) {
        self.mode.store(fault as u8, Ordering::SeqCst);
    }

    /// Lets go of the write that is held, or of the next.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    /// A write is held.
    pub(crate) async fn held(&self) {
        self.held.notified().await;
    }

    fn fault(&self) -> Fault {
        match self.mode.load(Ordering::SeqCst) {
            1 => Fault::Refuse,
            2 => Fault::Lie,
            3 => Fault::Panic,
            4 => Fault::Hold,
            _ => Fault::None,
        }
    }

    async fn write(
        &self,
        write: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let failed = Err(StoreError::Failed("the disk is full".to_owned()));
        match self.fault() {
            Fault::None => write.await,
            Fault::Refuse => failed,
            Fault::Lie => {
                write.await?;
                failed
            }
            Fault::Panic => panic!("the disk is on fire"),
            Fault::Hold => {
                self.held.notify_one();
                self.released.notified().await;
                write.await
            }
        }
    }
}

#[async_trait]
impl RoomStore for FailingStore {
    async fn create_room(&self, room: &Room) -> Result<(), StoreError> {
        self.write(self.inner.create_room(room)).await
    }

    async fn update_room(&self, room: &Room) -> Result<(), StoreError> {
        self.write(self.inner.update_room(room)).await
    }

    async fn remove_room(&self, room: &RoomId) -> Result<(), StoreError> {
        self.write(self.inner.remove_room(room)).await
    }

    async fn room(&self, room: &RoomId) -> Result<Option<Room>, StoreError> {
        self.inner.room(room).await
    }

    async fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        self.inner.rooms().await
    }

    async fn append(&self, event: &RoomEvent) -> Result<(), StoreError> {
        self.write(self.inner.append(event)).await
    }

    async fn length(&self, room: &RoomId) -> Result<u64, StoreError> {
        self.inner.length(room).await
    }

    async fn event_by_key(
        &self,
        room: &RoomId,
        writer: &ChannelId,
        key: &str,
    ) -> Result<Option<RoomEvent>, StoreError> {
        self.inner.event_by_key(room, writer, key).await
    }

    async fn timeline(
        &self,
        room: &RoomId,
        query: &TimelineQuery,
    ) -> Result<Vec<RoomEvent>, StoreError> {
        self.inner.timeline(room, query).await
    }
}

/// The whole timeline, checked to have no gap.
pub(crate) async fn whole_timeline(kit: &RoomKit, room: &str) -> Vec<RoomEvent> {
    let mut all = Vec::<RoomEvent>::new();
    loop {
        let mut query = TimelineQuery::new().limit(1000);
        if let Some(last) = all.last() {
            query = query.after(last.index);
        }
        let page = kit.timeline(room, query).await.unwrap();
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    for (place, event) in all.iter().enumerate() {
        assert_eq!(event.index, place as u64, "the timeline has no gaps");
    }
    all
}

/// What people said: the timeline's plain texts.
pub(crate) async fn texts(kit: &RoomKit, room: &str) -> Vec<String> {
    whole_timeline(kit, room)
        .await
        .iter()
        .filter_map(|event| event.content.as_text().map(str::to_owned))
        .collect()
}

/// The next report of this kind.
pub(crate) async fn report(
    events: &mut FrameworkEvents,
    kind: FrameworkEventKind,
) -> FrameworkEvent {
    loop {
        let event = soon(events.recv()).await.expect("the kit is open");
        if event.kind == kind {
            return event;
        }
    }
}
