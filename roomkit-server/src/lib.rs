//! A speech-to-speech server: roomkit as a program, with a page to talk to it.
//!
//! [`Cli`](cli::Cli) and a TOML file make a [`Config`](config::Config); [`Server::check`] says what
//! it would come to, [`Server::bind`] turns it into a listening server, [`Server::run`] serves until
//! it is told to stop; a [`Reload`] gives it another configuration meanwhile. [`main`] is all of
//! that as the program does it, for a program with further plugins. Everything the server can do
//! comes from the facade crate: what it cannot do with that, no other program can.

mod agent_tools;
mod agents;
mod any_transport;
mod app;
mod auth;
mod by_client;
pub mod cli;
pub mod config;
mod dashboards;
mod demo_tools;
mod error;
mod first_agent;
#[doc(hidden)]
pub mod fuzzing;
mod hang_up;
mod host;
mod impatient;
mod jwt;
mod keys;
mod load;
mod log;
mod makers;
mod mcp;
mod metrics;
mod minted;
mod otel;
mod places;
mod plan;
mod program;
mod reload;
mod routes;
mod serve;
mod server;
mod shutdown;
mod tidy;
mod tls;
mod used_tokens;

pub use error::ServerError;
pub use hang_up::HangUps;
pub use log::{Log, LogFormat, observe};
pub use plan::Plan;
pub use program::main;
pub use reload::{Reload, Reloaded};
pub use server::Server;
pub use shutdown::Signals;
