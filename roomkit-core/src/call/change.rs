//! A change of a live session.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    gate::Toolbox,
    setup::ToolsOf,
    shared_tools::{AgentTools, Listed},
};
use crate::{
    error::UpdateError,
    provider::{ProviderCommand, SessionUpdate, UpdateSupport, UpdateWay},
    voice::Updated,
};

/// Whose tools a change brings.
#[derive(Debug, Clone)]
pub(crate) enum ToolsFrom {
    /// The host's, for this session, or an agent's: sources change them no more.
    Host,
    /// An agent's, and the channel's as they were then.
    Agent(Arc<AgentTools>, Arc<Listed>),
    /// The sources', which change again with them.
    Sources,
    /// Whoever's they are by then: the model has found these among them.
    Search(Vec<String>),
}

/// Settings that go back to the provider's own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resets {
    pub(crate) voice: bool,
    pub(crate) temperature: bool,
}

/// A change of a live session.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) update: SessionUpdate,
    pub(crate) resets: Resets,
    /// How the provider can make it.
    pub(crate) support: UpdateSupport,
    /// Who answers the new tools, unless those answer who did.
    pub(crate) toolbox: Option<Arc<Toolbox>>,
    /// Whose tools these are.
    pub(crate) tools_from: ToolsFrom,
    /// Who the AI is from then on.
    pub(crate) agent: Option<Arc<str>>,
    /// What is to be said as soon as it is made.
    pub(crate) greeting: Option<String>,
    /// Who wants to know what comes of it.
    pub(crate) reply: Option<oneshot::Sender<Result<Updated, UpdateError>>>,
}

impl Change {
    /// A change of settings.
    pub(crate) fn new(update: SessionUpdate, support: UpdateSupport) -> Self {
        Self {
            update,
            resets: Resets::default(),
            support,
            toolbox: None,
            tools_from: ToolsFrom::Host,
            agent: None,
            greeting: None,
            reply: None,
        }
    }

    /// The tools of the sources have changed.
    pub(crate) fn of_sources(toolbox: Arc<Toolbox>, support: UpdateSupport) -> Self {
        let mut change = Self::new(SessionUpdate::default(), support);
        change.tools_from = ToolsFrom::Sources;
        change.bring(toolbox);
        change
    }

    /// The model has found tools; only a provider that takes them live has a search. Whose tools they
    /// are found among is known when the change is made.
    pub(crate) fn of_search(found: Vec<String>) -> Self {
        let support = UpdateSupport::all(UpdateWay::Live);
        Self {
            tools_from: ToolsFrom::Search(found),
            ..Self::new(SessionUpdate::default(), support)
        }
    }

    /// It brings these tools.
    pub(super) fn bring(&mut self, toolbox: Arc<Toolbox>) {
        self.update.tools = Some(Arc::clone(toolbox.definitions()));
        self.toolbox = Some(toolbox);
    }

    /// The same with the tools of a later one, of which the model is told nothing.
    pub(super) fn absorb(&mut self, later: Self) {
        if later.tools_of().is_some() {
            self.tools_from = later.tools_from;
        }
        self.toolbox = later.toolbox.or(self.toolbox.take());
        self.agent = later.agent.or(self.agent.take());
    }

    /// Whose the tools are from then on, if somebody else's.
    pub(super) fn tools_of(&self) -> Option<ToolsOf> {
        self.toolbox.as_ref()?;
        match &self.tools_from {
            ToolsFrom::Host => Some(ToolsOf::Session),
            ToolsFrom::Agent(agent, _) => Some(ToolsOf::Agent(Arc::clone(agent))),
            ToolsFrom::Sources | ToolsFrom::Search(_) => None,
        }
    }

    /// The settings that are changed, by name, and how each can be. What a provider has of its own
    /// only it knows, so that what goes back to that is left out of the setup of a new connection.
    pub(super) fn ways(&self) -> impl Iterator<Item = (&'static str, UpdateWay)> {
        let Resets { voice, temperature } = self.resets;
        let resets = [
            ("voice", voice, self.support.voice),
            ("temperature", temperature, self.support.temperature),
        ];
        let resets = resets.into_iter().filter(|(_, is_reset, _)| *is_reset);
        let resets = resets.map(|(field, _, way)| match way {
            UpdateWay::Never => (field, UpdateWay::Never),
            _ => (field, UpdateWay::NewConnection),
        });
        self.update.ways(self.support).chain(resets)
    }

    /// What the provider is told of it, if there is anything to tell.
    pub(super) fn command(&self) -> Option<ProviderCommand> {
        let update = self.update.clone();
        (update != SessionUpdate::default()).then_some(ProviderCommand::Update(update))
    }

    /// Tells who wants to know it what comes of the change.
    pub(crate) fn answer(&mut self, result: Result<Updated, UpdateError>) {
        if let Some(reply) = self.reply.take() {
            // Who does not wait does not want to know.
            let _ = reply.send(result);
        }
    }
}
