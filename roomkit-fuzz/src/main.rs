//! Throws broken input at every decoder and at the call machine (contract X5): random bytes, and real messages that have
//! been changed, cut, doubled and swapped. A panic, or an input that takes too long, ends the run with its seed.

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use roomkit_fuzz::{TARGETS, input, write_seeds};

/// An input that a target works on for longer has found something: milliseconds are usual, and a busy
/// machine stops a program for less.
const TOO_LONG: Duration = Duration::from_secs(5);

#[derive(Parser)]
#[command(about = "Throws broken input at every decoder of roomkit")]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
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
    let mut out = std::io::stdout().lock();
    while Instant::now() < until {
        let seed = arguments.seed + inputs;
        let input = input(seed);
        for (name, target) in TARGETS {
            let began = Instant::now();
            let panicked = catch_unwind(AssertUnwindSafe(|| target(&input))).is_err();
            let took = began.elapsed();
            if panicked || took > TOO_LONG {
                let problem = if panicked {
                    "panicked".to_owned()
                } else {
                    format!("took {took:?}")
                };
                let _ = writeln!(
                    out,
                    "{name} {problem}; repeat with --seed {seed} --seconds 1"
                );
                return ExitCode::FAILURE;
            }
        }
        inputs += 1;
    }
    let targets = TARGETS.len();
    let _ = writeln!(out, "{inputs} inputs through {targets} targets, no panic");
    ExitCode::SUCCESS
}
