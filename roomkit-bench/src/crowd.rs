//! Callers who come one after the other, and begin to be measured together.

use tokio::{sync::watch, task::JoinSet};

use crate::{Outcome, figures::println_now};

/// Many callers, each a task.
pub(crate) struct Crowd<T> {
    callers: JoinSet<Outcome<T>>,
    joined: watch::Sender<usize>,
}

/// With this a caller says that it is there.
pub(crate) struct Ticket(watch::Sender<usize>);

impl Ticket {
    pub(crate) fn joined(self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl<T: Send + 'static> Crowd<T> {
    pub(crate) fn new() -> Self {
        Self {
            callers: JoinSet::new(),
            joined: watch::Sender::new(0),
        }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.joined.clone())
    }

    pub(crate) fn spawn(&mut self, caller: impl Future<Output = Outcome<T>> + Send + 'static) {
        self.callers.spawn(caller);
    }

    /// Waits until all are there, and says so: whoever measures the server waits for that line.
    pub(crate) async fn all_joined(&mut self) -> Outcome<()> {
        let sessions = self.callers.len();
        let mut joined = self.joined.subscribe();
        tokio::select! {
            // One that ends now has failed.
            Some(failed) = self.callers.join_next() => {
                failed??;
                return Err("a caller left before it was time".into());
            }
            all = joined.wait_for(|count| *count == sessions) => drop(all?),
        }
        println_now("connected")
    }

    /// What became of all of them, once they have left.
    pub(crate) async fn left(mut self) -> Outcome<Vec<T>> {
        let mut calls = Vec::new();
        while let Some(call) = self.callers.join_next().await {
            calls.push(call??);
        }
        Ok(calls)
    }
}
