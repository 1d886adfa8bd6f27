//! How an event gets onto the timeline, and from there to everybody who may see it.
//!
//! 1. The room is open and the channel is in it.
//! 2. An event of this channel with this idempotency key is there already: that one is the answer.
//! 3. The before-broadcast hooks look at it, without any lock.
//! 4. Under the room's lock: 1 and 2 again, permissions, chain depth; commit; fan-out.
//!
//! Step 4 runs in a task of its own, so that a caller who is cancelled cannot separate a commit
//! from its fan-out.

use std::sync::Arc;

use serde_json::Value;

use super::{
    RoomKit,
    shared::{Shared, room_error},
};
use crate::{
    channel::Channel,
    error::RoomError,
    framework::{FrameworkEvent, FrameworkEventKind},
    hook::{Trigger, Verdict},
    id::{ChannelId, RoomId},
    room::{
        ChannelBinding, Content, EventKind, EventStatus, LiveRoom, NewEvent, Phase, RoomEvent,
        SOURCE_MUTED, Speaker, TimelineQuery, Visibility, chain,
    },
    store::StoreError,
};

/// How often a commit looks for its index again when another process took it.
const COMMIT_ATTEMPTS: usize = 8;

impl RoomKit {
    /// Writes an event to a room, in the name of a channel that is attached to it.
    ///
    /// The event comes back with its place on the timeline. Its
    /// [`status`](RoomEvent::status) is [`Blocked`](EventStatus::Blocked) when it was stored but
    /// shown to nobody: by a hook, because the channel is muted or may not write, or because the
    /// chain of automatic answers is too long (contracts R2, R4, R5). An idempotency key
    /// that this channel has used in this room gives the first event back (contract R8). Delivery goes on
    /// after this returns. A future that is dropped while hooks are asked writes nothing; after that the
    /// event is written all the same (see [Cancellation](RoomKit#cancellation)).
    ///
    /// Can be called from within [`Channel::on_event`] and from hooks, for the same room too.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Closed`], [`RoomError::NotAttached`];
    /// [`RoomError::Store`] when the store failed, and then nothing was written as far as the store
    /// knows (contract R9).
    pub async fn send_event(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
        event: impl Into<NewEvent>,
    ) -> Result<RoomEvent, RoomError> {
        let (room, channel, event) = (room.into(), channel.into(), event.into());
        let shared = self.shared();
        let live = shared.live(&room).await?;
        let (writer, binding) = live.writer(&channel)?;
        let key = event.idempotency_key.as_deref();
        if let Some(first) = shared.repeated(&room, &channel, key).await? {
            if first.index >= live.next_index() {
                // The store had said that it failed, and nobody was shown it.
                let owned = Arc::clone(shared);
                let work = async move { owned.show_missed(&live, first.index + 1).await };
                shared.run(work).await?;
            }
            return Ok(first);
        }
        let (speaker, was_refused) = (event.speaker, event.was_refused);
        let event = assemble(event, &binding, writer.as_ref());
        let draft = Draft {
            speaker,
            was_refused,
            ..shared.consult_hooks(event).await
        };
        let owned = Arc::clone(shared);
        shared
            .run(async move { owned.commit(&live, draft).await })
            .await
    }
}

/// An event on its way to the timeline.
pub(super) struct Draft {
    event: RoomEvent,
    /// What a hook said.
    blocked: Option<Block>,
    /// It is a record of the room's own, which may be written whatever its channel may.
    is_record: bool,
    speaker: Speaker,
    /// It might not be written when it was said.
    was_refused: bool,
}

impl Draft {
    fn new(event: RoomEvent) -> Self {
        Self {
            event,
            blocked: None,
            is_record: false,
            speaker: Speaker::Channel,
            was_refused: false,
        }
    }
}

struct Block {
    by: String,
    reason: Option<String>,
}

impl Block {
    fn rule(name: &str) -> Self {
        Self {
            by: name.to_owned(),
            reason: None,
        }
    }
}

