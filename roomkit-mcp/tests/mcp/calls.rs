//! Calls and their results, over HTTP.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use roomkit_core::tool::{ToolHandler, ToolSource};
use roomkit_mcp::McpServer;
use serde_json::{Value, json};

use crate::{
    server::{BURST, Http, Server},
    support::{call, connect, invocation, names, next_change, soon, until},
};

const ALL: [&str; 8] = [
    "echo",
    "sleep",
    "fail",
    "structured",
    "image",
    "huge",
    "progress",
    "learn",
];

#[tokio::test]
async fn k6_results_of_every_kind_are_for_a_model_to_read() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    assert_eq!(names(&tools).await, ALL);
    let said = call(&tools, "echo", json!({"text": "hallo"})).await;
    assert_eq!(said, Ok(json!("hallo")));
    let structured = call(&tools, "structured", json!({})).await;
    assert_eq!(structured, Ok(json!({"celsius": -3})));
    let image = call(&tools, "image", json!({})).await.unwrap();
    assert_eq!(image[0]["bytes"], 3_000_000);
    assert!(image.to_string().len() < 500, "no base64 for the model");
    let huge = call(&tools, "huge", json!({})).await.unwrap();
    assert_eq!(huge.as_str().unwrap().len(), 5_000_000);
    let failed = call(&tools, "fail", json!({})).await;
    assert_eq!(failed, Err("no such customer".into()));
    tools.close().await;
}

#[tokio::test]
async fn k6_a_result_over_the_limit_of_the_wire_is_an_error_and_the_connection_goes_on() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        max_message_bytes: 100_000,
        timeout: Duration::from_secs(2),
        ..McpServer::http(&http.url)
    })
    .await;
    let error = call(&tools, "huge", json!({})).await.unwrap_err();
    assert!(error.len() < 1000, "{error}");
    until(async || call(&tools, "echo", json!({"text": "a"})).await == Ok(json!("a"))).await;
    tools.close().await;
}

#[tokio::test]
async fn k5_a_tool_that_is_not_there_is_an_error_the_model_reads() {
    let server = Server::new(&["echo", "lie"]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    // The server lists it and does not have it.
    let error = call(&tools, "lie", json!({})).await.unwrap_err();
    assert!(error.contains("there is no tool `lie`"), "{error}");
    let error = call(&tools, "other", json!({})).await.unwrap_err();
    assert!(
        error.contains("no MCP server has a tool `other`"),
        "{error}"
    );
    tools.close().await;
}

#[tokio::test]
async fn k3_a_slow_server_is_given_up_and_told() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        timeout: Duration::from_millis(200),
        ..McpServer::http(&http.url)
    })
    .await;
    let error = call(&tools, "sleep", json!({})).await.unwrap_err();
    assert!(
        error.contains("did not answer `sleep` within 0.2 s"),
        "{error}"
    );
    server.wait_for_cancelled(1).await;
    assert!(call(&tools, "echo", json!({"text": "a"})).await.is_ok());
    tools.close().await;
}

#[tokio::test]
async fn k4_a_dropped_call_is_cancelled_at_the_server() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let running = tokio::spawn({
        let tools = tools.clone();
        async move { tools.call(invocation("sleep", json!({}))).await }
    });
    until(async || server.calls() == 1).await;
    // As the engine does when the provider cancels, and when the session ends.
    running.abort();
    server.wait_for_cancelled(1).await;
    tools.close().await;
}

#[tokio::test]
async fn k9_progress_is_told_to_observers_in_order() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        name: "crm".into(),
        prefix: "crm_".into(),
        ..McpServer::http(&http.url)
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    tools.on_progress({
        let told = Arc::clone(&told);
        move |progress| told.lock().unwrap().push(progress.clone())
    });
    assert_eq!(
        call(&tools, "crm_progress", json!({})).await,
        Ok(json!("done"))
    );
    until(async || told.lock().unwrap().len() == 4).await;
    let told = told.lock().unwrap().clone();
    let steps: Vec<_> = told.iter().map(|told| told.progress).collect();
    assert_eq!(steps, [0.0, 1.0, 2.0, 3.0]);
    let last = told.last().unwrap();
    assert_eq!(
        (&*last.server, &*last.tool, last.total),
        ("crm", "crm_progress", Some(3.0))
    );
    assert_eq!(
        (last.call_id.as_str(), last.message.as_deref()),
        ("call-1", Some("step 3"))
    );
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k9_progress_that_comes_at_once_is_told_in_order_and_none_is_lost() {
    let server = Server::new(&["burst"]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    tools.on_progress({
        let told = Arc::clone(&told);
        move |progress| told.lock().unwrap().push(progress.progress)
    });
    let steps: Vec<f64> = (0..BURST).map(f64::from).collect();
    for _ in 0..5 {
        let said = call(&tools, "burst", json!({})).await;
        assert_eq!(said, Ok(json!("done")));
        until(async || told.lock().unwrap().last() == steps.last()).await;
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), steps);
    }
    tools.close().await;
}

#[tokio::test]
async fn k8_a_changed_list_is_listed_again_and_told() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let mut changes = tools.changes().unwrap();
    // Once it cannot say what it has.
    server.hiding.store(1, Ordering::SeqCst);
    assert!(call(&tools, "learn", json!({})).await.is_ok());
    next_change(&mut changes).await;
    assert_eq!(server.hiding.load(Ordering::SeqCst), 0);
    assert!(names(&tools).await.contains(&"learned".to_owned()));
    assert_eq!(call(&tools, "learned", json!({})).await, Ok(json!("used")));
    tools.close().await;
}

#[tokio::test]
async fn k3_calls_run_side_by_side() {
    let server = Server::new(&ALL);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let calls = (0..50).map(|number| {
        let tools = tools.clone();
        async move {
            let text = number.to_string();
            let said = call(&tools, "echo", json!({"text": text})).await;
            assert_eq!(said, Ok(Value::String(text)));
        }
    });
    soon(futures_util::future::join_all(calls)).await;
    tools.close().await;
}

#[tokio::test]
async fn a6_slow_calls_however_many_delay_no_other_call_to_their_server() {
    let server = Server::new(&ALL);
    let http = Http::answering_json(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    let slow: Vec<_> = (0..40)
        .map(|_| {
            let tools = tools.clone();
            tokio::spawn(async move { tools.call(invocation("sleep", json!({}))).await })
        })
        .collect();
    until(async || server.calls() == slow.len()).await;
    let said = call(&tools, "echo", json!({"text": "a"})).await;
    assert_eq!(said, Ok(json!("a")));
    assert!(slow.iter().all(|call| !call.is_finished()));
    for call in slow {
        call.abort();
    }
    tools.close().await;
}
