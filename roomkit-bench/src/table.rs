//! What a measurement showed: for people, for `docs/benchmarks.md`, and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    Outcome,
    figures::{percentile, sorted},
};

/// Rows of figures under the names of their columns.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// The command that makes it again.
    pub(crate) command: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What has to be known to read it, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// A figure, or a word.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Word(String),
    Figure {
        value: f64,
        /// Digits after the point, where people read it.
        #[serde(skip)]
        digits: usize,
    },
    /// The lowest and the highest of what was measured.
    Range {
        low: f64,
        high: f64,
        #[serde(skip)]
        digits: usize,
    },
    /// The median and the 99th percentile.
    Spread {
        p50: f64,
        p99: f64,
        #[serde(skip)]
        digits: usize,
    },
    /// It was not measured, or there is nothing to compare with.
    None,
}

impl Cell {
    pub(crate) fn word(word: impl Into<String>) -> Self {
        Self::Word(word.into())
    }

    pub(crate) fn count(count: u64) -> Self {
        Self::figure(count as f64, 0)
    }

    pub(crate) fn figure(value: f64, digits: usize) -> Self {
        Self::Figure { value, digits }
    }

    /// The first and the last of these, if there are any.
    pub(crate) fn range(sorted: &[f64], digits: usize) -> Self {
        match (sorted.first(), sorted.last()) {
            (Some(&low), Some(&high)) => Self::Range { low, high, digits },
            _ => Self::None,
        }
    }

    /// The median and the 99th percentile of these, if there are any.
    pub(crate) fn spread(values: impl IntoIterator<Item = f64>, digits: usize) -> Self {
        let values = sorted(values);
        if values.is_empty() {
            return Self::None;
        }
        Self::Spread {
            p50: percentile(&values, 0.5),
            p99: percentile(&values, 0.99),
            digits,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Figure { value, digits } => format!("{value:.digits$}"),
            Self::Range { low, high, digits } => format!("{low:.digits$} to {high:.digits$}"),
            Self::Spread { p50, p99, digits } => format!("{p50:.digits$} / {p99:.digits$}"),
            Self::None => "-".into(),
        }
    }
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            command: command.into(),
            columns: Vec::new(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn columns<const N: usize>(mut self, columns: [&'static str; N]) -> Self {
        self.columns = columns.into();
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn row(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Writes it with its columns below each other.
    pub(crate) fn print_to(&self, out: &mut impl std::io::Write) -> Outcome<()> {
        writeln!(out, "\n{}", self.title)?;
        let lines = self.lines();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|place| lines.iter().map(|line| width(line, place)).max())
            .map(Option::unwrap_or_default)
            .collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(place, (cell, width))| match place {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        Ok(())
    }

    /// The same as a section of Markdown.
    pub(crate) fn markdown(&self) -> Outcome<String> {
        let mut text = format!("## {}\n\n```\n{}\n```\n\n", self.title, self.command);
        let mut lines = self.lines().into_iter();
        if let Some(heading) = lines.next() {
            let rule = heading.iter().map(|_| "---").collect::<Vec<_>>();
            writeln!(text, "| {} |\n|{}|", heading.join(" | "), rule.join("|"))?;
        }
        for line in lines {
            writeln!(text, "| {} |", line.join(" | "))?;
        }
        for note in &self.notes {
            write!(text, "\n{note}\n")?;
        }
        Ok(text)
    }

    /// The figures of two columns, in the rows with that word in that column.
    pub(crate) fn points(&self, x: &str, y: &str, only: (&str, &str)) -> Vec<(f64, f64)> {
        let place = |name: &str| self.columns.iter().position(|column| *column == name);
        let (Some(x), Some(y), Some(word)) = (place(x), place(y), place(only.0)) else {
            return Vec::new();
        };
        let figure = |cell: Option<&Cell>| match cell {
            Some(Cell::Figure { value, .. }) => Some(*value),
            _ => None,
        };
        let is_meant = |row: &&Vec<Cell>| match row.get(word) {
            Some(Cell::Word(word)) => word == only.1,
            _ => false,
        };
        let rows = self.rows.iter().filter(is_meant);
        rows.filter_map(|row| Some((figure(row.get(x))?, figure(row.get(y))?)))
            .collect()
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let heading = self.columns.iter().map(|column| (*column).to_owned());
        let rows = self.rows.iter();
        let rows = rows.map(|row| row.iter().map(Cell::text).collect());
        std::iter::once(heading.collect()).chain(rows).collect()
    }
}

fn width(line: &[String], place: usize) -> usize {
    line.get(place).map_or(0, |cell| cell.chars().count())
}
