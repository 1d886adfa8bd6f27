//! Something the AI says, and how much of it was heard.

use std::time::Duration;

use crate::{
    call::{
        io::{Moment, News},
        playout::Said,
    },
    id::ItemId,
    provider::Role,
};

/// Something the AI says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) serial: u64,
    /// The number of the provider connection that knows it.
    pub(super) connection: u32,
    /// The number of the response it is of.
    pub(super) response: u64,
    pub(super) item_id: Option<ItemId>,
    pub(super) began: Moment,
    pub(super) text: String,
    /// Some of it was told while it came.
    pub(super) has_partials: bool,
    pub(super) audio: Duration,
    /// How much of that found no room in the playout.
    pub(super) lost: Duration,
    pub(super) chain_depth: u32,
    pub(super) stage: Stage,
    /// How much was heard when it was interrupted.
    pub(super) cut: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Text and audio may still come.
    Open,
    /// Its final is queued and waits until it has been heard.
    Queued,
    /// Its final need not wait to be heard.
    Released,
}

impl Answer {
    /// Which of the audio is its own.
    pub(super) fn said(&self) -> Said<'_> {
        match &self.item_id {
            Some(item_id) => Said::Item(self.connection, item_id),
            None => Said::Response(self.response),
        }
    }

    /// What is told of it in the end, if anything is, and when it began.
    pub(super) fn settled(self) -> Option<(Moment, News)> {
        let (role, text) = (Role::Assistant, self.settled_text());
        let is_cut = self.heard().is_some();
        let told = if !text.trim().is_empty() {
            News::Final {
                role,
                text,
                item_id: self.item_id,
                since: self.began,
                barge_in: is_cut,
                chain_depth: self.chain_depth,
            }
        } else if self.has_partials {
            let item_id = self.item_id;
            News::Withdrawn { role, item_id }
        } else {
            return None;
        };
        Some((self.began, told))
    }

    /// How much of it is heard, if that is not all.
    pub(super) fn heard(&self) -> Option<Duration> {
        let is_whole = self.lost.is_zero();
        self.cut
            .or_else(|| (!is_whole).then(|| self.audio.saturating_sub(self.lost)))
    }

    /// The whole text, or of an interrupted answer the words heard: vendors do not say when a word
    /// is spoken, so the share of the audio heard is taken as the share of the text.
    pub(super) fn settled_text(&self) -> String {
        match self.heard() {
            Some(heard) if heard < self.audio => share(&self.text, heard, self.audio),
            Some(_) if self.audio.is_zero() => String::new(),
            _ => self.text.clone(),
        }
    }
}

/// The first words of `text`, as many as `heard` is of `whole`.
fn share(text: &str, heard: Duration, whole: Duration) -> String {
    let chars = text.chars().count() as u128 * heard.as_micros() / whole.as_micros().max(1);
    let end = text
        .char_indices()
        .nth(chars as usize)
        .map_or(text.len(), |(place, _)| place);
    let (said, rest) = text.split_at(end);
    let whole_words = if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        said
    } else {
        said.rfind(char::is_whitespace)
            .map_or("", |space| &said[..space])
    };
    whole_words.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t4_a_share_of_the_text_is_whole_words() {
        let s = |heard, whole| {
            share(
                "one two three",
                Duration::from_millis(heard),
                Duration::from_millis(whole),
            )
        };
        assert_eq!(s(0, 1300), "");
        assert_eq!(s(300, 1300), "one");
        assert_eq!(s(500, 1300), "one");
        assert_eq!(s(700, 1300), "one two");
        assert_eq!(s(1299, 1300), "one two");
        assert_eq!(s(1300, 1300), "one two three");
        assert_eq!(
            share(
                "äöü äöü",
                Duration::from_millis(4),
                Duration::from_millis(7)
            ),
            "äöü"
        );
        assert_eq!(share("", Duration::from_millis(4), Duration::ZERO), "");
    }
}
