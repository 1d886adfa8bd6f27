//! Which utterances have been told, so that each is told once (contract T3).

use std::collections::VecDeque;

use crate::{id::ItemId, provider::Role};

/// How many settled utterances are remembered to recognise repeats.
const MEMORY: usize = 128;

/// The finals that were told.
#[derive(Debug, Default)]
pub(super) struct Memory {
    settled: VecDeque<(Role, ItemId)>,
    last_anonymous: Option<(Role, String)>,
}

impl Memory {
    /// Somebody begins to speak anew: the same words are no repeat any more.
    pub(super) fn new_turn(&mut self) {
        self.last_anonymous = None;
    }

    pub(super) fn is_settled(&self, role: Role, item_id: Option<&ItemId>) -> bool {
        item_id.is_some_and(|id| {
            self.settled
                .iter()
                .any(|(r, known)| *r == role && known == id)
        })
    }

    /// Whether this final was told before; it is remembered if not (contract T3). Without an id
    /// the same words are a repeat until somebody begins to speak anew.
    pub(super) fn is_repeat(&mut self, role: Role, item_id: Option<&ItemId>, text: &str) -> bool {
        if let Some(id) = item_id {
            let repeat = self.is_settled(role, item_id);
            if !repeat {
                self.remember(role, id.clone());
            }
            return repeat;
        }
        let this = Some((role, text.to_owned()));
        let repeat = self.last_anonymous == this;
        self.last_anonymous = this;
        repeat
    }

    pub(super) fn remember(&mut self, role: Role, item_id: ItemId) {
        self.settled.push_back((role, item_id));
        if self.settled.len() > MEMORY {
            self.settled.pop_front();
        }
    }
}
