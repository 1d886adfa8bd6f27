//! What the rounds showed, in rows.

use super::{Options, Round, caller::Call, conduct::Interruption};
use crate::{
    figures::median,
    table::{Cell, Table},
    ws::compared,
};

pub(super) fn table(options: &Options, floor: &[Round], server: &[Round]) -> Table {
    let mode = format!("{:?}", options.mode).to_lowercase();
    let command = format!(
        "roomkit-bench webrtc --mode {mode} --sessions {} --seconds {} --rounds {} --measured {}{}",
        options.sessions,
        options.seconds,
        options.rounds,
        options.measured,
        if options.server_only {
            " --server-only"
        } else {
            ""
        }
    );
    let mut table = Table::new(
        format!(
            "WebRTC with Opus, {mode}, {} sessions",
            options.sessions
        ),
        command,
    )
    .columns([
        "program",
        "CPU %/session",
        "x floor",
        "each round",
        "wake-ups/s",
        "connected ms",
        "session ms",
        "first audio ms",
        "round trip ms",
        "never back",
        "KiB idle",
        "KiB active",
        "AI %",
        "lost",
    ])
    .note(
        "Medians of the rounds; `x floor` is the median of what each round's CPU is to the floor's of the same round, and `each round` the lowest and the highest of those; times p50 / p99 of all rounds, from the offer on, and `never back` how many marks of the round trip did not come back; the round trip is from the microphone to the speaker, with 20 ms of frame and two encoders' \
         6.5 ms in it. The floor is a relay on the same crates that decodes and encodes and does nothing else; where answers come faster than they are said it keeps all of them, so that its `KiB active` is no floor.",
    );
    let least: Vec<f64> = floor.iter().map(|round| round.cpu).collect();
    for (name, rounds) in [("floor", floor), ("server", server)] {
        if rounds.is_empty() {
            continue;
        }
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
        let [ratio, each_round] = if name == "server" && !floor.is_empty() {
            compared(rounds.iter().map(|round| round.cpu), &least)
        } else {
            [Cell::None, Cell::None]
        };
        table.row([
            Cell::word(name),
            Cell::figure(of(|round| round.cpu), 3),
            ratio,
            each_round,
            Cell::figure(of(|round| round.sleeps), 0),
            spreads(rounds, Round::connected),
            spreads(rounds, Round::started),
            spreads(rounds, Round::first_audio),
            spreads(rounds, Round::round_trips),
            unheard(rounds),
            Cell::figure(of(|round| round.idle), 0),
            Cell::figure(of(|round| round.active), 0),
            Cell::figure(of(Round::spoken) * 100.0, 0),
            Cell::count(rounds.iter().map(Round::lost).sum()),
        ]);
    }
    match interruptions(server) {
        Some(note) => table.note(note),
        None => table,
    }
}

/// What was heard of the AI after users began to speak, if any did.
fn interruptions(server: &[Round]) -> Option<String> {
    let all: Vec<&Interruption> = server.iter().flat_map(Round::interruptions).collect();
    let spread = |figure: fn(&Interruption) -> f64| {
        let values = all.iter().map(|one| figure(one));
        format!("{} ms", Cell::spread(values, 0).text())
    };
    let never = all.iter().filter(|one| one.cleared_after.is_none()).count();
    (!all.is_empty()).then(|| {
        format!(
            "{} interruptions: the AI was heard for {} after the user began, {} after `clear_audio`, which {never} times did not come.",
            all.len(),
            spread(|one| one.heard),
            spread(|one| one.heard_after_clear),
        )
    })
}

impl Round {
    fn connected(&self) -> Vec<f64> {
        self.each(|call| Some(call.connected))
    }

    fn started(&self) -> Vec<f64> {
        self.each(|call| Some(call.started))
    }

    fn first_audio(&self) -> Vec<f64> {
        self.each(|call| call.first_audio)
    }

    fn round_trips(&self) -> Vec<f64> {
        let calls = self.report.calls.iter();
        calls
            .flat_map(|call| call.measured.round_trips.iter().copied())
            .collect()
    }

    fn unheard(&self) -> usize {
        let calls = self.report.calls.iter();
        calls.map(|call| call.measured.unheard).sum()
    }

    fn each(&self, figure: fn(&Call) -> Option<f64>) -> Vec<f64> {
        self.report.calls.iter().filter_map(figure).collect()
    }

    fn interruptions(&self) -> impl Iterator<Item = &Interruption> {
        let calls = self.report.calls.iter();
        calls.flat_map(|call| &call.measured.interruptions)
    }

    fn lost(&self) -> u64 {
        self.report.calls.iter().map(|call| call.lost).sum()
    }

    /// The share of the time in which something was heard.
    fn spoken(&self) -> f64 {
        let calls = &self.report.calls;
        let heard: u64 = calls.iter().map(|call| call.speech).sum();
        let sent: u64 = calls.iter().map(|call| call.sent).sum();
        heard as f64 / sent.max(1) as f64
    }
}

/// What all rounds showed together: one of them has too few values for a percentile.
fn spreads(rounds: &[Round], figure: fn(&Round) -> Vec<f64>) -> Cell {
    Cell::spread(rounds.iter().flat_map(figure), 1)
}

/// How many marks did not come back, if any were said.
fn unheard(rounds: &[Round]) -> Cell {
    let unheard: usize = rounds.iter().map(Round::unheard).sum();
    if unheard == 0 && rounds.iter().all(|round| round.round_trips().is_empty()) {
        return Cell::None;
    }
    Cell::count(unheard as u64)
}
