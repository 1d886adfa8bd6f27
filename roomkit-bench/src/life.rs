//! Sessions that come and go: one after another, and many at once. What is left of them in the
//! server, and how long a session takes to begin.

use std::{io::Write, time::Duration};

use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    Outcome,
    arguments::{at_least, one_or_more},
    checked::Checked,
    figures::{percentile, println_now},
    load::{self, Frame},
    process::{OTHERS, Process, words},
    table::{Cell, Table},
    ws::{self, Running, Subject, Vendor},
};

/// How long the server has to forget the last of them.
const FORGETS_FOR: Duration = Duration::from_secs(3);
/// The most memory that a session may leave behind when others have been before it, in bytes. A leaked
/// one would leave tens of thousands, an entry of a map more than this; what the allocator and the
/// counters of a young process still take is less.
const LEFT_BEHIND: f64 = 64.0;
/// Looks at the server, evenly spread over the sessions.
const LOOKS: usize = 5;
/// A call that is not over by then has failed: a thousand at once take one or two seconds.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// Sessions one after another.
    #[arg(long, default_value_t = 100_000, value_parser = at_least::<usize>(10 * LOOKS as u64))]
    pub(crate) sessions: usize,
    /// Sessions at once, after that.
    #[arg(long, default_value_t = 1_000, value_parser = one_or_more::<usize>())]
    pub(crate) crowd: usize,
    /// How often so many come at once.
    #[arg(long, default_value_t = 5)]
    pub(crate) crowds: usize,
    /// Fail if a session failed, or if sessions that are over leave something behind.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args)]
pub(crate) struct CallerOptions {
    /// Where they connect.
    #[arg(long)]
    url: String,
    /// How many.
    #[arg(long)]
    sessions: usize,
    /// How many at a time.
    #[arg(long)]
    parallel: usize,
}

#[derive(Serialize, Deserialize)]
struct Report {
    failed: usize,
    p50_us: u32,
    p99_us: u32,
}

/// What the server is like between sessions.
struct Look {
    sessions: usize,
    memory: u64,
    files: usize,
    threads: u64,
    failed: usize,
}

pub(crate) async fn run(options: &Options) -> Outcome<Checked> {
    let command = format!(
        "roomkit-bench life --sessions {} --crowd {} --crowds {}",
        options.sessions, options.crowd, options.crowds
    );
    let mut table = Table::new("Sessions that come and go, WebSocket", command)
        .columns([
            "sessions so far",
            "at a time",
            "RSS KiB",
            "files",
            "threads",
            "start p50 us",
            "start p99 us",
            "failed",
        ])
        .note(
            "From the connection to the first frame of audio back, then the client hangs up; `start` is from the \
             connection's first byte to `session_started`, with the vendor's handshake in it.",
        );
    let running = ws::start(Subject::Server, &ws::Options::plain(Vendor::OpenAi, 0), "").await?;
    let mut so_far = 0;
    look(&mut table, &running, 0, 0, None)?;
    let (mut steady, mut crowds) = (Vec::new(), Vec::new());
    // The first of them are few: by then everything has been used once.
    let warm_up = (options.sessions / 100).clamp(1, options.sessions.max(1));
    let step = options.sessions.saturating_sub(warm_up) / LOOKS;
    for sessions in std::iter::once(warm_up).chain([step; LOOKS]) {
        let report = callers(sessions, 1).await?;
        so_far += sessions;
        steady.push(look(&mut table, &running, so_far, 1, Some(&report))?);
    }
    for _ in 0..options.crowds {
        let report = callers(options.crowd, options.crowd).await?;
        so_far += options.crowd;
        let crowd = options.crowd;
        crowds.push(look(&mut table, &running, so_far, crowd, Some(&report))?);
    }
    running.stop().await?;
    let mut lived = Checked::new(table);
    if let [_, first, .., last] = steady.as_slice()
        && first.sessions < last.sessions
    {
        let grown = (last.memory as f64 - first.memory as f64) * 1024.0;
        let slope = grown / (last.sessions - first.sessions) as f64;
        let note =
            format!("One after another, once warm: {slope:+.1} bytes of memory per session.");
        lived.table.notes.push(note);
        if slope > LEFT_BEHIND {
            lived.problem(format!("Each may leave {LEFT_BEHIND} bytes behind."));
        }
    }
    let looks = || steady.iter().chain(&crowds);
    let failed: usize = looks().map(|look| look.failed).sum();
    if failed > 0 {
        lived.problem(format!("{failed} sessions failed."));
    }
    let open = |look: &Look| (look.files, look.threads);
    if let (Some(first), Some(last)) = (looks().next(), looks().last())
        && open(first) != open(last)
    {
        let problem =
            "Files or threads are left behind: as many must be open in the end as there were.";
        lived.problem(problem.into());
    }
    Ok(lived)
}

