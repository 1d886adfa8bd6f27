//! The last word to a caller whose session did not start.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use roomkit_core::client_protocol::ServerMessage;
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;

use super::{Peer, filled};

/// How long a farewell waits for the channel it is said on.
const CHANNEL_TIME: Duration = Duration::from_secs(2);

impl Peer {
    /// From now on the end waits until it is clear whether there is something to be said before
    /// it: [`farewell`](Self::farewell), or [`no_farewell`](Self::no_farewell).
    pub(crate) fn expect_farewell(&self) {
        self.farewell_due.store(true, Ordering::SeqCst);
    }

    /// There is nothing to be said.
    pub(crate) async fn no_farewell(self: &Arc<Self>) {
        self.farewell_due.store(false, Ordering::SeqCst);
        if self.released.load(Ordering::SeqCst) {
            self.close().await;
        }
    }

    /// Tells the caller why there will be no session, unless the session itself has, and ends the
    /// connection.
    pub(crate) async fn farewell(self: &Arc<Self>, code: &str, message: &str) {
        if self.has_farewell.load(Ordering::SeqCst) {
            return self.close().await;
        }
        if let Some(channel) = self.channel_in_time().await {
            let error = ServerMessage::Error {
                code: code.into(),
                message: message.into(),
            };
            if channel.try_send_text(&error.to_json()).await.is_ok() {
                self.flush(&channel).await;
            }
        }
        self.close().await;
    }

    /// The channel, if there is to be one and it opens soon.
    async fn channel_in_time(&self) -> Option<Arc<dyn DataChannel>> {
        if !self.negotiated.has_data_channel {
            return None;
        }
        let mut channels = self.channels();
        timeout(CHANNEL_TIME, filled(&mut channels)).await.ok()?
    }
}
