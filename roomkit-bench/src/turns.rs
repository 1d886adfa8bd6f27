//! A conversation: the user speaks, waits, hears an answer that comes faster than real time, one time
//! in five interrupts it, and one time in five the AI needs a tool first.
//!
//! The callers and the fake vendor are one program, so that what the vendor was told can be compared
//! with what the caller had played.

mod caller;

use std::{io::Write, time::Duration};

use clap::Args;
use roomkit::mock::fake_openai::{FakeOpenAi, Reply};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use self::caller::{Caller, Turns};
use crate::{
    Outcome,
    arguments::one_or_more,
    figures::println_now,
    process::{OTHERS, Process, words},
    table::{Cell, Table},
    ws::{self, Subject, VENDOR_PORT, Vendor},
};

/// What the AI says each time.
const ANSWER_MS: u64 = 3_000;
/// One answer in so many needs a tool.
const TOOL_EVERY: usize = 5;

#[derive(Args)]
pub(crate) struct Options {
    /// How many callers.
    #[arg(long, default_value_t = 40, value_parser = one_or_more::<usize>())]
    pub(crate) sessions: usize,
    /// What each of them says, and is answered.
    #[arg(long, default_value_t = 10, value_parser = one_or_more::<usize>())]
    pub(crate) turns: usize,
}

#[derive(Args)]
pub(crate) struct CallerOptions {
    #[arg(long)]
    sessions: usize,
    #[arg(long)]
    turns: usize,
    /// Neither interruptions nor tools: the floor knows of neither.
    #[arg(long)]
    plain: bool,
}

/// What the callers of one program measured.
#[derive(Default, Serialize, Deserialize)]
struct Report {
    turns: Turns,
    /// By how much the vendor was told of more than was played, in ms; negative for less.
    truncation_errors: Vec<f64>,
    /// Interruptions of which the vendor was told nothing.
    untold: usize,
    /// What the vendor was told though nobody had interrupted, or it had been told already.
    in_vain: usize,
}

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let command = format!(
        "roomkit-bench turns --sessions {} --turns {}",
        options.sessions, options.turns
    );
    let mut table = Table::new("Turns: interruptions and tools, WebSocket", command)
        .columns([
            "program",
            "answers",
            "first audio ms",
            "after a tool ms",
            "interruptions",
            "heard until clear ms",
            "never cleared",
            "sent after clear ms",
            "truncation error ms",
            "untold",
            "told in vain",
        ])
        .note(
            "p50 / p99. `first audio` is from the end of what the user says to the first audio of the answer, with the vendor's waiting \
             for silence in it; the programs talk one after the other, once, so that differences of some ms between them say nothing. `heard until clear` is from the first \
             frame of an interruption to `clear_audio`, most of which is the vendor's detector, and `never cleared` counts those without one; `sent after clear` all audio of an interrupted answer that came \
             after it. `truncation error` compares what the vendor was told of with what the client had played when it was told to stop, and \
             `untold` counts interruptions of which the vendor was told nothing, and `told in vain` what it was told of no interruption, or again.",
        );
    let plain = ws::Options::plain(Vendor::OpenAi, 0);
    for subject in [Subject::Floor, Subject::Server] {
        let manner = if subject == Subject::Floor {
            "--plain"
        } else {
            ""
        };
        let arguments = format!(
            "load-turns --sessions {} --turns {} {manner}",
            options.sessions, options.turns
        );
        let mut callers = Process::start("roomkit-bench", OTHERS, &words(&arguments))?;
        callers.lines.next_line().await?;
        let relay = ws::start_relay(subject, &plain, "[channel]\ndemo_tools = true\n").await?;
        let report = callers.lines.next_line().await?;
        let report: Report = serde_json::from_str(&report.ok_or("the callers said nothing")?)?;
        relay.stop().await?;
        callers.stop().await?;
        writeln!(std::io::stderr().lock(), "{}: done", subject.name())?;
        table.row(row(subject, report));
    }
    Ok(table)
}

