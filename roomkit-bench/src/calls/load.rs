//! Many callers in one program.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

use super::{
    caller::{Call, Caller, FRAME_TIME},
    conduct::{Conduct, Interrupting, Looping, Silent, Timing},
    line::Lines,
};
use crate::{Outcome, crowd::Crowd, figures::println_now};

/// Between two callers who join.
const BETWEEN: Duration = Duration::from_millis(40);

#[derive(Args)]
pub(crate) struct Options {
    /// Where offers are posted.
    #[arg(long)]
    server: SocketAddr,
    /// How many callers.
    #[arg(long)]
    sessions: usize,
    /// How many of them listen and measure.
    #[arg(long, default_value_t = 2)]
    measured: usize,
    /// How long they talk once all are there, in seconds.
    #[arg(long)]
    seconds: u64,
    /// What they do.
    #[arg(long, value_enum)]
    mode: Mode,
}

/// What callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// They are there and say nothing.
    Silent,
    /// They speak all the time, and so does the AI, which sends back what it hears.
    Talk,
    /// They speak for 4 s of every 10; the AI answers in the pause.
    Conversation,
}

/// What became of all calls.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) calls: Vec<Call>,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let lines = Arc::new(Lines::new()?);
    let manners = Manners::new(options.mode)?;
    let stop = watch::Sender::new(false);
    let mut crowd = Crowd::new();
    // Made before the first call: it takes time that would be missing in the calls.
    let conducts = (0..options.sessions).map(|number| manners.of(number, options));
    for (number, conduct) in conducts
        .collect::<Outcome<Vec<_>>>()?
        .into_iter()
        .enumerate()
    {
        // Spread over a frame's time, as callers are.
        let offset = FRAME_TIME * number as u32 / options.sessions as u32;
        // An id is used once, and the server sees callers of several programs.
        let id = format!("bench-{}-{number}", std::process::id());
        let (lines, server) = (Arc::clone(&lines), options.server);
        let (ticket, stop) = (crowd.ticket(), stop.subscribe());
        crowd.spawn(async move {
            let mut conduct = conduct;
            let mut caller = Caller::join(&lines, server, &id).await?;
            ticket.joined();
            caller.talk(&mut *conduct, offset, stop).await?;
            Ok(caller.leave(conduct).await)
        });
        sleep(BETWEEN).await;
    }
    crowd.all_joined().await?;
    sleep(Duration::from_secs(options.seconds)).await;
    stop.send_replace(true);
    let calls = crowd.left().await?;
    println_now(&serde_json::to_string(&Report { calls })?)
}

/// What there is to say, made once for all callers.
struct Manners {
    usual: Option<Looping>,
}

impl Manners {
    fn new(mode: Mode) -> Outcome<Self> {
        let usual = match mode {
            Mode::Silent => None,
            Mode::Talk => Some(Looping::speech()?),
            Mode::Conversation => Some(Looping::conversation()?),
        };
        Ok(Self { usual })
    }

    fn of(&self, number: usize, options: &Options) -> Outcome<Box<dyn Conduct>> {
        let measures = number < options.measured;
        let share = number as f64 / options.sessions as f64;
        Ok(match (&self.usual, options.mode) {
            (None, _) => Box::new(Silent),
            (_, Mode::Talk) if measures => Box::new(Timing::new()?),
            (_, Mode::Conversation) if measures => Box::new(Interrupting::new()?),
            (Some(usual), _) => Box::new(usual.at(share)),
        })
    }
}
