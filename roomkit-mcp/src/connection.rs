//! One connection to a server, from its opening to its end.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use rmcp::{
    ClientHandler, ServiceExt,
    model::{ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams, Tool},
    service::{
        NotificationContext, Peer, RoleClient, RunningService, RunningServiceCancellationToken,
    },
    transport::async_rw::AsyncRwTransport,
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    check::Checked,
    child::{Process, Program},
    explain,
    http_client::Http,
    progress::{Heard, Observers, ProgressBook},
};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(3);
/// How many tools are listed before their choice; a server that lists on and on is cut off here.
const LISTED: usize = 20_000;
/// How many pages in a row may say nothing new.
const IDLE_PAGES: usize = 100;

/// How a server is reached.
pub(crate) enum Target {
    Http(Http),
    Process(Program),
}

/// An open connection.
pub(crate) struct Connection {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) book: Arc<ProgressBook>,
    list_changed: Arc<Notify>,
    cancel: Option<RunningServiceCancellationToken>,
    /// Ready when the connection is over.
    over: Shared<BoxFuture<'static, ()>>,
    process: Option<Process>,
}

/// What a connection tells while nobody asks.
pub(crate) enum News {
    /// The list of tools is another.
    ListChanged,
    /// The connection is over, and why.
    Over(String),
}

impl Connection {
    /// Opens a connection within the server's time for that. The error holds no secret.
    pub(crate) async fn open(server: &Checked, observers: Observers) -> Result<Self, String> {
        let limit = server.connect_timeout;
        let handler = Handler {
            list_changed: Arc::default(),
        };
        let list_changed = Arc::clone(&handler.list_changed);
        let book = Arc::new(ProgressBook::new(observers));
        match &server.target {
            Target::Http(http) => {
                let transport =
                    Heard::new(http.transport(Arc::clone(&list_changed)), Arc::clone(&book));
                let service = timeout(limit, handler.serve(transport)).await;
                let service = service
                    .map_err(|_| explain::late(server))?
                    .map_err(|error| explain::start(server, &error))?;
                Ok(Self::of(service, book, list_changed, None))
            }
            Target::Process(program) => {
                let started = program.start(&server.name, &server.secrets);
                let (process, output, input) = started.map_err(|error| {
                    format!(
                        "the program `{}` cannot be started: {error}",
                        program.command
                    )
                })?;
                let transport = AsyncRwTransport::new_client(output, input)
                    .with_max_line_length(program.max_message_bytes);
                let transport = Heard::new(transport, Arc::clone(&book));
                match timeout(limit, handler.serve(transport)).await {
                    Ok(Ok(service)) => Ok(Self::of(service, book, list_changed, Some(process))),
                    Ok(Err(error)) => Err(process.broke(explain::start(server, &error)).await),
                    Err(_late) => Err(process.given_up(explain::late(server)).await),
                }
            }
        }
    }

    fn of(
        service: RunningService<RoleClient, Handler>,
        book: Arc<ProgressBook>,
        list_changed: Arc<Notify>,
        process: Option<Process>,
    ) -> Self {
        Self {
            peer: service.peer().clone(),
            book,
            list_changed,
            cancel: Some(service.cancellation_token()),
            over: service.waiting().map(drop).boxed().shared(),
            process,
        }
    }

    /// It has become ready, and from now on works for callers.
    pub(crate) fn serves(&self) {
        if let Some(process) = &self.process {
            process.serves();
        }
    }

    /// It broke off before it was ready. Gives the problem, with what a program said to that.
    pub(crate) async fn broke(self, problem: String) -> String {
        match self.process {
            Some(process) => process.broke(problem).await,
            None => problem,
        }
    }

    /// It is not waited for any longer. Gives the problem, with what a program said to that.
    pub(crate) async fn given_up(self, problem: String) -> String {
        match self.process {
            Some(process) => process.given_up(problem).await,
            None => problem,
        }
    }

    /// All tools, in the server's order.
    pub(crate) async fn list(&self, server: &Checked) -> Result<Vec<Tool>, String> {
        let mut tools = Vec::new();
        let mut names = HashSet::new();
        let mut asked = HashSet::new();
        let mut idle = 0;
        let mut cursor = None;
        loop {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.peer.list_tools(Some(params)).await;
            let page = page.map_err(|error| explain::request(server, &error))?;
            let known = names.len();
            names.extend(page.tools.iter().map(|tool| tool.name.clone()));
            // A page of before, which some repeat, is no second tool for each.
            if names.len() > known {
                tools.extend(page.tools);
                idle = 0;
            } else {
                idle += 1;
            }
            cursor = page.next_cursor;
            let Some(next) = &cursor else {
                return Ok(tools);
            };
            // A page may be empty and not the last, as where a server leaves out what we may not use.
            let is_new = asked.insert(next.clone());
            if !is_new || idle >= IDLE_PAGES || tools.len() >= LISTED {
                tracing::warn!(
                    server = server.name,
                    tools = tools.len(),
                    "an MCP server lists tools without an end; the rest is left out"
                );
                return Ok(tools);
            }
        }
    }

    /// Waits for news. Dropping the future loses none.
    pub(crate) async fn news(&mut self) -> News {
        let ended = async {
            match &mut self.process {
                Some(process) => process.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            how = ended => News::Over(how),
            () = self.over.clone() => News::Over("the connection is closed".into()),
            () = self.list_changed.notified() => News::ListChanged,
        }
    }

    /// Says goodbye and ends the program, if it is one. Calls that run fail.
    pub(crate) async fn close(mut self) {
        if let Some(cancel) = self.cancel.take() {
            cancel.cancel();
        }
        let _ = timeout(GOODBYE, self.over).await;
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }
}

/// Our side of the protocol: it takes notifications, and grants a server no wish. Progress is
/// [heard](Heard) before.
struct Handler {
    list_changed: Arc<Notify>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let this = Implementation::new("roomkit", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), this)
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.list_changed.notify_one();
    }
}
