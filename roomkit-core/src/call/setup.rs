//! What a session is asked to be, and the changes of it that are on their way (contract S5).

use std::{collections::VecDeque, sync::Arc};

use super::{
    change::{Change, ToolsFrom},
    gate::Toolbox,
    shared_tools::{AgentTools, Listed, Redeclared},
    vendor_changes::VendorChanges,
};
use crate::{
    error::ConfigError,
    provider::{SessionSetup, SessionUpdate},
};

/// Changes a provider may leave without an answer; of more than these the oldest is taken as made.
const UNANSWERED: usize = 32;

/// Whose the tools of a session are.
#[derive(Debug, Clone)]
pub(crate) enum ToolsOf {
    /// The channel's and its sources', which change with them.
    Channel,
    /// Its own, or those of its agent: sources do not change them.
    Session,
    /// Those of its agent, and the channel's beside them.
    Agent(Arc<AgentTools>),
}

/// What the session is, and what it is about to become.
pub(crate) struct Setup {
    accepted: State,
    /// What the channel's sources listed last, if they have changed.
    listed: Option<Arc<Listed>>,
    /// Changes that were sent and that the provider may still refuse, oldest first.
    sent: VecDeque<Change>,
    /// So many of these were sent when the running response began.
    answered: usize,
    /// A response was completed that began after the last of these was sent.
    worked: bool,
    /// The connection that is being dialled.
    dialled: Option<Dialled>,
    /// Changes that wait for a connection, oldest first.
    waiting: VecDeque<Change>,
}

/// What a connection that is being dialled is asked to be. Whatever becomes of the old one
/// meanwhile, this is what it is if it comes.
struct Dialled {
    state: State,
    /// What no connection was asked for before.
    changes: Vec<Change>,
}

#[derive(Clone)]
struct State {
    setup: SessionSetup,
    vendor: VendorChanges,
    toolbox: Arc<Toolbox>,
    tools_of: ToolsOf,
    agent: Option<Arc<str>>,
}

impl Setup {
    pub(crate) fn new(
        mut setup: SessionSetup,
        toolbox: Arc<Toolbox>,
        tools_of: ToolsOf,
        agent: Option<Arc<str>>,
    ) -> Self {
        let layers = std::mem::take(&mut setup.provider_changes);
        Self {
            accepted: State {
                setup,
                vendor: VendorChanges::over_the_channels(&layers),
                toolbox,
                tools_of,
                agent,
            },
            listed: None,
            sent: VecDeque::new(),
            answered: 0,
            worked: false,
            dialled: None,
            waiting: VecDeque::new(),
        }
    }

    /// What the session is to be once all changes are made.
    pub(super) fn wanted(&self) -> SessionSetup {
        self.wanted_state().whole()
    }

    /// Who answers calls that the model makes now.
    pub(super) fn toolbox(&self) -> Arc<Toolbox> {
        let latest = self
            .sent
            .iter()
            .rev()
            .find_map(|sent| sent.toolbox.as_ref());
        Arc::clone(latest.unwrap_or(&self.accepted.toolbox))
    }

    /// Who the AI is now. Where a provider `confirms` changes, it is nobody else before it has.
    pub(super) fn agent(&self, confirms: bool) -> Option<&Arc<str>> {
        let mut sent = self.sent.iter().rev().filter(|_| !confirms);
        let latest = sent.find_map(|sent| sent.agent.as_ref());
        latest.or(self.accepted.agent.as_ref())
    }

    /// The sources have changed: the tools the session is to have now, if it is to have others.
    pub(super) fn redeclared(
        &mut self,
        redeclared: Redeclared,
    ) -> Option<Result<Arc<Toolbox>, ConfigError>> {
        let Redeclared { listed, toolbox } = redeclared;
        let state = self.wanted_state();
        let tools = match state.tools_of {
            ToolsOf::Session => None,
            ToolsOf::Channel => Some(Ok(toolbox)),
            ToolsOf::Agent(agent) => Some(agent.beside(&listed)),
        };
        self.listed = Some(listed);
        // What the model has found it may be about to call.
        let shown = |tools: Arc<Toolbox>| Arc::new(tools.showing(state.toolbox.found()));
        tools.map(|tools| tools.map(shown))
    }

