//! Server messages as frames: merged, pretty-printed and named.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::builder::Options;
use super::models::Family;
use crate::fake::random::Random;
use crate::fake::serve::Frame;

/// Bytes of audio from which a frame holds two parts.
const TWO_PARTS: usize = 200 * 48;

/// Writes the messages of one connection.
#[derive(Debug)]
pub(crate) struct Writer {
    random: Random,
    noise: bool,
    pretty: bool,
    merge: bool,
    outbox: Vec<Value>,
}

impl Writer {
    pub(crate) fn new(connection: usize, options: &Options) -> Self {
        Self {
            random: Random::seeded(connection as u64),
            noise: options.common.noise,
            pretty: options.pretty,
            merge: options.merge_frames,
            outbox: Vec::new(),
        }
    }

    pub(crate) fn noise(&self) -> bool {
        self.noise
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(crate) fn message(&mut self, message: Value) {
        self.outbox.push(message);
    }

    /// One `serverContent` with these fields.
    pub(crate) fn content(&mut self, mut fields: Value) {
        if self.noise && self.random.below(4) == 0 {
            fields["novelty"] = json!({"level": self.random.below(100), "list": [null, true, "x"]});
        }
        self.message(json!({"serverContent": fields}));
    }

    /// Audio of the model, PCM16 at 24 kHz. The newer models send several parts per message.
    pub(crate) fn audio(&mut self, pcm: &[u8], family: Family) {
        let several = self.noise && family != Family::V25 && pcm.len() >= TWO_PARTS;
        let middle = if several {
            pcm.len() / 4 * 2
        } else {
            pcm.len()
        };
        let (first, second) = pcm.split_at(middle);
        let bare = self.noise && self.random.below(5) == 0;
        let mime = if bare {
            "audio/pcm"
        } else {
            "audio/pcm;rate=24000"
        };
        let parts: Vec<Value> = [first, second]
            .into_iter()
            .filter(|audio| !audio.is_empty())
            .map(|audio| json!({"inlineData": {"mimeType": mime, "data": STANDARD.encode(audio)}}))
            .collect();
        self.content(json!({"modelTurn": {"role": "model", "parts": parts}}));
    }

    /// Everything written since the last call.
    pub(crate) fn take(&mut self) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(self.outbox.len());
        let mut last: Option<Value> = None;
        for message in std::mem::take(&mut self.outbox) {
            match &mut last {
                Some(open) if self.merge && can_join(open, &message) => join(open, message),
                _ => {
                    frames.extend(last.replace(message).map(|message| self.frame(&message)));
                }
            }
        }
        frames.extend(last.map(|message| self.frame(&message)));
        frames
    }

    fn frame(&self, message: &Value) -> Frame {
        let text = if self.pretty {
            // `{:#}` of a JSON value is its pretty form.
            format!("{message:#}\n")
        } else {
            message.to_string()
        };
        Frame {
            kind: Cow::Owned(kinds(message).join("+")),
            text,
            audio_bytes: audio_bytes(message),
        }
    }
}

/// What a message is called: its fields, and those of `serverContent` by their own names.
pub(crate) fn kinds(message: &Value) -> Vec<&str> {
    const ASIDES: &[&str] = &[
        "novelty",
        "interactionStatus",
        "turnCompleteReason",
        "groundingMetadata",
    ];
    let mut kinds = Vec::new();
    for (key, value) in message.as_object().into_iter().flatten() {
        match key.as_str() {
            "serverContent" => {
                let fields = value.as_object().into_iter().flat_map(Map::keys);
                let known = fields.map(String::as_str);
                let before = kinds.len();
                kinds.extend(known.filter(|name| !ASIDES.contains(name)));
                if kinds.len() == before {
                    kinds.push("serverContent");
                }
            }
            "usageMetadata" if message.as_object().is_some_and(|map| map.len() > 1) => {}
            other => kinds.push(other),
        }
    }
    kinds
}

/// Bytes of audio in a message of the model.
fn audio_bytes(message: &Value) -> usize {
    let parts = message["serverContent"]["modelTurn"]["parts"].as_array();
    let data = parts
        .into_iter()
        .flatten()
        .filter_map(|part| part["inlineData"]["data"].as_str());
    data.map(|data| data.trim_end_matches('=').len() * 3 / 4)
        .sum()
}

/// Two messages fit into one frame if they share no field.
fn can_join(open: &Value, next: &Value) -> bool {
    let disjoint = |one: &Value, other: &Value| {
        let mut keys = other.as_object().into_iter().flat_map(Map::keys);
        keys.all(|key| one.get(key).is_none() || key == "serverContent")
    };
    let contents = (&open["serverContent"], &next["serverContent"]);
    disjoint(open, next) && disjoint(contents.0, contents.1)
}

fn join(open: &mut Value, next: Value) {
    let Value::Object(next) = next else { return };
    for (key, value) in next {
        match (open.get_mut(&key), value) {
            (Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more),
            (_, value) => open[&key] = value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_named_by_their_fields() {
        let turn = json!({"serverContent": {"turnComplete": true, "interactionStatus": "IDLE"},
            "usageMetadata": {}});
        assert_eq!(kinds(&turn), ["turnComplete"]);
        let empty = json!({"serverContent": {}, "usageMetadata": {}});
        assert_eq!(kinds(&empty), ["serverContent"]);
        assert_eq!(kinds(&json!({"usageMetadata": {}})), ["usageMetadata"]);
        assert_eq!(kinds(&json!({"goAway": {}})), ["goAway"]);
        let audio = json!({"serverContent": {"modelTurn": {"parts": [
            {"inlineData": {"data": "AAAA"}}, {"inlineData": {"data": "AAA="}}]}}});
        assert_eq!(audio_bytes(&audio), 5);
    }

    #[test]
    fn only_what_shares_no_field_is_joined() {
        let content = |fields: Value| json!({"serverContent": fields});
        let mut open = content(json!({"outputTranscription": {"text": "a"}}));
        let audio = content(json!({"modelTurn": {"parts": []}}));
        assert!(can_join(&open, &audio));
        join(&mut open, audio.clone());
        assert_eq!(kinds(&open), ["modelTurn", "outputTranscription"]);
        assert!(!can_join(&open, &audio));
        assert!(can_join(&open, &json!({"toolCall": {}})));
    }
}
