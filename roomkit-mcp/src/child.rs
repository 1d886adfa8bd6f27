//! A server that is a child process: started in a group of its own, and never left behind.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::secrets::Secrets;

/// How long a program may take to end after its input has ended, and again after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How long what an ended program said may take to be read, should something that outlived it keep
/// the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a program whose pipe broke may take to be seen to have ended.
const ENDING: Duration = Duration::from_millis(200);
/// The longest line of a program's standard error that is kept, in bytes.
const LONGEST_LINE: usize = 2048;
/// How many of its last lines explain why it did not start.
const LAST_LINES: usize = 3;

/// What a program gets of this process's environment without being asked: enough to run, no keys.
#[cfg(unix)]
const HARMLESS: [&str; 11] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
];
#[cfg(not(unix))]
const HARMLESS: [&str; 12] = [
    "PATH",
    "APPDATA",
    "HOMEDRIVE",
    "HOMEPATH",
    "LOCALAPPDATA",
    "PATHEXT",
    "PROGRAMFILES",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "USERNAME",
    "USERPROFILE",
];

/// What is started.
pub(crate) struct Program {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, SecretString>,
    pub(crate) inherit_env: Vec<String>,
    pub(crate) working_dir: Option<PathBuf>,
    pub(crate) max_message_bytes: usize,
}

/// A program that runs. Dropped, it is killed with all it has started.
pub(crate) struct Process {
    child: Child,
    /// Which is also the id of its group.
    id: Option<u32>,
    said: Arc<Said>,
    /// Reads it.
    reading: Option<JoinHandle<()>>,
}

/// What a program says on its standard error.
#[derive(Default)]
struct Said {
    last_lines: Mutex<VecDeque<String>>,
    /// It works for callers, and may say what they say: nobody hears that, but a trace (contract X6).
    serves: AtomicBool,
}

impl Program {
    /// Starts it. `server` is its name in logs.
    pub(crate) fn start(
        &self,
        server: &str,
        secrets: &Secrets,
    ) -> io::Result<(Process, ChildStdout, ChildStdin)> {
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let inherited = HARMLESS.iter().copied();
        for name in inherited.chain(self.inherit_env.iter().map(String::as_str)) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in &self.env {
            command.env(name, value.expose_secret());
        }
        if let Some(directory) = &self.working_dir {
            command.current_dir(directory);
        }
        // A group of its own: what the program starts ends with it, and a Ctrl-C at our terminal
        // is ours to pass on.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let pipe = || io::Error::other("the program has no pipes");
        let output = child.stdout.take().ok_or_else(pipe)?;
        let input = child.stdin.take().ok_or_else(pipe)?;
        let said = Arc::<Said>::default();
        let reading = child.stderr.take().map(|errors| {
            let (server, secrets) = (server.to_owned(), secrets.clone());
            tokio::spawn(log(errors, server, secrets, Arc::clone(&said)))
        });
        let process = Process {
            id: child.id(),
            child,
            said,
            reading,
        };
        Ok((process, output, input))
    }
}

impl Process {
    /// Returns when the program has ended, with how.
    pub(crate) async fn ended(&mut self) -> String {
        let ended = self.child.wait().await;
        self.end_group();
        // It said why before it ended, and that may still be on its way.
        if let Some(reading) = &mut self.reading {
            let _ = timeout(LAST_WORDS, reading).await;
            self.reading = None;
        }
        match ended {
            Ok(status) => format!("the program ended ({status})"),
            Err(error) => format!("the program was lost ({error})"),
        }
    }

    /// It has become ready, and from now on works for callers.
    pub(crate) fn serves(&self) {
        self.said.serves.store(true, Ordering::Relaxed);
    }

    /// It broke off before it was ready. Gives how, or else the problem, as [`given_up`](Self::given_up)
    /// does.
    pub(crate) async fn broke(mut self, problem: String) -> String {
        // Its status says more than the pipe that broke.
        let ended = timeout(ENDING, self.ended()).await;
        self.given_up(ended.unwrap_or(problem)).await
    }

    /// Kills it, if it has not ended. Gives the problem, with what it said last on its standard error
    /// before it was ready: for those who run it, and for no caller.
    pub(crate) async fn given_up(mut self, problem: String) -> String {
        self.signal(true);
        // Its last line may have no end: a question that it waits to be answered.
        let _ = timeout(LAST_WORDS, self.ended()).await;
        let lines = self.said.last_lines.lock();
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return problem;
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("{problem}; it said: {}", lines.join(" / "))
    }

    /// Ends it. Its input must be closed: that is the word to go (MCP, "Lifecycle", Shutdown). Then
    /// it is asked, then killed, and so is whatever it leaves behind.
    pub(crate) async fn stop(mut self) {
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.signal(false);
            if timeout(GRACE, self.child.wait()).await.is_err() {
                self.signal(true);
                let _ = timeout(GRACE, self.child.wait()).await;
            }
        }
        self.end_group();
    }

    /// Kills what the program left behind. At once after its end: its id may soon be another's.
    fn end_group(&mut self) {
        self.signal(true);
        self.id = None;
    }

    #[cfg(unix)]
    fn signal(&self, kill: bool) {
        use nix::{
            sys::signal::{Signal, killpg},
            unistd::Pid,
        };
        let signal = if kill {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        };
        if let Some(id) = self.id.and_then(|id| i32::try_from(id).ok()) {
            // An error means that nobody of the group is left.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }

    #[cfg(not(unix))]
    fn signal(&mut self, kill: bool) {
        if kill {
            let _ = self.child.start_kill();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_group();
    }
}

/// Passes a program's standard error on to the log.
async fn log(mut errors: ChildStderr, server: String, secrets: Secrets, said: Arc<Said>) {
    let tell = |line: &[u8]| {
        let text = secrets.redact(String::from_utf8_lossy(line).trim_end());
        if said.serves.load(Ordering::Relaxed) {
            tracing::trace!(server, "{text}");
            return;
        }
        tracing::debug!(server, "{text}");
        let mut last = said
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.push_back(text);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    };
    let mut buffer = [0_u8; 4096];
    let mut line = Vec::new();
    loop {
        let read = errors.read(&mut buffer).await.unwrap_or(0);
        for byte in buffer.iter().take(read).copied() {
            if byte == b'\n' {
                tell(&line);
                line.clear();
            } else if line.len() < LONGEST_LINE {
                line.push(byte);
            }
        }
        if read == 0 {
            // Many do not end their last line.
            if !line.is_empty() {
                tell(&line);
            }
            return;
        }
    }
}
