//! Servers that are child processes: real ones, of this test program itself.

use std::{path::Path, time::Duration};

use rmcp::ServiceExt;
use roomkit_core::tool::ToolSource;
use roomkit_mcp::{McpError, McpServer, McpTools};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    server::Server,
    support::{call, connect, names, soon, until, until_connected, until_lost},
};

const CHILD: &str = "ROOMKIT_MCP_TEST_CHILD";

/// Not a test: the child. Started by the others as a program of its own.
#[test]
fn child_server() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        eprintln!("key is {}", std::env::var("KEY").unwrap_or_default());
        if what == "dies" {
            // Without the end of the line.
            eprint!("there is no database");
            std::process::exit(7);
        }
        if what == "asks" {
            // As `npx` does without `-y`.
            eprint!("Need to install the following packages: hunter2@1.0.0\nOk to proceed? (y) ");
            std::future::pending::<()>().await;
        }
        if what == "once" {
            let file = std::env::var("FILE").unwrap();
            if std::fs::exists(&file).unwrap() {
                eprintln!("I was here before");
                std::process::exit(7);
            }
            std::fs::write(&file, "").unwrap();
        }
        if what == "deaf" {
            // Neither the end of its input nor a polite word ends it.
            let mut term =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            tokio::spawn(async move { while term.recv().await.is_some() {} });
        }
        let names = [
            "echo",
            "crash",
            "pid",
            "spawn",
            "environment",
            "learn",
            "sleep",
            "note",
            "huge",
        ];
        let service = Server::new(&names)
            .serve(rmcp::transport::stdio())
            .await
            .unwrap();
        let _ = service.waiting().await;
        if what == "deaf" {
            std::future::pending::<()>().await;
        }
    });
    std::process::exit(0);
}

fn child(what: &str) -> McpServer {
    let this = std::env::current_exe().unwrap();
    // What libtest writes before the test begins is no JSON: a server that is no better than others.
    let args = ["process::child_server", "--exact", "--nocapture"];
    McpServer {
        name: "child".into(),
        env: [
            (CHILD.to_owned(), what.into()),
            ("KEY".to_owned(), "hunter2".into()),
        ]
        .into(),
        ..McpServer::process(this.to_str().unwrap(), args)
    }
}

fn kill(id: &Value) {
    signal(id, "-KILL");
}

fn signal(id: &Value, signal: &str) {
    let sent = std::process::Command::new("kill")
        .args([signal, id.as_str().unwrap()])
        .status();
    assert!(sent.unwrap().success());
}

