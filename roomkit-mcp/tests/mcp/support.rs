//! What the tests share.

use std::{future::Future, time::Duration};

use futures_util::StreamExt;
use roomkit_core::{
    RealtimeSession,
    tool::{ToolHandler, ToolInvocation, ToolSource},
};
use roomkit_mcp::{McpServer, McpTools};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

pub(crate) fn invocation(name: &str, arguments: Value) -> ToolInvocation {
    let session = RealtimeSession::new("room", "ann", "voice", Map::new());
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object");
    };
    ToolInvocation::new(session, "call-1", name, arguments)
}

/// Calls a tool; an error as its text.
pub(crate) async fn call(tools: &McpTools, name: &str, arguments: Value) -> Result<Value, String> {
    let answered = soon(tools.call(invocation(name, arguments))).await;
    answered.map(|output| output.value).map_err(|error| error.0)
}

pub(crate) async fn names(tools: &McpTools) -> Vec<String> {
    let tools = soon(tools.tools()).await.unwrap();
    tools.into_iter().map(|tool| tool.name).collect()
}

/// No test waits for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future)
        .await
        .expect("it happens soon")
}

/// Waits until what is asked for is so.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    soon(async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

pub(crate) async fn until_connected(tools: &McpTools) {
    until(async || tools.status().iter().all(|server| server.is_connected)).await;
}

pub(crate) async fn until_lost(tools: &McpTools) {
    until(async || tools.status().iter().any(|server| !server.is_connected)).await;
}

pub(crate) async fn next_change(changes: &mut (impl futures_util::Stream<Item = ()> + Unpin)) {
    soon(changes.next()).await.expect("there are more changes");
}

pub(crate) async fn connect(server: McpServer) -> McpTools {
    soon(McpTools::connect([server])).await.unwrap()
}

/// A port nobody listens on.
pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}
