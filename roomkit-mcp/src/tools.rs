//! The tools of all servers, as one source.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    future::join_all,
    stream::{self, BoxStream, StreamExt},
};
use roomkit_core::{
    registry::ConfigError,
    tool::{ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput, ToolSource},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    check::Checked,
    config::McpServer,
    error::McpError,
    progress::{McpProgress, Observers},
    server::{Link, Server},
};

/// How long all servers together may take to end.
const CLOSING: Duration = Duration::from_secs(10);

/// Tools of MCP servers, for
/// [`RealtimeVoiceChannelBuilder::tool_source`](roomkit_core::voice::RealtimeVoiceChannelBuilder::tool_source).
///
/// A cheap handle: clones are the same connections. They are closed, and programs ended, by
/// [`close`](Self::close); when the last handle is dropped, that happens in the background.
#[derive(Clone)]
pub struct McpTools(Arc<Inner>);

struct Inner {
    servers: Vec<Arc<Server>>,
    observers: Observers,
    changed: watch::Receiver<u64>,
    /// Names were found to be apart once, so that sessions are relied upon.
    composed: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How it stands with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct McpServerStatus {
    /// Its name.
    pub name: String,
    /// Calls reach it.
    pub is_connected: bool,
    /// How many tools it offers.
    pub tools: usize,
    /// How many it has that are left out: too many, or broken.
    pub left_out: usize,
    /// Why it is not connected.
    pub problem: Option<String>,
}

impl McpTools {
    /// Connects to servers and lists their tools, all at once.
    ///
    /// # Errors
    /// When a setting cannot be used, a required server does not get ready within its
    /// `connect_timeout`, or two servers offer tools of one name.
    pub async fn connect(servers: impl IntoIterator<Item = McpServer>) -> Result<Self, McpError> {
        let tools = Self::start(servers)?;
        let result = tools.ready().await;
        if let Err(error) = result {
            tools.close().await;
            return Err(error);
        }
        Ok(tools)
    }

    /// Finds out whether the settings can be used, without contacting anybody, and gives the names
    /// that the servers have in errors, logs and metrics. No server at all is fine here.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn check(servers: impl IntoIterator<Item = McpServer>) -> Result<Vec<String>, ConfigError> {
        let checked = checked(servers)?;
        Ok(checked.into_iter().map(|server| server.name).collect())
    }

