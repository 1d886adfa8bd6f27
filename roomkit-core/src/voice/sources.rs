//! The tools of a session: the channel's own and those of its sources, also when these change.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::channel::Inner;
use crate::{
    call::{Command, Listed, Redeclared, Toolbox},
    error::ConfigError,
    guard::{self, Failure},
    tool::{FIND_TOOLS, Tool, ToolDefinition, ToolError, ToolHandler, ToolSource},
};

/// The sources of a channel, and who follows their changes.
pub(super) struct Sources {
    all: Vec<Arc<dyn ToolSource>>,
    changes: AtomicU64,
    again: Arc<Notify>,
    /// What could not be offered when they were listed last, and why.
    left_out: Mutex<Vec<String>>,
    follower: OnceLock<Option<AbortOnDropHandle<()>>>,
}

impl Sources {
    pub(super) fn new(all: Vec<Arc<dyn ToolSource>>) -> Self {
        Self {
            all,
            changes: AtomicU64::new(0),
            again: Arc::default(),
            left_out: Mutex::default(),
            follower: OnceLock::new(),
        }
    }

    /// How often they have changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Tells the sessions of the present list once more.
    pub(super) fn tell_again(&self) {
        self.again.notify_one();
    }
}

impl Inner {
    /// The tools of a new session that has none of its own.
    pub(super) async fn channel_toolbox(&self) -> Result<Arc<Toolbox>, ConfigError> {
        match &self.toolbox {
            Some(toolbox) => Ok(Arc::clone(toolbox)),
            None => self.toolbox(self.list_tools().await?.tools.clone()),
        }
    }

    /// These tools, answered and searched as the channel's.
    pub(super) fn toolbox(&self, tools: Vec<Tool>) -> Result<Arc<Toolbox>, ConfigError> {
        let toolbox = Toolbox::new(tools, self.tool_handler.as_ref())?;
        Ok(Arc::new(toolbox.searched(self.tool_search.as_ref())?))
    }

    /// The channel's tools and those of its sources, which agents may share.
    pub(super) async fn list_tools(&self) -> Result<Arc<Listed>, ConfigError> {
        let changes = self.sources.changes();
        let mut tools = self.tools.clone();
        let mut left_out = Vec::new();
        for source in &self.sources.all {
            let limit = self.shared.connect_timeout;
            let listed = guard::call(limit, async { source.tools().await })
                .await
                .unwrap_or_else(|failure| Err(ToolError::new(failure.to_string())));
            let listed = listed.map_err(|error| {
                ConfigError::field("tool_source", format!("cannot list its tools: {error}"))
            })?;
            let handler: Arc<dyn ToolHandler> = Arc::clone(source) as _;
            for definition in listed {
                if let Err(problem) = self.offers(&definition, &tools) {
                    left_out.push(problem);
                    continue;
                }
                tools.push(Tool {
                    definition,
                    handler: Some(Arc::clone(&handler)),
                });
            }
        }
        self.leaves_out(left_out);
        let listed = Arc::new(Listed { changes, tools });
        self.shared.agents.set_channel_tools(&listed);
        Ok(listed)
    }

    /// Why a tool of a source cannot stand beside these. A source changes while calls run, so this costs
    /// the one tool and no call.
    fn offers(&self, definition: &ToolDefinition, beside: &[Tool]) -> Result<(), String> {
        let name = &definition.name;
        if self.tool_search.is_some() && name == FIND_TOOLS {
            return Err(format!("`{name}`: this is the name of the search"));
        }
        if beside.iter().any(|tool| tool.definition.name == *name) {
            return Err(format!("`{name}`: another tool has this name"));
        }
        // Its schema costs time, and was read when it was listed last.
        let known = self.shared.agents.channel_tools();
        if known
            .tools
            .iter()
            .any(|tool| tool.definition == *definition)
        {
            return Ok(());
        }
        Toolbox::check(definition).map_err(|error| error.to_string())
    }

    /// Tells what is not offered, once for each list that is another.
    fn leaves_out(&self, left_out: Vec<String>) {
        let before = self.sources.left_out.lock();
        let mut before = before.unwrap_or_else(PoisonError::into_inner);
        if !left_out.is_empty() && *before != left_out {
            metrics::counter!("roomkit_tools_left_out_total").increment(left_out.len() as u64);
            tracing::warn!(
                channel_id = %self.id, tools = left_out.join("; "),
                "tools of a source cannot be offered and are left out"
            );
        }
        *before = left_out;
    }

    /// What live sessions are told of tools that have changed, or once more of the present ones.
    async fn redeclared(&self, told: Told) -> Result<Redeclared, ConfigError> {
        let listed = match told {
            Told::Changed => {
                self.sources.changes.fetch_add(1, Ordering::AcqRel);
                self.list_tools().await?
            }
            // Sources are not asked for it: starts that overlap would have them asked without end.
            Told::Again => self.shared.agents.channel_tools(),
        };
        let toolbox = self.toolbox(listed.tools.clone())?;
        Ok(Redeclared { listed, toolbox })
    }

    /// The changes a source tells of, if it does. A panic in there ends its telling and nothing else.
    fn changes_of(&self, source: &Arc<dyn ToolSource>) -> Option<BoxStream<'static, ()>> {
        let id = self.id.clone();
        let warn = move |failure: &Failure| {
            tracing::warn!(channel_id = %id, %failure, "a source of tools tells no changes any more");
        };
        let told = guard::call_sync(|| source.changes());
        let changes = told.inspect_err(&warn).ok().flatten()?;
        let changes = guard::stream(changes)
            .filter_map(move |told| std::future::ready(told.inspect_err(&warn).ok()));
        Some(changes.boxed())
    }

    /// Begins to follow the changes of sources, where they tell. Once for the life of the channel.
    pub(super) fn follow_sources(self: &Arc<Self>) {
        self.sources.follower.get_or_init(|| {
            let told: Vec<_> = self
                .sources
                .all
                .iter()
                .filter_map(|source| self.changes_of(source))
                .collect();
            if told.is_empty() {
                return None;
            }
            let told = stream::select_all(told).map(|()| Told::Changed);
            let again = stream::unfold(Arc::clone(&self.sources.again), |again| async {
                again.notified().await;
                Some((Told::Again, again))
            });
            let changes = stream::select(told, again);
            let following = follow(Arc::downgrade(self), changes);
            Some(AbortOnDropHandle::new(tokio::spawn(following)))
        });
    }
}

/// Why the sessions are told of the tools.
enum Told {
    Changed,
    /// One of them was not there when the others were told.
    Again,
}

/// Gives live sessions the new tools with each change.
async fn follow(channel: Weak<Inner>, changes: impl futures_util::Stream<Item = Told>) {
    let mut changes = std::pin::pin!(changes);
    while let Some(told) = changes.next().await {
        let Some(channel) = channel.upgrade() else {
            return;
        };
        let redeclared = match channel.redeclared(told).await {
            Ok(redeclared) => redeclared,
            Err(error) => {
                // The sessions keep what they have.
                tracing::warn!(channel_id = %channel.id, %error, "the tools have changed, and cannot be used");
                continue;
            }
        };
        for live in channel.sessions().values() {
            let command = Command::Redeclare(redeclared.clone());
            if live.mailbox.try_send(Box::new(command)).is_err() {
                tracing::warn!(session_id = %live.session.id(), "a session is too busy for new tools");
            }
        }
    }
}
