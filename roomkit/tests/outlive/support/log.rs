//! What host code was told, in order, to be looked at and waited for.

use tokio::sync::watch;

use super::soon;

/// A list that grows. Clones are the same list.
#[derive(Clone, Debug)]
pub(crate) struct Log<T>(watch::Sender<Vec<T>>);

impl<T: Clone> Log<T> {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    pub(crate) fn add(&self, entry: T) {
        self.0.send_modify(|entries| entries.push(entry));
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    /// Waits until there are so many.
    pub(crate) async fn wait_for_count(&self, what: &str, count: usize) {
        let mut entries = self.0.subscribe();
        let enough = entries.wait_for(|entries| entries.len() >= count);
        soon(what, enough).await.unwrap();
    }
}
