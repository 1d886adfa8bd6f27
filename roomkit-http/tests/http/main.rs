//! Who gets in, and what those are told who do not.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod admission;
mod refusals;
