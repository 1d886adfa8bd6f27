//! Runs hooks: in order, bounded in time, panics caught.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Decision, Hook, HookScope, Notice, Trigger, Verdict,
    list::{Counts, HookList},
    registration::{Action, Decider},
};
use crate::{
    event::{RealtimeToolCallEvent, RealtimeToolResultEvent, RealtimeTranscriptionEvent},
    framework::{FrameworkBus, FrameworkEvent, FrameworkEventKind},
    guard::{self, Failure},
    id::{ChannelId, RoomId},
    room::RoomEvent,
};

/// The hooks of a kit; a cheap handle. For channels: ask [`is_hooked`](Self::is_hooked) before
/// building a payload.
#[derive(Clone)]
pub struct Hooks(Arc<Inner>);

struct Inner {
    /// The fast way to "none".
    counts: Arc<Counts>,
    everywhere: HookList,
    /// Those of the rooms that are open.
    rooms: RwLock<HashMap<RoomId, Arc<HookList>>>,
    /// The kit is gone, and its hooks with it.
    is_cleared: AtomicBool,
    bus: Arc<FrameworkBus>,
}

/// What a deciding hook's failure means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    Block,
    Ignore,
}

impl Hooks {
    pub(crate) fn new(bus: Arc<FrameworkBus>) -> Self {
        let counts = Arc::default();
        Self(Arc::new(Inner {
            everywhere: HookList::new(&counts),
            counts,
            rooms: RwLock::default(),
            is_cleared: AtomicBool::new(false),
            bus,
        }))
    }

    /// Where something happens: in an open room, by this channel of this kind. While the scope exists,
    /// the room's own hooks run in it, also when the room is closed meanwhile.
    pub fn scope(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
        kind: impl Into<Arc<str>>,
    ) -> HookScope {
        let room_id = room.into();
        let rooms = self.0.rooms.read().unwrap_or_else(PoisonError::into_inner);
        HookScope {
            hooks: rooms.get(&room_id).cloned(),
            room_id,
            channel_id: channel.into(),
            channel_kind: kind.into(),
        }
    }

    /// Whether anything would run for this trigger in this scope. Costs one atomic read when the
    /// trigger has no hooks at all (contract R5).
    pub fn is_hooked(&self, trigger: Trigger, scope: &HookScope) -> bool {
        !self.run_list(trigger, scope).is_empty()
    }

    /// Whether the trigger has any hooks at all: one atomic read.
    pub(crate) fn any(&self, trigger: Trigger) -> bool {
        self.0.counts[trigger.slot()].load(Ordering::Acquire) > 0
    }

    /// Runs the before-broadcast hooks; a failing one is reported and ignored.
    pub async fn before_broadcast(
        &self,
        scope: &HookScope,
        event: RoomEvent,
    ) -> Verdict<RoomEvent> {
        let pick = |action: &Action| match action {
            Action::BeforeBroadcast(decider) => Some(Arc::clone(decider)),
            _ => None,
        };
        self.decide(
            Trigger::BeforeBroadcast,
            scope,
            event,
            pick,
            OnFailure::Ignore,
        )
        .await
    }

    /// Runs the transcription hooks; a failing one blocks (contract T5).
    pub async fn transcription(
        &self,
        scope: &HookScope,
        event: RealtimeTranscriptionEvent,
    ) -> Verdict<RealtimeTranscriptionEvent> {
        let pick = |action: &Action| match action {
            Action::Transcription(decider) => Some(Arc::clone(decider)),
            _ => None,
        };
        self.decide(Trigger::Transcription, scope, event, pick, OnFailure::Block)
            .await
    }

    /// Runs the before-tool hooks; a failing one blocks.
    pub async fn before_tool_use(
        &self,
        scope: &HookScope,
        event: RealtimeToolCallEvent,
    ) -> Verdict<RealtimeToolCallEvent> {
        let pick = |action: &Action| match action {
            Action::BeforeToolUse(decider) => Some(Arc::clone(decider)),
            _ => None,
        };
        self.decide(Trigger::BeforeToolUse, scope, event, pick, OnFailure::Block)
            .await
    }

    /// Runs the tool-result hooks; a failing one is reported and ignored.
    pub async fn tool_result(
        &self,
        scope: &HookScope,
        event: RealtimeToolResultEvent,
    ) -> Verdict<RealtimeToolResultEvent> {
        let pick = |action: &Action| match action {
            Action::ToolResult(decider) => Some(Arc::clone(decider)),
            _ => None,
        };
        self.decide(Trigger::ToolResult, scope, event, pick, OnFailure::Ignore)
            .await
    }

    /// Tells the notifying hooks, one after the other; a failing one is reported and does not
    /// keep it from the next.
    pub async fn notify(&self, scope: &HookScope, notice: Notice) {
        for hook in self.run_list(notice.trigger(), scope) {
            if let Action::Notify(notified) = &hook.action
                && let Err(failure) = guard::call(hook.timeout, notified(notice.clone())).await
            {
                self.report(&hook, scope, &failure);
            }
        }
    }

