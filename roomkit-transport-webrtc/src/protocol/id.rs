//! How a client is known.

use std::fmt;

use roomkit_core::transport::Connection;

/// The id of a WebRTC client: what [`start_session`] takes for a connection. FastRTC's clients choose
/// it themselves; it is theirs alone as long as nobody can guess it.
///
/// [`start_session`]: roomkit_core::RealtimeVoiceChannel::start_session
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebRtcId(String);

impl WebRtcId {
    /// An id nobody can guess.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebRtcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for WebRtcId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for WebRtcId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl From<WebRtcId> for Connection {
    fn from(id: WebRtcId) -> Self {
        Self::new(id)
    }
}
