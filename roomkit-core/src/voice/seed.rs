//! What a new session is told of the room's earlier conversation.

use super::{REALTIME_VOICE, in_room::role_in};
use crate::{
    error::RoomError,
    kit::RoomKit,
    provider::{HistoryItem, Role},
    room::{ChannelBinding, EventKind, EventStatus, RoomEvent, TimelineQuery},
};

/// A rough measure that is good enough for a limit; vendors count differently.
const CHARACTERS_PER_TOKEN: usize = 4;
/// How many events of a timeline are looked at for one seed.
const PAGE: usize = 200;
const PAGES: usize = 10;

/// How much of a room's earlier conversation a new session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistorySeed {
    /// The last so many messages: each thing somebody said or wrote is one.
    Turns(usize),
    /// The last messages that make about so many tokens, at four characters each. A message is
    /// told whole or not at all.
    Tokens(usize),
}

impl HistorySeed {
    /// Reads the end of the room's timeline before this index as far as this channel may know it, oldest
    /// first.
    pub(super) async fn read(
        self,
        kit: &RoomKit,
        binding: &ChannelBinding,
        before: u64,
    ) -> Result<Vec<HistoryItem>, RoomError> {
        let mut budget = Budget::new(self);
        let mut newest_first = Vec::new();
        let mut query = TimelineQuery::new().limit(PAGE).before(before);
        for _ in 0..PAGES {
            let page = kit.timeline(&binding.room_id, query).await?;
            let Some(first) = page.first().map(|event| event.index) else {
                break;
            };
            for event in page.iter().rev() {
                let Some((role, text)) = words_of(event, binding) else {
                    continue;
                };
                if !budget.takes(text) {
                    newest_first.reverse();
                    return Ok(newest_first);
                }
                let text = text.to_owned();
                newest_first.push(HistoryItem::Message { role, text });
            }
            query = TimelineQuery::new().limit(PAGE).before(first);
        }
        newest_first.reverse();
        Ok(newest_first)
    }
}

struct Budget {
    messages: usize,
    characters: usize,
}

impl Budget {
    fn new(seed: HistorySeed) -> Self {
        match seed {
            HistorySeed::Turns(messages) => Self {
                messages,
                characters: usize::MAX,
            },
            HistorySeed::Tokens(tokens) => Self {
                messages: usize::MAX,
                characters: tokens.saturating_mul(CHARACTERS_PER_TOKEN),
            },
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let characters = text.chars().count();
        let fits = self.messages > 0 && characters <= self.characters;
        if fits {
            self.messages -= 1;
            self.characters -= characters;
        }
        fits
    }
}

/// Whose words an event holds, if it is something that was said and this channel may hear of it.
fn words_of<'a>(event: &'a RoomEvent, binding: &ChannelBinding) -> Option<(Role, &'a str)> {
    if event.kind != EventKind::Message || event.status != EventStatus::Delivered {
        return None;
    }
    let text = event.content.as_text()?;
    let was_spoken = event.source.channel_type == REALTIME_VOICE;
    let is_ours = was_spoken && event.source.channel_id == binding.channel_id;
    let is_shown = binding.sees(event.shown_to());
    if text.trim().is_empty() || !(is_ours || is_shown) {
        return None;
    }
    let role = role_in(event, if was_spoken { "role" } else { "inject_role" });
    Some((role, text))
}
