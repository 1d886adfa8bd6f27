//! What the echo has been given and has not answered yet, and what it said last.

use std::{collections::VecDeque, time::Duration};

use roomkit_core::{id::ItemId, provider::Role};

use super::ears::Utterance;

/// Texts, images and results that may wait for an answer; the oldest are forgotten.
const PENDING: usize = 16;
/// Characters of a text that are remembered.
const TEXT: usize = 2000;
/// Answers that are remembered.
const ANSWERS: usize = 8;

/// Something that wants an answer.
#[derive(Debug)]
pub(super) enum Heard {
    Text {
        role: Role,
        text: String,
    },
    Image {
        bytes: usize,
        prompt: Option<String>,
    },
    ToolResult {
        name: String,
        output: String,
        is_error: bool,
    },
    Speech(Utterance),
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    pending: VecDeque<Heard>,
    answers: VecDeque<Said>,
}

/// An answer, as far as it was heard.
#[derive(Debug)]
struct Said {
    item_id: ItemId,
    text: String,
    length: Duration,
}

impl Memory {
    pub(super) fn hear(&mut self, heard: Heard) {
        if self.pending.len() >= PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(match heard {
            Heard::Text { role, text } => Heard::Text {
                role,
                text: cut(&text),
            },
            Heard::Image { bytes, prompt } => Heard::Image {
                bytes,
                prompt: prompt.map(|prompt| cut(&prompt)),
            },
            Heard::ToolResult {
                name,
                output,
                is_error,
            } => Heard::ToolResult {
                name: cut(&name),
                output: cut(&output),
                is_error,
            },
            speech @ Heard::Speech(_) => speech,
        });
    }

    /// All that waits for an answer, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<Heard> {
        std::mem::take(&mut self.pending)
    }

    pub(super) fn say(&mut self, item_id: ItemId, text: String, length: Duration) {
        if self.answers.len() >= ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(Said {
            item_id,
            text,
            length,
        });
    }

    /// The words of the answer before, as far as they were heard.
    pub(super) fn last_said(&self) -> Option<&str> {
        self.answers.back().map(|said| said.text.as_str())
    }

    /// Forgets what of an answer was not heard. False: there is no such answer, or no so long one.
    pub(super) fn truncate(&mut self, item_id: &ItemId, heard: Duration) -> bool {
        let Some(said) = self
            .answers
            .iter_mut()
            .find(|said| said.item_id == *item_id)
        else {
            return false;
        };
        if heard > said.length {
            return false;
        }
        let share = heard.as_secs_f64() / said.length.as_secs_f64().max(f64::MIN_POSITIVE);
        let characters = (said.text.chars().count() as f64 * share) as usize;
        if let Some((end, _)) = said.text.char_indices().nth(characters) {
            said.text.truncate(end);
        }
        said.length = heard;
        true
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_heard_is_forgotten() {
        let mut memory = Memory::default();
        let second = Duration::from_secs(1);
        memory.say("a".into(), "äöü äöü".into(), 7 * second);
        assert!(memory.truncate(&"a".into(), 3 * second));
        assert_eq!(memory.last_said(), Some("äöü"));
        assert!(
            !memory.truncate(&"a".into(), 4 * second),
            "longer than it was"
        );
        assert!(!memory.truncate(&"b".into(), second));
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        for _ in 0..100 {
            let text = "ä".repeat(10_000);
            memory.hear(Heard::Text {
                role: Role::User,
                text,
            });
            memory.say(ItemId::random(), String::new(), Duration::ZERO);
        }
        assert_eq!(memory.answers.len(), ANSWERS);
        let pending = memory.take();
        assert_eq!(pending.len(), PENDING);
        let Some(Heard::Text { text, .. }) = pending.front() else {
            panic!("not a text");
        };
        assert_eq!(text.chars().count(), TEXT + 1);
    }
}
