//! Programs under measurement: started on one core, looked at through `/proc`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::Outcome;

/// The core of the program under measurement; all else runs on the other.
pub(crate) const CORE: usize = 0;
pub(crate) const OTHERS: usize = 1;

/// What cannot have its port is gone by then.
const MAY_FAIL: Duration = Duration::from_millis(200);

/// A program that runs, and is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    pid: u32,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program that lies beside this one, on that core.
    pub(crate) fn start(program: &str, core: usize, arguments: &[String]) -> Outcome<Self> {
        Self::start_at(&beside(program)?, core, arguments)
    }

    /// Starts any program, on that core.
    pub(crate) fn start_at(program: &Path, core: usize, arguments: &[String]) -> Outcome<Self> {
        // A server's log would be in between; what goes wrong in a program of ours has to be seen.
        let stderr = if program.ends_with("roomkit-bench") {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        let mut child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .env("OPENAI_API_KEY", "sk-bench")
            .env("GOOGLE_API_KEY", "AIza-bench")
            .kill_on_drop(true)
            .spawn()?;
        // `taskset` becomes the program: its process id is the program's.
        let pid = child.id().ok_or("it is gone at once")?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        Ok(Self {
            child,
            pid,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Waits until something listens on the port.
    pub(crate) async fn wait_for_port(&mut self, port: u16) -> Outcome<()> {
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), listening)
            .await
            .map_err(|_| "it does not listen")?;
        // A program of an earlier run may listen there: what was started cannot, and ends.
        match timeout(MAY_FAIL, self.child.wait()).await {
            Ok(status) => Err(format!(
                "a program under measurement has ended ({}): port {port} is another's, perhaps of an earlier run",
                status?
            )
            .into()),
            Err(_) => Ok(()),
        }
    }

    /// CPU time used so far, by all its threads and those that have ended.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid)?));
        let ended = |error| format!("the program under measurement has no clock any more: {error}");
        let used = clock.and_then(ClockId::now).map_err(ended)?;
        Ok(used.into())
    }

    /// Memory in use, in KiB.
    pub(crate) fn memory(&self) -> Outcome<u64> {
        self.status("VmRSS:")
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> Outcome<u64> {
        self.status("Threads:")
    }

    /// How many files and sockets it has open.
    pub(crate) fn files(&self) -> Outcome<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }

    /// How often its threads have gone to sleep so far, each of which is one time to be woken.
    pub(crate) fn sleeps(&self) -> Outcome<u64> {
        let mut sleeps = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            sleeps += field(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(sleeps)
    }

    fn status(&self, name: &str) -> Outcome<u64> {
        field(
            &fs::read_to_string(format!("/proc/{}/status", self.pid))?,
            name,
        )
    }

    pub(crate) async fn stop(mut self) -> Outcome<()> {
        self.child.kill().await?;
        Ok(())
    }
}

/// The words of a command line none of which has a space in it.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn field(status: &str, name: &str) -> Outcome<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next());
    let ended = || {
        format!(
            "the program under measurement has no `{name}` any more: it has ended, perhaps because another one has its port"
        )
    };
    Ok(value.ok_or_else(ended)?.parse()?)
}

fn beside(program: &str) -> Outcome<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(program);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!(
            "{} is missing; build it with --release first",
            path.display()
        )
        .into())
    }
}
