//! The WebSocket measurement: floor and server, one after the other, in several rounds.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use tokio::time::sleep;

use crate::{
    Outcome,
    arguments::{at_least, one_or_more},
    figures::{median, sorted},
    load::{COMES_WITHIN, Report},
    machine::busy,
    peers,
    process::{CORE, OTHERS, Process, words},
    settings,
    table::{Cell, Table},
};

pub(crate) const VENDOR_PORT: u16 = 18_801;
const RELAY_PORT: u16 = 18_802;
/// A round of less, in seconds, would be over before it is measured.
pub(crate) const SHORTEST: u64 = 3;
/// Where callers connect.
pub(crate) const RELAY: (&str, u16) = ("127.0.0.1", RELAY_PORT);

#[derive(Args)]
pub(crate) struct Options {
    /// How many callers; several numbers with commas between them.
    #[arg(long, value_delimiter = ',', default_values_t = [100], value_parser = one_or_more::<usize>())]
    pub(crate) sessions: Vec<usize>,
    /// How long each round talks, in seconds.
    #[arg(long, default_value_t = 10, value_parser = at_least::<u64>(SHORTEST))]
    pub(crate) seconds: u64,
    /// Rounds; floor and server take turns.
    #[arg(long, default_value_t = 3, value_parser = one_or_more::<usize>())]
    pub(crate) rounds: usize,
    /// Whose wire the server speaks.
    #[arg(long, value_enum, default_value_t = Vendor::OpenAi)]
    pub(crate) vendor: Vendor,
    /// Let the server record every call into this directory.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// What it records with.
    #[arg(long, default_value = "ogg_opus")]
    pub(crate) sink: String,
    /// Measure relays of other makes as well, with this Python: see `peers/README.md`.
    #[arg(long)]
    pub(crate) peers: Option<PathBuf>,
}

/// A fake that sends every frame back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vendor {
    #[value(name = "openai")]
    OpenAi,
    Gemini,
}

impl Vendor {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// The rate at which it takes audio, in Hz: callers send no other, or frames would come back
    /// resampled.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Self::OpenAi => 24_000,
            Self::Gemini => 16_000,
        }
    }

    fn base_url(self) -> String {
        match self {
            Self::OpenAi => format!("ws://127.0.0.1:{VENDOR_PORT}/v1/realtime"),
            Self::Gemini => format!("ws://127.0.0.1:{VENDOR_PORT}"),
        }
    }
}

/// What is under measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Floor,
    Server,
    /// The Python library of the same name.
    PythonRoomkit,
    Pipecat,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Server => "server",
            Self::PythonRoomkit => "roomkit in Python",
            Self::Pipecat => "Pipecat",
        }
    }
}

/// What one round showed.
pub(crate) struct Round {
    /// Share of a core per session, in per cent.
    pub(crate) cpu: f64,
    /// KiB per session.
    idle: f64,
    active: f64,
    /// How often per session and second a thread went to sleep.
    sleeps: f64,
    /// How busy others were on the same core, in per cent: the machine's own noise.
    pub(crate) noise: f64,
    /// How busy the core of the callers and of the vendor was, in per cent.
    pub(crate) others: f64,
    pub(crate) report: Report,
}

/// A relay that runs, and the vendor behind it.
pub(crate) struct Running {
    pub(crate) relay: Process,
    vendor_process: Process,
    vendor: Vendor,
}

/// The columns that are drawn.
pub(crate) const SESSIONS: &str = "sessions";
pub(crate) const PROGRAM: &str = "program";
pub(crate) const CPU: &str = "CPU %/session";
pub(crate) const P99: &str = "p99 us";

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let mut table = Table::new(
        format!("WebSocket relay, {}", options.vendor.name()),
        command(options),
    )
    .columns([
        SESSIONS,
        PROGRAM,
        CPU,
        "rounds",
        "x floor",
        "each round",
        "p50 us",
        P99,
        "p99.9 us",
        "KiB idle",
        "KiB active",
        "wake-ups/s",
        "lost",
        "noise %",
        "callers' core %",
    ])
    .note(format!(
        "Medians of the rounds; `rounds` is the lowest and the highest CPU of them. `x floor` is the median of what each round's CPU is to that of the floor \
         right before or after it, and `each round` the lowest and the highest of those. CPU is the share of a core that one session takes, \
         memory what a session adds to a process that has had one. `noise` is what else ran on the core of the program under measurement. With the callers' core near 100 % the \
         round trip is theirs. `lost` did not come back within {} s of the last frame; what came late is in the percentiles.",
        COMES_WITHIN.as_secs()
    ));
    let mut subjects = vec![Subject::Floor, Subject::Server];
    if let Some(python) = &options.peers {
        subjects.extend([Subject::PythonRoomkit, Subject::Pipecat]);
        let versions = peers::versions(python).await?;
        table = table.note(format!("The others are made of {versions}."));
    }
    for sessions in &options.sessions {
        let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
        for number in 0..options.rounds {
            for place in in_turn(subjects.len(), number) {
                let (Some(subject), Some(rounds)) = (subjects.get(place), rounds.get_mut(place))
                else {
                    continue;
                };
                let round = measure(*subject, options, *sessions).await?;
                progress(*subject, *sessions, &round)?;
                rounds.push(round);
            }
        }
        let floor: Vec<f64> = rounds
            .iter()
            .take(1)
            .flatten()
            .map(|round| round.cpu)
            .collect();
        for (subject, rounds) in subjects.iter().zip(&rounds) {
            table.row(row(*sessions, *subject, rounds, &floor));
        }
    }
    Ok(table)
}