    /// Connects in the background: whoever asks for the list first waits until each server has
    /// been tried once. Needs a tokio runtime.
    ///
    /// # Errors
    /// When a setting cannot be used, or there is no runtime.
    pub fn start(servers: impl IntoIterator<Item = McpServer>) -> Result<Self, ConfigError> {
        let settings = checked(servers)?;
        if settings.is_empty() {
            let problem = "is empty; name at least one MCP server";
            return Err(ConfigError::field("servers", problem));
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            let problem = "need a tokio runtime; build them within one";
            ConfigError::field("servers", problem)
        })?;
        let (counter, changed) = watch::channel(0);
        let observers = Observers::default();
        let servers: Vec<Arc<Server>> = settings
            .into_iter()
            .map(|server| Server::new(server, observers.clone(), counter.clone()))
            .collect();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for server in &servers {
            tasks.spawn_on(Arc::clone(server).run(stop.clone()), &runtime);
        }
        tasks.close();
        Ok(Self(Arc::new(Inner {
            servers,
            observers,
            changed,
            composed: AtomicBool::new(false),
            stop,
            tasks,
        })))
    }

    /// Tells of the progress of running calls, of each in the server's order; the last may come a moment
    /// after the result. Called on one task for each connection, for one report after the other: do not
    /// block. Of an observer that is more than 256 reports behind the oldest are left out.
    pub fn on_progress(&self, observer: impl Fn(&McpProgress) + Send + Sync + 'static) {
        self.0.observers.add(Arc::new(observer));
    }

    /// How it stands with each server, in their order.
    pub fn status(&self) -> Vec<McpServerStatus> {
        let status = |server: &Arc<Server>| {
            let catalogue = server.catalogue().unwrap_or_default();
            let link = server.link();
            McpServerStatus {
                name: server.checked.name.clone(),
                is_connected: matches!(link, Link::Up(_)),
                tools: catalogue.tools.len(),
                left_out: catalogue.left_out,
                problem: match link {
                    Link::Down(problem) => Some(problem),
                    _ => None,
                },
            }
        };
        self.0.servers.iter().map(status).collect()
    }

    /// Ends all connections and the programs that were started. Calls that run fail. Returns when
    /// it is done, after ten seconds at the latest.
    pub async fn close(&self) {
        self.0.stop.cancel();
        if timeout(CLOSING, self.0.tasks.wait()).await.is_err() {
            tracing::error!("MCP servers did not end in time");
        }
    }

    /// Waits until each server has been tried.
    async fn ready(&self) -> Result<(), McpError> {
        let started = self.0.servers.iter().map(|server| server.started());
        for (server, started) in self.0.servers.iter().zip(join_all(started).await) {
            // One that was there once has tools to offer, and will come back.
            if let Err(problem) = started
                && server.checked.required
                && server.catalogue().is_none()
            {
                return Err(McpError::Unreachable {
                    server: server.checked.name.clone(),
                    problem,
                });
            }
        }
        self.compose().map(drop)
    }

    /// All tools. Once it has worked, a clash that comes later costs the later server its tool, not
    /// every caller the call.
    fn compose(&self) -> Result<Vec<ToolDefinition>, McpError> {
        let composed = self.0.composed.load(Ordering::Relaxed);
        let mut owners: HashMap<String, &str> = HashMap::new();
        let mut tools = Vec::new();
        for server in &self.0.servers {
            let name = server.checked.name.as_str();
            let Some(catalogue) = server.catalogue() else {
                continue;
            };
            for tool in &catalogue.tools {
                match owners.get(&tool.name) {
                    None => {
                        owners.insert(tool.name.clone(), name);
                        tools.push(tool.clone());
                    }
                    Some(first) => {
                        let clash = McpError::Clash {
                            tool: tool.name.clone(),
                            first: (*first).to_owned(),
                            second: name.to_owned(),
                        };
                        if !composed {
                            return Err(clash);
                        }
                        tracing::warn!(%clash, "a tool is left out");
                    }
                }
            }
        }
        self.0.composed.store(true, Ordering::Relaxed);
        Ok(tools)
    }
}

/// All servers' settings; where there are several, an error says whose are meant.
fn checked(servers: impl IntoIterator<Item = McpServer>) -> Result<Vec<Checked>, ConfigError> {
    let servers: Vec<McpServer> = servers.into_iter().collect();
    let several = servers.len() > 1;
    let check = |(place, server): (usize, &McpServer)| {
        server.check().map_err(|error| {
            if several {
                error.in_section(&format!("servers[{place}]"))
            } else {
                error
            }
        })
    };
    servers.iter().enumerate().map(check).collect()
}

#[async_trait]
impl ToolSource for McpTools {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError> {
        let told = |error: McpError| ToolError::new(error.to_string());
        self.ready().await.map_err(told)?;
        self.compose().map_err(told)
    }

    fn changes(&self) -> Option<BoxStream<'static, ()>> {
        let mut changed = self.0.changed.clone();
        // What has been so far is in the list that is asked for next.
        changed.mark_unchanged();
        let told = stream::unfold(changed, |mut changed| async {
            changed.changed().await.ok()?;
            Some(((), changed))
        });
        Some(told.boxed())
    }
}

#[async_trait]
impl ToolHandler for McpTools {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        let name = invocation.name.as_str();
        // The first that has it, as in the list.
        let server = self.0.servers.iter().find(|server| {
            let catalogue = server.catalogue();
            catalogue.is_some_and(|catalogue| catalogue.own_name(name).is_some())
        });
        match server {
            Some(server) => server.call(&invocation).await,
            None => Err(ToolError::new(format!(
                "no MCP server has a tool `{name}` any more"
            ))),
        }
    }
}

impl fmt::Debug for McpTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpTools")
            .field("servers", &self.status())
            .finish_non_exhaustive()
    }
}
