//! A server over all its connections: opened, watched, and opened again.

use std::{
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use roomkit_core::tool::{ToolError, ToolInvocation, ToolOutput};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff,
    call::{self, Failure},
    catalogue::Catalogue,
    check::Checked,
    connection::{Connection, News, Target},
    explain,
    listing::Listing,
    live::{Live, Running, silence},
    outcome,
    progress::Observers,
};

/// A connection that held so long was a good one: the next is tried at once.
const STEADY: Duration = Duration::from_secs(10);
/// How long a call that was not looked at waits for the next connection.
const RENEWAL: Duration = Duration::from_secs(5);

/// One server.
pub(crate) struct Server {
    pub(crate) checked: Checked,
    observers: Observers,
    /// The tools as they were listed last; `None`: never yet.
    catalogue: RwLock<Option<Arc<Catalogue>>>,
    link: watch::Sender<Link>,
    /// Counts changes of the list, of all servers together.
    changed: watch::Sender<u64>,
}

/// How it stands with a server.
#[derive(Clone)]
pub(crate) enum Link {
    /// The first connection is being opened.
    Starting,
    Up(Arc<Live>),
    /// There is none, and why; another attempt follows.
    Down(String),
    Closed,
}

impl Server {
    pub(crate) fn new(
        checked: Checked,
        observers: Observers,
        changed: watch::Sender<u64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            checked,
            observers,
            catalogue: RwLock::new(None),
            link: watch::Sender::new(Link::Starting),
            changed,
        })
    }

    /// The tools as they were listed last.
    pub(crate) fn catalogue(&self) -> Option<Arc<Catalogue>> {
        let catalogue = self.catalogue.read();
        catalogue.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn link(&self) -> Link {
        self.link.borrow().clone()
    }

    /// Waits for the first connection to be there, or to have failed; the error says why.
    pub(crate) async fn started(&self) -> Result<(), String> {
        let mut link = self.link.subscribe();
        let link = link.wait_for(|link| !matches!(link, Link::Starting)).await;
        match link.as_deref() {
            Ok(Link::Down(problem)) => Err(problem.clone()),
            Ok(Link::Closed) | Err(_) => Err("it is closed".into()),
            Ok(_) => Ok(()),
        }
    }

    /// Runs one call of a tool that this server offers under that name.
    pub(crate) async fn call(&self, invocation: &ToolInvocation) -> Result<ToolOutput, ToolError> {
        let name = &invocation.name;
        let server = &self.checked.name;
        let own_limit = self.catalogue().and_then(|known| known.timeout(name));
        let limit = own_limit.unwrap_or(self.checked.timeout);
        let mut counted = Counted {
            server,
            outcome: "cancelled",
        };
        let answered = timeout(limit, self.call_within(limit, invocation)).await;
        let result = answered.unwrap_or_else(|_| {
            let limit = limit.as_secs_f32();
            let problem =
                format!("the MCP server `{server}` did not answer `{name}` within {limit} s");
            Err(ToolError::new(problem))
        });
        counted.outcome = if result.is_ok() { "ok" } else { "error" };
        result
    }

    async fn call_within(
        &self,
        limit: Duration,
        invocation: &ToolInvocation,
    ) -> Result<ToolOutput, ToolError> {
        let name = &invocation.name;
        let server = &self.checked.name;
        let mut again = false;
        loop {
            let live = self.live()?;
            let catalogue = self.catalogue().unwrap_or_default();
            let own_name = catalogue.own_name(name).ok_or_else(|| {
                ToolError::new(format!(
                    "the MCP server `{server}` has no tool `{name}` any more"
                ))
            })?;
            let running = Running::new(&live, limit);
            let called = call::call(&self.checked, &live.peer, &live.book, own_name, invocation);
            let called = called.await;
            drop(running);
            let failure = match called {
                Ok(result) => {
                    live.answered_a_call();
                    return outcome::of(result);
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::Refused(problem) => {
                    live.answered_a_call();
                    return Err(ToolError::new(format!("`{name}` failed: {problem}")));
                }
                Failure::Unusable(problem) => {
                    live.doubt();
                    return Err(ToolError::new(format!("`{name}` failed: {problem}")));
                }
                Failure::Unclear(problem) => {
                    live.doubt();
                    return Err(ToolError::new(format!(
                        "`{name}` failed: {problem}; it may have been done or not"
                    )));
                }
                Failure::Lost(problem) => {
                    tracing::warn!(
                        server,
                        tool = name,
                        problem,
                        "a call of an MCP server broke off"
                    );
                    match self.checked.target {
                        // Another request goes another way, and calls of others may go on.
                        Target::Http(_) => live.doubt(),
                        Target::Process(_) => live.mark_broken(),
                    }
                    return Err(ToolError::new(format!(
                        "the connection to the MCP server `{server}` broke during `{name}`; it may \
                         have been done or not"
                    )));
                }
                // It was not looked at, so that making it again makes it once (contract K1).
                Failure::Expired if !again => {
                    again = true;
                    live.mark_broken();
                    let mut link = self.link.subscribe();
                    let next = link.wait_for(|link| match link {
                        Link::Up(next) => !Arc::ptr_eq(next, &live),
                        Link::Closed => true,
                        Link::Starting | Link::Down(_) => false,
                    });
                    // If it takes longer, the caller hears that it does.
                    let _ = timeout(RENEWAL, next).await;
                }
                Failure::Expired => {
                    live.mark_broken();
                    return Err(self.is_down(": it was started anew twice"));
                }
            }
        }
    }

    fn live(&self) -> Result<Arc<Live>, ToolError> {
        match &*self.link.borrow() {
            Link::Up(live) => Ok(Arc::clone(live)),
            Link::Starting => Err(self.is_down(": it is being connected to")),
            // Why is for the host alone: it may have been said in the call of somebody else.
            Link::Down(_) => Err(self.is_down("")),
            Link::Closed => Err(self.is_down(": it is closed")),
        }
    }

    fn is_down(&self, why: &str) -> ToolError {
        let server = &self.checked.name;
        ToolError::new(format!(
            "the MCP server `{server}` is not available at the moment{why}"
        ))
    }

    // ----- the task

    /// Keeps a connection until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let server = self.checked.name.as_str();
        let mut attempt = 0;
        let mut was_up = false;
        self.set_link(Link::Starting);
        loop {
            let opened = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                opened = self.open() => opened,
            };
            let problem = match opened {
                Ok(connection) => {
                    let since = Instant::now();
                    let live = Arc::new(Live::new(&connection));
                    if was_up {
                        metrics::counter!("roomkit_mcp_reconnects_total", "server" => server.to_owned())
                            .increment(1);
                    }
                    was_up = true;
                    self.set_link(Link::Up(Arc::clone(&live)));
                    tracing::info!(server, "an MCP server is connected");
                    let problem = self.attend(connection, &live, &stop).await;
                    if live.has_worked() || since.elapsed() >= STEADY {
                        attempt = 0;
                    }
                    problem
                }
                Err(problem) => {
                    tracing::warn!(server, problem, "an MCP server cannot be reached");
                    self.set_link(Link::Down(problem.clone()));
                    problem
                }
            };
            if stop.is_cancelled() {
                break;
            }
            let wait = backoff::wait(attempt);
            attempt += 1;
            tracing::debug!(
                server,
                problem,
                ?wait,
                "an MCP server is connected to again"
            );
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.set_link(Link::Closed);
    }

    /// Says how it stands, to those who wait and to those who count.
    fn set_link(&self, link: Link) {
        let is_up = matches!(link, Link::Up(_));
        metrics::gauge!("roomkit_mcp_connected", "server" => self.checked.name.clone())
            .set(if is_up { 1.0 } else { 0.0 });
        self.link.send_replace(link);
    }

    /// Opens a connection and lists the tools, within the time for both.
    async fn open(&self) -> Result<Connection, String> {
        let began = Instant::now();
        let connection = Connection::open(&self.checked, self.observers.clone()).await?;
        let left = self.checked.connect_timeout.saturating_sub(began.elapsed());
        match timeout(left, self.list(&connection)).await {
            Ok(Ok(_)) => {
                connection.serves();
                Ok(connection)
            }
            Ok(Err(problem)) => Err(connection.broke(problem).await),
            Err(_late) => Err(connection.given_up(explain::late(&self.checked)).await),
        }
    }

    /// True: it is another list.
    async fn list(&self, connection: &Connection) -> Result<bool, String> {
        let listed = connection.list(&self.checked).await?;
        let Checked {
            name,
            filter,
            rules,
            max_tools,
            ..
        } = &self.checked;
        let new = Arc::new(Catalogue::new(name, filter, rules, *max_tools, &listed));
        let old = {
            let mut catalogue = self
                .catalogue
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            catalogue.replace(Arc::clone(&new))
        };
        let is_another = old.as_ref() != Some(&new);
        if is_another {
            if new.left_out > 0 {
                metrics::counter!("roomkit_mcp_tools_left_out_total", "server" => name.clone())
                    .increment(new.left_out as u64);
            }
            self.changed.send_modify(|changes| *changes += 1);
        }
        Ok(is_another)
    }

    /// Watches over a connection until it is over, and closes it; returns why.
    async fn attend(
        &self,
        mut connection: Connection,
        live: &Live,
        stop: &CancellationToken,
    ) -> String {
        let mut silence = pin!(silence(&self.checked, live));
        let mut listing = Listing::default();
        let problem = loop {
            let news = tokio::select! {
                biased;
                () = stop.cancelled() => break None,
                () = live.broken() => News::Over("the connection broke".into()),
                problem = &mut silence => News::Over(problem),
                news = connection.news() => news,
                () = listing.due() => {
                    let listed = tokio::select! {
                        biased;
                        () = stop.cancelled() => break None,
                        listed = self.list_again(&connection) => listed,
                    };
                    listing.listed(listed);
                    continue;
                }
            };
            match news {
                News::Over(how) => break Some(how),
                News::ListChanged => listing.announced(),
            }
        };
        let down = match &problem {
            Some(problem) => {
                let server = &self.checked.name;
                tracing::warn!(server, problem, "the connection to an MCP server is lost");
                Link::Down(problem.clone())
            }
            None => Link::Closed,
        };
        self.set_link(down);
        connection.close().await;
        problem.unwrap_or_default()
    }

    /// Whether it is another list; `None`: that failed.
    async fn list_again(&self, connection: &Connection) -> Option<bool> {
        let listed = timeout(self.checked.connect_timeout, self.list(connection)).await;
        let listed = listed.unwrap_or_else(|_| Err("no answer".into()));
        let warn = |problem: &String| {
            let server = &self.checked.name;
            tracing::warn!(server, problem, "the tools cannot be listed again");
        };
        listed.inspect_err(warn).ok()
    }
}

/// Counts a call when it is over, also when it was given up.
struct Counted<'a> {
    server: &'a str,
    outcome: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let server = self.server.to_owned();
        metrics::counter!("roomkit_mcp_calls_total", "server" => server, "outcome" => self.outcome)
            .increment(1);
    }
}
