//! Runs every example to its end.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

/// Cargo builds examples for a test run, and puts them beside the folder of the tests.
fn example(name: &str) -> PathBuf {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not built; run `cargo build -p roomkit-examples --examples`",
        path.display()
    );
    path
}

#[track_caller]
fn says(name: &str, expected: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(example(name))
        .env_remove("GOOGLE_API_KEY")
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{stdout}{stderr}");
    for part in expected {
        assert!(stdout.contains(part), "`{part}` is missing in\n{stdout}");
    }
}

#[test]
fn first_call() {
    says(
        "first_call",
        &[
            "listening on ws://127.0.0.1:",
            "you spoke for",
            "echo of",
            "timeline",
        ],
    );
}

#[test]
fn axum_server() {
    says(
        "axum_server",
        &[
            "without a key: HTTP error: 401",
            r#""user": "my card is ****""#,
            "timeline 1: Some(\"my card is ****\")",
        ],
    );
}

#[test]
fn mcp() {
    says(
        "mcp",
        &[
            "tool weather_get: The weather in a city right now.",
            "snow",
            "no weather station there",
        ],
    );
}

#[test]
fn webrtc() {
    says(
        "webrtc",
        &[
            "listening on http://127.0.0.1:",
            "a client is connected",
            "the session has begun, in \"opus\"",
            "assistant",
            "packets of the voice have come",
        ],
    );
}

#[test]
fn gemini() {
    says(
        "gemini",
        &[
            "a fake answers",
            "What does the large plan cost?",
            "fifty a month",
            "the supervisor whispers",
            "20 % less",
        ],
    );
}

#[test]
fn hand_over() {
    says(
        "hand_over",
        &[
            "hand-over: started, Lost",
            "the caller is told: Reconnecting",
            "hand-over: Replayed, attempts: 1",
            "user: When will my order arrive?",
            "assistant: On Thursday.",
            "user: And can it come earlier?",
            "assistant: It can come on Wednesday.",
            "hand-over: started, Host",
        ],
    );
}

#[test]
fn supervisor() {
    says(
        "supervisor",
        &["Offer 20% discount", "supervisor (for voice)", "2019"],
    );
}

#[test]
fn tools() {
    says(
        "tools",
        &[
            "get_weather is called for ann",
            "snow",
            "book_table: asking the kitchen",
            "19:30",
            "no weather station",
        ],
    );
}

#[test]
fn log_channel() {
    says(
        "log_channel",
        &[
            "log: attached to support-1",
            "ann: (you spoke for",
            "echo of",
            "RoomClosed",
        ],
    );
}

#[test]
fn agents() {
    says(
        "agents",
        &[
            "triage: Welcome to Acme. What can I do?",
            "-- triage hands over to billing",
            "billing: Billing here. Which invoice?",
            "-- invoice 7",
            "billing: Invoice 7 is paid.",
            "-- news for 1 session",
            "billing: Your receipt is in your inbox.",
            "-- billing hands over to triage",
            "triage: Anything else?",
            "agents changed: 2",
        ],
    );
}