/// Whether a process runs (and is no zombie).
fn runs(id: &Value) -> bool {
    let status = Path::new("/proc").join(id.as_str().unwrap()).join("stat");
    std::fs::read_to_string(status).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_called_and_ended_with_all_it_started() {
    let tools = connect(child("good")).await;
    assert!(names(&tools).await.contains(&"echo".to_owned()));
    assert_eq!(
        call(&tools, "echo", json!({"text": "a"})).await,
        Ok(json!("a"))
    );
    let id = call(&tools, "pid", json!({})).await.unwrap();
    let grandchild = call(&tools, "spawn", json!({})).await.unwrap();
    assert!(runs(&id) && runs(&grandchild));
    soon(tools.close()).await;
    assert!(!runs(&id), "its end is waited for");
    until(async || !runs(&grandchild)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_will_not_end_is_killed() {
    let tools = connect(child("deaf")).await;
    let id = call(&tools, "pid", json!({})).await.unwrap();
    soon(tools.close()).await;
    assert!(!runs(&id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_ended_when_nobody_holds_its_tools() {
    let tools = connect(child("good")).await;
    let id = call(&tools, "pid", json!({})).await.unwrap();
    drop(tools);
    until(async || !runs(&id)).await;
}

#[test]
fn a_program_is_ended_with_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (tools, id) = runtime.block_on(async {
        let tools = connect(child("good")).await;
        let id = call(&tools, "pid", json!({})).await.unwrap();
        (tools, id)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(tools);
    let began = std::time::Instant::now();
    while runs(&id) {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_k2_a_program_that_crashes_in_a_call_answers_and_is_started_again() {
    let tools = connect(child("good")).await;
    let first = call(&tools, "pid", json!({})).await.unwrap();
    let error = call(&tools, "crash", json!({})).await.unwrap_err();
    assert!(error.contains("broke during `crash`"), "{error}");
    until_connected(&tools).await;
    until(async || {
        call(&tools, "pid", json!({}))
            .await
            .is_ok_and(|id| id != first)
    })
    .await;
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_a_program_that_is_killed_is_started_again_time_after_time() {
    let tools = connect(child("good")).await;
    for _ in 0..3 {
        let id = call(&tools, "pid", json!({})).await.unwrap();
        let running = tokio::spawn({
            let tools = tools.clone();
            async move { call(&tools, "sleep", json!({})).await }
        });
        tokio::task::yield_now().await;
        kill(&id);
        let error = soon(running).await.unwrap().unwrap_err();
        assert!(
            error.contains("broke during") || error.contains("not available"),
            "{error}"
        );
        until(async || {
            call(&tools, "pid", json!({}))
                .await
                .is_ok_and(|next| next != id)
        })
        .await;
    }
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_is_started_again_however_busy_it_is_kept() {
    let tools = connect(McpServer {
        timeout: Duration::from_millis(500),
        ping: Duration::from_millis(200),
        ..child("good")
    })
    .await;
    let id = call(&tools, "pid", json!({})).await.unwrap();
    signal(&id, "-STOP");
    // There is a call at any time.
    let mut callers = JoinSet::new();
    for _ in 0..3 {
        let tools = tools.clone();
        callers.spawn(async move {
            loop {
                if call(&tools, "echo", json!({"text": "a"})).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    until(async || {
        call(&tools, "pid", json!({}))
            .await
            .is_ok_and(|next| next != id)
    })
    .await;
    assert!(!runs(&id));
    drop(callers);
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_is_started_again_where_callers_give_up_before_it_is_late() {
    let tools = connect(McpServer {
        timeout: Duration::from_millis(500),
        ping: Duration::from_millis(200),
        ..child("good")
    })
    .await;
    let id = call(&tools, "pid", json!({})).await.unwrap();
    signal(&id, "-STOP");
    let mut callers = JoinSet::new();
    for caller in 0..3 {
        let tools = tools.clone();
        callers.spawn(async move {
            // So that there is one at any time.
            tokio::time::sleep(Duration::from_millis(35 * caller)).await;
            loop {
                // As a channel does whose own limit is shorter.
                let limit = Duration::from_millis(100);
                let call = call(&tools, "echo", json!({"text": "a"}));
                let _ = tokio::time::timeout(limit, call).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    until(async || {
        call(&tools, "pid", json!({}))
            .await
            .is_ok_and(|next| next != id)
    })
    .await;
    drop(callers);
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x6_what_a_program_said_before_it_crashed_is_for_no_other_caller() {
    let file = std::env::temp_dir().join(format!("roomkit-mcp-once-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let mut server = child("once");
    server
        .env
        .insert("FILE".into(), file.to_str().unwrap().into());
    let tools = connect(server).await;
    call(&tools, "crash", json!({})).await.unwrap_err();
    until_lost(&tools).await;
    let first = tools.status()[0].problem.clone().unwrap();
    assert!(!first.contains("4711"), "{first}");
    let told = "the MCP server `child` is not available at the moment";
    let error = call(&tools, "echo", json!({})).await.unwrap_err();
    assert_eq!(error, told);
    // Why it does not start is for the host, who has no caller on it.
    until(async || {
        let problem = tools.status()[0].problem.clone().unwrap_or_default();
        problem.contains("I was here before")
    })
    .await;
    let error = call(&tools, "echo", json!({})).await.unwrap_err();
    assert_eq!(error, told);
    tools.close().await;
    let _ = std::fs::remove_file(&file);
}

/// 1 000 calls to a program that is killed every 50: each is answered, and none runs twice.
#[tokio::test(flavor = "multi_thread")]
async fn k1_k2_a_thousand_calls_of_a_program_that_is_killed_every_fifty() {
    let file = std::env::temp_dir().join(format!("roomkit-mcp-notes-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let tools = connect(child("good")).await;
    let (mut answers, mut done) = (0, 0);
    for round in 0..20 {
        until_connected(&tools).await;
        let id = call(&tools, "pid", json!({})).await.unwrap();
        let calls = (0..50).map(|number| {
            let arguments = json!({"file": file, "number": round * 50 + number});
            let (tools, id) = (tools.clone(), id.clone());
            async move {
                if number == 25 {
                    kill(&id);
                }
                call(&tools, "note", arguments).await
            }
        });
        let results = soon(futures_util::future::join_all(calls)).await;
        answers += results.len();
        done += results.iter().filter(|result| result.is_ok()).count();
        until(async || {
            call(&tools, "pid", json!({}))
                .await
                .is_ok_and(|next| next != id)
        })
        .await;
    }
    tools.close().await;
    let notes = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let ran: Vec<&str> = notes.lines().collect();
    let different: std::collections::HashSet<&str> = ran.iter().copied().collect();
    assert_eq!(answers, 1000);
    assert_eq!(ran.len(), different.len(), "no call ran twice");
    assert!(
        done <= ran.len(),
        "what was said to be done was done: {done}, {}",
        ran.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn x1_a_program_that_does_not_start_is_told_with_its_last_words_and_no_key() {
    let error = soon(McpTools::connect([child("dies")])).await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, McpError::Unreachable { .. }));
    assert!(
        told.contains("exit status: 7") && told.contains("there is no database"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");

    let absent = McpServer::process("/no/such/program", [""; 0]);
    let told = soon(McpTools::connect([absent]))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("`/no/such/program` cannot be started"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_waits_for_an_answer_is_told_of_with_its_question() {
    let waits = McpServer {
        connect_timeout: Duration::from_secs(2),
        ..child("asks")
    };
    let told = soon(McpTools::connect([waits])).await.unwrap_err();
    let told = told.to_string();
    for part in ["within 2 s", "connect_timeout_s", "Ok to proceed? (y)"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_at_once_is_tried_again_and_again_but_not_faster() {
    let tools = soon(McpTools::connect([McpServer {
        required: false,
        ..child("dies")
    }]))
    .await
    .unwrap();
    assert!(tools.tools().await.unwrap().is_empty());
    until_lost(&tools).await;
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x1_a_program_does_not_get_our_environment() {
    // Cargo sets these for the test, as an operator sets a vendor's key.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    let tools = connect(child("good")).await;
    let names = call(&tools, "environment", json!({})).await.unwrap();
    let names: Vec<&str> = names.as_str().unwrap().split(' ').collect();
    assert!(
        names.contains(&"PATH") && names.contains(&"KEY"),
        "{names:?}"
    );
    assert!(!names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
    tools.close().await;

    let tools = connect(McpServer {
        inherit_env: vec!["CARGO_MANIFEST_DIR".into()],
        ..child("good")
    })
    .await;
    let names = call(&tools, "environment", json!({})).await.unwrap();
    assert!(names.as_str().unwrap().contains("CARGO_MANIFEST_DIR"));
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k6_x5_a_program_that_says_too_much_at_once_is_an_error_and_tools_work_again() {
    let tools = connect(McpServer {
        max_message_bytes: 100_000,
        timeout: Duration::from_secs(5),
        ..child("good")
    })
    .await;
    let error = call(&tools, "huge", json!({})).await.unwrap_err();
    assert!(error.len() < 1000, "{error}");
    until(async || call(&tools, "echo", json!({"text": "a"})).await == Ok(json!("a"))).await;
    soon(tools.close()).await;
}
