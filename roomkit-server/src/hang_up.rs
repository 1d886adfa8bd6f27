//! The signal that asks for the configuration to be read again.

use crate::error::ServerError;

/// Hears SIGHUP, from the moment it was made; then it does not end the program. Elsewhere than on
/// Unix there is none.
#[derive(Debug)]
pub struct HangUps(#[cfg(unix)] tokio::signal::unix::Signal);

impl HangUps {
    /// Begins to listen for it.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    #[cfg(unix)]
    pub fn listen() -> Result<Self, ServerError> {
        use tokio::signal::unix::{SignalKind, signal};

        signal(SignalKind::hangup())
            .map(Self)
            .map_err(ServerError::Signals)
    }

    /// Begins to listen for it.
    ///
    /// # Errors
    ///
    /// None here.
    #[cfg(not(unix))]
    pub fn listen() -> Result<Self, ServerError> {
        Ok(Self())
    }

    /// Ready at the next one; several that come while nobody waits are one. False when none can come
    /// any more.
    #[cfg(unix)]
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }

    /// False: there is none here.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> bool {
        false
    }
}
