//! The conversation's items and the client events that change them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::engine::{Engine, event_fields};
use super::items::{NewItem, read_item};
use super::wire::WireError;
use crate::fake::audio::AudioFormat;

/// One item; its audio is kept beside the JSON, which events carry without audio.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) json: Value,
    format: AudioFormat,
    parts: Vec<PartAudio>,
}

/// The audio of one content part: how much there is of it, and itself where it is kept.
#[derive(Debug, Default)]
struct PartAudio {
    kept: Vec<u8>,
    bytes: usize,
}

impl Item {
    pub(crate) fn new(id: String, json: Value, format: AudioFormat) -> Self {
        Self {
            id,
            json,
            format,
            parts: vec![PartAudio::default()],
        }
    }

    /// Counts audio of the last part, and keeps it if `keep`.
    pub(crate) fn push_audio(&mut self, audio: &[u8], keep: bool) {
        if let Some(part) = self.parts.last_mut() {
            part.bytes += audio.len();
            if keep {
                part.kept.extend_from_slice(audio);
            }
        }
    }

    /// Another part begins.
    pub(crate) fn next_part(&mut self) {
        self.parts.push(PartAudio::default());
    }

    fn is_assistant_audio(&self) -> bool {
        self.json["role"] == "assistant" && self.parts.iter().any(|part| part.bytes > 0)
    }

    /// Cuts a part off, unless it is shorter already.
    fn truncate(&mut self, content_index: usize, end_ms: u64) -> Result<(), WireError> {
        let Some(part) = self.parts.get_mut(content_index) else {
            return Err(WireError::invalid_value(
                "content_index",
                "Invalid 'content_index': the item has no such content part.",
            ));
        };
        let held = self.format.duration_ms(part.bytes);
        if end_ms > held {
            return Err(WireError::invalid_value(
                "audio_end_ms",
                format!("Audio content of {held}ms is already shorter than {end_ms}ms"),
            ));
        }
        let bytes = self.format.bytes_in_ms(end_ms);
        part.kept.truncate(bytes);
        part.bytes = part.bytes.min(bytes);
        // The text of what was cut off goes too, and nobody knows which part that is.
        let transcript = format!("/content/{content_index}/transcript");
        if let Some(transcript) = self.json.pointer_mut(&transcript) {
            *transcript = Value::Null;
        }
        Ok(())
    }

    fn json_with_audio(&self) -> Value {
        let mut json = self.json.clone();
        let content = json["content"].as_array_mut().into_iter().flatten();
        for (index, part) in content.enumerate() {
            if part["type"] == "input_audio" || part["type"] == "output_audio" {
                // What a client sent is all in the first.
                let audio = self.parts.get(index).or(self.parts.first());
                let kept = audio.map_or(&[][..], |audio| &audio.kept);
                part["audio"] = Value::String(STANDARD.encode(kept));
            }
        }
        json
    }
}

#[derive(Debug)]
pub(crate) struct Conversation {
    id: String,
    items: Vec<Item>,
    keep_audio: bool,
}

