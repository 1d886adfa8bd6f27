//! How many sessions one core carries.

use clap::Args;

use crate::{
    Outcome,
    arguments::{at_least, one_or_more},
    table::{Cell, Table},
    ws::{self, Round, Subject, Vendor},
};

/// A session counts as carried while the round trip's p99 is below this, in us.
const BOUND_US: u32 = 20_000;
/// A core that is so busy, in per cent, is full.
const FULL: f64 = 97.0;

#[derive(Args)]
pub(crate) struct Options {
    /// The first number of sessions, and how many are added each time.
    #[arg(long, default_value_t = 50, value_parser = one_or_more::<usize>())]
    pub(crate) step: usize,
    /// The last number of sessions that is tried.
    #[arg(long, default_value_t = 1_000, value_parser = one_or_more::<usize>())]
    pub(crate) most: usize,
    /// How long each of them talks, in seconds.
    #[arg(long, default_value_t = 8, value_parser = at_least::<u64>(ws::SHORTEST))]
    pub(crate) seconds: u64,
}

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let command = format!(
        "roomkit-bench saturate --step {} --most {} --seconds {}",
        options.step, options.most, options.seconds
    );
    let mut table = Table::new("Sessions on one core, WebSocket", command)
        .columns([
            "program",
            "sessions",
            "CPU % in all",
            "p50 us",
            "p99 us",
            "callers' core %",
            "what ended it",
        ])
        .note(
            "The most sessions with a p99 below 20 ms and no frame lost (late ones are in the p99), and with how many that was over; one run. Where only the callers' core was full, the program \
             under measurement carries more than this machine can ask of it.",
        );
    for subject in [Subject::Floor, Subject::Server] {
        let ws = ws::Options::plain(Vendor::OpenAi, options.seconds);
        let mut carried: Option<(usize, Round)> = None;
        let mut ended = "the largest number that was tried".to_owned();
        for sessions in (options.step..=options.most).step_by(options.step) {
            let round = ws::measure(subject, &ws, sessions).await?;
            ws::progress(subject, sessions, &round)?;
            if round.report.p99_us > BOUND_US || round.report.lost() > 0 {
                let why = full(round.cpu * sessions as f64 + round.noise, round.others);
                ended = format!(
                    "{sessions}: p99 {} us, {} lost, {why}",
                    round.report.p99_us,
                    round.report.lost()
                );
                break;
            }
            carried = Some((sessions, round));
        }
        let Some((sessions, round)) = carried else {
            table.row([
                Cell::word(subject.name()),
                Cell::count(0),
                Cell::None,
                Cell::None,
                Cell::None,
                Cell::None,
                Cell::word(ended),
            ]);
            continue;
        };
        table.row([
            Cell::word(subject.name()),
            Cell::count(sessions as u64),
            Cell::figure(round.cpu * sessions as f64, 0),
            Cell::count(u64::from(round.report.p50_us)),
            Cell::count(u64::from(round.report.p99_us)),
            Cell::figure(round.others, 0),
            Cell::word(ended),
        ]);
    }
    Ok(table)
}

/// Whose core was full, of two that were so busy.
fn full(programs: f64, callers: f64) -> &'static str {
    match (programs > FULL, callers > FULL) {
        (true, true) => "both cores were full",
        (true, false) => "the program's core was full",
        (false, true) => "the callers' core was full",
        (false, false) => "neither core was full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_full_only_if_it_was_busy() {
        assert_eq!(full(74.0, 95.0), "neither core was full");
        assert_eq!(full(74.0, 102.0), "the callers' core was full");
        assert_eq!(full(99.0, 80.0), "the program's core was full");
        assert_eq!(full(99.0, 99.0), "both cores were full");
    }
}
