//! Throws broken input at every decoder and at the call machine (contract X5): random bytes, and real messages that have
//! been changed, cut, doubled and swapped. A panic ends the run with the seed that caused it.

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use roomkit_fuzz::{TARGETS, input};

#[derive(Parser)]
#[command(about = "Throws broken input at every decoder of roomkit")]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Where to begin; each input has a seed of its own, counted from here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut inputs = 0_u64;
    let mut out = std::io::stdout().lock();
    while Instant::now() < until {
        let seed = arguments.seed + inputs;
        let input = input(seed);
        for (name, target) in TARGETS {
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                let _ = writeln!(
                    out,
                    "{name} panicked; repeat with --seed {seed} --seconds 1"
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
