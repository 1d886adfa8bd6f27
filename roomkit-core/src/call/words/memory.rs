//! Which utterances have been told, so that each is told once (contract T3).

use std::collections::{HashMap, VecDeque};

use crate::{id::ItemId, provider::Role};

/// How many settled utterances are remembered to recognise repeats.
const MEMORY: usize = 128;

/// The finals that were told.
#[derive(Debug, Default)]
pub(super) struct Memory {
    settled: VecDeque<(Role, ItemId)>,
    last_anonymous: HashMap<Role, String>,
}

impl Memory {
    /// Somebody begins to speak anew: the same words from them are no repeat any more.
    pub(super) fn new_turn(&mut self, role: Role) {
        self.last_anonymous.remove(&role);
    }

    /// Its ids are others, even if they look the same.
    pub(super) fn new_connection(&mut self) {
        self.settled.clear();
    }

    pub(super) fn is_settled(&self, role: Role, item_id: Option<&ItemId>) -> bool {
        item_id.is_some_and(|id| {
            self.settled
                .iter()
                .any(|(r, known)| *r == role && known == id)
        })
    }

    /// Whether this final was told before; it is remembered if not (contract T3). Without an id
    /// the same words are a repeat until the same side begins to speak anew.
    pub(super) fn is_repeat(&mut self, role: Role, item_id: Option<&ItemId>, text: &str) -> bool {
        if let Some(id) = item_id {
            let repeat = self.is_settled(role, item_id);
            if !repeat {
                self.remember(role, id.clone());
            }
            return repeat;
        }
        let before = self.last_anonymous.insert(role, text.to_owned());
        before.is_some_and(|before| before == text)
    }

    pub(super) fn remember(&mut self, role: Role, item_id: ItemId) {
        self.settled.push_back((role, item_id));
        if self.settled.len() > MEMORY {
            self.settled.pop_front();
        }
    }
}
