//! The hooks of a kit, or of one of its rooms.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Hook, Trigger};

/// How many hooks each trigger has, in all lists of a kit that somebody still needs.
pub(super) type Counts = [AtomicUsize; Trigger::COUNT];

/// Hooks by trigger, in the order in which they run. Whoever has work of a room to do keeps its list,
/// so that the work is looked at although the room is closed meanwhile (contract T5).
pub(super) struct HookList {
    slots: RwLock<[Vec<Arc<Hook>>; Trigger::COUNT]>,
    counts: Arc<Counts>,
}

impl HookList {
    pub(super) fn new(counts: &Arc<Counts>) -> Self {
        Self {
            slots: RwLock::default(),
            counts: Arc::clone(counts),
        }
    }

    pub(super) fn add(&self, hook: Hook) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = hook.trigger.slot();
        let place = slots[slot].partition_point(|other| other.priority <= hook.priority);
        slots[slot].insert(place, Arc::new(hook));
        self.counts[slot].fetch_add(1, Ordering::Release);
    }

    /// Removes the hooks that are meant; whether there were any.
    pub(super) fn remove(&self, meant: impl Fn(&Hook) -> bool) -> bool {
        let mut removed = Vec::new();
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        for (slot, hooks) in slots.iter_mut().enumerate() {
            let before = removed.len();
            removed.extend(hooks.extract_if(.., |hook| meant(hook)));
            self.counts[slot].fetch_sub(removed.len() - before, Ordering::Release);
        }
        drop(slots); // The host's closures are dropped without the lock.
        !removed.is_empty()
    }

    /// Adds those of this trigger that are wanted to a list.
    pub(super) fn collect(
        &self,
        trigger: Trigger,
        wanted: impl Fn(&Hook) -> bool,
        into: &mut Vec<Arc<Hook>>,
    ) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let hooks = slots[trigger.slot()].iter().filter(|hook| wanted(hook));
        into.extend(hooks.cloned());
    }
}

impl Drop for HookList {
    fn drop(&mut self) {
        self.remove(|_| true);
    }
}

impl fmt::Debug for HookList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookList").finish_non_exhaustive()
    }
}
