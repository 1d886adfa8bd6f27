//! Transcripts of the user that come several times for one item, each time longer, as xAI sends
//! them. None of them says that it is the last: that shows when the conversation goes on.

use std::collections::VecDeque;

use roomkit_core::{
    id::ItemId,
    provider::{ProviderEvent, Role, TranscriptionUsage},
};
use roomkit_dial::text_of;

use super::{
    super::{
        message::{Flat, ItemBody, OutputItem, WireUsage},
        remember,
    },
    Decoder, read,
};

/// The utterance that may still grow.
#[derive(Debug, Default)]
pub(super) struct Cumulative {
    open: Option<Utterance>,
    /// Items whose final has been told.
    told: VecDeque<String>,
    /// A response has begun since the user's last turn did: nothing grows any more.
    is_answered: bool,
}

#[derive(Debug)]
struct Utterance {
    item_id: String,
    text: String,
    usage: Option<TranscriptionUsage>,
}

impl Decoder {
    /// The events that grow or close an utterance, where transcripts are cumulative.
    pub(super) fn dispatch_cumulative<'a>(
        &mut self,
        kind: &str,
        frame: &'a str,
        events: &mut VecDeque<ProviderEvent>,
    ) -> Result<(), serde_json::Error> {
        let words = self.cumulative.get_or_insert_default();
        match kind {
            "conversation.item.input_audio_transcription.completed"
            | "conversation.item.input_audio_transcription.updated" => {
                let flat: Flat<'a> = read(frame)?;
                let text = flat.transcript.as_ref().or(flat.text.as_ref());
                let usage = flat.usage.as_ref().and_then(WireUsage::of_transcription);
                let item_id = text_of(flat.item_id.as_ref());
                words.heard(item_id, text_of(text), usage, events);
                return Ok(());
            }
            "conversation.item.input_audio_transcription.delta" => {
                let flat: Flat<'a> = read(frame)?;
                let item_id = text_of(flat.item_id.as_ref());
                words.more(item_id, text_of(flat.delta.as_ref()), events);
                return Ok(());
            }
            "response.created" => words.answered(events),
            "input_audio_buffer.speech_started" => {
                let flat: Flat<'a> = read(frame)?;
                words.turn_began(text_of(flat.item_id.as_ref()), events);
            }
            "input_audio_buffer.committed" => {
                let flat: Flat<'a> = read(frame)?;
                words.committed(text_of(flat.item_id.as_ref()), events);
            }
            // The host says that the user begins to speak.
            "input_audio_buffer.cleared" => words.turn_began("", events),
            _ => {
                let event: OutputItem<'a> = read(frame)?;
                // Text that is added while the user speaks does not end what the user says.
                if let Some(item) = event.item.filter(ItemBody::is_spoken) {
                    words.item(text_of(item.id.as_ref()), events);
                }
            }
        }
        self.dispatch(kind, frame, events)
    }
}

/// Whether an event has a part in how cumulative transcripts grow.
pub(super) fn concerns(kind: &str) -> bool {
    matches!(
        kind,
        "conversation.item.input_audio_transcription.completed"
            | "conversation.item.input_audio_transcription.updated"
            | "conversation.item.input_audio_transcription.delta"
            | "response.created"
            | "input_audio_buffer.speech_started"
            | "input_audio_buffer.committed"
            | "input_audio_buffer.cleared"
            | "conversation.item.added"
            | "conversation.item.created"
            | "response.output_item.added"
    )
}

impl Cumulative {
    /// The whole text of an item as it is known now.
    pub(super) fn heard(
        &mut self,
        item_id: &str,
        text: &str,
        usage: Option<TranscriptionUsage>,
        events: &mut VecDeque<ProviderEvent>,
    ) {
        if self.is_told(item_id) {
            return;
        }
        self.item(item_id, events);
        let before = self.open.take();
        let known = before.as_ref().map_or("", |before| before.text.as_str());
        // Partials are what is new. Words that were taken back are so with the final.
        if let Some(new) = text.strip_prefix(known).filter(|new| !new.is_empty()) {
            events.push_back(ProviderEvent::Transcript {
                role: Role::User,
                item_id: id(item_id),
                text: new.to_owned(),
                is_final: false,
            });
        }
        self.open = Some(Utterance {
            item_id: item_id.to_owned(),
            text: text.to_owned(),
            usage: usage.or(before.and_then(|before| before.usage)),
        });
        if self.is_answered {
            self.close(events);
        }
    }

    /// More words of an item, where the server sends pieces as well.
    pub(super) fn more(
        &mut self,
        item_id: &str,
        piece: &str,
        events: &mut VecDeque<ProviderEvent>,
    ) {
        if self.is_told(item_id) {
            return;
        }
        self.item(item_id, events);
        let known = self.open.as_ref().map_or("", |open| open.text.as_str());
        let text = format!("{known}{piece}");
        self.heard(item_id, &text, None, events);
    }

    /// Whether the final of an item is told: a server may say once more, during the next, what it was.
    fn is_told(&self, item_id: &str) -> bool {
        !item_id.is_empty() && self.told.iter().any(|told| told == item_id)
    }

    /// The user begins to speak.
    pub(super) fn turn_began(&mut self, item_id: &str, events: &mut VecDeque<ProviderEvent>) {
        self.item(item_id, events);
        self.is_answered = false;
    }

    /// What the user said has become an item. Where nothing says when the user begins to speak, that is
    /// all there is.
    pub(super) fn committed(&mut self, item_id: &str, events: &mut VecDeque<ProviderEvent>) {
        self.item(item_id, events);
        self.is_answered &= self.is_told(item_id);
    }

    /// A response begins.
    pub(super) fn answered(&mut self, events: &mut VecDeque<ProviderEvent>) {
        self.is_answered = true;
        self.close(events);
    }

    /// Something is said of this item: another one than the open utterance's closes that.
    pub(super) fn item(&mut self, item_id: &str, events: &mut VecDeque<ProviderEvent>) {
        let is_other = |open: &Utterance| !item_id.is_empty() && open.item_id != item_id;
        if self.open.as_ref().is_some_and(is_other) {
            self.close(events);
        }
    }

    /// Nothing more comes for the open utterance.
    pub(super) fn close(&mut self, events: &mut VecDeque<ProviderEvent>) {
        let Some(utterance) = self.open.take() else {
            return;
        };
        events.push_back(ProviderEvent::Transcript {
            role: Role::User,
            item_id: id(&utterance.item_id),
            text: utterance.text,
            is_final: true,
        });
        events.extend(utterance.usage.map(ProviderEvent::TranscriptionUsage));
        if !utterance.item_id.is_empty() {
            remember(&mut self.told, utterance.item_id);
        }
    }
}

fn id(item_id: &str) -> Option<ItemId> {
    (!item_id.is_empty()).then(|| ItemId::from(item_id))
}