impl Conversation {
    pub(crate) fn new(id: String, keep_audio: bool) -> Self {
        Self {
            id,
            items: Vec::new(),
            keep_audio,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn last(&self) -> Option<&Item> {
        self.items.last()
    }

    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last().map(|item| item.id.as_str())
    }

    pub(crate) fn append(&mut self, item: Item) {
        self.items.push(item);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    /// The id of the item before this one.
    pub(crate) fn previous_id(&self, id: &str) -> Option<&str> {
        let index = self.items.iter().position(|item| item.id == id)?;
        let previous = self.items.get(index.checked_sub(1)?)?;
        Some(&previous.id)
    }

    pub(crate) fn has_assistant_audio(&self) -> bool {
        self.items.iter().any(Item::is_assistant_audio)
    }

    pub(crate) fn has_call(&self, call_id: &str) -> bool {
        self.items
            .iter()
            .any(|item| item.json["type"] == "function_call" && item.json["call_id"] == call_id)
    }

    pub(crate) fn has_output(&self, call_id: &str) -> bool {
        self.items.iter().any(|item| {
            item.json["type"] == "function_call_output" && item.json["call_id"] == call_id
        })
    }

    /// Adds streamed audio to an item of a running response.
    pub(crate) fn push_audio(&mut self, id: &str, audio: &[u8]) {
        let keep = self.keep_audio;
        if let Some(item) = self.get_mut(id) {
            item.push_audio(audio, keep);
        }
    }

    fn index_after(&self, previous: Option<&str>) -> Option<usize> {
        match previous {
            None => Some(self.items.len()),
            Some("root") => Some(0),
            Some(id) => self
                .items
                .iter()
                .position(|item| item.id == id)
                .map(|index| index + 1),
        }
    }
}

// The codes for bad ids of truncate, delete and create are by analogy with the one of retrieve,
// which was captured.
impl Engine {
    pub(super) fn item_create(&mut self, event: &Value) -> Result<(), WireError> {
        let fields = event_fields(event, &["previous_item_id", "item"])?;
        let previous = match fields.nullable("previous_item_id") {
            None => None,
            Some(_) => fields.string("previous_item_id")?,
        };
        let NewItem {
            id,
            mut json,
            audio,
        } = read_item(fields.required("item")?, "item", &self.conversation)?;
        if let Some(id) = &id
            && self.conversation.get(id).is_some()
        {
            return Err(WireError::new(
                "item_create_duplicate_item_id",
                format!("Error adding item: an item with id '{id}' already exists."),
            )
            .param("item.id"));
        }
        let Some(index) = self.conversation.index_after(previous) else {
            let message = format!(
                "Error adding item: the previous item with id '{}' does not exist.",
                previous.unwrap_or_default()
            );
            return Err(
                WireError::new("item_create_invalid_previous_item_id", message)
                    .param("previous_item_id"),
            );
        };
        let id = id.unwrap_or_else(|| self.writer.id("item"));
        json["id"] = Value::String(id.clone());
        let mut item = Item::new(id.clone(), json.clone(), self.settings.input_format());
        item.push_audio(&audio, self.hub.options.common.record_audio);
        self.conversation.items.insert(index, item);
        if !audio.is_empty() {
            self.last_turn.audio = audio;
            self.last_turn.format = Some(self.settings.input_format());
            self.last_turn.text = json["content"][0]["transcript"].as_str().map(str::to_owned);
        }
        let previous = self.conversation.previous_id(&id);
        let added = json!({"previous_item_id": previous, "item": json});
        self.emit("conversation.item.added", &added);
        self.emit("conversation.item.done", &added);
        Ok(())
    }

    pub(super) fn item_retrieve(&mut self, event: &Value) -> Result<(), WireError> {
        let fields = event_fields(event, &["item_id"])?;
        let id = fields.required_string("item_id")?;
        let Some(item) = self.conversation.get(id) else {
            return Err(missing_item("retriev", "item_retrieve_invalid_item_id", id));
        };
        let item = item.json_with_audio();
        self.emit("conversation.item.retrieved", &json!({"item": item}));
        Ok(())
    }

    pub(super) fn item_truncate(&mut self, event: &Value) -> Result<(), WireError> {
        let fields = event_fields(event, &["item_id", "content_index", "audio_end_ms"])?;
        let id = fields.required_string("item_id")?;
        fields.required("content_index")?;
        let index = fields.integer("content_index", 0, i64::MAX)?.unwrap_or(0);
        fields.required("audio_end_ms")?;
        let end = fields.integer("audio_end_ms", 0, i64::MAX)?.unwrap_or(0) as u64;
        let Some(item) = self.conversation.get_mut(id) else {
            return Err(missing_item("truncat", "item_truncate_invalid_item_id", id));
        };
        if !item.is_assistant_audio() {
            return Err(WireError::without_code(
                "Only model output audio messages can be truncated",
            ));
        }
        item.truncate(usize::try_from(index).unwrap_or(usize::MAX), end)?;
        self.emit(
            "conversation.item.truncated",
            &json!({"item_id": id, "content_index": index, "audio_end_ms": end}),
        );
        Ok(())
    }

    pub(super) fn item_delete(&mut self, event: &Value) -> Result<(), WireError> {
        let fields = event_fields(event, &["item_id"])?;
        let id = fields.required_string("item_id")?;
        let items = &mut self.conversation.items;
        let Some(index) = items.iter().position(|item| item.id == id) else {
            return Err(missing_item("delet", "item_delete_invalid_item_id", id));
        };
        items.remove(index);
        self.emit("conversation.item.deleted", &json!({"item_id": id}));
        Ok(())
    }
}

fn missing_item(verb: &str, code: &'static str, id: &str) -> WireError {
    WireError::new(
        code,
        format!("Error {verb}ing item: the item with id '{id}' does not exist."),
    )
    .param("item_id")
}
