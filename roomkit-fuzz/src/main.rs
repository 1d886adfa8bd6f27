//! Throws broken input at every decoder (contract X5): random bytes, and real messages that have
//! been changed, cut, doubled and swapped. A panic ends the run with the seed that caused it.

mod corpus;
mod targets;

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;

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
        let input = corpus::input(&mut Random(seed));
        for (name, target) in targets::TARGETS {
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
    let targets = targets::TARGETS.len();
    let _ = writeln!(out, "{inputs} inputs through {targets} decoders, no panic");
    ExitCode::SUCCESS
}

/// A small generator (splitmix64), so that a seed is all it takes to repeat an input.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