impl Shared {
    /// Writes the records of the room's own life that wait for it. That the store failed is reported, not
    /// returned: what a record tells of has happened.
    pub(super) async fn write_records(&self, room: &LiveRoom) {
        let _turn = room.records.turn.lock().await;
        while let Some(event) = room.records.next() {
            let draft = Draft {
                is_record: true,
                ..Draft::new(event)
            };
            if let Err(error) = self.commit(room, draft).await {
                tracing::warn!(room = %room.id, "a record of the room was not written: {error}");
            }
        }
    }

    async fn repeated(
        &self,
        room: &RoomId,
        writer: &ChannelId,
        key: Option<&str>,
    ) -> Result<Option<RoomEvent>, RoomError> {
        let Some(key) = key else {
            return Ok(None);
        };
        let call = self.store.event_by_key(room, writer, key);
        let found = self.stored("event_by_key", Some(room), call).await;
        found.map_err(room_error)
    }

    async fn consult_hooks(&self, event: RoomEvent) -> Draft {
        let draft = |event, blocked| Draft {
            blocked,
            ..Draft::new(event)
        };
        // It will be blocked anyway; without this, a hook that writes would run for ever.
        if self.is_too_deep(&event).is_some() {
            return draft(event, None);
        }
        let hooks = self.hooks();
        if !hooks.any(Trigger::BeforeBroadcast) {
            return draft(event, None);
        }
        let source = &event.source;
        let kind = source.channel_type.as_str();
        let scope = hooks.scope(&event.room_id, &source.channel_id, kind);
        if !hooks.is_hooked(Trigger::BeforeBroadcast, &scope) {
            return draft(event, None);
        }
        let verdict = hooks.before_broadcast(&scope, event.clone());
        let (replaced, blocked) = match chain::handling(event.chain_depth, verdict).await {
            Verdict::Allowed(replaced) => (replaced, None),
            Verdict::Blocked { by, reason, event } => {
                let reason = Some(reason);
                (event, Some(Block { by, reason }))
            }
        };
        let event = RoomEvent {
            kind: replaced.kind,
            content: replaced.content,
            visibility: replaced.visibility,
            metadata: replaced.metadata,
            ..event
        };
        draft(event, blocked)
    }

    pub(super) async fn commit(
        &self,
        room: &LiveRoom,
        draft: Draft,
    ) -> Result<RoomEvent, RoomError> {
        let mut next = room.commit.lock().await;
        self.check_not_closed()?;
        if room.phase() == Phase::Closed {
            return Err(RoomError::Closed(room.id.clone()));
        }
        let mut event = draft.event;
        let key = event.idempotency_key.as_deref();
        let writer = &event.source.channel_id;
        if let Some(first) = self.repeated(&room.id, writer, key).await? {
            self.catch_up(room, first.index + 1).await;
            return Ok(first);
        }
        if !draft.is_record {
            let (_, binding) = room.writer(&event.source.channel_id)?;
            event.source.visibility.clone_from(&binding.visibility);
            let refused = binding.refuses(draft.speaker);
            let refused = refused.or(draft.was_refused.then_some(SOURCE_MUTED));
            let blocked = draft
                .blocked
                .or_else(|| refused.or(self.is_too_deep(&event)).map(Block::rule));
            if let Some(block) = blocked {
                mark_blocked(&mut event, block);
            }
        }
        if let Some(first) = self.append(&mut next, &mut event).await? {
            self.catch_up(room, first.index + 1).await;
            return Ok(first);
        }
        self.catch_up(room, event.index).await;
        room.publish(&event);
        drop(next);
        if event.status == EventStatus::Blocked {
            self.report_blocked(&event);
        }
        Ok(event)
    }

    async fn show_missed(&self, room: &LiveRoom, index: u64) -> Result<(), RoomError> {
        let _commit = room.commit.lock().await;
        self.catch_up(room, index).await;
        Ok(())
    }

