//! Servers that nobody here wrote. They need programs beside the toolchain, which CI installs:
//!
//! - `ROOMKIT_MCP_PYTHON`: a Python with `servers/requirements.txt` installed (`FastMCP`).
//! - `ROOMKIT_MCP_EVERYTHING`: the `dist/index.js` of `@modelcontextprotocol/server-everything`,
//!   installed by `npm ci` in `servers`; `node` is on the path.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use roomkit_core::tool::{ToolHandler, ToolSource};
use roomkit_mcp::{McpServer, McpTools};
use serde_json::json;
use tokio::{net::TcpListener, process::Child};

use crate::support::{call, connect, invocation, names, next_change, soon, until, until_connected};

/// The value of a variable; without it the test says that it is left out.
fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        eprintln!("left out: {variable} is not set");
    }
    value
}

fn fast_mcp() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/fast_mcp.py");
    script.to_str().unwrap().to_owned()
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a program that will listen on a port, and connects to it when it does.
async fn listening(program: &str, args: &[&str], port: u16) -> (Child, McpTools) {
    let child = start(program, args, port);
    let tools = connect(McpServer {
        required: false,
        connect_timeout: Duration::from_secs(20),
        ..McpServer::http(format!("http://127.0.0.1:{port}/mcp"))
    })
    .await;
    until_connected(&tools).await;
    (child, tools)
}

fn start(program: &str, args: &[&str], port: u16) -> Child {
    tokio::process::Command::new(program)
        .args(args)
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn fast_mcp_works(tools: &McpTools) {
    let listed = soon(tools.tools()).await.unwrap();
    let add = listed.iter().find(|tool| tool.name == "add").unwrap();
    assert_eq!(add.description, "Adds two numbers.");
    let text = add.parameters.to_string();
    assert!(!text.contains("title"), "cleaned: {text}");

    let sum = call(tools, "add", json!({"a": 2, "b": 3})).await;
    assert_eq!(sum, Ok(json!({"result": 5})));
    let weather = call(tools, "weather", json!({"city": "Oslo"})).await;
    assert_eq!(weather, Ok(json!({"sky": "snow", "celsius": -3})));
    let text = call(tools, "greet", json!({"name": "Ann"})).await;
    assert_eq!(text, Ok(json!("Grüezi Ann")));
    let error = call(tools, "boom", json!({})).await.unwrap_err();
    assert!(error.contains("the boiler is cold"), "{error}");
    let picture = call(tools, "picture", json!({})).await.unwrap();
    assert_eq!(picture[0]["bytes"], 100_004, "{picture}");
    // What does not fit the schema is the engine's to refuse; if it came through, it is an error.
    assert!(call(tools, "add", json!({"a": "x"})).await.is_err());

    let told = Arc::new(Mutex::new(Vec::new()));
    tools.on_progress({
        let told = Arc::clone(&told);
        move |progress| told.lock().unwrap().push(progress.progress)
    });
    assert!(call(tools, "count", json!({"to": 3})).await.is_ok());
    until(async || *told.lock().unwrap() == [1.0, 2.0, 3.0]).await;

    // K4, as the server sees it.
    let running = tokio::spawn({
        let tools = tools.clone();
        async move { tools.call(invocation("sleep", json!({}))).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.abort();
    until(async || call(tools, "cancellations", json!({})).await == Ok(json!({"result": 1}))).await;

    let mut changes = tools.changes().unwrap();
    assert!(call(tools, "learn", json!({})).await.is_ok());
    next_change(&mut changes).await;
    assert!(names(tools).await.contains(&"learned".to_owned()));
    assert!(call(tools, "learned", json!({})).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_k6_k8_fast_mcp_over_stdio() {
    let Some(python) = given("ROOMKIT_MCP_PYTHON") else {
        return;
    };
    let tools = connect(McpServer {
        connect_timeout: Duration::from_secs(30),
        ..McpServer::process(python, [fast_mcp(), "stdio".into()])
    })
    .await;
    fast_mcp_works(&tools).await;
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_k6_k8_fast_mcp_over_http_also_after_a_restart() {
    let Some(python) = given("ROOMKIT_MCP_PYTHON") else {
        return;
    };
    let port = free_port().await;
    let (script, number) = (fast_mcp(), port.to_string());
    let args = [script.as_str(), "http", &number];
    let (mut child, tools) = listening(&python, &args, port).await;
    fast_mcp_works(&tools).await;

    child.kill().await.unwrap();
    let error = call(&tools, "greet", json!({"name": "Ann"}))
        .await
        .unwrap_err();
    assert!(
        error.contains("broke") || error.contains("not available"),
        "{error}"
    );
    let _again = start(&python, &args, port);
    until(async || call(&tools, "greet", json!({"name": "Ann"})).await.is_ok()).await;
    assert!(
        !names(&tools).await.contains(&"learned".to_owned()),
        "it was listed anew"
    );
    tools.close().await;
}

async fn everything_works(tools: &McpTools) {
    let listed = names(tools).await;
    assert!(listed.contains(&"echo".to_owned()), "{listed:?}");
    let said = call(tools, "echo", json!({"message": "hallo"})).await;
    assert_eq!(said, Ok(json!("Echo: hallo")));
    let sum = call(tools, "get-sum", json!({"a": 2, "b": 3}))
        .await
        .unwrap();
    assert!(sum.as_str().unwrap().contains('5'), "{sum}");
    let weather = call(
        tools,
        "get-structured-content",
        json!({"location": "Chicago"}),
    )
    .await;
    assert!(weather.unwrap()["temperature"].is_number());
    let image = call(tools, "get-tiny-image", json!({})).await.unwrap();
    assert_eq!(image[1]["type"], "image");
    assert!(image.to_string().len() < 1000, "{image}");
    let links = call(tools, "get-resource-links", json!({"count": 2}))
        .await
        .unwrap();
    assert!(links.to_string().contains("resource_link"), "{links}");
    let blob = json!({"resourceType": "Blob", "resourceId": 1});
    let blob = call(tools, "get-resource-reference", blob).await.unwrap();
    assert!(blob.to_string().contains("bytes"), "{blob}");
    let told = Arc::new(Mutex::new(0));
    tools.on_progress({
        let told = Arc::clone(&told);
        move |_| *told.lock().unwrap() += 1
    });
    let long = json!({"duration": 1, "steps": 4});
    assert!(
        call(tools, "trigger-long-running-operation", long)
            .await
            .is_ok()
    );
    until(async || *told.lock().unwrap() == 4).await;
    let wrong = call(tools, "get-sum", json!({"a": "x"})).await;
    assert!(wrong.is_err(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k6_k8_server_everything_over_stdio() {
    let Some(script) = given("ROOMKIT_MCP_EVERYTHING") else {
        return;
    };
    let tools = connect(McpServer {
        connect_timeout: Duration::from_secs(30),
        ..McpServer::process("node", [script, "stdio".into()])
    })
    .await;
    everything_works(&tools).await;
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k6_k8_server_everything_over_http() {
    let Some(script) = given("ROOMKIT_MCP_EVERYTHING") else {
        return;
    };
    let port = free_port().await;
    let (_child, tools) = listening("node", &[&script, "streamableHttp"], port).await;
    everything_works(&tools).await;
    tools.close().await;
}
