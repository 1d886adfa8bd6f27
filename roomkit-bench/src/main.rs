//! Measures the release server against the floor: a relay of two sockets per call that decodes and
//! encodes and does nothing else, on the same runtime and with the same crates.
//!
//! `cargo run --release -p roomkit-bench -- ws --sessions 100` after building the programs it runs
//! (see the README). Server or floor have one core to themselves, clients and the fake vendor the
//! other.

mod calls;
mod figures;
mod floor;
mod handover;
mod load;
mod mcp;
mod process;
mod ws;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

/// What can go wrong here is somebody's setup; it is printed and that is that.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Measures roomkit against a bare relay")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// WebSocket callers through the server to a fake OpenAI and back, beside the floor.
    Ws(ws::Options),
    /// A speaking user through hand-overs, planned and not, with fakes of both vendors.
    Handover(handover::Options),
    /// WebRTC callers with Opus both ways, beside a floor that reflects packets.
    Webrtc(calls::Options),
    /// Many short WebRTC calls, and what they leave behind.
    Soak(calls::soak::Options),
    /// Runs the WebRTC floor.
    FloorWebrtc {
        /// Where offers are posted.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Runs the WebRTC callers and prints what they measured as one line of JSON.
    LoadWebrtc(calls::load::Options),
    /// What Opus alone costs, as one line of JSON.
    Codec,
    /// Calls of a tool through the bridge to MCP, beside a bare client.
    Mcp(mcp::Options),
    /// Runs an MCP server with one tool.
    McpServer(mcp::ServerOptions),
    /// Runs the floor relay.
    Floor {
        /// Where callers connect.
        #[arg(long)]
        listen: SocketAddr,
        /// The fake vendor.
        #[arg(long)]
        upstream: String,
    },
    /// Runs the callers and prints what they measured as one line of JSON.
    Load(load::Options),
}

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match Arguments::parse().command {
        Command::Ws(options) => runtime.block_on(ws::run(&options)),
        Command::Webrtc(options) => runtime.block_on(calls::run(&options)),
        Command::Soak(options) => runtime.block_on(calls::soak::run(&options)),
        Command::FloorWebrtc { listen } => runtime.block_on(calls::floor::run(listen)),
        Command::LoadWebrtc(options) => runtime.block_on(calls::load::run(&options)),
        Command::Codec => calls::codec::run(),
        Command::Mcp(options) => runtime.block_on(mcp::run(&options)),
        Command::McpServer(options) => runtime.block_on(mcp::serve(&options)),
        Command::Handover(options) => runtime.block_on(handover::run(&options)),
        Command::Floor { listen, upstream } => runtime.block_on(floor::run(listen, &upstream)),
        Command::Load(options) => runtime.block_on(load::run(&options)),
    }
}
