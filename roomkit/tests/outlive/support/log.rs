//! What host code was told, in order, to be looked at and waited for.

use tokio::sync::watch;

use super::soon;

/// A list that grows. Clones are the same list.
#[derive(Clone, Debug)]
pub(crate) struct Log<T>(watch::Sender<Vec<T>>);

impl<T: Clone + std::fmt::Debug> Log<T> {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    pub(crate) fn add(&self, entry: T) {
        self.0.send_modify(|entries| entries.push(entry));
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    /// The first entry, come already or still to come, that is wanted.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl Fn(&T) -> bool) -> T {
        let find = |entries: &[T]| entries.iter().find(|entry| wanted(entry)).cloned();
        self.until(what, find).await
    }

    /// Waits until there are so many.
    pub(crate) async fn wait_for_count(&self, what: &str, count: usize) -> Vec<T> {
        let find = |entries: &[T]| (entries.len() >= count).then(|| entries.to_vec());
        self.until(what, find).await
    }

    async fn until<R>(&self, what: &str, find: impl Fn(&[T]) -> Option<R>) -> R {
        let mut entries = self.0.subscribe();
        let found = async {
            loop {
                if let Some(found) = find(&entries.borrow_and_update()) {
                    return found;
                }
                entries.changed().await.unwrap();
            }
        };
        soon(what, found).await
    }
}
