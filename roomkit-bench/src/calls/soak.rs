//! Many calls, one after the other, some at a time: what is left of them in the server.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    caller::{Call, Caller},
    conduct::Looping,
    line::Lines,
    load::Mode,
    subject::{Running, Subject},
};
use crate::{
    Outcome,
    arguments::one_or_more,
    table::{Cell, Table},
};

/// After so many it is looked for the first time: by then everything has been used once.
const FIRST: usize = 100;
const TALKS_FOR: Duration = Duration::from_secs(1);
/// How long the server has to forget the last of them.
const FORGETS_FOR: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    /// How many calls.
    #[arg(long, default_value_t = 1000, value_parser = one_or_more::<usize>())]
    pub(crate) cycles: usize,
    /// How many at a time.
    #[arg(long, default_value_t = 20, value_parser = one_or_more::<usize>())]
    pub(crate) parallel: usize,
}

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let running = Subject::Server.start(Mode::Talk).await?;
    let command = format!(
        "roomkit-bench soak --cycles {} --parallel {}",
        options.cycles, options.parallel
    );
    let mut table = Table::new("Calls that come and go, WebRTC", command)
        .columns([
            "calls so far",
            "RSS KiB",
            "files",
            "threads",
            "failed",
            "seconds",
        ])
        .note(format!(
            "Calls of 1 s, {} at a time; looked at 5 s after the last of them.",
            options.parallel
        ));
    let began = Instant::now();
    let (mut done, mut failed) = (0, 0);
    let first = FIRST.min(options.cycles);
    for until in [0, first, options.cycles.midpoint(first), options.cycles] {
        failed += calls(&running, done..until, options.parallel).await?;
        done = until;
        sleep(FORGETS_FOR).await;
        let server = &running.process;
        table.row([
            Cell::count(done as u64),
            Cell::count(server.memory()?),
            Cell::count(server.files()? as u64),
            Cell::count(server.threads()?),
            Cell::count(failed as u64),
            Cell::figure(began.elapsed().as_secs_f64(), 0),
        ]);
    }
    running.stop().await?;
    Ok(table)
}

/// Makes calls, and says how many of them failed.
async fn calls(
    running: &Running,
    numbers: std::ops::Range<usize>,
    parallel: usize,
) -> Outcome<usize> {
    let lines = Arc::new(Lines::new()?);
    let speech = Looping::speech()?;
    let server = running.address;
    let mut calls = JoinSet::new();
    let mut failed = 0;
    for number in numbers {
        if calls.len() >= parallel {
            failed += ended(calls.join_next().await);
        }
        let (lines, mut speech) = (Arc::clone(&lines), speech.at(0.0));
        calls.spawn(async move {
            let mut caller = Caller::join(&lines, server, &format!("soak-{number}")).await?;
            let (stop, stopped) = watch::channel(false);
            let timer = async {
                sleep(TALKS_FOR).await;
                stop.send_replace(true);
            };
            let talk = caller.talk(&mut speech, Duration::ZERO, stopped);
            let (talked, ()) = tokio::join!(talk, timer);
            let call = caller.leave(Box::new(speech)).await;
            talked.map(|()| call)
        });
    }
    while let Some(call) = calls.join_next().await {
        failed += ended(Some(call));
    }
    Ok(failed)
}

/// 1 for a call that failed, or in which nothing was heard.
fn ended(call: Option<Result<Outcome<Call>, tokio::task::JoinError>>) -> usize {
    match call {
        Some(Ok(Ok(call))) if call.first_audio.is_some() => 0,
        None => 0,
        Some(Ok(Err(error))) => {
            eprintln!("a call failed: {error}");
            1
        }
        Some(_) => 1,
    }
}
