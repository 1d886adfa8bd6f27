//! What is listed, and what is left out.

use std::sync::atomic::Ordering;

use roomkit_core::{
    registry::Registry,
    tool::{ToolInvocation, ToolSource},
};
use roomkit_mcp::{McpError, McpServer, McpTools};
use serde_json::json;

use crate::{
    server::{Http, Pages, Server, tool},
    support::{call, connect, invocation, names, soon},
};

#[tokio::test]
async fn k5_x5_broken_schemas_cost_the_tool_and_not_the_server() {
    let server = Server::of(vec![
        tool(
            "good",
            &json!({"type": "object", "$schema": "x", "title": "T"}),
        ),
        tool("no_object", &json!({"type": "string"})),
        tool(
            "no_schema",
            &json!({"type": "object", "properties": {"a": {"type": "nonsense"}}}),
        ),
        tool(
            "elsewhere",
            &json!({"properties": {"a": {"$ref": "http://127.0.0.1:1/a.json"}}}),
        ),
        tool("good", &json!({"type": "object"})),
        tool("", &json!({"type": "object"})),
    ]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let listed = tools.tools().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        listed[0].parameters,
        json!({"type": "object", "properties": {}})
    );
    assert_eq!(tools.status()[0].left_out, 4);
    tools.close().await;
}

#[tokio::test]
async fn x5_thousands_of_tools_are_bounded() {
    let all = (0..5000).map(|number| tool(&format!("t{number}"), &json!({"type": "object"})));
    let server = Server::of(all.collect());
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let status = &tools.status()[0];
    assert_eq!((status.tools, status.left_out), (128, 4872));
    tools.close().await;

    let chosen = connect(McpServer {
        include: vec!["t499*".into()],
        exclude: vec!["t4999".into()],
        ..McpServer::http(&http.url)
    })
    .await;
    assert_eq!(names(&chosen).await.len(), 10, "t499 and t4990 to t4998");
    chosen.close().await;
}

#[tokio::test]
async fn x5_a_server_that_repeats_its_cursor_is_not_asked_on_and_on() {
    let mut server = Server::new(&["echo", "pid"]);
    server.pages = Pages::InCircles;
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    assert_eq!(names(&tools).await, ["echo", "pid"]);
    assert_eq!(tools.status()[0].left_out, 0);
    assert_eq!(server.lists.load(Ordering::SeqCst), 2);
    tools.close().await;
}

#[tokio::test]
async fn k8_an_empty_page_is_not_the_last() {
    let mut server = Server::new(&["echo", "pid", "sleep"]);
    server.pages = Pages::WithGaps;
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    assert_eq!(names(&tools).await, ["echo", "pid", "sleep"]);
    assert_eq!(server.lists.load(Ordering::SeqCst), 5);
    tools.close().await;
}

#[tokio::test]
async fn x5_a_server_whose_pages_have_no_end_is_not_asked_on_and_on() {
    let mut server = Server::new(&["echo"]);
    server.pages = Pages::WithoutEnd;
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    assert_eq!(names(&tools).await, ["echo"]);
    assert_eq!(server.lists.load(Ordering::SeqCst), 1 + 100);
    tools.close().await;
}

#[tokio::test]
async fn k8_servers_side_by_side_are_kept_apart() {
    let (one, two) = (Server::new(&["echo", "pid"]), Server::new(&["echo"]));
    let (http_one, http_two) = (Http::start(&one).await, Http::start(&two).await);
    let named = |name: &str, http: &Http| McpServer {
        name: name.into(),
        ..McpServer::http(&http.url)
    };
    let clash = soon(McpTools::connect([
        named("crm", &http_one),
        named("erp", &http_two),
    ]))
    .await;
    let error = clash.unwrap_err();
    assert!(matches!(&error, McpError::Clash { tool, first, second }
        if tool == "echo" && first == "crm" && second == "erp"));
    assert!(error.to_string().contains("prefix"), "{error}");

    let apart = [
        named("crm", &http_one),
        McpServer {
            prefix: "erp_".into(),
            ..named("erp", &http_two)
        },
    ];
    let tools = soon(McpTools::connect(apart)).await.unwrap();
    assert_eq!(names(&tools).await, ["echo", "pid", "erp_echo"]);
    let text = json!({"text": "a"});
    assert_eq!(call(&tools, "erp_echo", text.clone()).await, Ok(json!("a")));
    assert_eq!((one.calls(), two.calls()), (0, 1));
    assert_eq!(call(&tools, "echo", text).await, Ok(json!("a")));
    assert_eq!((one.calls(), two.calls()), (1, 1));
    tools.close().await;
}

#[tokio::test]
async fn a_source_is_built_by_its_name() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let registry = Registry::linked().unwrap();
    let source = registry
        .tool_source(
            "mcp",
            json!({"servers": [{"url": http.url, "renames": {"echo": "say"}}]}),
        )
        .unwrap();
    let listed = soon(source.tools()).await.unwrap();
    assert_eq!(listed[0].name, "say");
    let invocation: ToolInvocation = invocation("say", json!({"text": "a"}));
    assert_eq!(soon(source.call(invocation)).await.unwrap().value, "a");

    let wrong = registry.tool_source("mcp", json!({"url": http.url, "prefx": "a"}));
    let error = wrong.err().unwrap().to_string();
    assert!(error.contains("unknown field `prefx`"), "{error}");
}
