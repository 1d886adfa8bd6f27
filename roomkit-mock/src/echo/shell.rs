//! Runs an engine: no task, only a sink that feeds it and a stream that asks it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use roomkit_core::provider::{
    ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, ProviderSink,
};
use tokio::time::{Instant, Sleep};

use super::engine::Engine;

pub(super) fn open(engine: Engine) -> (Box<dyn ProviderSink>, BoxStream<'static, ProviderEvent>) {
    let shared = Arc::new(Shared {
        began: Instant::now(),
        state: Mutex::new(State {
            engine,
            reader: None,
        }),
    });
    let sink = Box::new(EchoSink(Arc::clone(&shared)));
    let events = EchoEvents {
        shared,
        timer: Box::pin(tokio::time::sleep_until(Instant::now())),
    };
    (sink, events.boxed())
}

struct Shared {
    /// The engine's zero.
    began: Instant,
    state: Mutex<State>,
}

struct State {
    engine: Engine,
    /// Whoever waits for events.
    reader: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Engine) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state.engine);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }
}

struct EchoSink(Arc<Shared>);

#[async_trait]
impl ProviderSink for EchoSink {
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError> {
        let now = self.0.began.elapsed();
        self.0.change(|engine| {
            if engine.is_over() {
                let problem = "the connection is closed";
                return Err(ProviderError::new(ProviderErrorKind::Network, problem));
            }
            engine.handle(now, command);
            Ok(())
        })
    }

    async fn close(&mut self) {
        self.0.change(Engine::close);
    }
}

impl Drop for EchoSink {
    fn drop(&mut self) {
        self.0.change(Engine::close);
    }
}

struct EchoEvents {
    shared: Arc<Shared>,
    timer: Pin<Box<Sleep>>,
}

impl Stream for EchoEvents {
    type Item = ProviderEvent;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<ProviderEvent>> {
        loop {
            let wake = {
                let mut state = self.shared.lock();
                if let Some(event) = state.engine.poll(self.shared.began.elapsed()) {
                    return Poll::Ready(Some(event));
                }
                if state.engine.is_over() {
                    return Poll::Ready(None);
                }
                state.reader = Some(context.waker().clone());
                state.engine.next_wake()
            };
            let Some(due) = wake.and_then(|wake| self.shared.began.checked_add(wake)) else {
                return Poll::Pending;
            };
            if self.timer.deadline() != due {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
