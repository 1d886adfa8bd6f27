//! The orderly end of a kit (contract S7).

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{RoomKit, shared::Shared};
use crate::{call::telling, channel::DetachReason};

impl RoomKit {
    /// Ends everything in order: no new rooms and channels; every channel lets go of its rooms and
    /// may still write its last words; what is on its way is delivered, as far as that takes no longer
    /// than [one delivery](crate::RoomKitBuilder::delivery_timeout) may; channels are closed;
    /// subscribers and [framework events](Self::framework_events) read the end. Bounded in time by
    /// the settings, and, where hooks of voice sessions do not return, by what these are given
    /// (contract R5), some 85 s. Afterwards no task of the kit is left. Rooms stay as they are in the
    /// store.
    ///
    /// A second call waits for the first. A hook or an observer of a session does not wait: the call
    /// returns at once, for that session ends when the hook has returned (contract S3).
    pub async fn close(&self) {
        if self.shared().begin_closing() {
            // A task of its own, so that it is done to the end even when the caller is not there
            // to see it; with a handle, because hooks are told of the end until the last is gone.
            let kit = self.clone();
            tokio::spawn(async move { kit.shared().close().await });
        }
        // What is waited for below waits for the hook or observer that asks for this.
        if telling().is_none() {
            self.shared().closed.cancelled().await;
        }
    }
}

impl Shared {
    async fn close(&self) {
        // Whoever waits for the end is let go of in any case, be it by a panic in a drop of the host's.
        let _closed = self.closed.clone().drop_guard();
        let rooms = self.all_live();
        let leaving = rooms.iter().map(|room| async {
            // One that is being closed at this moment may finish that.
            let _closing = timeout(self.lifecycle_timeout, room.closing.lock()).await;
            let places = room.begin_leaving_all();
            self.tell_detached(&room.id, &places, DetachReason::Shutdown)
                .await;
            self.others_left(room, &places).await;
        });
        join_all(leaving).await;
        self.end_writing(self.lifecycle_timeout).await;
        self.retire();
        // The lanes and the hooks that are still at it: a channel is closed after its last event.
        let limit = self.lanes.delivery_timeout;
        if timeout(limit, self.lanes.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks of the kit did not finish in time and are stopped");
            self.lanes.stop.cancel();
        }
        let channels = self.all_channels();
        join_all(channels.iter().map(|channel| self.close_channel(channel))).await;
        self.abandon();
        self.lanes.tasks.wait().await;
    }
}
