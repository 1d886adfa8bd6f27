//! A speech-to-speech server: roomkit as a program, with a page to talk to it.
//!
//! [`Cli`](cli::Cli) and a TOML file make a [`Config`](config::Config); [`Server::check`] says what
//! it would come to, [`Server::bind`] turns it into a listening server, [`Server::run`] serves until
//! it is told to stop. Everything the server
//! can do comes from the facade crate: what it cannot do with that, no other program can.

mod agents;
mod any_transport;
mod app;
mod auth;
pub mod cli;
pub mod config;
mod dashboards;
mod demo_tools;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod jwt;
mod load;
mod log;
mod mcp;
mod metrics;
mod minted;
mod plan;
mod routes;
mod serve;
mod server;
mod shutdown;
mod tidy;
mod used_tokens;

pub use error::ServerError;
pub use log::{LogFormat, log_to_stderr};
pub use plan::Plan;
pub use server::Server;
pub use shutdown::Signals;
