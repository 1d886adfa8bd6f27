//! Calls of tools: from the provider's wish to its one answer (contracts K1, K2, K7).

use std::sync::Arc;

use super::{Call, Given, OWES_AFTER_GIVEN};
use crate::{
    call::{
        gate::Toolbox,
        io::{Action, Moment, News, ToolAnswer, ToolRequest},
        tools::{Called, Closed},
    },
    id::CallId,
    provider::{ProviderCommand, Role},
};

impl Call {
    pub(super) fn on_tool_call(&mut self, now: Moment, request: ToolRequest) {
        let connection = self.connection.number;
        if let Some(closed) = self.tools.close_other(&request, connection) {
            self.cancel_tool(now, closed.request);
        }
        let toolbox = self.setup.toolbox();
        let rules = toolbox.rules(&request.name);
        match self.tools.call(request.clone(), connection, rules) {
            Called::New => {
                self.calls.insert(request.call_id.clone(), toolbox);
                self.tell_tool_call(now, request);
            }
            Called::Refused(answer) => {
                self.calls.insert(request.call_id.clone(), toolbox);
                self.tell_tool_call(now, request.clone());
                let closed = Closed {
                    request,
                    connection,
                };
                self.answer_tool(now, closed, answer);
            }
            Called::Known => self.out.push_back(Action::Dropped("repeated_tool_call")),
            Called::Answered(answer) => {
                // The answer waits already, and is for whoever asked last.
                if let Some(waiting) = self.waiting_result(&request.call_id) {
                    waiting.connection = connection;
                    return self.out.push_back(Action::Dropped("repeated_tool_call"));
                }
                let closed = Closed {
                    request,
                    connection,
                };
                // It was told when it was given first, in a place of its own.
                self.give_result(now, 0, closed, answer);
            }
        }
    }

    fn tell_tool_call(&mut self, now: Moment, request: ToolRequest) {
        self.stats.tool_calls += 1;
        self.words.release();
        self.words.tell_answer(now, News::ToolCall(request));
    }

    /// The call whose answer cannot be given yet.
    fn waiting_result(&mut self, call_id: &CallId) -> Option<&mut Closed> {
        self.held.iter_mut().find_map(|held| match &mut held.what {
            Given::Result { closed, .. } if closed.request.call_id == *call_id => Some(closed),
            _ => None,
        })
    }

    /// The provider takes calls back (contract K4). If nothing else is waited for, it goes on with
    /// the results that it has.
    pub(super) fn on_tools_cancelled(&mut self, now: Moment, call_ids: Vec<CallId>) {
        let was_settled = self.tools.is_settled();
        for call_id in call_ids {
            if let Some(closed) = self.tools.close(&call_id) {
                self.cancel_tool(now, closed.request);
            }
        }
        if self.has_results && !was_settled && !self.continues_by_itself() {
            self.results_are_given(now);
        }
    }

    pub(super) fn on_tool_finished(&mut self, now: Moment, call_id: &CallId, answer: ToolAnswer) {
        // A call that is not open any more was cancelled, or answered by its timeout.
        match self.tools.close(call_id) {
            Some(closed) => self.answer_tool(now, closed, answer),
            None => self.out.push_back(Action::Dropped("late_tool_result")),
        }
    }

    pub(super) fn on_tool_progress(&mut self, now: Moment, serial: u64, progress: String) {
        if let Some(request) = self.tools.report(serial, progress.clone()) {
            let told = News::ToolProgress {
                call_id: request.call_id.clone(),
                name: request.name.clone(),
                progress,
            };
            self.words.tell(now, told);
        }
    }

    /// Answers what has run for too long, starts what may run, and tells the model how far the
    /// others are.
    pub(super) fn run_tools(&mut self, now: Moment) {
        if self.tools.is_empty() {
            return;
        }
        while let Some((closed, answer)) = self.tools.close_expired(now) {
            let call_id = closed.request.call_id.clone();
            self.out.push_back(Action::CancelTool {
                call_id,
                expired: true,
            });
            self.answer_tool(now, closed, answer);
        }
        while let Some(request) = self.tools.start_next(now) {
            self.out.push_back(Action::StartTool(request));
        }
        // Progress that cannot be told now is told when it can, or never: it is soon old.
        while self.connection.is_open()
            && self.takes_words()
            && !self.cuts_short()
            && let Some((request, progress)) = self.tools.next_progress(now)
        {
            let text = progress_note(request, &progress);
            self.send_to_provider(ProviderCommand::Text {
                role: Role::System,
                text,
                respond: false,
            });
        }
    }

    /// Who answers a call that is to start: whoever did when it was made.
    pub(crate) fn toolbox_for(&self, call_id: &CallId) -> Arc<Toolbox> {
        let toolbox = self.calls.get(call_id);
        toolbox.map_or_else(|| self.setup.toolbox(), Arc::clone)
    }

    /// A call is over. Gives whether it was one of a tool, whose name is not just a word of the model's.
    fn forget_toolbox(&mut self, call_id: &CallId, name: &str) -> bool {
        let toolbox = self.calls.remove(call_id);
        toolbox.is_some_and(|toolbox| toolbox.declares(name))
    }

    pub(super) fn answer_tool(&mut self, now: Moment, closed: Closed, answer: ToolAnswer) {
        let answer = self.note_answer(now, &closed, answer);
        self.give_result(now, self.words.order(), closed, answer);
    }

    /// Remembers and tells what a call was answered, in the form the model reads.
    pub(super) fn note_answer(
        &mut self,
        now: Moment,
        closed: &Closed,
        answer: ToolAnswer,
    ) -> ToolAnswer {
        let answer = answer.capped(self.settings.tool_result_cap);
        let ToolRequest { call_id, name, .. } = closed.request.clone();
        let is_declared = self.forget_toolbox(&call_id, &name);
        self.tools.remember(call_id.clone(), answer.clone());
        let done = News::ToolDone {
            call_id,
            name,
            is_declared,
            answer: answer.clone(),
        };
        self.words.tell(now, done);
        answer
    }

    /// Gives the model the answer to a call; after the last one it is to go on (contract K7).
    fn give_result(&mut self, now: Moment, order: u64, closed: Closed, answer: ToolAnswer) {
        self.send_tool_result(now, order, closed, answer);
        self.results_are_given(now);
    }

    /// The model has results that it did not have.
    pub(super) fn results_are_given(&mut self, now: Moment) {
        if !self.answers_results() {
            return;
        }
        self.has_results = true;
        if self.tools.is_settled() {
            self.owes_answer_until(now + OWES_AFTER_GIVEN);
            self.want_response(now);
        }
    }

    pub(super) fn answers_results(&self) -> bool {
        self.provider.as_ref().is_none_or(|it| it.answers_results)
    }

    pub(super) fn cancel_tool(&mut self, now: Moment, request: ToolRequest) {
        let ToolRequest { call_id, name, .. } = request;
        let is_declared = self.forget_toolbox(&call_id, &name);
        self.out.push_back(Action::CancelTool {
            call_id: call_id.clone(),
            expired: false,
        });
        let cancelled = News::ToolCancelled {
            call_id,
            name,
            is_declared,
        };
        self.words.tell(now, cancelled);
    }
}

fn progress_note(request: &ToolRequest, progress: &str) -> String {
    let ToolRequest { name, .. } = request;
    format!("[The tool `{name}` is still running and reports: {progress}]")
}
