//! A door that a test opens and closes.

use std::sync::Arc;

use crate::watched::Watched;

/// Holds back whoever [waits](Self::wait) at it while it is closed. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Watched<bool>>);

impl Gate {
    /// A gate that lets everybody through.
    pub fn opened() -> Self {
        Self(Arc::new(Watched::new(true)))
    }

    /// A gate that holds everybody back until it is [opened](Self::open).
    pub fn closed() -> Self {
        Self(Arc::new(Watched::new(false)))
    }

    /// Lets everybody through, those who wait and those to come.
    pub fn open(&self) {
        self.0.change(|open| *open = true);
    }

    /// Holds back those to come.
    pub fn close(&self) {
        self.0.change(|open| *open = false);
    }

    /// Returns once the gate is open, which may be at once.
    pub async fn wait(&self) {
        self.0.until(|open| open.then_some(())).await;
    }
}
