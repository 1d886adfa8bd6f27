//! The fake OpenAI.

mod faults;
mod input;
mod order;
mod refusals;
mod session;
mod vendors;
