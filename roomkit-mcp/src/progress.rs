//! What servers tell while a tool runs.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use roomkit_core::{
    id::{CallId, SessionId},
    tool::ToolInvocation,
};
use tokio::sync::{Mutex, MutexGuard};

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

    /// The server tells something. What belongs to no call, or is older than what was told before,
    /// is dropped.
    pub(crate) async fn told(&self, told: ProgressNotificationParam) {
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
            call.message = told
                .message
                .map(|message| message.chars().take(LONGEST_MESSAGE).collect());
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
