//! The fake Gemini.

mod faults;
mod frames;
mod models;
mod refusals;
mod sessions;
mod setup;
mod tools;
mod turns;
