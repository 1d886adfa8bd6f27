//! Instructions of each piece, counted by Valgrind: the same on a busy machine as on a quiet one, so
//! that CI can hold them against limits.

mod limits;

use std::process::Command;

use clap::Args;
use roomkit_bench::micro;

use self::limits::Verdict;
use crate::{
    Outcome,
    checked::Checked,
    table::{Cell, Table},
};

/// Until every buffer is as large as it gets, and the beginning does not count.
const WARM_UP: usize = 100;
const TIMES: usize = 1_000;

#[derive(Args)]
pub(crate) struct Options {
    /// Fail if a piece takes more than its limit or far less than was measured, or has no limit.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args)]
pub(crate) struct PieceOptions {
    /// Its name.
    name: String,
    /// How often it is done.
    #[arg(long)]
    times: usize,
}

pub(crate) fn run() -> Outcome<Checked> {
    let table = Table::new("Instructions per frame of 20 ms", "roomkit-bench count")
        .columns(["piece", "instructions", "limit", "change %"])
        .note("Counted by callgrind, the difference between many times and few; `change` is from what was measured when the limit was set.");
    let mut counted = Checked::new(table);
    for piece in micro::pieces()? {
        let few = instructions(piece.name(), WARM_UP)?;
        let many = instructions(piece.name(), WARM_UP + TIMES)?;
        let each = many.saturating_sub(few) / TIMES as u64;
        let verdict = Verdict::of(piece.name(), each);
        counted.table.row([
            Cell::word(piece.name()),
            Cell::count(each),
            verdict.limit().map_or(Cell::None, Cell::count),
            verdict
                .change_percent()
                .map_or(Cell::None, |change| Cell::figure(change, 1)),
        ]);
        if let Some(problem) = verdict.problem(piece.name()) {
            counted.problem(problem);
        }
    }
    Ok(counted)
}

fn instructions(name: &str, times: usize) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["piece", name, "--times", &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be started, is it installed? {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // Callgrind tells what it has counted of a program that broke down, too.
    if !output.status.success() {
        return Err(format!("`{name}` broke down: {said}").into());
    }
    let count = said.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected :")?;
        count.trim().parse().ok()
    });
    Ok(count.ok_or_else(|| format!("valgrind counted nothing: {said}"))?)
}

/// Does one piece of work, for whoever counts.
pub(crate) fn piece(options: &PieceOptions) -> Outcome<()> {
    let pieces = micro::pieces()?.into_iter();
    let mut pieces = pieces.filter(|piece| piece.name() == options.name);
    let mut piece = pieces.next().ok_or("there is no piece of that name")?;
    for _ in 0..options.times {
        piece.run();
    }
    Ok(())
}
