//! Calls that the server records (contracts V1, V5).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use roomkit::mock::fake_openai::{FakeOpenAi, Fault, FaultAction, FaultPoint};
use roomkit_server::{Server, config::Config};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::support::{Socket, TestServer, soon};

/// A directory for one test, gone when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("roomkit-server-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn settings(&self, more: &str) -> String {
        format!(
            "[recording]\nsink = \"wav\"\nconfig = {{ directory = '{}' }}\n{more}",
            self.0.display()
        )
    }

    /// The files with this ending.
    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let meant = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
        paths.filter(meant).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sidecar(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Both sides of a WAV of ours, whose header has 80 bytes.
fn sides(path: &Path) -> [Vec<i16>; 2] {
    let bytes = fs::read(path).unwrap();
    [0, 2].map(|side| {
        let frames = bytes[80..].chunks_exact(4);
        frames
            .map(|frame| i16::from_le_bytes([frame[side], frame[side + 1]]))
            .collect()
    })
}

/// Where a side is first loud, in ms, and for how long it is in all.
fn loud(side: &[i16]) -> (usize, usize) {
    let is_loud = |sample: &&i16| sample.unsigned_abs() > 1000;
    let first = side.iter().position(|sample| is_loud(&sample)).unwrap();
    (first / 24, side.iter().filter(is_loud).count() / 24)
}

#[tokio::test]
async fn v5_a_conversation_with_the_echo_is_on_both_sides_of_a_file() {
    let directory = Directory::new("given");
    let server = TestServer::start(&directory.settings("consent = \"given\"")).await;
    let (mut caller, room) = server.session("?audio=binary&participant=ann").await;
    let state = caller.until("recording").await;
    assert_eq!(state, json!({"type": "recording", "state": "on"}));
    caller.speak().await;
    caller.words("user", "you spoke").await;
    caller.words("assistant", "echo of").await;
    // The caller may not decide, and is told so.
    caller.send(json!({"type": "recording", "on": false})).await;
    let refusal = caller.until("error").await;
    assert_eq!(refusal["code"], "recording_not_allowed");
    caller.hang_up().await;
    server.stopped().await;

    let lines = sidecar(&directory.files("jsonl")[0]);
    assert_eq!(lines[0]["room_id"], room);
    assert_eq!(lines[0]["participant_id"], "ann");
    assert_eq!(lines[0]["provider"], "echo");
    let words: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "transcript")
        .map(|line| line["role"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["user", "assistant"]);
    let end = lines.last().unwrap();
    assert_eq!((&end["type"], &end["missed"]), (&json!("end"), &json!(0)));

    let files = directory.files("wav");
    assert_eq!(files.len(), 1);
    let [left, right] = sides(&files[0]);
    assert_eq!(left.len(), right.len());
    let length = left.len() as u64 / 24;
    assert!(length.abs_diff(end["duration_ms"].as_u64().unwrap()) <= 1);
    let ((asked, said), (answered, heard)) = (loud(&left), loud(&right));
    // This caller sends a second of audio at once, so not all of it is where it was said.
    assert!((500..=600).contains(&said), "{said} ms were said");
    assert!((400..=700).contains(&heard), "{heard} ms were heard");
    assert!(asked < answered);
}

#[tokio::test]
async fn v1_a_call_is_recorded_once_its_caller_consents() {
    let directory = Directory::new("ask");
    let server = TestServer::start(&directory.settings("")).await;
    let (mut caller, _) = server.session("?audio=binary").await;
    let off = json!({"type": "recording", "state": "off"});
    assert_eq!(caller.until("recording").await, off);
    caller.speak().await;
    caller.words("assistant", "echo of").await;
    assert_eq!(directory.files("wav").len(), 0, "nothing is kept");

    caller.send(json!({"type": "recording", "on": true})).await;
    assert_eq!(caller.until("recording").await["state"], "on");
    caller.send(json!({"type": "text", "text": "hello"})).await;
    caller.words("assistant", "hello").await;
    caller.send(json!({"type": "recording", "on": false})).await;
    assert_eq!(caller.until("recording").await["state"], "paused");
    caller.hang_up().await;
    server.stopped().await;

    let lines = sidecar(&directory.files("jsonl")[0]);
    assert_eq!(lines[0]["consent"], "client");
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.first(), Some(&"session"));
    assert!(kinds.ends_with(&["paused", "end"]), "{kinds:?}");
    let text = fs::read_to_string(&directory.files("jsonl")[0]).unwrap();
    assert!(!text.contains("you spoke"), "said before consent: {text}");
    let [left, right] = sides(&directory.files("wav")[0]);
    assert!(left.iter().all(|sample| *sample == 0));
    assert!(loud(&right).1 > 0);
}

