//! The tools of a session: the channel's own and those of its sources, also when these change.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{Notify, mpsc::error::TrySendError},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::channel::Inner;
use crate::{
    call::{Command, Entry, Listed, Redeclared, Toolbox},
    error::ConfigError,
    guard::{self, Failure},
    tool::{FIND_TOOLS, Tool, ToolError, ToolHandler, ToolSource},
};

/// How long after sessions could not be told of the present list they are told again; twice as long each
/// time.
const AGAIN: Duration = Duration::from_secs(1);
/// How often that doubles: up to 32 s.
const DOUBLES: u32 = 5;

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
    pub(super) fn toolbox(&self, tools: Vec<Arc<Entry>>) -> Result<Arc<Toolbox>, ConfigError> {
        let toolbox = Toolbox::of(tools, self.tool_handler.as_ref())?;
        Ok(Arc::new(toolbox.searched(self.tool_search.as_ref())?))
    }

    /// The channel's tools and those of its sources, which agents may share.
    pub(super) async fn list_tools(&self) -> Result<Arc<Listed>, ConfigError> {
        self.list(Err).await
    }

    /// The same. What becomes of a source that cannot say what it has is decided by `fails`: it costs
    /// the list, or the source stays what it was.
    async fn list(
        &self,
        mut fails: impl FnMut(ConfigError) -> Result<(), ConfigError>,
    ) -> Result<Arc<Listed>, ConfigError> {
        let changes = self.sources.changes();
        let known = self.shared.agents.channel_tools();
        let mut tools = self.tools.clone();
        let mut left_out = Vec::new();
        for source in &self.sources.all {
            let limit = self.shared.connect_timeout;
            let listed = guard::call(limit, async { source.tools().await })
                .await
                .unwrap_or_else(|failure| Err(ToolError::new(failure.to_string())));
            let handler: Arc<dyn ToolHandler> = Arc::clone(source) as _;
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) => {
                    let problem = format!("cannot list its tools: {error}");
                    fails(ConfigError::field("tool_source", problem))?;
                    let had = known.tools.iter();
                    let had = had.filter(|tool| tool.is_answered_by(&handler));
                    had.map(|tool| tool.definition().clone()).collect()
                }
            };
            for definition in listed {
                let tool = Tool {
                    definition,
                    handler: Some(Arc::clone(&handler)),
                };
                match self.offered(tool, &tools, &known) {
                    Ok(tool) => tools.push(tool),
                    Err(problem) => left_out.push(problem),
                }
            }
        }
        self.leaves_out(left_out);
        let listed = Arc::new(Listed { changes, tools });
        self.shared.agents.set_channel_tools(&listed);
        Ok(listed)
    }

    /// A tool of a source, or why it cannot stand beside these. A source changes while calls run, so this
    /// costs the one tool and no call.
    fn offered(
        &self,
        tool: Tool,
        beside: &[Arc<Entry>],
        known: &Listed,
    ) -> Result<Arc<Entry>, String> {
        let name = &tool.definition.name;
        if self.tool_search.is_some() && name == FIND_TOOLS {
            return Err(format!("`{name}`: this is the name of the search"));
        }
        if beside.iter().any(|other| other.name() == name) {
            return Err(format!("`{name}`: another tool has this name"));
        }
        // Its schema costs time, and was read when it was listed last.
        let is_it = |known: &&Arc<Entry>| {
            let handler = tool.handler.as_ref();
            *known.definition() == tool.definition
                && handler.is_some_and(|handler| known.is_answered_by(handler))
        };
        if let Some(known) = known.tools.iter().find(is_it) {
            return Ok(Arc::clone(known));
        }
        let taken = self.shared.provider.check_tool(&tool.definition);
        let read = taken.and_then(|()| Entry::new(tool)).map(Arc::new);
        read.map_err(|error| error.to_string())
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

    /// What live sessions are told of tools that have changed, or once more of the present ones, and why
    /// that is not all of it: a source that could not be listed keeps what it had.
    async fn redeclared(
        &self,
        told: Told,
    ) -> Result<(Redeclared, Option<ConfigError>), ConfigError> {
        let mut missing = None;
        let listed = match told {
            Told::Changed => {
                self.sources.changes.fetch_add(1, Ordering::AcqRel);
                let keeps = |error| {
                    missing = Some(error);
                    Ok(())
                };
                self.list(keeps).await?
            }
            // Sources are not asked for it: starts that overlap would have them asked without end.
            Told::Again => self.shared.agents.channel_tools(),
        };
        let toolbox = self.toolbox(listed.tools.clone())?;
        Ok((Redeclared { listed, toolbox }, missing))
    }

    /// Tells live sessions of it; returns whether each took it.
    fn tell(&self, redeclared: &Redeclared) -> bool {
        let mut all = true;
        for live in self.sessions().values() {
            let command = Command::Redeclare(redeclared.clone());
            let told = live.mailbox.try_send(Box::new(command));
            if let Err(TrySendError::Full(_)) = told {
                tracing::warn!(session_id = %live.session.id(), "a session is too busy for new tools, and is told later");
                all = false;
            }
        }
        all
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
#[derive(Clone, Copy)]
enum Told {
    Changed,
    /// One of them was not there when the others were told.
    Again,
}

/// What sessions could not be told, and is tried again.
#[derive(Default)]
struct Owed {
    told: Option<(Instant, Told)>,
    /// So often in a row.
    times: u32,
}

impl Owed {
    /// Returns what is to be told, when it is time.
    async fn due(&self) -> Told {
        let Some((at, told)) = self.told else {
            return std::future::pending().await;
        };
        sleep_until(at).await;
        told
    }

    fn again(&mut self, told: Told) {
        let wait = AGAIN * (1 << self.times.min(DOUBLES));
        self.times = self.times.saturating_add(1);
        self.told = Some((Instant::now() + wait, told));
    }
}

/// Gives live sessions the new tools with each change.
async fn follow(channel: Weak<Inner>, changes: impl futures_util::Stream<Item = Told>) {
    let mut changes = std::pin::pin!(changes);
    let mut owed = Owed::default();
    loop {
        let told = tokio::select! {
            told = changes.next() => match told {
                Some(told) => told,
                None => return,
            },
            told = owed.due() => {
                owed.told = None;
                told
            }
        };
        let Some(channel) = channel.upgrade() else {
            return;
        };
        // A list that is owed is not paid by the old one.
        let owes_list = matches!(owed.told, Some((_, Told::Changed)));
        let (redeclared, missing) = match channel.redeclared(told).await {
            Ok(redeclared) => redeclared,
            Err(error) => {
                // The sessions keep what they have.
                tracing::warn!(channel_id = %channel.id, %error, "the tools have changed, and cannot be used");
                continue;
            }
        };
        let all = channel.tell(&redeclared);
        match (told, missing) {
            (Told::Changed, Some(error)) => {
                tracing::warn!(channel_id = %channel.id, %error, "the tools have changed, and a source is asked again");
                owed.again(Told::Changed);
            }
            // The sessions are told with it.
            (Told::Again, _) if owes_list => {}
            _ if !all => owed.again(Told::Again),
            _ => owed = Owed::default(),
        }
    }
}
