//! What a running tool tells before it is done.

use std::fmt;

use tokio::sync::mpsc;

use crate::id::CallId;

/// The longest report that is passed on, in characters: it is a few words.
const LONGEST: usize = 500;

/// Where a running call reports how far it has come; see
/// [`ToolInvocation::report`](super::ToolInvocation::report).
#[derive(Clone, Default)]
pub(crate) struct Reporter(Option<mpsc::Sender<Box<(CallId, String)>>>);

impl Reporter {
    pub(crate) fn new(reports: mpsc::Sender<Box<(CallId, String)>>) -> Self {
        Self(Some(reports))
    }

    pub(super) fn report(&self, call_id: &CallId, text: &str) {
        if let Some(reports) = &self.0 {
            // One that comes too fast says little that the next will not say.
            let text = text.chars().take(LONGEST).collect();
            let _ = reports.try_send(Box::new((call_id.clone(), text)));
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}
