//! Programs under measurement: started on one core, looked at through `/proc`.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::Outcome;

/// A program that runs, and is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    pid: u32,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program that lies beside this one, on that core.
    pub(crate) fn start(program: &str, core: usize, arguments: &[String]) -> Outcome<Self> {
        let mut child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(beside(program)?)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("OPENAI_API_KEY", "sk-bench")
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
    pub(crate) async fn wait_for_port(&self, port: u16) -> Outcome<()> {
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), listening)
            .await
            .map_err(|_| "it does not listen")?;
        Ok(())
    }

    /// CPU time used so far, by all its threads.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("odd /proc/stat")?;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|t| t.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Memory in use, in KiB.
    pub(crate) fn memory(&self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("odd VmRSS")?.parse()?)
    }

    pub(crate) async fn stop(mut self) -> Outcome<()> {
        self.child.kill().await?;
        Ok(())
    }
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
