//! State that a test can wait on.

use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// How long a wait lasts before it gives up. Tokio's time: with the paused clock it costs nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something behind a lock, with a bell that rings after every change.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    state: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    pub(crate) fn new(state: T) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Looks after every change until `look` finds something.
    pub(crate) async fn until<R>(&self, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the look, so that no change falls between the two.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    /// As [`until`](Self::until), but panics when that takes too long, with what there was instead.
    pub(crate) async fn expect<R>(
        &self,
        what: &str,
        look: impl FnMut(&mut T) -> Option<R>,
        describe: impl FnOnce(&T) -> String,
    ) -> R {
        let found = tokio::time::timeout(PATIENCE, self.until(look)).await;
        found.unwrap_or_else(|_| {
            let there_is = self.read(describe);
            panic!("no {what} within {PATIENCE:?}; there is: {there_is}")
        })
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
