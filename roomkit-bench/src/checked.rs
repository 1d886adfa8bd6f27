//! Figures that are held against limits, so that CI can fail.

use crate::{Outcome, table::Table};

/// A table, with a note on each figure that is not as it must be.
pub(crate) struct Checked {
    pub(crate) table: Table,
    problems: usize,
}

impl Checked {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, problems: 0 }
    }

    pub(crate) fn problem(&mut self, problem: String) {
        self.problems += 1;
        self.table.notes.push(problem);
    }

    /// An error if there is a problem, and somebody wants to know.
    pub(crate) fn outcome(&self, check: bool) -> Outcome<()> {
        match self.problems {
            0 => Ok(()),
            problems if check => {
                Err(format!("{problems} of the figures are not as they must be, see above").into())
            }
            _ => Ok(()),
        }
    }
}
