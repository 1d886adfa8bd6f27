//! The messages to a caller: on the data channel, and until it is open in a queue before it. A caller
//! that has agreed on none gets none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
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
    channel: Option<Channel>,
    /// What is being sent stays at the front until it is taken.
    waiting: VecDeque<Arc<str>>,
    /// Both halves of the link may be sending, and each may be dropped meanwhile: they wait for the
    /// same attempt, so that nothing is overtaken and nothing is lost with one of them.
    attempt: Option<Attempt>,
    /// That goes by a channel in whose place there is another by now.
    is_replaced: bool,
    bytes: usize,
    any_sent: bool,
    retry_at: Option<Instant>,
}

type Channel = Arc<dyn DataChannel>;

/// The first message on its way to the channel.
type Attempt = Shared<BoxFuture<'static, Attempted>>;

/// What became of it.
#[derive(Clone)]
enum Attempted {
    Taken,
    /// A channel of ours is not open before the caller has answered, over as many round trips as
    /// SCTP takes; and one that is full is not taken from.
    Later,
    Failed(String),
}

impl From<Result<(), Error>> for Attempted {
    fn from(sent: Result<(), Error>) -> Self {
        match sent {
            Ok(()) => Self::Taken,
            Err(Error::ErrSendBufferFull | Error::ErrDataChannelNotOpen) => Self::Later,
            Err(error) => Self::Failed(error.to_string()),
        }
    }
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
        let mut state = self.state();
        state.channel = Some(channel);
        state.is_replaced = state.attempt.is_some();
    }

    /// Sends a message, or queues it. Never waits for the caller: its voice goes the same way.
    pub(super) async fn send(&self, message: String) -> Result<(), TransportError> {
        if !self.has_channel {
            return Ok(());
        }
        self.state().queue(message)?;
        self.send_waiting().await
    }

    /// Sends what waits, as far as it can be sent.
    pub(super) async fn send_waiting(&self) -> Result<(), TransportError> {
        self.send_by(|channel, message| {
            let channel = Arc::clone(channel?);
            Some(async move { channel.try_send_text(&message).await.into() }.boxed())
        })
        .await
    }

    async fn send_by(
        &self,
        begin: impl Fn(Option<&Channel>, Arc<str>) -> Option<BoxFuture<'static, Attempted>>,
    ) -> Result<(), TransportError> {
        self.state().retry_at = None;
        loop {
            let attempt = self.state().attempt(&begin);
            let Some(attempt) = attempt else {
                return Ok(());
            };
            let attempted = attempt.clone().await;
            let mut state = self.state();
            let is_first_to_know = state
                .attempt
                .take_if(|present| present.ptr_eq(&attempt))
                .is_some();
            if !is_first_to_know {
                // The other half has seen to it.
                continue;
            }
            let is_replaced = std::mem::take(&mut state.is_replaced);
            match attempted {
                Attempted::Taken => state.is_taken(),
                // The other channel may take it.
                _ if is_replaced => {}
                Attempted::Later => {
                    state.retry_at = Some(Instant::now() + RETRY);
                    return Ok(());
                }
                Attempted::Failed(problem) => return Err(TransportError::Disconnected(problem)),
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

impl State {
    fn queue(&mut self, message: String) -> Result<(), TransportError> {
        self.bytes += message.len();
        self.waiting.push_back(message.into());
        if self.bytes > MAX_WAITING_BYTES {
            let problem = "it does not take its messages";
            return Err(TransportError::Disconnected(problem.into()));
        }
        Ok(())
    }

    /// The attempt there is, or one with the first message by the channel that there is now; none when
    /// nothing waits, or there is no channel.
    fn attempt(
        &mut self,
        begin: impl FnOnce(Option<&Channel>, Arc<str>) -> Option<BoxFuture<'static, Attempted>>,
    ) -> Option<Attempt> {
        if self.attempt.is_none() {
            let first = Arc::clone(self.waiting.front()?);
            self.attempt = Some(begin(self.channel.as_ref(), first)?.shared());
        }
        self.attempt.clone()
    }

    fn is_taken(&mut self) {
        if let Some(message) = self.waiting.pop_front() {
            self.bytes -= message.len();
        }
        self.any_sent = true;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use tokio::sync::Semaphore;

    use super::*;

    /// A channel that takes messages only as it is let.
    #[derive(Clone)]
    struct Slow {
        open: Arc<Semaphore>,
        taken: Arc<Mutex<Vec<String>>>,
        is_full: bool,
        is_gone: bool,
    }

    impl Slow {
        fn new() -> Self {
            Self {
                open: Arc::new(Semaphore::new(0)),
                taken: Arc::default(),
                is_full: false,
                is_gone: false,
            }
        }

        fn taking(
            &self,
        ) -> impl Fn(Option<&Channel>, Arc<str>) -> Option<BoxFuture<'static, Attempted>> + use<>
        {
            let channel = self.clone();
            move |_, message| {
                let channel = channel.clone();
                let attempt = async move {
                    channel.open.acquire().await.unwrap().forget();
                    if channel.is_full {
                        return Attempted::Later;
                    }
                    if channel.is_gone {
                        return Attempted::Failed("it is closed".into());
                    }
                    channel.taken.lock().unwrap().push(message.to_string());
                    Attempted::Taken
                };
                Some(attempt.boxed())
            }
        }

        fn taken(&self) -> Vec<String> {
            self.taken.lock().unwrap().clone()
        }
    }

    fn queue(messages: &Messages, text: &str) {
        messages.state().queue(text.into()).unwrap();
    }

    async fn is_pending(future: impl Future) -> bool {
        let mut future = pin!(future);
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn c1_of_two_who_send_none_overtakes_the_other() {
        let (messages, channel) = (Messages::new(true), Slow::new());
        queue(&messages, "first");
        let mut one = pin!(messages.send_by(channel.taking()));
        assert!(is_pending(one.as_mut()).await);
        queue(&messages, "second");
        let mut other = pin!(messages.send_by(channel.taking()));
        assert!(is_pending(other.as_mut()).await);
        channel.open.add_permits(2);
        // The one that came first is not asked again until the other is done.
        other.await.unwrap();
        assert_eq!(channel.taken(), ["first", "second"]);
        one.await.unwrap();
        assert_eq!(channel.taken(), ["first", "second"]);
        assert_eq!(messages.state().bytes, 0);
    }

    #[tokio::test]
    async fn c1_who_stops_sending_takes_no_message_along() {
        let (messages, channel) = (Messages::new(true), Slow::new());
        queue(&messages, "first");
        assert!(is_pending(messages.send_by(channel.taking())).await);
        channel.open.add_permits(2);
        queue(&messages, "second");
        messages.send_by(channel.taking()).await.unwrap();
        assert_eq!(channel.taken(), ["first", "second"]);
    }

    #[tokio::test]
    async fn c1_what_another_channel_did_not_take_goes_by_the_one_in_its_place() {
        let (messages, mut old) = (Messages::new(true), Slow::new());
        old.is_gone = true;
        queue(&messages, "first");
        assert!(is_pending(messages.send_by(old.taking())).await);
        // As `open` has it.
        messages.state().is_replaced = true;
        old.open.add_permits(1);
        let new = Slow::new();
        new.open.add_permits(1);
        messages.send_by(new.taking()).await.unwrap();
        assert_eq!(new.taken(), ["first"]);
        assert!(!messages.state().is_replaced);

        queue(&messages, "second");
        old.open.add_permits(1);
        let failed = messages.send_by(old.taking()).await;
        assert!(failed.is_err(), "there is no other");
    }

    #[tokio::test]
    async fn c1_a_channel_that_is_full_changes_no_order() {
        let (messages, mut channel) = (Messages::new(true), Slow::new());
        channel.is_full = true;
        queue(&messages, "first");
        let mut one = pin!(messages.send_by(channel.taking()));
        assert!(is_pending(one.as_mut()).await);
        queue(&messages, "second");
        let mut other = pin!(messages.send_by(channel.taking()));
        assert!(is_pending(other.as_mut()).await);
        channel.open.add_permits(2);
        other.await.unwrap();
        one.await.unwrap();
        assert!(messages.retry_at().is_some());
        channel.is_full = false;
        channel.open.add_permits(2);
        messages.send_by(channel.taking()).await.unwrap();
        assert_eq!(channel.taken(), ["first", "second"]);
        assert_eq!(messages.retry_at(), None);
    }
}
