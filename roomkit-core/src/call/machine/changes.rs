//! Changes of a live session: on the connection there is where the provider takes them so, by a
//! hand-over to a changed one where it does not (contract S5).

use super::{Call, Given, connection::State, verdict::verdict};
use crate::{
    call::{
        change::Change,
        io::{Action, Moment, News, ToolAnswer},
        shared_tools::Redeclared,
        tools::Closed,
    },
    error::UpdateError,
    event::HandOverReason,
    provider::{HistorySupport, ProviderError, ProviderErrorKind, Role, UpdateSupport, UpdateWay},
    voice::Updated,
};

/// The code of the error by which a host is told that the provider refused a change.
const REFUSED: &str = "update_refused";
/// The same of one that the tools of its sources cannot be given to a session.
const UNUSABLE: &str = "tools_unusable";

impl Call {
    /// The host, or a source of tools, changes the session.
    pub(super) fn on_change(&mut self, now: Moment, mut change: Change) {
        self.setup.complete(&mut change);
        let route = self.route(&change);
        change.answer(route.clone());
        if let Ok(route) = route {
            self.make(now, change, route);
        }
    }

    /// The channel's sources have other tools now.
    pub(super) fn on_redeclared(&mut self, now: Moment, redeclared: Redeclared) {
        match self.setup.redeclared(redeclared) {
            None => {}
            Some(Ok(toolbox)) => {
                let support = self.provider.as_ref().map(|provider| provider.updates);
                let support = support.unwrap_or(UpdateSupport::all(UpdateWay::Live));
                self.on_change(now, Change::of_sources(toolbox, support));
            }
            Some(Err(error)) => {
                let problem = format!("the session keeps its tools: {error}");
                let error = ProviderError::new(ProviderErrorKind::InvalidConfig, problem);
                self.words
                    .tell(now, News::Unnoticed(error.with_code(UNUSABLE)));
            }
        }
    }

    /// A tool changes the session with its answer: it hands the caller to another agent, or has found
    /// tools for the model. The session as it was must not answer any more, so the change comes
    /// before the model is asked to go on.
    pub(super) fn answer_with_change(
        &mut self,
        now: Moment,
        closed: Closed,
        answer: ToolAnswer,
        mut change: Change,
    ) {
        self.setup.complete(&mut change);
        let route = self
            .route(&change)
            .map(|route| match self.connection.state {
                State::Open => route,
                // What is there now is about to be left, and would answer as it was.
                _ => Updated::OnHandOver,
            });
        match route {
            Err(error) => self.answer_tool(now, closed, ToolAnswer::error(&error.to_string())),
            // Where the result alone makes the model go on, it must find the change made.
            Ok(Updated::Live) if self.continues_by_itself() => {
                self.make(now, change, Updated::Live);
                self.answer_tool(now, closed, answer);
            }
            Ok(Updated::Live) => {
                self.answer_tool(now, closed, answer);
                self.make(now, change, Updated::Live);
            }
            // The present connection would answer the result: it is for the next one.
            Ok(Updated::OnHandOver) => {
                let answer = self.note_answer(now, &closed, answer);
                let result = Given::Result {
                    closed,
                    answer,
                    hands_over: change.agent.is_some(),
                };
                self.hold(self.words.order(), result);
                self.setup.wait(change);
                if self.connection.state == State::Open {
                    self.connection.plan_at_once(now, HandOverReason::Changed);
                }
            }
        }
    }

    /// How the change can be made.
    fn route(&self, change: &Change) -> Result<Updated, UpdateError> {
        let mut route = if self.setup.has_waiting() && self.connection.state == State::Open {
            // Changes keep their order.
            Updated::OnHandOver
        } else {
            Updated::Live
        };
        for (field, way) in change.ways() {
            let takes_new_connection = match way {
                UpdateWay::Live => false,
                UpdateWay::LiveUntilVoice => self.connection.has_spoken,
                UpdateWay::NewConnection => true,
                UpdateWay::Never => return Err(UpdateError::Unsupported { field }),
            };
            if takes_new_connection {
                if !self.can_move() {
                    return Err(UpdateError::Unsupported { field });
                }
                route = Updated::OnHandOver;
            }
        }
        Ok(route)
    }

    /// Another connection could take up the conversation as another session.
    fn can_move(&self) -> bool {
        self.provider.as_ref().is_none_or(|provider| {
            provider.history != HistorySupport::None
                || (provider.resumes && provider.resumes_changed)
        })
    }

    fn make(&mut self, now: Moment, change: Change, route: Updated) {
        let is_open = self.connection.state == State::Open;
        match route {
            Updated::Live if is_open => self.send_change(now, change),
            _ => {
                self.setup.wait(change);
                if is_open {
                    let reason = HandOverReason::Changed;
                    self.connection.plan_for_host(now, reason);
                }
            }
        }
    }

    fn send_change(&mut self, now: Moment, mut change: Change) {
        let greeting = change.greeting.take();
        if let Some(command) = change.command() {
            self.send_to_provider(command);
        }
        let fits = self.setup.sent(change);
        self.settings_fit(fits);
        if let Some(greeting) = greeting {
            self.greet(now, &greeting);
        }
    }

