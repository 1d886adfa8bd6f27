//! What the rounds showed, in rows.

use super::{Options, Round, caller::Call, conduct::Interruption};
use crate::{
    figures::{median, percentile, sorted},
    table::{Cell, Table},
    ws::compared,
};

pub(super) fn table(options: &Options, floor: &[Round], server: &[Round]) -> Table {
    let mode = format!("{:?}", options.mode).to_lowercase();
    let command = format!(
        "roomkit-bench webrtc --mode {mode} --sessions {} --seconds {} --rounds {}",
        options.sessions, options.seconds, options.rounds
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
        "KiB idle",
        "KiB active",
        "AI %",
        "lost",
    ])
    .note(
        "Medians of the rounds; `x floor` is the median of what each round's CPU is to the floor's of the same round, and `each round` the lowest and the highest of those; times p50 / p99, from the offer on; the round trip is from the microphone to the speaker, with 20 ms of frame and two encoders' \
         6.5 ms in it. The floor is a relay on the same crates that decodes and encodes and does nothing else.",
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
        let values = sorted(all.iter().map(|one| figure(one)));
        let at = |share| percentile(&values, share);
        format!("{:.0} / {:.0} ms", at(0.5), at(0.99))
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
        sorted(calls.flat_map(|call| call.measured.round_trips.iter().copied()))
    }

    fn each(&self, figure: fn(&Call) -> Option<f64>) -> Vec<f64> {
        sorted(self.report.calls.iter().filter_map(figure))
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

/// Of each percentile the round in the middle.
fn spreads(rounds: &[Round], figure: fn(&Round) -> Vec<f64>) -> Cell {
    let at = |share| median(rounds.iter().map(|round| percentile(&figure(round), share)));
    match at(0.99) {
        0.0 => Cell::None,
        p99 => Cell::Spread {
            p50: at(0.5),
            p99,
            digits: 1,
        },
    }
}