    /// Shows what got onto the timeline unnoticed: the store had said it failed, or another process
    /// wrote it. What it cannot read back now stays on the timeline only.
    async fn catch_up(&self, room: &LiveRoom, index: u64) {
        loop {
            let expected = room.next_index();
            if expected >= index {
                return;
            }
            let mut query = TimelineQuery::new().before(index).limit(usize::MAX);
            if let Some(known) = expected.checked_sub(1) {
                query = query.after(known);
            }
            let page = self.store.timeline(&room.id, &query);
            let page = self.stored("timeline", Some(&room.id), page).await;
            let mut missed = page.unwrap_or_default();
            missed.retain(|event| event.index >= expected);
            if missed.is_empty() {
                return;
            }
            for event in missed {
                room.publish(&event);
            }
        }
    }

    /// The rule against chains of automatic answers (contract R4), where this is at the end of one.
    fn is_too_deep(&self, event: &RoomEvent) -> Option<&'static str> {
        (event.chain_depth > self.max_chain_depth).then_some("chain_depth")
    }

    /// Puts the event at the end of the timeline. An index is used up only by an event that the
    /// store has, so there are no gaps (contract R1); whatever the store says of a failed call, the
    /// next one asks it for the length. Another event, when another process wrote that key.
    async fn append(
        &self,
        next: &mut Option<u64>,
        event: &mut RoomEvent,
    ) -> Result<Option<RoomEvent>, RoomError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let room = &event.room_id;
            let index = match next.take() {
                Some(index) => index,
                None => self
                    .stored("length", Some(room), self.store.length(room))
                    .await
                    .map_err(room_error)?,
            };
            event.index = index;
            match self
                .stored("append", Some(room), self.store.append(event))
                .await
            {
                Ok(()) => {
                    *next = Some(index + 1);
                    return Ok(None);
                }
                Err(StoreError::IndexTaken { next: length }) if attempt < COMMIT_ATTEMPTS => {
                    *next = Some(length);
                    let key = event.idempotency_key.as_deref();
                    let writer = &event.source.channel_id;
                    if let Some(first) = self.repeated(room, writer, key).await? {
                        return Ok(Some(first));
                    }
                }
                Err(error) => return Err(room_error(error)),
            }
        }
    }

    fn report_blocked(&self, event: &RoomEvent) {
        let report = |kind| {
            FrameworkEvent::new(kind)
                .room(&event.room_id)
                .channel(&event.source.channel_id)
                .data("event_id", event.id.as_str())
                .data("index", event.index)
        };
        let by = event.blocked_by.as_deref().unwrap_or_default();
        let mut blocked = report(FrameworkEventKind::EventBlocked).data("blocked_by", by);
        if let Some(reason) = event.metadata.get("blocked_reason") {
            blocked = blocked.data("reason", reason.clone());
        }
        self.emit(blocked);
        if by == "chain_depth" {
            let depth = event.chain_depth;
            self.emit(report(FrameworkEventKind::ChainDepthExceeded).data("chain_depth", depth));
        }
    }
}

/// A record of the room's own life.
pub(super) fn record_of(
    binding: &ChannelBinding,
    code: &str,
    body: String,
    data: Value,
) -> RoomEvent {
    let content = Content::System {
        body,
        code: code.to_owned(),
        data,
    };
    let event = NewEvent::new(content)
        .kind(EventKind::System)
        .visibility(Visibility::Internal);
    RoomEvent::new(binding, event)
}

fn mark_blocked(event: &mut RoomEvent, block: Block) {
    event.status = EventStatus::Blocked;
    event.blocked_by = Some(block.by);
    if let Some(reason) = block.reason {
        let metadata = &mut event.metadata;
        metadata.insert("blocked_reason".to_owned(), Value::String(reason));
    }
}

fn assemble(mut event: NewEvent, binding: &ChannelBinding, writer: &dyn Channel) -> RoomEvent {
    event.chain_depth = event.chain_depth.max(chain::least_depth());
    event.provider = event.provider.or_else(|| writer.provider_name());
    RoomEvent::new(binding, event)
}