    pub(crate) fn add(&self, room: Option<&RoomId>, hook: Hook) {
        match room {
            None => self.0.everywhere.add(hook),
            Some(room) => self.list(room).add(hook),
        }
    }

    /// Removes the hooks of this name from the kit, or from a room; false when there is none.
    pub(crate) fn remove(&self, room: Option<&RoomId>, name: &str) -> bool {
        let meant = |hook: &Hook| &*hook.name == name;
        match room {
            None => self.0.everywhere.remove(meant),
            Some(room) => {
                let rooms = self.0.rooms.read().unwrap_or_else(PoisonError::into_inner);
                let list = rooms.get(room).cloned();
                drop(rooms);
                list.is_some_and(|list| list.remove(meant))
            }
        }
    }

    /// The room is open: from here on, scopes in it have its hooks, also those that are added later.
    pub(crate) fn open_room(&self, room: &RoomId) {
        self.list(room);
    }

    fn list(&self, room: &RoomId) -> Arc<HookList> {
        let mut rooms = self.0.rooms.write().unwrap_or_else(PoisonError::into_inner);
        let list = rooms
            .entry(room.clone())
            .or_insert_with(|| Arc::new(HookList::new(&self.0.counts)));
        Arc::clone(list)
    }

    /// The room is closed: its hooks run only in the scopes that there are.
    pub(crate) fn forget_room(&self, room: &RoomId) {
        let mut rooms = self.0.rooms.write().unwrap_or_else(PoisonError::into_inner);
        let list = rooms.remove(room);
        drop(rooms);
        drop(list);
    }

    /// Lets go of all hooks. What those that fail closed should have looked at is blocked from here on.
    pub(crate) fn clear(&self) {
        self.0.is_cleared.store(true, Ordering::Release);
        let rooms = {
            let mut rooms = self.0.rooms.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *rooms)
        };
        self.0.everywhere.remove(|_| true);
        drop(rooms);
    }

    async fn decide<T: Clone + Send>(
        &self,
        trigger: Trigger,
        scope: &HookScope,
        mut event: T,
        pick: impl Fn(&Action) -> Option<Decider<T>>,
        on_failure: OnFailure,
    ) -> Verdict<T> {
        for hook in self.run_list(trigger, scope) {
            let Some(decider) = pick(&hook.action) else {
                continue;
            };
            let outcome = guard::call(hook.timeout, decider(event.clone()))
                .await
                .and_then(|decision| decision.map_err(Failure::Error));
            match outcome {
                Ok(Decision::Allow) => {}
                Ok(Decision::Replace(replacement)) => event = replacement,
                Ok(Decision::Block(reason)) => {
                    return Verdict::Blocked {
                        by: hook.name.to_string(),
                        reason,
                        event,
                    };
                }
                Err(failure) => {
                    self.report(&hook, scope, &failure);
                    if on_failure == OnFailure::Block {
                        return Verdict::Blocked {
                            by: hook.name.to_string(),
                            reason: failure.to_string(),
                            event,
                        };
                    }
                }
            }
        }
        if on_failure == OnFailure::Block && self.0.is_cleared.load(Ordering::Acquire) {
            return Verdict::Blocked {
                by: "kit_closed".to_owned(),
                reason: "the kit and its hooks are gone".to_owned(),
                event,
            };
        }
        Verdict::Allowed(event)
    }

    /// The hooks of the kit and of the room, merged by priority; the kit's first among equals.
    fn run_list(&self, trigger: Trigger, scope: &HookScope) -> Vec<Arc<Hook>> {
        let mut list = Vec::new();
        if self.any(trigger) {
            let wanted = |hook: &Hook| hook.concerns(scope);
            self.0.everywhere.collect(trigger, wanted, &mut list);
            if let Some(here) = &scope.hooks {
                here.collect(trigger, wanted, &mut list);
            }
            list.sort_by_key(|hook| hook.priority);
        }
        list
    }

    fn report(&self, hook: &Hook, scope: &HookScope, failure: &Failure) {
        tracing::warn!(
            hook = %hook.name, trigger = %hook.trigger, room = %scope.room_id,
            channel = %scope.channel_id, "a hook failed: {failure}"
        );
        let kind = match failure {
            Failure::Timeout(_) => FrameworkEventKind::HookTimeout,
            Failure::Error(_) | Failure::Panic(_) => FrameworkEventKind::HookError,
        };
        let mut event = FrameworkEvent::new(kind)
            .room(&scope.room_id)
            .channel(&scope.channel_id)
            .data("hook", &*hook.name)
            .data("trigger", hook.trigger.as_str());
        event = match failure {
            Failure::Timeout(after) => event.data("timeout_ms", millis(*after)),
            Failure::Error(_) | Failure::Panic(_) => event.data("error", failure.to_string()),
        };
        self.0.bus.emit(event);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