    /// Something waits for a connection, and what comes later waits behind it.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The provider owes an answer to a change that was sent.
    pub(super) fn awaits_answer(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The connection that is being dialled is asked to be something that none was before.
    pub(super) fn dials_changes(&self) -> bool {
        let dialled = self.dialled.as_ref();
        dialled.is_some_and(|dialled| !dialled.changes.is_empty())
    }

    /// Completes a change: its tools get their handlers and are those of today, and what is so already
    /// is left out.
    pub(super) fn complete(&self, change: &mut Change) {
        let state = self.wanted_state();
        let toolbox = match &change.tools_from {
            ToolsFrom::Agent(agent, then) => self
                .listed
                .as_ref()
                .filter(|now| now.changes > then.changes)
                // If they do not go together it has those that did.
                .and_then(|now| agent.beside(now).ok()),
            ToolsFrom::Search(found) => Some(Arc::new(state.toolbox.showing(found))),
            ToolsFrom::Host | ToolsFrom::Sources => None,
        };
        // Those of a host that brings no toolbox have been checked by the channel.
        let toolbox = toolbox.or_else(|| match (&change.update.tools, &change.toolbox) {
            (Some(tools), None) => state.toolbox.redeclared(tools).ok().map(Arc::new),
            _ => None,
        });
        if let Some(toolbox) = toolbox {
            change.bring(toolbox);
        }
        let update = &mut change.update;
        let setup = state.setup;
        update.system_prompt = update
            .system_prompt
            .take_if(|prompt| setup.system_prompt.as_ref() != Some(prompt));
        update.voice = update
            .voice
            .take_if(|voice| setup.voice.as_ref() != Some(voice));
        update.temperature = update
            .temperature
            .take_if(|temperature| setup.temperature != Some(*temperature));
        update.tools = update.tools.take_if(|tools| setup.tools != *tools);
        change.resets.voice &= setup.voice.is_some();
        change.resets.temperature &= setup.temperature.is_some();
    }

    // ----- the way of a change

    /// It was sent on the present connection. False: the oldest of too many vendor's settings was
    /// forgotten for it.
    pub(super) fn sent(&mut self, change: Change) -> bool {
        if change.update == SessionUpdate::default() {
            // Nothing that the provider could refuse: it is so as soon as that is which it was made over.
            let mut sent = self.sent.iter_mut().rev();
            return match sent.find(|sent| sent.toolbox.is_some()) {
                Some(sent) => {
                    sent.absorb(change);
                    true
                }
                None => self.accepted.apply(&change),
            };
        }
        let mut fits = true;
        while self.sent.len() >= UNANSWERED {
            fits &= self.confirmed();
        }
        self.sent.push_back(change);
        self.worked = false;
        fits
    }

    /// A provider that confirms nothing goes on: what it has not refused by now it has taken. Should it
    /// refuse something all the same, that is what it was sent last. False as for
    /// [`sent`](Self::sent).
    pub(super) fn taken_tacitly(&mut self) -> bool {
        let mut fits = true;
        while self.sent.len() > 1 {
            fits &= self.confirmed();
        }
        self.answered = self.sent.len();
        fits
    }

    /// A response was completed.
    pub(super) fn answered(&mut self) {
        self.worked |= self.answered >= self.sent.len();
    }

    /// What was sent has been seen to work.
    pub(super) fn has_worked(&self) -> bool {
        self.worked
    }

    /// It waits for a connection.
    pub(super) fn wait(&mut self, change: Change) {
        self.waiting.push_back(change);
    }

    /// What has waited, now that there is a connection.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Change> {
        std::mem::take(&mut self.waiting)
    }

    /// The oldest change that was sent was made. False as for [`sent`](Self::sent).
    pub(super) fn confirmed(&mut self) -> bool {
        let made = self.sent.pop_front();
        made.is_none_or(|change| self.accepted.apply(&change))
    }

    /// A change that was sent was refused: the oldest, or the last of a provider that does not confirm
    /// each.
    pub(super) fn refused(&mut self, confirms: bool) -> Option<Change> {
        if confirms {
            self.sent.pop_front()
        } else {
            self.sent.pop_back()
        }
    }

    /// A change did not get out, and so many that were given out later are behind it.
    pub(super) fn not_sent(&mut self, behind: usize) -> Option<Change> {
        let place = self.sent.len().checked_sub(behind + 1)?;
        self.sent.remove(place)
    }

    /// What the next connection is asked to be.
    pub(super) fn dial(&mut self) -> SessionSetup {
        // A dial that came to nothing may have been for changes already.
        let mut changes = self.dialled.take().map_or(Vec::new(), |last| last.changes);
        changes.extend(self.waiting.drain(..));
        let state = self.after(self.sent.iter().chain(&changes));
        let setup = state.clone().whole();
        self.dialled = Some(Dialled { state, changes });
        setup
    }

    /// The dialled connection is there: gives the changes that are made by it.
    pub(super) fn opened(&mut self) -> Vec<Change> {
        let Some(Dialled { state, changes }) = self.dialled.take() else {
            return Vec::new();
        };
        self.accepted = state;
        self.sent.clear();
        changes
    }

    /// No connection came of the dial, and the old one goes on: what it was to change waits again.
    pub(super) fn kept(&mut self) {
        if let Some(dialled) = self.dialled.take() {
            for change in dialled.changes.into_iter().rev() {
                self.waiting.push_front(change);
            }
        }
    }

    /// The provider does not take what it was last asked to be: that is given up. `is_open`: on the
    /// old connection, which goes on, it may still take what was sent there.
    pub(super) fn give_up(&mut self, is_open: bool) -> Vec<Change> {
        let dialled = self.dialled.take();
        let mut given_up = Vec::new();
        if !is_open {
            given_up.extend(self.sent.drain(..));
        }
        given_up.extend(dialled.into_iter().flat_map(|dialled| dialled.changes));
        given_up
    }

    // ----- inside

    fn wanted_state(&self) -> State {
        match &self.dialled {
            Some(dialled) => dialled.state.after(&self.waiting),
            None => self.after(self.sent.iter().chain(&self.waiting)),
        }
    }

    fn after<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> State {
        self.accepted.after(changes)
    }
}

impl State {
    fn after<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut state = self.clone();
        for change in changes {
            state.apply(change);
        }
        state
    }

    fn apply(&mut self, change: &Change) -> bool {
        self.setup.update(&change.update);
        if change.resets.voice {
            self.setup.voice = None;
        }
        if change.resets.temperature {
            self.setup.temperature = None;
        }
        if let Some(tools_of) = change.tools_of() {
            self.tools_of = tools_of;
        }
        if let Some(toolbox) = &change.toolbox {
            self.toolbox = Arc::clone(toolbox);
        }
        if let Some(agent) = &change.agent {
            self.agent = Some(Arc::clone(agent));
        }
        change
            .update
            .provider_config
            .as_ref()
            .is_none_or(|config| self.vendor.push(config))
    }

    fn whole(mut self) -> SessionSetup {
        self.setup.provider_changes = self.vendor.iter().cloned().collect();
        self.setup
    }
}
