//! What the bridge to MCP adds to a call of a tool, beside a bare client of `rmcp`.
//!
//! Both talk to the same server, a process of its own that answers at once, over its standard input
//! and output and over HTTP. They take turns call by call, so that whatever else the machine does
//! falls on both.

use std::{sync::Arc, time::Instant};

use clap::Args;
use rmcp::{
    ErrorData, RoleClient, RoleServer, ServerHandler, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::{RequestContext, RunningService},
    transport::{
        StreamableHttpClientTransport,
        async_rw::AsyncRwTransport,
        streamable_http_client::StreamableHttpClientTransportConfig,
        streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
        },
    },
};
use roomkit::{
    RealtimeSession,
    mcp::{McpServer, McpTools},
    tool::{ToolHandler, ToolInvocation},
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, process::Command};

use crate::{
    Outcome,
    arguments::one_or_more,
    figures::{ms, println_now},
    process::{OTHERS, Process, words},
    table::{Cell, Table},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Calls that each of the two makes.
    #[arg(long, default_value_t = 5_000, value_parser = one_or_more::<usize>())]
    pub(crate) calls: usize,
}

#[derive(Args)]
pub(crate) struct ServerOptions {
    /// Listen for HTTP, and say on which port, instead of using standard input and output.
    #[arg(long)]
    http: bool,
}

type Bare = RunningService<RoleClient, ()>;

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let command = format!("roomkit-bench mcp --calls {}", options.calls);
    let mut table = Table::new("Tools over MCP", command)
        .columns(["over", "bare rmcp us", "bridge us", "added us"])
        .note(
            "p50 / p99 of a tool that answers at once, by the bridge and by a bare client of `rmcp`, to a server that is a process of its own. They take turns call by call, \
             and who is first in one pair is second in the next; `added` is of the differences in each pair.",
        );
    let this = std::env::current_exe()?;
    let this = this.to_str().ok_or("the path of this program is no text")?;

    let mut server = Command::new(this)
        .arg("mcp-server")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (output, input) = (server.stdout.take(), server.stdin.take());
    let pipes = output.zip(input).ok_or("no pipes")?;
    let bare = ().serve(AsyncRwTransport::new_client(pipes.0, pipes.1)).await?;
    let bridged = McpServer::process(this, ["mcp-server"]);
    table.row(compare("stdio", options, &bare, bridged).await?);

    let mut server = Process::start("roomkit-bench", OTHERS, &words("mcp-server --http"))?;
    let port = server.lines.next_line().await?.ok_or("no port")?;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    let client = plain_http()?;
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let bare = ().serve(transport).await?;
    table.row(compare("HTTP", options, &bare, McpServer::http(url)).await?);
    server.stop().await?;
    Ok(table)
}

/// A client as `rmcp` would make one, but for what it needs to be built without a crypto provider
/// of the process.
fn plain_http() -> Outcome<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls);
    // As the bridge does, and for the same reason: see its crate.
    Ok(builder.pool_max_idle_per_host(0).build()?)
}

async fn compare(
    over: &str,
    options: &Options,
    bare: &Bare,
    server: McpServer,
) -> Outcome<[Cell; 4]> {
    let tools = McpTools::connect([server]).await?;
    let session = RealtimeSession::new("room", "ann", "voice", Map::new());
    let arguments = Map::from_iter([("text".to_owned(), Value::from("hello"))]);
    let by_bare = async || {
        let began = Instant::now();
        let mut params = CallToolRequestParams::new("echo");
        params.arguments = Some(arguments.clone());
        let answer = bare.peer().call_tool(params).await?;
        let time = ms(began.elapsed()) * 1000.0;
        if answer.content.len() != 1 {
            return Err("the bare client got another answer".into());
        }
        Outcome::Ok(time)
    };
    let by_bridge = async |number: usize| {
        let call_id = format!("call-{number}");
        let began = Instant::now();
        let call = ToolInvocation::new(session.clone(), call_id, "echo", arguments.clone());
        let answer = tools.call(call).await?;
        let time = ms(began.elapsed()) * 1000.0;
        if answer.value != json!("hello") {
            return Err("the bridge got another answer".into());
        }
        Outcome::Ok(time)
    };
    let mut pairs = Vec::with_capacity(options.calls);
    for number in 0..options.calls {
        // Who comes second finds a server that has just been woken.
        pairs.push(if number.is_multiple_of(2) {
            let bare = by_bare().await?;
            (bare, by_bridge(number).await?)
        } else {
            let bridge = by_bridge(number).await?;
            (by_bare().await?, bridge)
        });
    }
    tools.close().await;
    Ok([
        Cell::word(over),
        Cell::spread(pairs.iter().map(|(bare, _)| *bare), 0),
        Cell::spread(pairs.iter().map(|(_, bridge)| *bridge), 0),
        Cell::spread(pairs.iter().map(|(bare, bridge)| bridge - bare), 0),
    ])
}

/// Serves one tool, `echo`.
pub(crate) async fn serve(options: &ServerOptions) -> Outcome<()> {
    if options.http {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println_now(&listener.local_addr()?.port().to_string())?;
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(
            || Ok(Echo),
            sessions,
            StreamableHttpServerConfig::default(),
        );
        let router = axum::Router::new().nest_service("/mcp", service);
        axum::serve(listener, router).await?;
    } else {
        Echo.serve(rmcp::transport::stdio())
            .await?
            .waiting()
            .await?;
    }
    Ok(())
}

struct Echo;

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = Map::from_iter([("type".to_owned(), Value::from("object"))]);
        let echo = Tool::new("echo", "Says it again.", schema);
        Ok(ListToolsResult::with_all_items(vec![echo]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = request.arguments.unwrap_or_default();
        let text = text.get("text").and_then(Value::as_str).unwrap_or_default();
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}
