//! What the rounds showed, in lines.

use std::io::Write;

use super::{
    Options, Round, caller::Call, codec::Costs, conduct::Interruption, load::Mode, subject::Subject,
};
use crate::{
    Outcome,
    figures::{median, percentile, sorted},
};

/// The names of the columns.
pub(super) fn heading(options: &Options) -> Outcome<()> {
    writeln!(
        std::io::stdout().lock(),
        "{} sessions, {} s a round, {:?}; times in ms, p50 / p99; wake-ups per session and second\n\
             {:<8} {:>11} {:>8} {:>14} {:>14} {:>14} {:>14} {:>9} {:>11} {:>7} {:>6}",
        options.sessions,
        options.seconds,
        options.mode,
        "",
        "CPU/session",
        "wake-ups",
        "connected",
        "session",
        "first audio",
        "round trip",
        "KiB idle",
        "KiB active",
        "AI %",
        "lost"
    )?;
    Ok(())
}

/// What a round showed.
pub(super) fn row(subject: Subject, round: &Round) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<8} {:>10.3}% {:>8.0} {:>14} {:>14} {:>14} {:>14} {:>9.0} {:>11.0} {:>7.0} {:>6}",
        subject.name(),
        round.cpu,
        round.sleeps,
        spread(round.connected()),
        spread(round.started()),
        spread(round.first_audio()),
        spread(round.round_trips()),
        round.idle,
        round.active,
        round.spoken() * 100.0,
        round.lost()
    )?;
    Ok(())
}

/// What all rounds showed.
pub(super) fn medians(mode: Mode, floor: &[Round], server: &[Round], codec: Costs) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    let of = |rounds: &[Round], figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    writeln!(
        out,
        "codec alone: decode speech {:.3} %, silence {:.3} %, encode speech {:.3} %",
        codec.decode_speech, codec.decode_silence, codec.encode_speech
    )?;
    let spoken = of(server, Round::spoken);
    let codec = match mode {
        Mode::Silent => 0.0,
        Mode::Talk => codec.decode_speech + codec.encode_speech,
        Mode::Conversation => {
            0.4 * codec.decode_speech + 0.6 * codec.decode_silence + spoken * codec.encode_speech
        }
    };
    for (name, rounds) in [("floor", floor), ("server", server)] {
        if rounds.is_empty() {
            continue;
        }
        writeln!(
            out,
            "{name}, medians of the rounds: CPU {:.3} %, {:.0} wake-ups; connected {}, session {}, \
                 first audio {}, round trip {}; KiB idle {:.0}, active {:.0}",
            of(rounds, |round| round.cpu),
            of(rounds, |round| round.sleeps),
            spreads(rounds, Round::connected),
            spreads(rounds, Round::started),
            spreads(rounds, Round::first_audio),
            spreads(rounds, Round::round_trips),
            of(rounds, |round| round.idle),
            of(rounds, |round| round.active),
        )?;
    }
    if !floor.is_empty() {
        let (floor, server) = (of(floor, |round| round.cpu), of(server, |round| round.cpu));
        writeln!(
            out,
            "CPU: server {server:.3} % = {:.2} x the floor; floor + codec {:.3} %, so {:+.3} % beyond",
            server / floor,
            floor + codec,
            server - floor - codec
        )?;
    }
    let interruptions: Vec<&Interruption> = server.iter().flat_map(Round::interruptions).collect();
    if !interruptions.is_empty() {
        writeln!(
            out,
            "barge-in, {} times: AI heard after the user began {} ms, after clear_audio {} ms; \
                 clear_audio came after {} ms, {} times not",
            interruptions.len(),
            spread(interruptions.iter().map(|one| one.heard)),
            spread(interruptions.iter().map(|one| one.heard_after_clear)),
            spread(interruptions.iter().filter_map(|one| one.cleared_after)),
            interruptions
                .iter()
                .filter(|one| one.cleared_after.is_none())
                .count()
        )?;
    }
    Ok(())
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
        let (speech, sent) = calls.iter().fold((0, 0), |(speech, sent), call| {
            (speech + call.speech, sent + call.sent)
        });
        speech as f64 / sent.max(1) as f64
    }
}

/// The median and the 99th percentile.
fn spread(values: impl IntoIterator<Item = f64>) -> String {
    let values = sorted(values);
    shown(percentile(&values, 0.5), percentile(&values, 0.99))
}

/// The same of a figure, of each of them the round in the middle.
fn spreads(rounds: &[Round], figure: fn(&Round) -> Vec<f64>) -> String {
    let at = |share| median(rounds.iter().map(|round| percentile(&figure(round), share)));
    shown(at(0.5), at(0.99))
}

fn shown(median: f64, high: f64) -> String {
    if high == 0.0 {
        return "-".into();
    }
    format!("{median:.1} / {high:.1}")
}