fn look(
    table: &mut Table,
    running: &Running,
    so_far: usize,
    parallel: usize,
    report: Option<&Report>,
) -> Outcome<Look> {
    let server = &running.relay;
    let (memory, files, threads) = (server.memory()?, server.files()?, server.threads()?);
    writeln!(
        std::io::stderr().lock(),
        "{so_far} sessions: {memory} KiB, {files} files"
    )?;
    let of = |figure: fn(&Report) -> u64| {
        report.map_or(Cell::None, |report| Cell::count(figure(report)))
    };
    table.row([
        Cell::count(so_far as u64),
        Cell::count(parallel as u64),
        Cell::count(memory),
        Cell::count(files as u64),
        Cell::count(threads),
        of(|report| u64::from(report.p50_us)),
        of(|report| u64::from(report.p99_us)),
        of(|report| report.failed as u64),
    ]);
    Ok(Look {
        sessions: so_far,
        memory,
        files,
        threads,
        failed: report.map_or(0, |report| report.failed),
    })
}

async fn callers(sessions: usize, parallel: usize) -> Outcome<Report> {
    let arguments = format!(
        "load-life --url {} --sessions {sessions} --parallel {parallel}",
        ws::url()
    );
    let mut callers = Process::start("roomkit-bench", OTHERS, &words(&arguments))?;
    let report = callers.lines.next_line().await?;
    let report = serde_json::from_str(&report.ok_or("the callers said nothing")?)?;
    sleep(FORGETS_FOR).await;
    Ok(report)
}

/// Makes the calls, and prints what they measured as one line of JSON.
pub(crate) async fn call(options: &CallerOptions) -> Outcome<()> {
    let mut calls = JoinSet::new();
    let (mut times, mut failed) = (Vec::new(), 0);
    let mut note = |call: Option<Result<Outcome<Duration>, _>>| match call {
        Some(Ok(Ok(time))) => times.push(time.as_micros() as u32),
        Some(Ok(Err(error))) => {
            eprintln!("a session failed: {error}");
            failed += 1;
        }
        Some(Err(_)) => failed += 1,
        None => {}
    };
    for _ in 0..options.sessions {
        if calls.len() >= options.parallel {
            note(calls.join_next().await);
        }
        let call = timeout(PATIENCE, short_call(options.url.clone()));
        calls.spawn(async { call.await? });
    }
    while let Some(call) = calls.join_next().await {
        note(Some(call));
    }
    times.sort_unstable();
    println_now(&serde_json::to_string(&Report {
        failed,
        p50_us: percentile(&times, 0.5),
        p99_us: percentile(&times, 0.99),
    })?)
}

/// Says a word, hears it, and hangs up. Gives how long the session took to begin.
async fn short_call(url: String) -> Outcome<Duration> {
    let began = Instant::now();
    let mut socket = load::connect(&url).await?;
    let started = began.elapsed();
    let mut frame = Frame::new(Vendor::OpenAi.rate());
    socket.send(frame.at(Duration::ZERO)).await?;
    while let Some(message) = socket.next().await.transpose()? {
        if Frame::read(&message).is_some() {
            socket.send(Message::Close(None)).await?;
            // The server's own, so that the end is not a reset.
            while let Some(Ok(_)) = socket.next().await {}
            return Ok(started);
        }
    }
    Err("the server hung up".into())
}
