//! The WebSocket measurement: floor and server, one after the other, in several rounds.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use tokio::time::sleep;

use crate::{
    Outcome,
    figures::median,
    load::Report,
    process::{CORE, OTHERS, Process, words},
};

const VENDOR_PORT: u16 = 18_801;
const RELAY_PORT: u16 = 18_802;

#[derive(Args)]
pub(crate) struct Options {
    /// How many callers.
    #[arg(long, default_value_t = 100)]
    sessions: usize,
    /// How long each round talks, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds; floor and server take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Let the server record every call into this directory.
    #[arg(long)]
    record: Option<PathBuf>,
    /// What it records with.
    #[arg(long, default_value = "ogg_opus")]
    sink: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Floor,
    Server,
}

struct Round {
    /// Share of a core per session, in per cent.
    cpu: f64,
    /// KiB per session.
    idle: f64,
    active: f64,
    report: Report,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} sessions, {} s a round\n{:<8} {:>12} {:>9} {:>9} {:>10} {:>10} {:>12} {:>8}",
        options.sessions,
        options.seconds,
        "",
        "CPU/session",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "KiB idle",
        "KiB active",
        "lost"
    )?;
    let mut rounds: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (place, subject) in [Subject::Floor, Subject::Server].into_iter().enumerate() {
            let round = measure(subject, options).await?;
            let name = if subject == Subject::Floor {
                "floor"
            } else {
                "server"
            };
            let Report {
                sent,
                received,
                p50_us,
                p99_us,
                p999_us,
            } = round.report;
            writeln!(
                out,
                "{name:<8} {:>11.3}% {p50_us:>9} {p99_us:>9} {p999_us:>10} {:>10.0} {:>12.0} {:>8}",
                round.cpu,
                round.idle,
                round.active,
                sent.saturating_sub(received)
            )?;
            rounds[place].push(round);
        }
    }
    let median = |place: usize, of: fn(&Round) -> f64| median(rounds[place].iter().map(of));
    let cpu: fn(&Round) -> f64 = |round| round.cpu;
    let p99: fn(&Round) -> f64 = |round| f64::from(round.report.p99_us);
    writeln!(
        out,
        "medians: CPU {:.2} x the floor, p99 {:+.2} ms",
        median(1, cpu) / median(0, cpu),
        (median(1, p99) - median(0, p99)) / 1000.0
    )?;
    Ok(())
}

async fn measure(subject: Subject, options: &Options) -> Outcome<Round> {
    let vendor = Process::start(
        "roomkit-fake-openai",
        OTHERS,
        &words(&format!("--relay --listen 127.0.0.1:{VENDOR_PORT}")),
    )?;
    vendor.wait_for_port(VENDOR_PORT).await?;
    let upstream = format!("ws://127.0.0.1:{VENDOR_PORT}/v1/realtime");
    let relay = match subject {
        Subject::Floor => {
            let upstream = format!("{upstream}?model=gpt-realtime-2.1");
            let arguments = format!("floor --listen 127.0.0.1:{RELAY_PORT} --upstream {upstream}");
            Process::start("roomkit-bench", CORE, &words(&arguments))?
        }
        Subject::Server => {
            let config = std::env::temp_dir().join("roomkit-bench.toml");
            std::fs::write(
                &config,
                format!(
                    "listen = \"127.0.0.1:{RELAY_PORT}\"\n[provider]\nname = \"openai\"\n\
                     config = {{ base_url = \"{upstream}\" }}\n\
                     [limits]\nmax_sessions = 10000\nmax_sessions_per_address = 10000\nmax_load = 1.0\nmax_timer_lateness_ms = 0\n{}",
                    recording(options)
                ),
            )?;
            let arguments = ["--config".to_owned(), config.display().to_string()];
            Process::start("roomkit-server", CORE, &arguments)?
        }
    };
    relay.wait_for_port(RELAY_PORT).await?;
    let before = relay.memory()?;
    let idle = {
        let mut callers = callers(options.sessions, 2, true)?;
        callers.lines.next_line().await?;
        sleep(Duration::from_secs(1)).await;
        let idle = relay.memory()?;
        callers.lines.next_line().await?;
        callers.stop().await?;
        idle
    };
    sleep(Duration::from_secs(1)).await;

    let mut callers = callers(options.sessions, options.seconds, false)?;
    callers.lines.next_line().await?;
    sleep(Duration::from_secs(3)).await;
    let (cpu, window) = (
        relay.cpu()?,
        Duration::from_secs(options.seconds.saturating_sub(2).max(1)),
    );
    sleep(window).await;
    let used = relay.cpu()?.saturating_sub(cpu);
    let active = relay.memory()?;
    let line = callers
        .lines
        .next_line()
        .await?
        .ok_or("the callers said nothing")?;
    callers.stop().await?;
    relay.stop().await?;
    vendor.stop().await?;
    let sessions = options.sessions as f64;
    Ok(Round {
        cpu: used.as_secs_f64() / window.as_secs_f64() / sessions * 100.0,
        idle: idle.saturating_sub(before) as f64 / sessions,
        active: active.saturating_sub(before) as f64 / sessions,
        report: serde_json::from_str(&line)?,
    })
}

/// The part of the server's settings that lets it record.
fn recording(options: &Options) -> String {
    let Some(directory) = &options.record else {
        return String::new();
    };
    format!(
        "[recording]\nsink = '{}'\nconsent = 'given'\nconfig = {{ directory = '{}' }}\n",
        options.sink,
        directory.display()
    )
}

fn callers(sessions: usize, seconds: u64, silent: bool) -> Outcome<Process> {
    let silent = if silent { "--silent" } else { "" };
    let arguments = format!(
        "load --url ws://127.0.0.1:{RELAY_PORT}/ws --sessions {sessions} --seconds {seconds} {silent}"
    );
    Process::start("roomkit-bench", OTHERS, &words(&arguments))
}