fn row(subject: Subject, report: Report) -> Vec<Cell> {
    let Turns {
        first_audio,
        after_tool,
        heard,
        not_cleared,
        after_clear,
        ..
    } = report.turns;
    let answers = first_audio.len() + after_tool.len();
    let interruptions = heard.len() + not_cleared;
    let of_interruptions = |cell| if interruptions == 0 { Cell::None } else { cell };
    let errors = report.truncation_errors.iter().map(|error| error.abs());
    vec![
        Cell::word(subject.name()),
        Cell::count(answers as u64),
        Cell::spread(first_audio, 0),
        Cell::spread(after_tool, 0),
        Cell::count(interruptions as u64),
        Cell::spread(heard, 0),
        of_interruptions(Cell::count(not_cleared as u64)),
        of_interruptions(Cell::figure(after_clear, 0)),
        Cell::spread(errors, 0),
        of_interruptions(Cell::count(report.untold as u64)),
        // Also where nobody interrupts: then it may be told nothing at all.
        Cell::count(report.in_vain as u64),
    ]
}

/// Runs the vendor and the callers, and prints what they measured as one line of JSON.
pub(crate) async fn call(options: &CallerOptions) -> Outcome<()> {
    let mut vendor = FakeOpenAi::builder()
        .listen(([127, 0, 0, 1], VENDOR_PORT).into())
        .record_audio(false)
        .noise(false);
    for number in 0..options.sessions * options.turns * 2 {
        vendor = vendor.reply(match number % TOOL_EVERY {
            0 if !options.plain => Reply::tool_call("current_time", "{}"),
            _ => Reply::speech("an answer of some length", ANSWER_MS),
        });
    }
    let vendor = vendor.start().await?;
    println_now("listening")?;
    let url = ws::url();
    while TcpStream::connect(ws::RELAY).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    let mut callers = JoinSet::new();
    for number in 0..options.sessions {
        // One after the other, so that their connections to the vendor are in the same order.
        let mut caller = Caller::join(&url).await?;
        let connection = vendor.wait_for_connection(number).await?;
        let (turns, plain) = (options.turns, options.plain);
        callers.spawn(async move {
            caller.talk(turns, plain).await?;
            // The last word to the vendor is on its way.
            sleep(Duration::from_millis(300)).await;
            Outcome::Ok((caller.leave(), connection))
        });
    }
    let mut report = Report::default();
    while let Some(ended) = callers.join_next().await {
        let (turns, connection) = ended??;
        let events = connection.events().into_iter();
        let told = events.filter(|event| event.kind() == "conversation.item.truncate");
        let told = told.filter_map(|event| {
            let item = event.json["item_id"].as_str()?.to_owned();
            Some((item, event.json["audio_end_ms"].as_f64()?))
        });
        report.compare(told, &turns.played_at_clear);
        report.turns.add(turns);
    }
    println_now(&serde_json::to_string(&report)?)
}

impl Report {
    /// What the vendor was told in one call, of which item and how much of it, beside how much of each
    /// interrupted answer was played, both in order. An item is an answer: a client does not know its
    /// name, but it can be told of only once.
    fn compare(&mut self, told: impl Iterator<Item = (String, f64)>, played: &[f64]) {
        let mut items: Vec<(String, f64)> = Vec::new();
        for (item, end) in told {
            if items.iter().any(|(known, _)| *known == item) {
                self.in_vain += 1;
            } else {
                items.push((item, end));
            }
        }
        self.untold += played.len().saturating_sub(items.len());
        self.in_vain += items.len().saturating_sub(played.len());
        // Otherwise it is not known which of them belong together.
        if items.len() == played.len() {
            let pairs = items.iter().zip(played);
            self.truncation_errors
                .extend(pairs.map(|((_, told), played)| told - played));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(told: &[(&str, f64)], played: &[f64]) -> (Vec<f64>, usize, usize) {
        let mut report = Report::default();
        let told = told.iter().map(|(item, end)| ((*item).to_owned(), *end));
        report.compare(told, played);
        (report.truncation_errors, report.untold, report.in_vain)
    }

    #[test]
    fn a_vendor_is_told_of_each_interruption_and_only_once() {
        let both = [("one", 700.0), ("two", 710.0)];
        assert_eq!(compared(&both, &[700.0, 700.0]), (vec![0.0, 10.0], 0, 0));
        assert_eq!(compared(&both[..1], &[700.0, 700.0]), (vec![], 1, 0));
        assert_eq!(compared(&both, &[700.0]), (vec![], 0, 1));
        let again = [("one", 700.0), ("one", 0.0), ("two", 710.0)];
        assert_eq!(compared(&again, &[700.0, 700.0]), (vec![0.0, 10.0], 0, 1));
        // Too many of one and none of another are not as many as there should be.
        assert_eq!(compared(&again[..2], &[700.0, 700.0]), (vec![], 1, 1));
    }
}
