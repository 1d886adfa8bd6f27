//! What the server tells of its work (`docs/metrics.md`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "server/support/mod.rs"]
mod support;

use serde_json::json;
use support::{TestServer, request, soon};

/// The value of a line, by its name and labels.
fn value(metrics: &str, line: &str) -> Option<f64> {
    let value = metrics.lines().find_map(|known| known.strip_prefix(line));
    value.map(|value| value.trim().parse().unwrap())
}

/// All in one test: the recorder is one for the whole process.
#[tokio::test]
async fn a_call_is_seen_in_the_metrics() {
    let server = TestServer::start("").await;
    let shown = server.get("/metrics").await.body;
    for counter in [
        "roomkit_sessions_started_total",
        r#"roomkit_recordings_total{outcome="failed"}"#,
        r#"roomkit_provider_errors_total{provider="echo",kind="network",fatal="true"}"#,
    ] {
        assert_eq!(value(&shown, counter), Some(0.0), "{counter}: {shown}");
    }
    // What a reload only checks is not there.
    let reloaded = server
        .reload("[provider]\nname = 'openai'\nconfig = { api_key = 'k' }\n[metrics]")
        .await;
    assert_eq!(reloaded.needs_restart, ["provider"]);
    let shown = server.get("/metrics").await.body;
    assert!(!shown.contains("provider=\"openai\""), "{shown}");
    let open = r#"roomkit_server_connections{listener="main"}"#;
    assert_eq!(value(&shown, open), Some(1.0), "who asks");
    let (mut caller, room) = server.session("").await;
    let shown = server.get("/metrics").await;
    assert_eq!(shown.status, 200);
    let kind = shown.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert_eq!(value(&shown.body, "roomkit_sessions_active"), Some(1.0));
    assert_eq!(value(&shown.body, "roomkit_admission_sessions"), Some(1.0));

    caller
        .send(json!({"type": "text", "text": "use current_time {}"}))
        .await;
    caller
        .find(|message| message["type"] == "tool_call" && message["status"] == "completed")
        .await;
    caller.send(json!({"type": "end"})).await;
    caller.until("session_ended").await;
    let ended = r#"roomkit_sessions_ended_total{reason="client_ended"}"#;
    let counted = async {
        loop {
            let shown = server.get("/metrics").await.body;
            if value(&shown, ended).is_some() {
                return shown;
            }
        }
    };
    let shown = soon(counted).await;
    assert_eq!(value(&shown, ended), Some(1.0));
    assert_eq!(value(&shown, "roomkit_sessions_active"), Some(0.0));
    assert_eq!(
        value(&shown, r#"roomkit_tool_calls_total{outcome="completed"}"#),
        Some(1.0)
    );
    let same = shown
        .lines()
        .filter(|line| line.starts_with("roomkit_sessions_started_total"));
    assert_eq!(same.count(), 1, "what is counted is what was there at 0");
    assert_eq!(value(&shown, "roomkit_ready_seconds_count"), Some(1.0));
    assert!(shown.contains("# HELP roomkit_sessions_active "), "{shown}");
    assert!(
        shown.contains(r#"roomkit_ready_seconds_bucket{le="0.05"}"#),
        "buckets: {shown}"
    );
    assert!(
        !shown.contains(&room) && !shown.contains("current_time"),
        "X1: {shown}"
    );
    server.stopped().await;

    let server = TestServer::start("[auth]\ntokens = ['hunter2']").await;
    server.get("/metrics").await.is_error(401, "unauthorized");
    let token = [("authorization", "Bearer hunter2")];
    let shown = request(server.address, "GET", "/metrics", &token, "").await;
    assert_eq!(shown.status, 200);
    assert!(
        shown
            .body
            .contains(r#"roomkit_admission_refused_total{reason="unauthorized"}"#)
    );
    server.stopped().await;

    let server = TestServer::start("[metrics]\nenabled = false").await;
    server.get("/metrics").await.is_error(404, "not_found");
    server.stopped().await;
}
