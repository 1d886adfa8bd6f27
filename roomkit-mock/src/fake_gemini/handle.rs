//! The test's side of one connection, with what only this vendor has.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::hub::Hub;
use super::memory::Turn;
use crate::fake::handle::{self, Command, Order};
use crate::fake::record::WaitError;

/// One connection of the fake, alive or gone. Clones refer to the same connection.
///
/// Besides what is here it does all that [`fake_openai`](crate::fake_openai)'s does: look
/// (`events`, `violations`, `received_audio`, `sent`, `session`, `closure`), wait
/// (`wait_for_event`, `wait_for_audio`, `wait_for_sent`, `wait_for_close`) and interfere
/// (`inject_event`, `close`, `drop_connection`, `stop_reading`).
#[derive(Debug, Clone)]
pub struct FakeConnection {
    pub(crate) common: handle::FakeConnection,
    pub(crate) hub: Arc<Hub>,
}

impl Deref for FakeConnection {
    type Target = handle::FakeConnection;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl FakeConnection {
    /// What this connection knows of the conversation, what it resumed from included.
    pub fn conversation(&self) -> Vec<Turn> {
        let memory = self.hub.memory(self.common.index);
        memory.conversation.turns()
    }

    /// Waits until `find` finds something in the conversation.
    pub async fn wait_for_conversation<T>(
        &self,
        find: impl Fn(&[Turn]) -> Option<T>,
    ) -> Result<T, WaitError> {
        self.common
            .record
            .wait(|_| find(&self.conversation()))
            .await
    }

    /// The handle it was resumed from, if it was.
    pub fn resumed_from(&self) -> Option<String> {
        self.hub.memory(self.common.index).resumed_from
    }

    /// The handles it gave out, oldest first.
    pub fn handles(&self) -> Vec<String> {
        self.hub.memory(self.common.index).handles
    }

    /// Sends `goAway` with this much time left, and closes with 1001 when it is over.
    pub fn go_away(&self, time_left: Duration) {
        self.common
            .command(Command::Order(Order::GoAway(time_left)));
    }
}
