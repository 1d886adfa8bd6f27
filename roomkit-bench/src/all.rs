//! Every measurement in one run, and the page that shows them.

#[cfg(not(feature = "mcp"))]
use std::io::Write;
use std::{fs, path::PathBuf};

use clap::Args;
use serde::Serialize;

use crate::{
    Outcome,
    arguments::one_or_more,
    calls::{self, load::Mode},
    handover, life,
    machine::Machine,
    plot, saturate, settings,
    table::Table,
    turns,
    ws::{self, Vendor},
};

#[derive(Args)]
pub(crate) struct Options {
    /// A little of everything, in a few minutes: to see that it works, not what it says.
    #[arg(long)]
    quick: bool,
    /// Rounds of what is measured in rounds; where programs are compared there are five at least.
    #[arg(long, default_value_t = DECIDING, value_parser = one_or_more::<usize>())]
    rounds: usize,
    /// Write the page here, in Markdown, and the drawing beside it, in SVG.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Measure relays of other makes as well, with this Python: see `peers/README.md`.
    #[arg(long)]
    peers: Option<PathBuf>,
}

/// Rounds where programs are compared: of fewer, the median is chance.
const DECIDING: usize = 5;
/// How many of the tables are drawn: those with OpenAI's fake.
const DRAWN: usize = 2;

/// What `--json` prints.
#[derive(Serialize)]
pub(crate) struct Results {
    machine: Machine,
    tables: Vec<Table>,
}

pub(crate) async fn run(options: &Options) -> Outcome<Results> {
    let machine = Machine::look()?;
    let mut tables = Vec::new();
    for relay in &relays(options) {
        tables.push(shown(ws::run(relay).await?)?);
    }
    if options.peers.is_some() {
        let peers = ws::Options {
            sessions: if options.quick {
                vec![5]
            } else {
                vec![1, 20, 50]
            },
            rounds: options.compared(),
            peers: options.peers.clone(),
            ..ws::Options::plain(Vendor::OpenAi, 10)
        };
        tables.push(shown(ws::run(&peers).await?)?);
    }
    tables.push(shown(saturate::run(&saturation(options.quick)).await?)?);
    tables.push(shown(turns::run(&conversation(options.quick)).await?)?);
    for mode in [Mode::Talk, Mode::Conversation] {
        tables.push(shown(calls::run(&webrtc(options, mode)).await?)?);
    }
    tables.push(shown(life::run(&lives(options.quick)).await?.table)?);
    tables.push(shown(calls::soak::run(&soak(options.quick)).await?)?);
    let rounds = if options.quick { 1 } else { options.rounds };
    tables.push(shown(handover::run(&handover::Options { rounds }).await?)?);
    #[cfg(feature = "mcp")]
    {
        let calls = if options.quick { 500 } else { 5_000 };
        let options = crate::mcp::Options { calls };
        tables.push(shown(crate::mcp::run(&options).await?)?);
    }
    #[cfg(not(feature = "mcp"))]
    writeln!(std::io::stderr(), "{}", crate::NO_MCP)?;
    let results = Results { machine, tables };
    if let Some(path) = &options.write {
        results.write(path)?;
    }
    Ok(results)
}

impl Options {
    /// Rounds of what compares programs.
    fn compared(&self) -> usize {
        if self.quick {
            1
        } else {
            self.rounds.max(DECIDING)
        }
    }
}

/// Each as soon as it is there: the whole takes long.
fn shown(table: Table) -> Outcome<Table> {
    table.print_to(&mut std::io::stderr().lock())?;
    Ok(table)
}

/// The first [`DRAWN`] of them are drawn.
fn relays(options: &Options) -> [ws::Options; 3] {
    let quick = options.quick;
    let of = |vendor, sessions: &[usize]| ws::Options {
        sessions: sessions.to_vec(),
        rounds: options.compared(),
        ..ws::Options::plain(vendor, if quick { 4 } else { 10 })
    };
    if quick {
        return [
            of(Vendor::OpenAi, &[1]),
            of(Vendor::OpenAi, &[20]),
            of(Vendor::Gemini, &[20]),
        ];
    }
    [
        of(Vendor::OpenAi, &[1, 10]),
        of(Vendor::OpenAi, &[100, 400]),
        of(Vendor::Gemini, &[100]),
    ]
}

fn saturation(quick: bool) -> saturate::Options {
    saturate::Options {
        step: if quick { 50 } else { 100 },
        most: if quick { 50 } else { 1_000 },
        seconds: if quick { 4 } else { 8 },
    }
}

fn conversation(quick: bool) -> turns::Options {
    turns::Options {
        sessions: if quick { 5 } else { 40 },
        turns: if quick { 6 } else { 10 },
    }
}

fn webrtc(options: &Options, mode: Mode) -> calls::Options {
    let quick = options.quick;
    calls::Options {
        sessions: if quick { 5 } else { 50 },
        seconds: if quick { 5 } else { 20 },
        rounds: options.compared(),
        mode,
        measured: 2,
        server_only: false,
    }
}

fn lives(quick: bool) -> life::Options {
    life::Options {
        sessions: if quick { 1_000 } else { 100_000 },
        crowd: if quick { 100 } else { 1_000 },
        crowds: if quick { 2 } else { 5 },
        check: false,
    }
}

fn soak(quick: bool) -> calls::soak::Options {
    calls::soak::Options {
        cycles: if quick { 100 } else { 1_000 },
        parallel: 20,
    }
}

impl Results {
    fn write(&self, path: &std::path::Path) -> Outcome<()> {
        let drawing = path.with_extension("svg");
        let name = drawing.file_name().and_then(|name| name.to_str());
        let name = name.ok_or("the page needs a name")?;
        let Machine {
            date,
            cpu,
            cores,
            memory_mib,
            kernel,
            commit,
        } = &self.machine;
        let commit = commit.as_ref().map(|commit| format!(" Commit {commit}."));
        let mut page = format!(
            "# Benchmarks\n\nWritten by `roomkit-bench all`; see [its README](../roomkit-bench/README.md) for what is measured and how, and how to write \
             this page. Compare rows of one table only: the machine is not quiet, and another is faster. One ratio of CPU can be relied on to a tenth \
             or so: the same programs come to 1.1 and to 1.3 within an hour.\n\n\
             {date}, {cores} cores of {cpu}, {memory_mib} MiB, Linux {kernel}.{} {}\n\n\
             Of fewer than 300 values the highest stands in the place of the 99th percentile, as `max`.\n\n\
             ![CPU and round trip by sessions]({name})\n",
            commit.unwrap_or_default(),
            settings::told()
        );
        for table in &self.tables {
            page.push('\n');
            page.push_str(&table.markdown()?);
        }
        let drawn = self.tables.get(..DRAWN).unwrap_or_default();
        fs::write(&drawing, plot::draw(drawn)?)?;
        fs::write(path, page)?;
        Ok(())
    }
}
