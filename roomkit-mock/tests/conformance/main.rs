//! Each rule of the conformance checks, seen to be broken by a plugin that breaks it and nothing else.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)] // Also in what the tests share.

mod in_process;
mod over_tcp;
mod transport;

use roomkit_mock::conformance::{Broken, Rule};

/// The rules that were broken.
fn rules(broken: &[Broken]) -> Vec<Rule> {
    broken.iter().map(|broken| broken.rule).collect()
}
