//! The messages to a caller: on the data channel, and until it is open in a queue before it. A caller
//! that has agreed on none gets none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use roomkit_core::transport::TransportError;
use tokio::time::Instant;
use webrtc::{data_channel::DataChannel, error::Error};

use crate::peer::Peer;

/// How much waits for a channel that is not open or not taken from: some minutes of talk. Control
/// is never dropped (contract A6): a caller that is further behind is too slow for a session.
const MAX_WAITING_BYTES: usize = 256 * 1024;

/// How soon a channel that is full, or not open yet, is tried again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(20);

/// What waits to be sent.
pub(super) struct Messages {
    has_channel: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channel: Option<Arc<dyn DataChannel>>,
    waiting: VecDeque<String>,
    bytes: usize,
    any_sent: bool,
    retry_at: Option<Instant>,
}

impl Messages {
    /// `has_channel`: there is one, or will be.
    pub(super) fn new(has_channel: bool) -> Self {
        Self {
            has_channel,
            state: Mutex::default(),
        }
    }

    /// The channel is open.
    pub(super) fn open(&self, channel: Arc<dyn DataChannel>) {
        self.state().channel = Some(channel);
    }

    /// Sends a message, or queues it. Never waits for the caller: its voice goes the same way.
    pub(super) async fn send(&self, message: String) -> Result<(), TransportError> {
        if !self.has_channel {
            return Ok(());
        }
        {
            let mut state = self.state();
            state.bytes += message.len();
            state.waiting.push_back(message);
            if state.bytes > MAX_WAITING_BYTES {
                let problem = "it does not take its messages";
                return Err(TransportError::Disconnected(problem.into()));
            }
        }
        self.send_waiting().await
    }

    /// Sends what waits, as far as it can be sent.
    pub(super) async fn send_waiting(&self) -> Result<(), TransportError> {
        loop {
            let (channel, message) = {
                let mut state = self.state();
                state.retry_at = None;
                let Some(channel) = state.channel.clone() else {
                    return Ok(());
                };
                let Some(message) = state.waiting.pop_front() else {
                    return Ok(());
                };
                (channel, message)
            };
            let sent = channel.try_send_text(&message).await;
            let mut state = self.state();
            match sent {
                Ok(()) => {
                    state.bytes -= message.len();
                    state.any_sent = true;
                }
                // A channel of ours is not open before the caller has answered, over as many round
                // trips as SCTP takes.
                Err(Error::ErrSendBufferFull | Error::ErrDataChannelNotOpen) => {
                    state.waiting.push_front(message);
                    state.retry_at = Some(Instant::now() + RETRY);
                    return Ok(());
                }
                Err(error) => return Err(TransportError::Disconnected(error.to_string())),
            }
        }
    }

    /// When to try again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.state().retry_at
    }

    /// Waits, not for long, until the caller has all of them. False: it will not get them, or
    /// there were none.
    pub(super) async fn flush(&self, peer: &Peer) -> bool {
        let _ = self.send_waiting().await;
        let (channel, is_said) = {
            let state = self.state();
            (
                state.channel.clone(),
                state.any_sent && state.waiting.is_empty(),
            )
        };
        if let Some(channel) = channel {
            peer.flush(&channel).await;
        }
        is_said
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
