//! A stream that is polled as the engine does: when it has said that there is something.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::{StreamExt, future::poll_fn, stream::BoxStream};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::watched::Watched;

/// What came over a stream.
#[derive(Debug)]
pub(super) struct Heard<T> {
    pub(super) events: Vec<T>,
    pub(super) ended: bool,
}

/// Listens to a stream in a task of its own, until it is dropped.
pub(super) struct Listening<T> {
    heard: Arc<Watched<Heard<T>>>,
    doubts: mpsc::UnboundedSender<oneshot::Sender<Doubted>>,
    task: JoinHandle<()>,
}

/// What a stream has that was asked although it had not rung; `None` is nothing.
type Doubted = Option<Slept>;

/// It had something and told nobody.
type Slept = bool;

/// How something was waited for.
pub(super) struct Waited<R> {
    /// What came of it.
    pub(super) found: Option<R>,
    /// The stream had something and told nobody.
    pub(super) slept: bool,
}

impl<T: Send + 'static> Listening<T> {
    pub(super) fn to(events: BoxStream<'static, T>) -> Self {
        let heard = Arc::new(Watched::new(Heard {
            events: Vec::new(),
            ended: false,
        }));
        let (doubts, doubted) = mpsc::unbounded_channel();
        let task = tokio::spawn(listen(events, Arc::clone(&heard), doubted));
        Self {
            heard,
            doubts,
            task,
        }
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&Heard<T>) -> R) -> R {
        self.heard.read(look)
    }

    /// Waits until there is what `look` wants. If it does not come, the stream is asked whether it has
    /// anything, which nobody else would do.
    pub(super) async fn until<R>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&mut Heard<T>) -> Option<R>,
    ) -> Waited<R> {
        let mut slept = false;
        loop {
            if let Ok(found) = timeout(patience, self.heard.until(&mut look)).await {
                let found = Some(found);
                return Waited { found, slept };
            }
            let (answer, answered) = oneshot::channel();
            let asked = self.doubts.send(answer).is_ok();
            let doubted = if asked { answered.await.ok() } else { None };
            if slept || doubted.flatten() != Some(true) {
                let found = self.heard.change(&mut look);
                return Waited { found, slept };
            }
            slept = true;
        }
    }
}

impl<T> Drop for Listening<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen<T>(
    events: BoxStream<'static, T>,
    heard: Arc<Watched<Heard<T>>>,
    mut doubted: mpsc::UnboundedReceiver<oneshot::Sender<Doubted>>,
) {
    let mut ear = Ear { events, bell: None };
    loop {
        let (polled, doubt) = tokio::select! {
            item = ear.next() => (Poll::Ready(item), None),
            Some(doubt) = doubted.recv() => {
                // It may have rung just now.
                let slept = !ear.rang();
                (ear.unasked(), Some((doubt, slept)))
            }
        };
        let is_ready = polled.is_ready();
        let ended = matches!(polled, Poll::Ready(None));
        heard.change(|heard| {
            if let Poll::Ready(item) = polled {
                heard.events.extend(item);
            }
            heard.ended = ended;
        });
        if let Some((doubt, slept)) = doubt {
            let _ = doubt.send(is_ready.then_some(slept));
        }
        if ended {
            return;
        }
    }
}

struct Ear<T> {
    events: BoxStream<'static, T>,
    /// The waker of the last `Pending`.
    bell: Option<Arc<Bell>>,
}

impl<T> Ear<T> {
    async fn next(&mut self) -> Option<T> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(bell) = &self.bell {
            bell.listen(context.waker());
            // Only now, as it may have rung before it was known for whom.
            if !self.rang() {
                return Poll::Pending;
            }
        }
        // Another one for each poll: it is the last that counts.
        let bell = Arc::new(Bell {
            rang: AtomicBool::new(false),
            listener: Mutex::new(context.waker().clone()),
        });
        let waker = Waker::from(Arc::clone(&bell));
        let polled = self
            .events
            .poll_next_unpin(&mut Context::from_waker(&waker));
        self.bell = polled.is_pending().then_some(bell);
        polled
    }

    /// Whether it is due to be polled.
    fn rang(&self) -> bool {
        let bell = self.bell.as_ref();
        bell.is_none_or(|bell| bell.rang.load(Ordering::Acquire))
    }

    /// What it has although it did not ring.
    fn unasked(&mut self) -> Poll<Option<T>> {
        self.bell = None;
        let mut context = Context::from_waker(Waker::noop());
        self.events.poll_next_unpin(&mut context)
    }
}

struct Bell {
    rang: AtomicBool,
    /// The task that listens.
    listener: Mutex<Waker>,
}

impl Bell {
    fn listen(&self, waker: &Waker) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.clone_from(waker);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.wake_by_ref();
    }
}