/// Who is measured when in a round: who is first in one is last in the next, so that a machine that
/// becomes slower or faster is no advantage to either.
pub(crate) fn in_turn(subjects: usize, round: usize) -> Vec<usize> {
    let forth = 0..subjects;
    if round.is_multiple_of(2) {
        forth.collect()
    } else {
        forth.rev().collect()
    }
}

/// What is a place on this machine is a word in capitals.
fn command(options: &Options) -> String {
    let numbers = options.sessions.iter().map(ToString::to_string);
    let mut command = format!(
        "roomkit-bench ws --vendor {} --sessions {} --seconds {} --rounds {}",
        options.vendor.name(),
        numbers.collect::<Vec<_>>().join(","),
        options.seconds,
        options.rounds
    );
    if options.record.is_some() {
        command.push_str(" --record DIR --sink ");
        command.push_str(&options.sink);
    }
    if options.peers.is_some() {
        command.push_str(" --peers PYTHON");
    }
    command
}

/// What each round is to the floor's of the same round: the median, and the lowest and the highest.
pub(crate) fn compared(rounds: impl Iterator<Item = f64>, floor: &[f64]) -> [Cell; 2] {
    let ratios = sorted(rounds.zip(floor).map(|(round, floor)| round / floor));
    [
        Cell::figure(median(ratios.iter().copied()), 2),
        Cell::range(&ratios, 2),
    ]
}

fn row(sessions: usize, subject: Subject, rounds: &[Round], floor: &[f64]) -> Vec<Cell> {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let cpus = sorted(rounds.iter().map(|round| round.cpu));
    let [ratio, each_round] = match subject {
        Subject::Floor => [Cell::None, Cell::None],
        _ => compared(rounds.iter().map(|round| round.cpu), floor),
    };
    let cpu = of(|round| round.cpu);
    let lost = rounds.iter().map(|round| round.report.lost()).sum();
    vec![
        Cell::count(sessions as u64),
        Cell::word(subject.name()),
        Cell::figure(cpu, 3),
        Cell::range(&cpus, 3),
        ratio,
        each_round,
        Cell::figure(of(|round| f64::from(round.report.p50_us)), 0),
        Cell::figure(of(|round| f64::from(round.report.p99_us)), 0),
        Cell::figure(of(|round| f64::from(round.report.p999_us)), 0),
        Cell::figure(of(|round| round.idle), 0),
        Cell::figure(of(|round| round.active), 0),
        Cell::figure(of(|round| round.sleeps), 1),
        Cell::count(lost),
        Cell::figure(of(|round| round.noise), 1),
        Cell::figure(of(|round| round.others), 0),
    ]
}

/// A line as soon as it is known: whole tables take minutes.
pub(crate) fn progress(subject: Subject, sessions: usize, round: &Round) -> Outcome<()> {
    writeln!(
        std::io::stderr().lock(),
        "{:<6} {sessions:>4} sessions: {:.3} % CPU, p50 {} us, p99 {} us, {:.0}/{:.0} KiB",
        subject.name(),
        round.cpu,
        round.report.p50_us,
        round.report.p99_us,
        round.idle,
        round.active,
    )?;
    Ok(())
}

