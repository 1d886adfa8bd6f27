//! What a client's message may be (contract C5).

use super::ClientMessage;
use crate::transport::DropReason;

/// The limits of a client's JSON messages, the same on every wire that carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// The largest message without audio, in bytes; 65 536 unless set.
    pub max_message_bytes: usize,
    /// How deep its brackets may be nested; 32 unless set.
    pub max_json_depth: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024,
            max_json_depth: 32,
        }
    }
}

impl MessageLimits {
    /// Reads a client's message if it is within the limits.
    ///
    /// A [`ClientMessage::Audio`] may be longer than `max_message_bytes`, and it is still encoded:
    /// how long it may be the transport knows, and says before it decodes. A transport whose audio
    /// takes another way has to hold the text to `max_message_bytes` itself, or to what its wire
    /// carries at all.
    ///
    /// # Errors
    /// [`DropReason::OversizedMessage`] or [`DropReason::Undecodable`]: the message is dropped and the
    /// session lives on (contract A1).
    pub fn read<'a>(&self, text: &'a str) -> Result<ClientMessage<'a>, DropReason> {
        // Audio, which is nearly all that comes, is spared the walk: nothing nested in it is kept.
        if !starts_as_audio(text) && json_depth(text) > self.max_json_depth {
            return Err(DropReason::Undecodable);
        }
        match ClientMessage::parse(text) {
            Ok(audio @ ClientMessage::Audio(_)) => Ok(audio),
            _ if text.len() > self.max_message_bytes => Err(DropReason::OversizedMessage {
                limit: self.max_message_bytes,
            }),
            Ok(message) => Ok(message),
            Err(_) => Err(DropReason::Undecodable),
        }
    }
}

/// As `JSON.stringify` and as Python's `json.dumps` write it.
fn starts_as_audio(text: &str) -> bool {
    text.starts_with(r#"{"type":"audio""#) || text.starts_with(r#"{"type": "audio""#)
}

/// How deep brackets nest, without building anything. Of what is not JSON it says something too,
/// and that does not matter.
fn json_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ClientEvent;

    const LIMITS: MessageLimits = MessageLimits {
        max_message_bytes: 40,
        max_json_depth: 3,
    };

    #[test]
    fn c5_a_message_has_its_size() {
        let text =
            |letters: usize| format!(r#"{{"type":"text","text":"{}"}}"#, "x".repeat(letters));
        let longest = "x".repeat(15);
        assert_eq!(text(15).len(), 40);
        assert_eq!(
            LIMITS.read(&text(15)),
            Ok(ClientMessage::Event(ClientEvent::Text(longest)))
        );
        for too_long in [
            text(16),
            "x".repeat(41),
            format!(r#"{{"type":"{}"}}"#, "x".repeat(40)),
        ] {
            assert_eq!(
                LIMITS.read(&too_long),
                Err(DropReason::OversizedMessage { limit: 40 })
            );
        }
        let data = "A".repeat(400);
        for audio in [
            format!(r#"{{"type":"audio","data":"{data}"}}"#),
            format!(r#"{{"data":"{data}","type":"audio"}}"#),
        ] {
            assert_eq!(
                LIMITS.read(&audio),
                Ok(ClientMessage::Audio(data.as_str().into()))
            );
        }
    }

    #[test]
    fn c5_a_message_has_its_depth() {
        let ping = |id: &str| format!(r#"{{"type":"ping","id":{id}}}"#);
        let read = |text: &str| LIMITS.read(text).map(|_| ());
        assert_eq!(read(&ping("[[]]")), Ok(()));
        assert_eq!(read(&ping(r#""[[[\"[""#)), Ok(()), "text does not count");
        assert_eq!(read(&ping("[[[]]]")), Err(DropReason::Undecodable));
        assert_eq!(read(&"[".repeat(60_000)), Err(DropReason::Undecodable));
        let beside = format!(r#"{{"type":"audio","data":"","x":{}"#, "[".repeat(9));
        assert_eq!(read(&beside), Err(DropReason::Undecodable));
    }

    #[test]
    fn a1_what_is_no_message_is_undecodable() {
        for text in ["", "{}", "nonsense", r#"{"type":"audio"}"#] {
            assert_eq!(LIMITS.read(text), Err(DropReason::Undecodable), "{text}");
        }
        assert_eq!(
            LIMITS.read(r#"{"type":"dance"}"#),
            Ok(ClientMessage::Unknown)
        );
    }
}
