//! A conversation outlives its provider connection (contracts H1 to H6): whole calls over real
//! sockets, with the real providers and strict fakes of their vendors, in which things go wrong.
//!
//! The caller speaks in real time and every 20 ms of it are numbered, so that a test can say what
//! each connection of the vendor heard. Tests wait for what happens; time limits only fail.
//!
//! What takes longer than a test may is proved on the machine's virtual clock: a dead connection
//! that is noticed after 45 s (`h5_a_connection_that_is_dead_without_saying_so_is_noticed`), and
//! the host's patience of 20 s (`h1_the_deadline_does_not_wait_and_the_sentence_is_heard_whole`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod bad_tools;
mod changes;
mod cuts;
mod dials;
mod gemini;
mod given;
mod interrupted;
mod openai;
mod planned;
mod silence;
mod slow;
mod support;
mod tools;
mod uninterrupted;
