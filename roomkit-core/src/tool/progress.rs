//! What a running tool tells before it is done.

use std::fmt;

use tokio::sync::mpsc;

/// The longest report that is passed on, in characters: it is a few words.
const LONGEST: usize = 500;

/// Where a running call reports how far it has come; see
/// [`ToolInvocation::report`](super::ToolInvocation::report).
#[derive(Clone, Default)]
pub(crate) struct Reporter {
    reports: Option<mpsc::Sender<Box<(u64, String)>>>,
    /// The serial number of the call.
    call: u64,
}

impl Reporter {
    pub(crate) fn new(reports: mpsc::Sender<Box<(u64, String)>>) -> Self {
        let (reports, call) = (Some(reports), 0);
        Self { reports, call }
    }

    /// The same for the call of this serial number.
    pub(crate) fn of(&self, call: u64) -> Self {
        let reports = self.reports.clone();
        Self { reports, call }
    }

    pub(super) fn report(&self, text: &str) {
        if let Some(reports) = &self.reports {
            // One that comes too fast says little that the next will not say.
            let text = text.chars().take(LONGEST).collect();
            let _ = reports.try_send(Box::new((self.call, text)));
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}
