//! Where a caller has moved to, when its agent here does not go with it.
//!
//! The library's agent keeps the pair it was given first until the next ICE restart. A browser whose
//! network changes nominates another one, and has no reason to restart: for it all is well. So what
//! the agent sends to the first goes to the one nominated last, and the answers to its checks come
//! back as from the first.
//!
//! Not every client says it: one behind a NAT may not know that it has moved, and one that nominates
//! many ways may use another than the last. So who is silent on its way and asks from another one is
//! followed there as well.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// One of our sockets, by its number, and an address of the caller's.
pub(super) type Path = (usize, SocketAddr);

/// How many checks in a row go unanswered on a way until the caller is silent there.
const SILENT_AFTER: u8 = 2;

/// A caller's way.
#[derive(Debug, Default)]
pub(super) struct Way(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// Where the agent sends media: the pair it has selected.
    selected: Option<Path>,
    /// Where the caller wants them.
    followed: Option<Path>,
    /// The agent's checks of its pair since one was answered.
    unanswered: u8,
}

impl Way {
    /// The caller is to be reached there from now on.
    pub(super) fn follow(&self, path: Path) {
        let mut ends = self.ends();
        ends.followed = Some(path);
        ends.unanswered = 0;
    }

    /// Whether a caller that asks from there is to be followed.
    pub(super) fn leads_to(&self, path: Path, is_nominated: bool) -> bool {
        let ends = self.ends();
        let is_silent = ends.unanswered >= SILENT_AFTER;
        (is_nominated || is_silent) && ends.followed.or(ends.selected) != Some(path)
    }

    /// Where the agent's media for this path go.
    pub(super) fn of_media(&self, path: Path) -> Path {
        let mut ends = self.ends();
        ends.selected = Some(path);
        ends.followed.unwrap_or(path)
    }

    /// Where the agent's check of this path goes.
    pub(super) fn of_check(&self, path: Path) -> Path {
        let mut ends = self.ends();
        if ends.selected != Some(path) {
            return path;
        }
        ends.unanswered = ends.unanswered.saturating_add(1);
        ends.followed.unwrap_or(path)
    }

    /// The agent's check of this path was answered.
    pub(super) fn is_answered(&self, path: Path) {
        let mut ends = self.ends();
        if ends.selected == Some(path) {
            ends.unanswered = 0;
        }
    }

    /// An ICE restart: the agent selects anew.
    pub(super) fn begin_anew(&self) {
        *self.ends() = Ends::default();
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