    /// There is a connection for what has waited for one. True: a change takes one more, so that the
    /// answer of the tool that made it is for whom the session becomes there, and nobody here is asked
    /// (contract K7).
    pub(super) fn take_up_what_waits(&mut self, now: Moment) -> bool {
        self.make_waiting_changes(now);
        let moves_on = self.setup.has_waiting() && self.holds_results();
        if moves_on {
            self.connection.plan_at_once(now, HandOverReason::Changed);
        } else {
            self.send_held(now, u64::MAX);
        }
        moves_on
    }

    fn make_waiting_changes(&mut self, now: Moment) {
        for change in self.setup.take_waiting() {
            match self.route(&change) {
                Ok(route) => self.make(now, change, route),
                Err(error) => {
                    let kind = ProviderErrorKind::Unsupported;
                    let error = ProviderError::new(kind, error.to_string());
                    self.tell_refusal(now, &[change], &error, true);
                }
            }
        }
    }

    /// The new connection is what it was asked to be by these changes.
    pub(super) fn greet_as(&mut self, now: Moment, made: Vec<Change>) {
        for change in made {
            if let Some(greeting) = &change.greeting {
                self.greet(now, greeting);
            }
        }
    }

    pub(super) fn on_update_confirmed(&mut self) {
        let fits = self.setup.confirmed();
        self.settings_fit(fits);
    }

    /// The provider begins a response.
    pub(super) fn takes_changes_tacitly(&mut self) {
        if !self.confirms_updates() {
            let fits = self.setup.taken_tacitly();
            self.settings_fit(fits);
        }
    }

    fn settings_fit(&mut self, fits: bool) {
        if !fits {
            self.out.push_back(Action::Dropped("vendor_settings"));
        }
    }

    pub(super) fn on_update_refused(&mut self, now: Moment, error: &ProviderError) {
        let refused = self.setup.refused(self.confirms_updates());
        self.take_back(now, refused, error);
    }

    pub(super) fn on_update_failed(&mut self, now: Moment, error: &ProviderError, behind: usize) {
        let refused = self.setup.not_sent(behind);
        self.take_back(now, refused, error);
    }

    fn take_back(&mut self, now: Moment, refused: Option<Change>, error: &ProviderError) {
        if let Some(change) = refused {
            self.tell_refusal(now, &[change], error, true);
            if self.connection.state == (State::Dialling { fallback: true }) {
                // The one that is dialled was asked to be so, too.
                self.dial(true);
            }
        } else {
            // Of a change that was not ours, such as a raw message of the host's.
            self.on_error(now, error.clone());
        }
    }

    /// No connection came of a dial. If that is because of what the session was to become, it stays
    /// what it was: a caller is not lost for a setting (contract H3).
    pub(super) fn gives_up_changes(
        &mut self,
        now: Moment,
        error: &ProviderError,
        out_of_attempts: bool,
    ) -> bool {
        let verdict = verdict(error.kind());
        let is_suspect = verdict.is_suspect(self.connection.failures > 1 || out_of_attempts);
        let awaits_answer =
            self.setup.awaits_answer() && !(verdict.is_outage() && self.setup.has_worked());
        let is_changed =
            self.setup.dials_changes() || (!self.connection.is_open() && awaits_answer);
        let gives_up = is_suspect && is_changed;
        if gives_up {
            self.give_up_changes(now, error);
        }
        gives_up
    }

    pub(super) fn give_up_changes(&mut self, now: Moment, error: &ProviderError) {
        let is_open = self.connection.is_open();
        if is_open {
            // The answers that were meant for the other one. What came since its dial has a change of
            // its own, which waits.
            self.send_held(now, self.connection.told_until);
        }
        let refused = self.setup.give_up(is_open);
        self.tell_refusal(now, &refused, error, false);
    }

    /// Tells the host, and the model if it believes that it is another agent. `is_answered`: the
    /// result of the call that asked for it went to this model, which goes on by itself.
    pub(super) fn tell_refusal(
        &mut self,
        now: Moment,
        refused: &[Change],
        error: &ProviderError,
        is_answered: bool,
    ) {
        for change in refused {
            let fields: Vec<&str> = change.ways().map(|(field, _)| field).collect();
            let problem = format!(
                "the provider refused a change of {}; the session goes on as before: {}: {}",
                fields.join(", "),
                error.code(),
                error.message()
            );
            let error = ProviderError::new(ProviderErrorKind::InvalidRequest, problem);
            self.words
                .tell(now, News::Unnoticed(error.with_code(REFUSED)));
        }
        let agent = refused.iter().rev().find_map(|change| change.agent.clone());
        if let Some(agent) = agent {
            let text = format!(
                "[The hand-over of the caller to `{agent}` did not work. Go on with the caller \
                 yourself.]"
            );
            self.inject(now, text, Role::System, is_answered);
        }
    }

    fn confirms_updates(&self) -> bool {
        self.provider.as_ref().is_some_and(|it| it.confirms_updates)
    }

    /// Tells when another agent speaks, however that came about.
    pub(super) fn watch_agent(&mut self, now: Moment) {
        let agent = self.setup.agent(self.confirms_updates());
        if agent != self.told_agent.as_ref() {
            let agent = agent.cloned();
            let from = std::mem::replace(&mut self.told_agent, agent.clone());
            self.stats.agent_changes += 1;
            self.words.tell(now, News::AgentChanged { from, to: agent });
        }
    }
}
