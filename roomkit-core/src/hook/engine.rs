//! Runs hooks: in order, bounded in time, panics caught.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    Decision, Hook, HookScope, Notice, Trigger, Verdict,
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
    /// How many hooks each trigger has, in all rooms: the fast way to "none".
    counts: [AtomicUsize; Trigger::COUNT],
    table: RwLock<Table>,
    bus: Arc<FrameworkBus>,
}

#[derive(Default)]
struct Table {
    everywhere: Slots,
    rooms: HashMap<RoomId, Slots>,
}

/// The hooks of each trigger, in the order in which they run.
type Slots = [Vec<Arc<Hook>>; Trigger::COUNT];

/// What a deciding hook's failure means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    Block,
    Ignore,
}

impl Hooks {
    pub(crate) fn new(bus: Arc<FrameworkBus>) -> Self {
        Self(Arc::new(Inner {
            counts: Default::default(),
            table: RwLock::default(),
            bus,
        }))
    }

    /// Whether anything would run for this trigger, room and channel. Costs one atomic read when
    /// the trigger has no hooks at all (contract R5). Filters by kind are not looked at, so a
    /// `true` may turn out to run nothing.
    pub fn is_hooked(&self, trigger: Trigger, room: &RoomId, channel: &ChannelId) -> bool {
        self.any(trigger)
            && self
                .select(trigger, room, |hook| hook.concerns_channel(channel))
                .next()
                .is_some()
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
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let slots = match room {
            None => &mut table.everywhere,
            Some(room) => table.rooms.entry(room.clone()).or_default(),
        };
        let slot = hook.trigger.slot();
        let place = slots[slot].partition_point(|other| other.priority <= hook.priority);
        slots[slot].insert(place, Arc::new(hook));
        self.0.counts[slot].fetch_add(1, Ordering::Release);
    }

    /// Removes the hooks of this name from the kit, or from a room; false when there is none.
    pub(crate) fn remove(&self, room: Option<&RoomId>, name: &str) -> bool {
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let slots = match room {
            None => &mut table.everywhere,
            Some(room) => match table.rooms.get_mut(room) {
                Some(slots) => slots,
                None => return false,
            },
        };
        let mut removed = Vec::new();
        for (slot, hooks) in slots.iter_mut().enumerate() {
            let gone = hooks.extract_if(.., |hook| &*hook.name == name);
            let before = removed.len();
            removed.extend(gone);
            self.0.counts[slot].fetch_sub(removed.len() - before, Ordering::Release);
        }
        drop(table); // The host's closures are dropped without the lock.
        !removed.is_empty()
    }

    pub(crate) fn forget_room(&self, room: &RoomId) {
        let gone = self
            .0
            .table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .rooms
            .remove(room);
        for (slot, hooks) in gone.iter().flatten().enumerate() {
            self.0.counts[slot].fetch_sub(hooks.len(), Ordering::Release);
        }
    }

    pub(crate) fn clear(&self) {
        let gone = {
            let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
            for count in &self.0.counts {
                count.store(0, Ordering::Release);
            }
            std::mem::take(&mut *table)
        };
        drop(gone);
    }

    fn any(&self, trigger: Trigger) -> bool {
        self.0.counts[trigger.slot()].load(Ordering::Acquire) > 0
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
                    };
                }
                Err(failure) => {
                    self.report(&hook, scope, &failure);
                    if on_failure == OnFailure::Block {
                        return Verdict::Blocked {
                            by: hook.name.to_string(),
                            reason: failure.to_string(),
                        };
                    }
                }
            }
        }
        Verdict::Allowed(event)
    }

    fn run_list(&self, trigger: Trigger, scope: &HookScope) -> Vec<Arc<Hook>> {
        if !self.any(trigger) {
            return Vec::new();
        }
        self.select(trigger, &scope.room_id, |hook| hook.concerns(scope))
            .collect()
    }

    /// The hooks of the kit and of the room, merged by priority; the kit's first among equals.
    fn select(
        &self,
        trigger: Trigger,
        room: &RoomId,
        wanted: impl Fn(&Hook) -> bool,
    ) -> impl Iterator<Item = Arc<Hook>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let everywhere = table.everywhere[trigger.slot()].iter();
        let here = table
            .rooms
            .get(room)
            .into_iter()
            .flat_map(|slots| &slots[trigger.slot()]);
        let mut list = everywhere
            .chain(here)
            .filter(|hook| wanted(hook))
            .cloned()
            .collect::<Vec<_>>();
        list.sort_by_key(|hook| hook.priority);
        list.into_iter()
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
