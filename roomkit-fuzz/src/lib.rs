//! Everything that takes bytes from others, as functions that must not panic whatever the bytes are
//! (contract X5), and inputs for them. The program of this package throws the one at the other; the
//! targets of the folder `fuzz` have libFuzzer look for worse.

mod corpus;
mod random;
mod seeds;
mod targets;

pub use corpus::{MESSAGES, input};
pub use seeds::write_seeds;
pub use targets::{TARGETS, Target, run};
