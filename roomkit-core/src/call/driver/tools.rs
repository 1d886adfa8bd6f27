//! Runs tool calls, each in a task of its own.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Driver;
use crate::{
    call::{
        gate::{Finished, ToolContext},
        io::{Input, ToolRequest},
    },
    id::CallId,
};

impl Driver {
    pub(super) fn start_tool(&mut self, request: ToolRequest) {
        let Some(kit) = self.kit.upgrade() else {
            return;
        };
        let context = ToolContext {
            kit,
            scope: self.scope.clone(),
            session: self.session.clone(),
            agents: Arc::clone(&self.shared.agents),
            toolbox: self.call.toolbox_for(&request.call_id),
        };
        let call_id = request.call_id.clone();
        let cancelled = CancellationToken::new();
        let run = context.run(request, cancelled.clone(), self.reporter.clone());
        let id = call_id.clone();
        let task = self.tools.spawn(async move { (id, run.await) });
        self.running.insert(call_id, (task, cancelled));
    }

    pub(super) fn cancel_tool(&mut self, call_id: &CallId) {
        if let Some((task, cancelled)) = self.running.remove(call_id) {
            cancelled.cancel();
            task.abort();
        }
    }

    pub(super) fn tool_finished(&mut self, call_id: CallId, finished: Finished) {
        self.running.remove(&call_id);
        // What it told before it was done comes before.
        while let Ok((call_id, progress)) = self.reports.try_recv() {
            self.feed(Input::ToolProgress(call_id, progress));
        }
        let Finished { answer, change } = finished;
        self.feed(match change {
            Some(change) => Input::ToolChanges(call_id, answer, change),
            None => Input::ToolFinished(call_id, answer),
        });
    }
}
