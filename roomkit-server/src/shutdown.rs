//! The signals that end the program (contract X4).

use tokio::sync::mpsc;

use crate::error::ServerError;

/// Hears SIGINT and SIGTERM, from the moment it was made.
#[derive(Debug)]
pub struct Signals(mpsc::UnboundedReceiver<i32>);

impl Signals {
    /// Begins to listen for them.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    #[cfg(unix)]
    pub fn listen() -> Result<Self, ServerError> {
        use tokio::signal::unix::{SignalKind, signal};

        let (heard, signals) = mpsc::unbounded_channel();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut stream = signal(kind).map_err(ServerError::Signals)?;
            let heard = heard.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && heard.send(kind.as_raw_value()).is_ok() {}
            });
        }
        Ok(Self(signals))
    }

    /// Begins to listen for them.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    #[cfg(not(unix))]
    pub fn listen() -> Result<Self, ServerError> {
        /// What a program that ended by SIGINT is said to have ended by.
        const INTERRUPT: i32 = 2;

        let (heard, signals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() && heard.send(INTERRUPT).is_ok() {}
        });
        Ok(Self(signals))
    }

    /// Ready at the next signal, with its number.
    pub async fn next(&mut self) -> i32 {
        match self.0.recv().await {
            Some(signal) => signal,
            // Signals cannot be heard any more, which does not mean that one came.
            None => std::future::pending().await,
        }
    }
}
