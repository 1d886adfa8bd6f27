//! Transcripts. The vendor sends pieces and seldom says that one was the last, so finals are made
//! at the boundaries of turns.

use roomkit_core::provider::{ProviderEvent, Role};

use super::decode::Events;

/// The longest text kept, in bytes: hours of talk, or a vendor gone mad.
const LONGEST: usize = 256 * 1024;

/// The words of both sides, as far as they are not final.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// What the user is saying.
    utterance: Option<Utterance>,
    /// The user's last final, until somebody begins to speak anew: it may be sent again.
    last_said: Option<String>,
    /// User's words that came while the model was at work. They may be a repetition of the last
    /// final, a late piece of it, or the beginning of an interruption.
    late: String,
    /// What the model says in this turn.
    answer: String,
}

#[derive(Debug, Default)]
struct Utterance {
    text: String,
    /// A final of it was told already.
    is_told: bool,
}

impl Words {
    // ----- the user

    /// Whether an utterance waits for its final.
    pub(super) fn is_user_open(&self) -> bool {
        self.utterance.is_some()
    }

    /// The user begins to speak.
    pub(super) fn user_began(&mut self) {
        self.last_said = None;
        self.utterance = Some(Utterance::default());
    }

    /// More of what the user says.
    pub(super) fn user_piece(&mut self, text: &str, events: &mut Events) {
        let utterance = self.utterance.get_or_insert_default();
        add(&mut utterance.text, text);
        events.push_back(piece(Role::User, text));
    }

    /// The vendor says that the utterance is complete; speech may go on.
    pub(super) fn user_finished(&mut self, events: &mut Events) {
        if let Some(utterance) = &mut self.utterance {
            let text = std::mem::take(&mut utterance.text);
            utterance.is_told |= !text.trim().is_empty();
            self.say(&text, events);
        }
    }

    /// Nothing more will come of the utterance: its final, or word that there is none.
    pub(super) fn user_ended(&mut self, events: &mut Events) {
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        if !utterance.text.trim().is_empty() {
            self.say(&utterance.text, events);
        } else if !utterance.is_told {
            events.push_back(wordless());
        }
    }

    /// A piece that came while the model was at work.
    pub(super) fn late_piece(&mut self, text: &str) {
        add(&mut self.late, text);
    }

    /// The late pieces were an utterance of their own, unless they repeat the last one.
    pub(super) fn settle_late(&mut self, events: &mut Events) {
        let late = std::mem::take(&mut self.late);
        self.say(&late, events);
    }

    /// Whether the late pieces say something, and something else than the last final.
    pub(super) fn is_late_new(&self) -> bool {
        let late = self.late.trim();
        !late.is_empty() && self.last_said.as_deref() != Some(late)
    }

    /// The late pieces repeat the last final.
    pub(super) fn forget_late(&mut self) {
        self.late.clear();
    }

    /// The late pieces were the beginning of what the user is saying now.
    pub(super) fn late_was_speech(&mut self, events: &mut Events) {
        let late = std::mem::take(&mut self.late);
        if !late.trim().is_empty() {
            self.user_piece(&late, events);
        }
    }

    /// The user may say the same again.
    pub(super) fn forget_said(&mut self) {
        self.last_said = None;
    }

    fn say(&mut self, text: &str, events: &mut Events) {
        let text = text.trim();
        if text.is_empty() || self.last_said.as_deref() == Some(text) {
            return;
        }
        self.last_said = Some(text.to_owned());
        events.push_back(whole(Role::User, text));
    }

    // ----- the model

    /// More of what the model says.
    pub(super) fn answer_piece(&mut self, text: &str, events: &mut Events) {
        add(&mut self.answer, text);
        events.push_back(piece(Role::Assistant, text));
    }

    /// The model's turn is over.
    pub(super) fn answer_ended(&mut self, events: &mut Events) {
        let answer = std::mem::take(&mut self.answer);
        let answer = answer.trim();
        if !answer.is_empty() {
            events.push_back(whole(Role::Assistant, answer));
        }
    }
}

fn add(text: &mut String, piece: &str) {
    if text.len() + piece.len() <= LONGEST {
        text.push_str(piece);
    }
}

/// The user spoke, and nobody made out a word.
pub(super) fn wordless() -> ProviderEvent {
    ProviderEvent::TranscriptFailed {
        item_id: None,
        message: "the vendor made out no words".to_owned(),
    }
}

fn piece(role: Role, text: &str) -> ProviderEvent {
    ProviderEvent::Transcript {
        role,
        item_id: None,
        text: text.to_owned(),
        is_final: false,
    }
}

fn whole(role: Role, text: &str) -> ProviderEvent {
    ProviderEvent::Transcript {
        role,
        item_id: None,
        text: text.to_owned(),
        is_final: true,
    }
}
