//! A server to test against, on rmcp's own server side.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
        PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How often `burst` tells its progress, without a pause.
pub(crate) const BURST: u32 = 100;

/// What the server does, whatever it lists.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) tools: Arc<Mutex<Vec<Tool>>>,
    /// How many calls were begun.
    pub(crate) calls: Arc<AtomicUsize>,
    /// How many calls were cancelled by the client.
    pub(crate) cancelled: watch::Sender<usize>,
    /// Headers that came with requests.
    pub(crate) headers: Arc<Mutex<Vec<HeaderMap>>>,
    /// How many times the tools are not listed from now on.
    pub(crate) hiding: Arc<AtomicUsize>,
    /// How many of the next messages are answered with 503, as by a proxy under load.
    pub(crate) failing: Arc<AtomicUsize>,
    /// With this status.
    pub(crate) failure: Arc<AtomicU16>,
    /// How many of the next messages are answered with a connection that breaks.
    pub(crate) cutting: Arc<AtomicUsize>,
    /// How many of the next streams of events are not opened.
    pub(crate) mute: Arc<AtomicUsize>,
    /// How many lists were asked for.
    pub(crate) lists: Arc<AtomicUsize>,
    /// How its tools are listed.
    pub(crate) pages: Pages,
    /// How a session that it does not know is told.
    pub(crate) forgets: Forgets,
}

/// How servers divide their list of tools.
#[derive(Clone, Copy)]
pub(crate) enum Pages {
    /// Not at all.
    One,
    /// Every page holds all, and names the same next one.
    InCircles,
    /// A tool on each, and empty ones between them.
    WithGaps,
    /// All on the first, and empty ones without an end.
    WithoutEnd,
}

impl Pages {
    /// The page of this number, and that of the next.
    fn page(self, number: usize, tools: Vec<Tool>) -> (Vec<Tool>, Option<usize>) {
        match self {
            Self::One => (tools, None),
            Self::InCircles => (tools, Some(1)),
            Self::WithGaps => {
                let next = (number + 2 < tools.len() * 2).then_some(number + 1);
                let here = number.is_multiple_of(2).then(|| tools[number / 2].clone());
                (here.into_iter().collect(), next)
            }
            Self::WithoutEnd if number == 0 => (tools, Some(1)),
            Self::WithoutEnd => (Vec::new(), Some(number + 1)),
        }
    }
}

/// How servers tell that they do not know a session.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Forgets {
    /// As MCP wants it.
    NotFound,
    /// With 400 and an error that belongs to no request.
    NoRequest,
    /// With 400 and an error that answers the request.
    TheRequest,
    /// With 400 in words.
    InWords,
}

