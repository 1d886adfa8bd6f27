//! What a session is asked to be, and the changes of it that are on their way (contract S5).

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::oneshot;

use super::{gate::Toolbox, vendor_changes::VendorChanges};
use crate::{
    error::UpdateError,
    provider::{ProviderCommand, SessionSetup, SessionUpdate, UpdateSupport},
    voice::Updated,
};

/// Changes a provider may leave without an answer; of more than these the oldest is taken as made.
const UNANSWERED: usize = 32;

/// A change of a live session.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) update: SessionUpdate,
    /// How the provider can make it.
    pub(crate) support: UpdateSupport,
    /// Who answers the new tools, unless those answer who did.
    pub(crate) toolbox: Option<Arc<Toolbox>>,
    /// Whose tools these are: the sources' ones change again with them.
    pub(crate) from_sources: bool,
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
            support,
            toolbox: None,
            from_sources: false,
            agent: None,
            greeting: None,
            reply: None,
        }
    }

    /// The tools of the sources have changed.
    pub(crate) fn of_sources(toolbox: Arc<Toolbox>, support: UpdateSupport) -> Self {
        let update = SessionUpdate {
            tools: Some(toolbox.definitions().to_vec()),
            ..SessionUpdate::default()
        };
        Self {
            toolbox: Some(toolbox),
            from_sources: true,
            ..Self::new(update, support)
        }
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

/// What the session is, and what it is about to become.
pub(crate) struct Setup {
    accepted: State,
    /// Changes that the provider may still refuse, oldest first.
    open: VecDeque<(Sent, Change)>,
    /// Changes that wait for a connection, oldest first.
    waiting: VecDeque<Change>,
}

/// How the provider was told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// On the present connection.
    Live,
    /// It is part of what the connection that is being dialled is asked to be.
    Dialled,
}

#[derive(Clone)]
struct State {
    setup: SessionSetup,
    vendor: VendorChanges,
    toolbox: Arc<Toolbox>,
    /// The host gave this session tools of its own, so that sources change them no more.
    has_own_tools: bool,
    agent: Option<Arc<str>>,
}

impl Setup {
    pub(crate) fn new(
        setup: SessionSetup,
        toolbox: Arc<Toolbox>,
        has_own_tools: bool,
        agent: Option<Arc<str>>,
    ) -> Self {
        Self {
            accepted: State {
                setup,
                vendor: VendorChanges::default(),
                toolbox,
                has_own_tools,
                agent,
            },
            open: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// What the session is to be once all changes are made.
    pub(super) fn wanted(&self) -> SessionSetup {
        self.after(self.open_changes().chain(&self.waiting)).whole()
    }

    /// Who answers calls that the model makes now.
    pub(super) fn toolbox(&self) -> Arc<Toolbox> {
        let mut latest = self.live().filter_map(|change| change.toolbox.as_ref());
        Arc::clone(latest.next().unwrap_or(&self.accepted.toolbox))
    }

    /// Who the AI is now.
    pub(super) fn agent(&self) -> Option<Arc<str>> {
        let mut latest = self.live().filter_map(|change| change.agent.as_ref());
        latest.next().or(self.accepted.agent.as_ref()).cloned()
    }

    pub(super) fn has_own_tools(&self) -> bool {
        let mut changes = self.open_changes().chain(&self.waiting);
        self.accepted.has_own_tools || changes.any(Change::has_own_tools)
    }

    /// Something waits for a connection, and what comes later waits behind it.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Something may still be refused.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The connection that is being dialled is asked to be something that none was before.
    pub(super) fn is_dialled_changed(&self) -> bool {
        self.open.iter().any(|(sent, _)| *sent == Sent::Dialled)
    }

    /// Completes a change: its tools get their handlers, and what is so already is left out.
    pub(super) fn complete(&self, change: &mut Change) {
        let state = self.after(self.open_changes().chain(&self.waiting));
        let update = &mut change.update;
        if let Some(tools) = &update.tools
            && change.toolbox.is_none()
            // The channel has checked them.
            && let Ok(toolbox) = state.toolbox.redeclared(tools)
        {
            change.toolbox = Some(Arc::new(toolbox));
        }
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
    }

    // ----- the way of a change

    /// It was sent on the present connection. False: the oldest of too many vendor's settings was
    /// forgotten for it.
    pub(super) fn sent(&mut self, change: Change) -> bool {
        if change.update == SessionUpdate::default() {
            // Nothing that the provider could refuse.
            return self.accepted.apply(&change);
        }
        self.open.push_back((Sent::Live, change));
        self.open.len() <= UNANSWERED || self.confirmed()
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
        self.take_sent()
            .is_none_or(|change| self.accepted.apply(&change))
    }

    /// The oldest change that was sent was refused.
    pub(super) fn refused(&mut self) -> Option<Change> {
        self.take_sent()
    }

    /// What the next connection is asked to be.
    pub(super) fn dial(&mut self) -> SessionSetup {
        let waiting = self.waiting.drain(..);
        self.open
            .extend(waiting.map(|change| (Sent::Dialled, change)));
        self.after(self.open_changes()).whole()
    }

    /// The dialled connection is there: gives the changes that are made by it.
    pub(super) fn opened(&mut self) -> Vec<Change> {
        let mut made = Vec::new();
        for (sent, change) in std::mem::take(&mut self.open) {
            self.accepted.apply(&change);
            if sent == Sent::Dialled {
                made.push(change);
            }
        }
        made
    }

    /// No connection came of the dial, and the old one goes on: what it was to change waits again.
    pub(super) fn kept(&mut self) {
        let (dialled, sent) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(sent, _)| *sent == Sent::Dialled);
        self.open = sent;
        for (_, change) in VecDeque::into_iter(dialled).rev() {
            self.waiting.push_front(change);
        }
    }

    /// The provider does not take what it was last asked to be: everything it has not confirmed is
    /// given up.
    pub(super) fn give_up(&mut self) -> Vec<Change> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().map(|(_, change)| change).collect()
    }

    // ----- inside

    fn take_sent(&mut self) -> Option<Change> {
        let place = self.open.iter().position(|(sent, _)| *sent == Sent::Live)?;
        self.open.remove(place).map(|(_, change)| change)
    }

    fn open_changes(&self) -> impl Iterator<Item = &Change> {
        self.open.iter().map(|(_, change)| change)
    }

    /// The changes that the present connection was told of and has not confirmed, newest first.
    fn live(&self) -> impl Iterator<Item = &Change> {
        let live = self
            .open
            .iter()
            .rev()
            .filter(|(sent, _)| *sent == Sent::Live);
        live.map(|(_, change)| change)
    }

    fn after<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> State {
        let mut state = self.accepted.clone();
        for change in changes {
            state.apply(change);
        }
        state
    }
}

impl Change {
    fn has_own_tools(&self) -> bool {
        self.toolbox.is_some() && !self.from_sources
    }
}

impl State {
    fn apply(&mut self, change: &Change) -> bool {
        self.setup.update(&change.update);
        self.has_own_tools |= change.has_own_tools();
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
