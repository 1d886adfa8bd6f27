//! The WebRTC measurement: floor and server, one after the other, in several rounds.

mod caller;
mod conduct;
mod ear;
pub(crate) mod floor;
mod http;
mod line;
pub(crate) mod load;
pub(crate) mod soak;
mod speech;
mod subject;
mod table;

use std::{io::Write, time::Duration};

use clap::Args;
use tokio::time::sleep;

use self::{
    load::{Mode, Report},
    subject::{Running, Subject},
};
use crate::{Outcome, arguments::one_or_more, table::Table, ws::in_turn};

/// Until calls that have ended are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Options {
    /// How many callers.
    #[arg(long, default_value_t = 50, value_parser = one_or_more::<usize>())]
    pub(crate) sessions: usize,
    /// How long each round is measured, in seconds.
    #[arg(long, default_value_t = 20, value_parser = one_or_more::<u64>())]
    pub(crate) seconds: u64,
    /// Rounds; floor and server take turns.
    #[arg(long, default_value_t = 3, value_parser = one_or_more::<usize>())]
    pub(crate) rounds: usize,
    /// What the callers do.
    #[arg(long, value_enum, default_value_t = Mode::Talk)]
    pub(crate) mode: Mode,
    /// How many of the callers decode what they hear, and measure it.
    #[arg(long, default_value_t = 2)]
    pub(crate) measured: usize,
    /// Leave the floor out.
    #[arg(long)]
    pub(crate) server_only: bool,
}

/// What one round showed.
struct Round {
    /// Share of a core per session, in per cent.
    cpu: f64,
    /// How often per session and second a thread went to sleep.
    sleeps: f64,
    /// KiB per session.
    idle: f64,
    active: f64,
    report: Report,
}

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let (mut floor, mut server) = (Vec::new(), Vec::new());
    for number in 0..options.rounds {
        for place in in_turn(2, number) {
            let (subject, rounds) = match place {
                0 if options.server_only => continue,
                0 => (Subject::Floor, &mut floor),
                _ => (Subject::Server, &mut server),
            };
            let round = measure(subject, options).await?;
            // A line as soon as it is known: whole tables take minutes.
            writeln!(
                std::io::stderr().lock(),
                "{}: {:.3} % CPU, {:.0} / {:.0} KiB",
                subject.name(),
                round.cpu,
                round.idle,
                round.active
            )?;
            rounds.push(round);
        }
    }
    Ok(table::table(options, &floor, &server))
}

async fn measure(subject: Subject, options: &Options) -> Outcome<Round> {
    let running = subject.start(options.mode).await?;
    // What the first call ever takes, above all the pages of the program itself, no other takes.
    let mut first = running.callers("talk", 1, 0, 2)?;
    first.lines.next_line().await?;
    first.lines.next_line().await?;
    first.stop().await?;
    sleep(FORGOTTEN).await;
    let before = running.process.memory()?;
    let idle = idle(&running, options.sessions).await?;

    let (warm_up, mode) = match options.mode {
        // Until all have had their turn once.
        Mode::Conversation => (12, "conversation"),
        Mode::Talk | Mode::Silent => (3, "talk"),
    };
    let (sessions, seconds) = (options.sessions, options.seconds);
    // The last second is theirs, in case they are late.
    let talk = warm_up + seconds + 1;
    let mut callers = running.callers(mode, sessions, options.measured, talk)?;
    callers.lines.next_line().await?;
    sleep(Duration::from_secs(warm_up)).await;
    let (cpu, sleeps) = (running.process.cpu()?, running.process.sleeps()?);
    sleep(Duration::from_secs(seconds)).await;
    let used = running.process.cpu()?.saturating_sub(cpu);
    let sleeps = running.process.sleeps()?.saturating_sub(sleeps);
    let active = running.process.memory()?;
    let line = callers.lines.next_line().await?;
    let report = serde_json::from_str(&line.ok_or("the callers have failed")?)?;
    callers.stop().await?;
    running.stop().await?;
    let (sessions, seconds) = (sessions as f64, seconds as f64);
    Ok(Round {
        cpu: used.as_secs_f64() / seconds / sessions * 100.0,
        sleeps: sleeps as f64 / seconds / sessions,
        idle: idle.saturating_sub(before) as f64 / sessions,
        active: active.saturating_sub(before) as f64 / sessions,
        report,
    })
}

/// Memory with callers who say nothing.
async fn idle(running: &Running, sessions: usize) -> Outcome<u64> {
    let mut callers = running.callers("silent", sessions, 0, 2)?;
    callers.lines.next_line().await?;
    sleep(Duration::from_secs(1)).await;
    let memory = running.process.memory()?;
    callers.lines.next_line().await?;
    callers.stop().await?;
    sleep(FORGOTTEN).await;
    Ok(memory)
}
