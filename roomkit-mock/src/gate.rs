//! A door that a test opens and closes.

use std::sync::Arc;

use crate::watched::Watched;

/// Holds back whoever [waits](Self::wait) at it while it is closed. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Watched<State>>);

#[derive(Debug)]
struct State {
    is_open: bool,
    /// Counts the times it was opened: who waited then passes, even if it is closed again at once.
    openings: u64,
}

impl Gate {
    /// A gate that lets everybody through.
    pub fn opened() -> Self {
        Self::new(true)
    }

    /// A gate that holds everybody back until it is [opened](Self::open).
    pub fn closed() -> Self {
        Self::new(false)
    }

    fn new(is_open: bool) -> Self {
        Self(Arc::new(Watched::new(State {
            is_open,
            openings: 0,
        })))
    }

    /// Lets everybody through, those who wait and those to come.
    pub fn open(&self) {
        self.0.change(|state| {
            state.is_open = true;
            state.openings += 1;
        });
    }

    /// Holds back those to come.
    pub fn close(&self) {
        self.0.change(|state| state.is_open = false);
    }

    /// Returns once the gate is open, which may be at once, or was opened meanwhile.
    pub async fn wait(&self) {
        let before = self.0.read(|state| state.openings);
        let passes = |state: &mut State| state.is_open || state.openings != before;
        self.0.until(|state| passes(state).then_some(())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_passes_a_gate_that_is_closed_again_at_once() {
        let gate = Gate::closed();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait().await }
        });
        tokio::task::yield_now().await;
        gate.open();
        gate.close();
        waiting.await.unwrap();
    }
}
