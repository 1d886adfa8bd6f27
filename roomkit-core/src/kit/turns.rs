//! One at a time for each room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::id::RoomId;

/// Whoever finds, makes, closes or deletes a room has its turn meanwhile, so that a closed one cannot come
/// back. A slow store keeps no other room waiting (contract R9).
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<RoomId, Arc<tokio::sync::Mutex<()>>>>);

/// A room's turn, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    room: RoomId,
    /// `None` while it is waited for.
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn of(&self, room: &RoomId) -> Turn<'_> {
        let lock = Arc::clone(self.locks().entry(room.clone()).or_default());
        let mut turn = Turn {
            turns: self,
            room: room.clone(),
            held: None,
        };
        turn.held = Some(lock.lock_owned().await);
        turn
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<RoomId, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut locks = self.turns.locks();
        // Everybody who has the turn or waits for it shares the lock with the table.
        if let Some(lock) = locks.get(&self.room)
            && Arc::strong_count(lock) == 1
        {
            locks.remove(&self.room);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn r9_a_turn_is_one_rooms_and_leaves_nothing() {
        let turns = Turns::default();
        let (a, b) = (RoomId::from("a"), RoomId::from("b"));
        let first = turns.of(&a).await;
        let other = turns.of(&b).now_or_never();
        assert!(other.is_some(), "another room waits for nobody");
        drop(other);

        let mut second = Box::pin(turns.of(&a));
        assert!(second.as_mut().now_or_never().is_none());
        let given_up = Box::pin(turns.of(&a));
        drop(given_up);
        drop(first);
        drop(second.await);
        assert!(turns.locks().is_empty());
    }
}
