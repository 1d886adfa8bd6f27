//! What servers tell while a tool runs.

use std::{
    borrow::Cow,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use rmcp::{
    model::{
        JsonRpcMessage, NumberOrString, ProgressNotificationParam, ProgressToken,
        ServerNotification,
    },
    service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use roomkit_core::{
    id::{CallId, SessionId},
    tool::ToolInvocation,
};
use tokio::sync::{
    Mutex, MutexGuard,
    broadcast::{self, error::RecvError},
};

/// How much progress of a connection may wait for its observers. Beyond that the oldest is forgotten:
/// what comes after it says more.
const WAITING: usize = 256;
/// The longest message that is passed on, in characters.
const LONGEST_MESSAGE: usize = 500;

/// How far a running call has got.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct McpProgress {
    /// The server's name.
    pub server: String,
    /// The tool, by the name the model knows.
    pub tool: String,
    /// The session whose model called.
    pub session_id: SessionId,
    /// The call.
    pub call_id: CallId,
    /// How far, in a unit of the server's choice; it only grows.
    pub progress: f64,
    /// How far in all, if the server knows.
    pub total: Option<f64>,
    /// What it says to that.
    pub message: Option<String>,
}

type Observer = Arc<dyn Fn(&McpProgress) + Send + Sync>;

/// Who wants to know.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<RwLock<Vec<Observer>>>);

impl Observers {
    pub(crate) fn add(&self, observer: Observer) {
        let mut observers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        observers.push(observer);
    }

    fn tell(&self, progress: &McpProgress) {
        let observers = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for observer in observers {
            if catch_unwind(AssertUnwindSafe(|| observer(progress))).is_err() {
                tracing::error!(tool = progress.tool, "an observer of progress panicked");
            }
        }
    }
}

/// A call whose progress is told.
pub(crate) struct Running {
    pub(crate) progress: McpProgress,
    /// Set where the model is told too.
    pub(crate) invocation: Option<ToolInvocation>,
}

/// The calls that run on one connection, by their tokens.
#[derive(Default)]
pub(crate) struct ProgressBook {
    running: Mutex<HashMap<ProgressToken, Running>>,
    observers: Observers,
}

impl ProgressBook {
    pub(crate) fn new(observers: Observers) -> Self {
        Self {
            running: Mutex::default(),
            observers,
        }
    }

    /// The calls. Held while a call is sent, so that no progress of it is told before it is known.
    pub(crate) async fn open(&self) -> MutexGuard<'_, HashMap<ProgressToken, Running>> {
        self.running.lock().await
    }

    /// Tells the observers what is heard, one after the other, until the connection is over.
    async fn tell_all(&self, mut heard: broadcast::Receiver<ProgressNotificationParam>) {
        loop {
            match heard.recv().await {
                Ok(told) => self.told(told).await,
                Err(RecvError::Lagged(forgotten)) => {
                    tracing::debug!(forgotten, "progress of tools comes faster than it is told");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The server tells something. What belongs to no call, or is older than what was told before,
    /// is dropped.
    async fn told(&self, told: ProgressNotificationParam) {
        let progress = {
            let mut running = self.running.lock().await;
            let Some(Running {
                progress: call,
                invocation,
            }) = running.get_mut(&told.progress_token)
            else {
                return;
            };
            if !told.progress.is_finite() || told.progress <= call.progress {
                return;
            }
            call.progress = told.progress;
            call.total = told.total.filter(|total| total.is_finite());
            call.message = told.message;
            if let (Some(invocation), Some(message)) = (invocation, &call.message) {
                invocation.report(message);
            }
            call.clone()
        };
        tracing::debug!(
            server = progress.server,
            tool = progress.tool,
            call_id = %progress.call_id,
            progress = progress.progress,
            total = progress.total,
            "progress of a tool"
        );
        self.observers.tell(&progress);
    }
}

/// A connection on which progress is heard as it comes in. When a handler is told of it the order is
/// lost: rmcp has each notification handled by a task of its own.
pub(crate) struct Heard<T> {
    inner: T,
    progress: broadcast::Sender<ProgressNotificationParam>,
}

impl<T> Heard<T> {
    pub(crate) fn new(inner: T, book: Arc<ProgressBook>) -> Self {
        let (progress, heard) = broadcast::channel(WAITING);
        tokio::spawn(async move { book.tell_all(heard).await });
        Self { inner, progress }
    }

    fn hear(&self, told: &ProgressNotificationParam) {
        // Ours are numbers. A text is nobody's, however long.
        let ProgressToken(NumberOrString::Number(token)) = &told.progress_token else {
            return;
        };
        let token = ProgressToken(NumberOrString::Number(*token));
        let mut short = ProgressNotificationParam::new(token, told.progress);
        short.total = told.total;
        let message = told.message.as_ref();
        short.message = message.map(|message| message.chars().take(LONGEST_MESSAGE).collect());
        // It fails when the runtime ends.
        let _ = self.progress.send(short);
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Heard<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await?;
        if let JsonRpcMessage::Notification(told) = &message
            && let ServerNotification::ProgressNotification(told) = &told.notification
        {
            self.hear(&told.params);
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
