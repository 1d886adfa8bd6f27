//! Throws broken input at every decoder and at the call machine (contract X5): random bytes, and real messages that have
//! been changed, cut, doubled and swapped. A panic, or an input that takes too long, ends the run with its seed.

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::{ExitCode, exit},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use nix::time::{ClockId, clock_gettime};
use roomkit_fuzz::{TARGETS, input, write_seeds};

/// An input that a target computes for longer has found something: milliseconds are usual.
const TOO_MUCH: Duration = Duration::from_secs(5);
/// One that takes longer by the clock waits for something. A busy machine stops a program for a while.
const TOO_LONG: Duration = Duration::from_secs(120);

/// What is worked on: the target, the input's seed, and since when. One that never returns is told of as well.
static AT_WORK: Mutex<Option<(&str, u64, Since)>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Since {
    clock: Instant,
    /// What the program had computed by then.
    computed: Duration,
}

impl Since {
    fn now() -> Self {
        Self {
            clock: Instant::now(),
            computed: computed(),
        }
    }

    fn is_too_long_ago(self) -> bool {
        computed().saturating_sub(self.computed) > TOO_MUCH || self.clock.elapsed() > TOO_LONG
    }
}

/// How long the program has been on a processor; one thread does all its work.
fn computed() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[derive(Parser)]
#[command(about = "Throws broken input at every decoder of roomkit")]
struct Arguments {
    /// How long to go on, if no number of inputs is given.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many inputs, however long they take.
    #[arg(long)]
    inputs: Option<u64>,
    /// Where to begin; each input has a seed of its own, counted from here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Throw nothing, but write the real messages that inputs are made of into this folder, for
    /// libFuzzer to begin with, and their words into a dictionary beside it.
    #[arg(long)]
    write_seeds: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.write_seeds {
        return match write_seeds(folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{}: {error}", folder.display());
                ExitCode::FAILURE
            }
        };
    }
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut inputs = 0_u64;
    thread::spawn(watch);
    while arguments
        .inputs
        .map_or_else(|| Instant::now() < until, |all| inputs < all)
    {
        let seed = arguments.seed + inputs;
        let input = input(seed);
        for (name, target) in TARGETS {
            at_work(Some((name, seed, Since::now())));
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                found(name, seed, "panicked");
            }
        }
        inputs += 1;
    }
    at_work(None);
    let targets = TARGETS.len();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{inputs} inputs through {targets} targets, no panic");
    ExitCode::SUCCESS
}

fn at_work(now: Option<(&'static str, u64, Since)>) {
    *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner) = now;
}

/// Ends the program when an input takes too long.
fn watch() {
    loop {
        thread::sleep(TOO_MUCH / 20);
        let now = *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, seed, since)) = now
            && since.is_too_long_ago()
        {
            found(name, seed, "takes too long");
        }
    }
}

fn found(name: &str, seed: u64, problem: &str) -> ! {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "{name} {problem}; repeat with --seed {seed} --seconds 1"
    );
    exit(1)
}
