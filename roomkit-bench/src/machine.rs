//! What the measurements ran on, and what else went on there meanwhile.

use std::{fs, time::Duration};

use serde::Serialize;

use crate::Outcome;

/// The machine, as a reader of the figures has to know it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// The commit that is checked out, with a `+` if anything differs from it; none outside of Git.
    pub(crate) commit: Option<String>,
}

impl Machine {
    pub(crate) fn look() -> Outcome<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let kib: u64 = value(&memory, "MemTotal").parse()?;
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            cpu: model(&cpu),
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: kib / 1024,
            kernel: kernel.trim().to_owned(),
            commit: commit(),
        })
    }
}

fn commit() -> Option<String> {
    let mut commit = git(&["rev-parse", "--short", "HEAD"])?;
    // The page of the last run is no difference in what is measured.
    let pages = ":(top,exclude)docs/benchmarks.*";
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":(top)",
        pages,
    ]);
    if changed.is_none_or(|changed| !changed.is_empty()) {
        commit.push('+');
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let mut git = std::process::Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments);
    let asked = git.output().ok().filter(|asked| asked.status.success())?;
    Some(String::from_utf8(asked.stdout).ok()?.trim().to_owned())
}

fn model(cpu: &str) -> String {
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let name = model.and_then(|line| line.split_once(':'));
    name.map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.unwrap_or("0")
}

/// How long that core has been busy since the machine began, for whomever; the time that the host of
/// a virtual machine took for itself included.
pub(crate) fn busy(core: usize) -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    let ticks = line.ok_or("no such core in /proc/stat")?.split_whitespace();
    let ticks = ticks
        .map(str::parse::<u64>)
        .collect::<Result<Vec<_>, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal.
    let busy = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|place| ticks.get(*place));
    Ok(Duration::from_millis(busy.sum::<u64>() * 10))
}