/// One round, in processes of its own.
pub(crate) async fn measure(
    subject: Subject,
    options: &Options,
    sessions: usize,
) -> Outcome<Round> {
    let recording = options.record.as_deref();
    let recording = recording.map(|directory| settings::recording(&options.sink, directory));
    let running = start(subject, options, &recording.unwrap_or_default()).await?;
    let relay = &running.relay;
    // What the first session ever takes, above all the pages of the program itself, no other takes.
    let mut first = running.callers(1, 2, "")?;
    first.lines.next_line().await?;
    first.lines.next_line().await?;
    first.stop().await?;
    sleep(Duration::from_secs(1)).await;
    let before = relay.memory()?;
    let idle = {
        let mut callers = running.callers(sessions, 2, "--silent")?;
        callers.lines.next_line().await?;
        sleep(Duration::from_secs(1)).await;
        let idle = relay.memory()?;
        callers.lines.next_line().await?;
        callers.stop().await?;
        idle
    };
    sleep(Duration::from_secs(1)).await;

    let mut callers = running.callers(sessions, options.seconds, "")?;
    callers.lines.next_line().await?;
    sleep(Duration::from_secs(3)).await;
    let window = Duration::from_secs(options.seconds.saturating_sub(2).max(1));
    let look = || Outcome::Ok((relay.cpu()?, relay.sleeps()?, busy(CORE)?, busy(OTHERS)?));
    let began = look()?;
    sleep(window).await;
    let ended = look()?;
    let active = relay.memory()?;
    let report = callers.lines.next_line().await?;
    let report = serde_json::from_str(&report.ok_or("the callers said nothing")?)?;
    callers.stop().await?;
    running.stop().await?;

    let seconds = window.as_secs_f64();
    let share = |used: Duration| used.as_secs_f64() / seconds * 100.0;
    let own = share(ended.0.saturating_sub(began.0));
    let per_session = |before: u64, now: u64| now.saturating_sub(before) as f64 / sessions as f64;
    Ok(Round {
        cpu: own / sessions as f64,
        idle: per_session(before, idle),
        active: per_session(before, active),
        sleeps: per_session(began.1, ended.1) / seconds,
        noise: (share(ended.2.saturating_sub(began.2)) - own).max(0.0),
        others: share(ended.3.saturating_sub(began.3)),
        report,
    })
}

/// Starts the vendor and what relays to it.
pub(crate) async fn start(subject: Subject, options: &Options, more: &str) -> Outcome<Running> {
    let vendor = options.vendor;
    let name = vendor.name();
    let listen = words(&format!("--relay --listen 127.0.0.1:{VENDOR_PORT}"));
    let mut vendor_process = Process::start(&format!("roomkit-fake-{name}"), OTHERS, &listen)?;
    vendor_process.wait_for_port(VENDOR_PORT).await?;
    Ok(Running {
        relay: start_relay(subject, options, more).await?,
        vendor_process,
        vendor,
    })
}

/// Starts what relays to a vendor that runs.
pub(crate) async fn start_relay(
    subject: Subject,
    options: &Options,
    more: &str,
) -> Outcome<Process> {
    let vendor = options.vendor;
    let name = vendor.name();
    let mut relay = match subject {
        Subject::Floor => {
            let arguments = format!(
                "floor --vendor {name} --listen 127.0.0.1:{RELAY_PORT} --upstream {}",
                vendor.base_url()
            );
            Process::start("roomkit-bench", CORE, &words(&arguments))?
        }
        Subject::Server => {
            let config = config(vendor, more)?;
            let arguments = ["--config".to_owned(), config.display().to_string()];
            Process::start("roomkit-server", CORE, &arguments)?
        }
        Subject::PythonRoomkit => peer(options, "roomkit_relay.py")?,
        Subject::Pipecat => peer(options, "pipecat_relay.py")?,
    };
    relay.wait_for_port(RELAY_PORT).await?;
    Ok(relay)
}

/// A relay of another make. They speak one vendor's wire.
fn peer(options: &Options, script: &str) -> Outcome<Process> {
    let python = options.peers.as_deref().ok_or("there is no --peers")?;
    if options.vendor != Vendor::OpenAi {
        return Err("the relays of other makes speak the wire of openai alone".into());
    }
    peers::start(python, script, RELAY_PORT, options.vendor.base_url())
}

impl Options {
    /// The same for whom only what is relayed counts.
    pub(crate) fn plain(vendor: Vendor, seconds: u64) -> Self {
        Self {
            sessions: Vec::new(),
            seconds,
            rounds: 1,
            vendor,
            record: None,
            sink: String::new(),
            peers: None,
        }
    }
}

impl Running {
    /// Callers, as a program of their own; the first line it says means that all are connected.
    pub(crate) fn callers(&self, sessions: usize, seconds: u64, more: &str) -> Outcome<Process> {
        let arguments = format!(
            "load --url {} --rate {} --sessions {sessions} --seconds {seconds} {more}",
            url(),
            self.vendor.rate()
        );
        Process::start("roomkit-bench", OTHERS, &words(&arguments))
    }

    pub(crate) async fn stop(self) -> Outcome<()> {
        self.relay.stop().await?;
        self.vendor_process.stop().await
    }
}

/// Where callers connect.
pub(crate) fn url() -> String {
    format!("ws://127.0.0.1:{RELAY_PORT}/ws")
}

fn config(vendor: Vendor, more: &str) -> Outcome<PathBuf> {
    let path = std::env::temp_dir().join("roomkit-bench.toml");
    let (name, base_url) = (vendor.name(), vendor.base_url());
    std::fs::write(
        &path,
        format!(
            "listen = \"127.0.0.1:{RELAY_PORT}\"\n[provider]\nname = \"{name}\"\n\
             config = {{ base_url = \"{base_url}\" }}\n{}{more}",
            settings::SETTINGS
        ),
    )?;
    Ok(path)
}
