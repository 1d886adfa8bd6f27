//! The program itself, as a process.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    task::JoinHandle,
};

use super::soon;

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomkit-server"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("OPENAI_API_KEY")
        .env_remove("AZURE_OPENAI_API_KEY")
        .env_remove("GOOGLE_API_KEY")
        .kill_on_drop(true);
    command
}

pub(crate) async fn output(arguments: &[&str]) -> Output {
    soon(program(arguments).output()).await.unwrap()
}

/// A configuration file that goes with the test.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let name = format!("roomkit-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) is_https: bool,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::with_log_to(Stdio::null(), arguments).await
    }

    /// Starts it, and reads its log to the end.
    pub(crate) async fn with_log(arguments: &[&str]) -> (Self, JoinHandle<String>) {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        Self::of(program(&all)).await
    }

    /// The same, of a program with an environment of its own.
    pub(crate) async fn of(mut command: Command) -> (Self, JoinHandle<String>) {
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Self::started(child).await;
        let mut stderr = server.child.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut log = String::new();
            stderr.read_to_string(&mut log).await.unwrap();
            log
        });
        (server, log)
    }

    /// Starts it, and hands its log out line by line.
    pub(crate) async fn with_lines(arguments: &[&str]) -> (Self, LogLines) {
        let mut server = Self::with_log_to(Stdio::piped(), arguments).await;
        let log = BufReader::new(server.child.stderr.take().unwrap()).lines();
        (server, LogLines(log))
    }

    async fn with_log_to(log: Stdio, arguments: &[&str]) -> Self {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        Self::started(program(&all).stderr(log).spawn().unwrap()).await
    }

    async fn started(mut child: Child) -> Self {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let url = line.strip_prefix("listening on ").unwrap();
        let (scheme, address) = url.split_once("://").unwrap();
        Self {
            child,
            is_https: scheme == "https",
            address: address.parse().unwrap(),
            lines,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        signal(self.id(), name).await;
    }

    pub(crate) async fn exit_code(mut self) -> Option<i32> {
        assert_eq!(
            soon(self.lines.next_line()).await.unwrap(),
            None,
            "one line, and no more"
        );
        soon(self.child.wait()).await.unwrap().code()
    }
}

/// Sends a signal to the process of this id.
pub(crate) async fn signal(id: u32, name: &str) {
    let command = format!("kill -{name} {id}");
    let sent = Command::new("sh").args(["-c", &command]).status().await;
    assert!(sent.unwrap().success());
}

pub(crate) struct LogLines(Lines<BufReader<ChildStderr>>);

impl LogLines {
    /// All lines up to the one with these words.
    pub(crate) async fn until(&mut self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = soon(self.0.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the log ends without `{words}`: {lines:?}"));
            let is_it = line.contains(words);
            lines.push(line);
            if is_it {
                return lines;
            }
        }
    }
}

/// One line on standard error, nothing on standard output, and the exit code.
#[track_caller]
pub(crate) fn is_refusal(output: &Output, code: i32, named: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in named {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}