#[tokio::test]
async fn v1_whoever_may_write_to_a_room_pauses_its_recordings() {
    let directory = Directory::new("paused");
    let server = TestServer::start(&directory.settings("consent = \"given\"")).await;
    let ask = async |state: &str| {
        let wish = json!({ "state": state });
        server.post("/rooms/lobby/recording", wish).await
    };
    server
        .post("/rooms/lobby/recording", json!({"state": "paused"}))
        .await
        .is_error(404, "room_not_found");
    let (mut caller, _) = server.session("?audio=binary&room=lobby").await;
    assert_eq!(caller.until("recording").await["state"], "on");

    let asked = ask("paused").await;
    assert_eq!((asked.status, asked.json()), (202, json!({"sessions": 1})));
    assert_eq!(caller.until("recording").await["state"], "paused");
    let described = server.get("/rooms/lobby").await.json();
    assert_eq!(described["sessions"][0]["recording"], "paused");
    caller.send(json!({"type": "text", "text": "4111"})).await;
    caller.words("assistant", "4111").await;

    assert_eq!(ask("on").await.status, 202);
    assert_eq!(caller.until("recording").await["state"], "on");
    caller.send(json!({"type": "text", "text": "thanks"})).await;
    caller.words("assistant", "thanks").await;
    let problem = ask("off").await.is_error(400, "bad_request");
    assert!(problem.contains("`paused`"), "{problem}");
    caller.hang_up().await;
    soon(async {
        while server.get("/rooms/lobby").await.json()["sessions"] != json!([]) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ask("paused").await.is_error(409, "no_session");
    server.stopped().await;

    let text = fs::read_to_string(&directory.files("jsonl")[0]).unwrap();
    assert!(text.contains("thanks") && !text.contains("4111"), "{text}");
}

#[tokio::test]
async fn v1_a_call_that_is_about_to_begin_is_paused_too() {
    // A vendor that never says that the call may begin.
    let silent = Fault::new(
        FaultPoint::BeforeSessionCreated,
        FaultAction::IgnoreSessionUpdates,
    );
    let vendor = FakeOpenAi::builder().api_key("sk-test").fault(silent);
    let vendor = vendor.start().await.unwrap();
    let provider = format!(
        "[provider]\nname = 'openai'\nconfig = {{ api_key = 'sk-test', base_url = '{}' }}",
        vendor.url()
    );
    let directory = Directory::new("beginning");
    let settings = directory.settings(&format!("consent = \"given\"\n{provider}"));
    let server = TestServer::start(&settings).await;
    let _caller = server.call("?room=lobby").await;
    soon(async {
        while server.get("/rooms/lobby").await.json()["sessions"][0]["recording"] != "off" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let wish = json!({"state": "paused"});
    let asked = server.post("/rooms/lobby/recording", wish).await;
    assert_eq!((asked.status, asked.json()), (202, json!({"sessions": 1})));
}

#[tokio::test]
async fn v1_what_is_not_recorded_cannot_be_paused() {
    let directory = Directory::new("unpaused");
    for (settings, code) in [
        (directory.settings(""), "no_consent"),
        (String::new(), "not_recorded"),
    ] {
        let server = TestServer::start(&settings).await;
        let (caller, _) = server.session("?room=lobby").await;
        for state in ["on", "paused"] {
            let wish = json!({ "state": state });
            let answer = server.post("/rooms/lobby/recording", wish).await;
            answer.is_error(409, code);
        }
        caller.hang_up().await;
    }
}

#[tokio::test]
async fn v5_a_process_that_is_killed_loses_less_than_a_second() {
    let directory = Directory::new("killed");
    fs::create_dir_all(&directory.0).unwrap();
    let file = directory.0.join("server.toml");
    fs::write(&file, directory.settings("consent = \"given\"")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_roomkit-server"))
        .args(["--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();
    let opened = Socket::open(address.parse().unwrap(), "/ws", &[]).await;
    let mut caller = opened.unwrap();
    assert_eq!(caller.until("recording").await["state"], "on");
    let began = Instant::now();
    caller.send(json!({"type": "text", "text": "hello"})).await;
    caller.words("assistant", "hello").await;
    let lived = began.elapsed();
    soon(program.kill()).await.unwrap();

    let [left, right] = sides(&directory.files("wav")[0]);
    assert_eq!(left.len(), right.len());
    let kept = Duration::from_millis(left.len() as u64 / 24);
    assert!(
        kept + Duration::from_secs(1) > lived,
        "{kept:?} of {lived:?}"
    );
    assert!(loud(&right).1 > 0, "the answer is there");
    let lines = sidecar(&directory.files("jsonl")[0]);
    assert_eq!(lines[0]["type"], "session");
    assert!(lines.iter().all(|line| line["type"] != "end"));
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_by_their_names() {
    let directory = Directory::new("refused");
    for (settings, problem) in [
        (
            directory.settings("client_decides = false"),
            "recording.client_decides: is false, so nobody can consent",
        ),
        (
            "[recording]\nsink = 'wav'\nconfig = { directory = '/dev/null/x' }".into(),
            "recording.config.directory: `/dev/null/x` cannot be written",
        ),
        (
            "[recording]\nsink = 'tape'".into(),
            "recording.sink: unknown recording sink `tape`; linked here: ogg_opus, wav",
        ),
    ] {
        let mut config: Config = toml::from_str(&settings).unwrap();
        config.listen = "127.0.0.1:0".into();
        let error = Server::bind(config).await.err().unwrap().to_string();
        assert!(error.contains(problem), "{error}");
    }
}