impl Forgets {
    fn answer(self, request: &[u8]) -> Response {
        let message = "Bad Request: No valid session ID provided";
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let id = match self {
            Self::NotFound => return StatusCode::NOT_FOUND.into_response(),
            Self::InWords => return (StatusCode::BAD_REQUEST, message).into_response(),
            Self::NoRequest => Value::Null,
            Self::TheRequest => request["id"].clone(),
        };
        let error = json!({"code": -32000, "message": message});
        let body = json!({"jsonrpc": "2.0", "error": error, "id": id});
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

impl Server {
    pub(crate) fn new(names: &[&str]) -> Self {
        let tools = names
            .iter()
            .map(|name| tool(name, &json!({"type": "object"})));
        Self::of(tools.collect())
    }

    pub(crate) fn of(tools: Vec<Tool>) -> Self {
        Self {
            tools: Arc::new(Mutex::new(tools)),
            calls: Arc::default(),
            cancelled: watch::Sender::new(0),
            headers: Arc::default(),
            hiding: Arc::default(),
            failing: Arc::default(),
            failure: Arc::new(AtomicU16::new(503)),
            cutting: Arc::default(),
            mute: Arc::default(),
            lists: Arc::default(),
            pages: Pages::One,
            forgets: Forgets::NotFound,
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.headers.lock().unwrap().len()
    }

    /// What comes before MCP: proxies, credentials, sessions.
    async fn before(&self, request: Request, next: Next) -> Response {
        let headers = request.headers().clone();
        self.headers.lock().unwrap().push(headers.clone());
        match headers.get("authorization").map(HeaderValue::as_bytes) {
            Some(b"Bearer wrong-hunter2") => return StatusCode::UNAUTHORIZED.into_response(),
            Some(b"Bearer unknown-hunter2") => {
                let told = "nobody has the token unknown-hunter2";
                return (StatusCode::BAD_REQUEST, told).into_response();
            }
            _ => {}
        }
        let is_next = |count: &AtomicUsize| {
            let fewer = |left: usize| left.checked_sub(1);
            let order = Ordering::SeqCst;
            count.fetch_update(order, order, fewer).is_ok()
        };
        if request.method() != Method::POST {
            if request.method() == Method::GET && is_next(&self.mute) {
                return StatusCode::CONFLICT.into_response();
            }
            return next.run(request).await;
        }
        if is_next(&self.failing) {
            let failure = StatusCode::from_u16(self.failure.load(Ordering::SeqCst)).unwrap();
            let challenge = "Bearer error=\"insufficient_scope\", scope=\"more\"";
            if failure.is_client_error() {
                return (failure, [("www-authenticate", challenge)]).into_response();
            }
            return failure.into_response();
        }
        if is_next(&self.cutting) {
            let broken = std::io::Error::other("the cable was cut");
            let body = futures_util::stream::iter([Err::<Vec<u8>, _>(broken)]);
            let kind = [("content-type", "text/event-stream")];
            return (kind, Body::from_stream(body)).into_response();
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let answer = next
            .run(Request::from_parts(head, body.clone().into()))
            .await;
        if answer.status() == StatusCode::NOT_FOUND {
            return self.forgets.answer(&body);
        }
        answer
    }

    pub(crate) async fn wait_for_cancelled(&self, count: usize) {
        let mut cancelled = self.cancelled.subscribe();
        let waiting = cancelled.wait_for(|cancelled| *cancelled >= count);
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        waited
            .expect("the server hears of the cancellation")
            .unwrap();
    }
}

pub(crate) fn tool(name: &str, schema: &Value) -> Tool {
    serde_json::from_value(json!({"name": name, "inputSchema": schema})).unwrap()
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        let fewer = |left: usize| left.checked_sub(1);
        if self
            .hiding
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
            .is_ok()
        {
            return Err(ErrorData::internal_error("busy", None));
        }
        let tools = self.tools.lock().unwrap().clone();
        let cursor = request.and_then(|request| request.cursor);
        let number = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let (tools, next) = self.pages.page(number, tools);
        let mut page = ListToolsResult::with_all_items(tools);
        page.next_cursor = next.map(|next| next.to_string());
        Ok(page)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let text = |text: &str| CallToolResult::success(vec![ContentBlock::text(text)]);
        let result = match &*request.name {
            // Notes on disk that it ran, which outlives us.
            "note" => {
                use std::io::Write as _;
                let mut notes = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(arguments["file"].as_str().unwrap())
                    .unwrap();
                // In one piece: others write at the same time, and a kill may come between two.
                let note = format!("{}\n", arguments["number"]);
                notes.write_all(note.as_bytes()).unwrap();
                text("noted")
            }
            "echo" => text(arguments["text"].as_str().unwrap_or_default()),
            "sleep" => {
                tokio::select! {
                    () = context.ct.cancelled() => self.cancelled.send_modify(|count| *count += 1),
                    () = tokio::time::sleep(Duration::from_secs(60)) => {}
                }
                text("slept")
            }
            "fail" => CallToolResult::error(vec![ContentBlock::text("no such customer")]),
            "structured" => CallToolResult::structured(json!({"celsius": -3})),
            "image" => CallToolResult::success(vec![ContentBlock::image(
                "A".repeat(4_000_000),
                "image/png",
            )]),
            "huge" => text(&"word ".repeat(1_000_000)),
            "progress" => {
                let token = context.meta.get_progress_token().unwrap();
                for step in 0..=3 {
                    let mut told = ProgressNotificationParam::new(token.clone(), f64::from(step));
                    told.total = Some(3.0);
                    told.message = Some(format!("step {step}"));
                    context.peer.notify_progress(told).await.unwrap();
                }
                text("done")
            }
            "burst" => {
                let token = context.meta.get_progress_token().unwrap();
                for step in 0..BURST {
                    let told = ProgressNotificationParam::new(token.clone(), f64::from(step));
                    context.peer.notify_progress(told).await.unwrap();
                }
                text("done")
            }
            "learn" => {
                let new = tool("learned", &json!({"type": "object"}));
                self.tools.lock().unwrap().push(new);
                context.peer.notify_tool_list_changed().await.unwrap();
                text("learned")
            }
            "learned" => text("used"),
            "pid" => text(&std::process::id().to_string()),
            "environment" => {
                let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
                text(&names.join(" "))
            }
            // In the middle of the call, as a bug would.
            "crash" => {
                eprintln!("Ann's number is 4711");
                std::process::abort()
            }
            // A grandchild, which must not outlive us either.
            "spawn" => {
                let mut child = std::process::Command::new("sleep")
                    .arg("300")
                    .spawn()
                    .unwrap();
                let id = child.id();
                std::thread::spawn(move || child.wait());
                text(&id.to_string())
            }
            other => {
                return Err(ErrorData::invalid_params(
                    format!("there is no tool `{other}`"),
                    None,
                ));
            }
        };
        Ok(result.into())
    }
}

/// The server on a real socket.
pub(crate) struct Http {
    pub(crate) url: String,
    pub(crate) port: u16,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Http {
    pub(crate) async fn start(server: &Server) -> Self {
        Self::on(server, 0).await
    }

    pub(crate) async fn on(server: &Server, port: u16) -> Self {
        Self::with(server, port, StreamableHttpServerConfig::default()).await
    }

    /// One that keeps no sessions and answers a call, when it is done, with a body of JSON.
    pub(crate) async fn answering_json(server: &Server) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        Self::with(server, 0, config).await
    }

    async fn with(server: &Server, port: u16, mut config: StreamableHttpServerConfig) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        config.cancellation_token = stop.child_token();
        let made = server.clone();
        let service = StreamableHttpService::new(
            move || Ok(made.clone()),
            Arc::new(LocalSessionManager::default()),
            config,
        );
        let behind = server.clone();
        let seen = move |request: Request, next: Next| {
            let server = behind.clone();
            async move { server.before(request, next).await }
        };
        let router = Router::new()
            .nest_service("/mcp", service)
            .layer(middleware::from_fn(seen));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            url: format!("http://127.0.0.1:{port}/mcp"),
            port,
            stop,
            task,
        }
    }

    /// As if the machine had lost its power: open calls get no answer.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.abort();
        let _ = self.task.await;
    }
}
