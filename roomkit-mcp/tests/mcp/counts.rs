//! What is counted of servers.

use std::time::Duration;

use roomkit_core::tool::ToolSource;
use roomkit_mcp::{McpServer, McpTools};
use roomkit_mock::Counters;
use serde_json::json;

use crate::{
    server::{Http, Server, tool},
    support::{call, connect, next_change, soon, until, until_connected, until_lost},
};

const RECONNECTS: &str = "roomkit_mcp_reconnects_total";
const CONNECTED: &str = "roomkit_mcp_connected";
const LEFT_OUT: &str = "roomkit_mcp_tools_left_out_total";

#[tokio::test(start_paused = true)]
async fn attempts_to_reach_a_server_that_is_never_there_are_no_connections() {
    let counters = Counters::default();
    let _counting = counters.here();
    let absent = McpServer {
        name: "absent".into(),
        ..McpServer::process("no-such-program-anywhere", [""; 0])
    };
    let tools = McpTools::start([absent]).unwrap();
    // Time for many attempts.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(counters.get(RECONNECTS, "absent"), 0);
    assert_eq!(counters.gauge(CONNECTED, "absent"), Some(0.0));
    tools.close().await;
}

#[tokio::test]
async fn a_server_that_goes_and_comes_is_one_new_connection() {
    let counters = Counters::default();
    let _counting = counters.here();
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let port = http.port;
    let tools = connect(McpServer {
        name: "s".into(),
        ping: Duration::from_millis(50),
        ..McpServer::http(&http.url)
    })
    .await;
    let counted = || {
        (
            counters.get(RECONNECTS, "s"),
            counters.gauge(CONNECTED, "s"),
        )
    };
    assert_eq!(counted(), (0, Some(1.0)));
    http.stop().await;
    until_lost(&tools).await;
    assert_eq!(counted(), (0, Some(0.0)));
    let http = Http::on(&server, port).await;
    until_connected(&tools).await;
    assert_eq!(counted(), (1, Some(1.0)));
    tools.close().await;
    assert_eq!(counted(), (1, Some(0.0)));
    http.stop().await;
}

#[tokio::test]
async fn tools_left_out_are_counted_once_for_each_list() {
    let counters = Counters::default();
    let _counting = counters.here();
    let server = Server::of(vec![
        tool("learn", &json!({"type": "object"})),
        tool("no_object", &json!({"type": "string"})),
    ]);
    let http = Http::start(&server).await;
    let port = http.port;
    let tools = connect(McpServer {
        name: "s".into(),
        ping: Duration::from_millis(50),
        ..McpServer::http(&http.url)
    })
    .await;
    assert_eq!(counters.get(LEFT_OUT, "s"), 1);
    // Listed again, and the same.
    http.stop().await;
    until_lost(&tools).await;
    let http = Http::on(&server, port).await;
    until_connected(&tools).await;
    assert_eq!(counters.get(LEFT_OUT, "s"), 1);
    let mut changes = tools.changes().unwrap();
    call(&tools, "learn", json!({})).await.unwrap();
    next_change(&mut changes).await;
    assert_eq!(counters.get(LEFT_OUT, "s"), 2);
    soon(tools.close()).await;
    http.stop().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_is_counted() {
    let counters = Counters::default();
    let _counting = counters.here();
    let server = Server::new(&["sleep"]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        name: "s".into(),
        ..McpServer::http(&http.url)
    })
    .await;
    tokio::select! {
        _ = call(&tools, "sleep", json!({})) => panic!("it sleeps"),
        () = until(async || server.calls() == 1) => {}
    }
    assert_eq!(counters.get("roomkit_mcp_calls_total", "s"), 1);
    tools.close().await;
}
