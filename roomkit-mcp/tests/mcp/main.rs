//! MCP servers as tools, against servers over real sockets and real processes.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod calls;
mod counts;
mod foreign;
mod http;
mod lists;
mod logs;
mod process;
mod server;
mod support;
mod voice;
