//! Runs tool calls, each in a task of its own.

use std::sync::Arc;

use tokio::task::{self, AbortHandle};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::Driver;
use crate::{
    call::{
        gate::{Finished, ToolContext},
        io::{Input, ToolAnswer, ToolRequest},
        spans,
    },
    id::CallId,
};

/// So many hooks around calls that were cancelled may come to their end at a time.
const LEFT: usize = 64;

/// A tool call that runs.
pub(super) struct Running {
    task: AbortHandle,
    cancelled: CancellationToken,
    span: Span,
}

impl Running {
    /// Nobody waits for it any more: its handler is dropped, and a hook that runs comes to its end.
    pub(super) fn stop(self, expired: bool) {
        spans::tool_stopped(&self.span, expired);
        self.cancelled.cancel();
    }
}

impl Driver {
    pub(super) fn start_tool(&mut self, request: ToolRequest) {
        let Some(kit) = self.kit.upgrade() else {
            return;
        };
        let context = ToolContext {
            kit: self.kit.clone(),
            hooks: kit.hooks().clone(),
            scope: self.scope.clone(),
            session: self.session.clone(),
            agents: Arc::clone(&self.shared.agents),
            toolbox: self.call.toolbox_for(&request.call_id),
        };
        let call_id = request.call_id.clone();
        let cancelled = CancellationToken::new();
        let declared = context.toolbox.declared(&request.name);
        let span = self.spans.tool(&call_id, declared);
        let reporter = self.reporter.of(request.serial);
        let run = context.run(request, cancelled.clone(), reporter);
        let id = call_id.clone();
        let run = async move { (id, run.await) }.instrument(span.clone());
        let running = Running {
            task: self.tools.spawn(run),
            cancelled,
            span,
        };
        self.running.insert(call_id, running);
    }

    pub(super) fn cancel_tool(&mut self, call_id: &CallId, expired: bool) {
        let left = self.tools.len().saturating_sub(self.running.len());
        if let Some(running) = self.running.remove(call_id) {
            if left >= LEFT {
                running.task.abort();
            }
            running.stop(expired);
        }
    }

    pub(super) fn tool_finished(&mut self, task: task::Id, call_id: CallId, finished: Finished) {
        // One that was cancelled when it had just finished: a later connection may have made another
        // call of the same id.
        if self.running.get(&call_id).map(|running| running.task.id()) != Some(task) {
            return self.dropped("late_tool_result");
        }
        if let Some(running) = self.running.remove(&call_id) {
            spans::tool_finished(&running.span, &finished);
        }
        // What it told before it was done comes before.
        while let Ok(report) = self.reports.try_recv() {
            let (serial, progress) = *report;
            self.feed(Input::ToolProgress(serial, progress));
        }
        let Finished { answer, change } = finished;
        self.feed(match change {
            Some(mut change) => match self.check(&mut change) {
                Ok(()) => Input::ToolChanges(call_id, answer, change),
                Err(error) => Input::ToolFinished(call_id, ToolAnswer::error(&error.to_string())),
            },
            None => Input::ToolFinished(call_id, answer),
        });
    }
}
