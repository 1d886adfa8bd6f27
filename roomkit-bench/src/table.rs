//! What a measurement showed: for people, for `docs/benchmarks.md`, and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    Outcome,
    figures::{median, percentile, sorted},
};

/// Of fewer values the 99th percentile is one or two of them, and the highest says as much.
const ENOUGH: usize = 300;

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
    /// The median and the 99th percentile of so many; of fewer than [`ENOUGH`] the highest.
    Spread {
        p50: f64,
        p99: f64,
        of: usize,
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

    /// The first and the last of these, if there are two.
    pub(crate) fn range(sorted: &[f64], digits: usize) -> Self {
        match sorted {
            [low, .., high] => Self::Range {
                low: *low,
                high: *high,
                digits,
            },
            _ => Self::None,
        }
    }

    /// The median of these, and the 99th percentile or, of few, the highest.
    pub(crate) fn spread(values: impl IntoIterator<Item = f64>, digits: usize) -> Self {
        let values = sorted(values);
        if values.is_empty() {
            return Self::None;
        }
        let of = values.len();
        let high = if of < ENOUGH { 1.0 } else { 0.99 };
        Self::Spread {
            p50: median(values.iter().copied()),
            p99: percentile(&values, high),
            of,
            digits,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Figure { value, digits } => format!("{value:.digits$}"),
            Self::Range { low, high, digits } => format!("{low:.digits$} to {high:.digits$}"),
            Self::Spread {
                p50,
                p99,
                of,
                digits,
            } => {
                let max = if *of < ENOUGH { "max " } else { "" };
                format!("{p50:.digits$} / {max}{p99:.digits$}")
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_no_percentile_and_one_no_range() {
        let values = |count: u32| (1..=count).map(f64::from);
        assert_eq!(Cell::spread(values(10), 0).text(), "6 / max 10");
        assert_eq!(Cell::spread(values(1_000), 0).text(), "500 / 991");
        assert_eq!(Cell::spread([], 0).text(), "-");
        assert_eq!(Cell::range(&[1.02], 2).text(), "-");
        assert_eq!(Cell::range(&[1.0, 1.5, 2.0], 1).text(), "1.0 to 2.0");
    }
}
