//! Measures the release server against the floor: a relay of two sockets per call that decodes and
//! encodes and does nothing else, on the same runtime and with the same crates.
//!
//! `cargo run --release -p roomkit-bench -- ws --sessions 100` after building the programs it runs
//! (see the README). Server or floor have one core to themselves, clients and the fake vendor the
//! other.

mod all;
mod arguments;
mod calls;
mod checked;
mod count;
mod crowd;
mod figures;
mod floor;
mod handover;
mod life;
mod load;
mod machine;
#[cfg(feature = "mcp")]
mod mcp;
mod peers;
mod plot;
mod process;
mod saturate;
mod settings;
mod table;
mod turns;
mod ws;

use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::runtime::Builder;

use self::{figures::println_now, table::Table};

/// What can go wrong here is somebody's setup; it is printed and that is that.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[cfg(not(feature = "mcp"))]
const NO_MCP: &str = "the part `mcp` is not built in; build with `--features roomkit-bench/mcp`";

#[derive(Parser)]
#[command(about = "Measures roomkit against a bare relay")]
struct Arguments {
    /// Print the results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every measurement, one after the other.
    All(all::Options),
    /// WebSocket callers through the server to a fake OpenAI and back, beside the floor.
    Ws(ws::Options),
    /// Short sessions one after another and many at once, and what they leave behind.
    Life(life::Options),
    /// How many WebSocket sessions one core carries.
    Saturate(saturate::Options),
    /// A conversation with interruptions and tools.
    Turns(turns::Options),
    /// Runs the vendor and the callers of a conversation and prints what they measured as one line
    /// of JSON.
    LoadTurns(turns::CallerOptions),
    /// Makes short calls and prints what they measured as one line of JSON.
    LoadLife(life::CallerOptions),
    /// A speaking user through hand-overs, planned and not, with fakes of both vendors.
    Handover(handover::Options),
    /// WebRTC callers with Opus both ways, beside the floor.
    Webrtc(calls::Options),
    /// Many short WebRTC calls, and what they leave behind.
    Soak(calls::soak::Options),
    /// Runs the WebRTC floor.
    FloorWebrtc(calls::floor::Options),
    /// Runs the WebRTC callers and prints what they measured as one line of JSON.
    LoadWebrtc(calls::load::Options),
    /// The instructions of each piece of work a frame needs, by Valgrind, beside their limits.
    Count(count::Options),
    /// Does one piece of work again and again.
    Piece(count::PieceOptions),
    /// Calls of a tool through the bridge to MCP, beside a bare client.
    #[cfg(feature = "mcp")]
    Mcp(mcp::Options),
    /// Calls of a tool through the bridge to MCP: not built in.
    #[cfg(not(feature = "mcp"))]
    Mcp {
        /// Whatever it would take.
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Runs an MCP server with one tool.
    #[cfg(feature = "mcp")]
    McpServer(mcp::ServerOptions),
    /// Runs the floor relay.
    Floor(floor::Options),
    /// Runs the callers and prints what they measured as one line of JSON.
    Load(load::Options),
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let mut runtime = match arguments.command {
        // As the server's.
        Command::Floor(_) | Command::FloorWebrtc(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let json = arguments.json;
    runtime.block_on(async {
        match arguments.command {
            Command::All(options) => {
                let results = all::run(&options).await?;
                if json { print_json(&results) } else { Ok(()) }
            }
            Command::Ws(options) => show(json, &ws::run(&options).await?),
            Command::Saturate(options) => show(json, &saturate::run(&options).await?),
            Command::Turns(options) => show(json, &turns::run(&options).await?),
            Command::Life(options) => {
                let lived = life::run(&options).await?;
                show(json, &lived.table)?;
                lived.outcome(options.check)
            }
            Command::Webrtc(options) => show(json, &calls::run(&options).await?),
            Command::Soak(options) => show(json, &calls::soak::run(&options).await?),
            Command::Handover(options) => show(json, &handover::run(&options).await?),
            #[cfg(feature = "mcp")]
            Command::Mcp(options) => show(json, &mcp::run(&options).await?),
            #[cfg(not(feature = "mcp"))]
            Command::Mcp { .. } => Err(NO_MCP.into()),
            Command::Count(options) => {
                let counted = count::run()?;
                show(json, &counted.table)?;
                counted.outcome(options.check)
            }
            Command::Piece(options) => count::piece(&options),
            #[cfg(feature = "mcp")]
            Command::McpServer(options) => mcp::serve(&options).await,
            Command::Floor(options) => floor::run(options).await,
            Command::FloorWebrtc(options) => calls::floor::run(options).await,
            Command::Load(options) => load::run(&options).await,
            Command::LoadLife(options) => life::call(&options).await,
            Command::LoadTurns(options) => turns::call(&options).await,
            Command::LoadWebrtc(options) => calls::load::run(&options).await,
        }
    })
}

fn show(json: bool, table: &Table) -> Outcome<()> {
    if json {
        return print_json(table);
    }
    table.print_to(&mut std::io::stdout().lock())
}

fn print_json(results: &impl Serialize) -> Outcome<()> {
    println_now(&serde_json::to_string_pretty(results)?)
}
