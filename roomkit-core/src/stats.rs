//! What a session has come to: turns and how long they took, interruptions, tokens.

use std::time::Duration;

use serde::Serialize;

use crate::provider::{TranscriptionUsage, Usage};

/// A session so far. [`RealtimeSession::stats`](crate::RealtimeSession::stats) gives it at any time,
/// and the events of the session's end hold the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionStats {
    /// How long it took from the start of the session until the provider was ready.
    #[serde(rename = "ready_after_ms", serialize_with = "milliseconds")]
    pub ready_after: Duration,
    /// Questions of the user that were answered aloud.
    pub turns: u32,
    /// How long the last of them had to wait.
    pub last_turn: Option<TurnLatency>,
    /// How long the slowest of them had to wait for the first audio sent.
    #[serde(rename = "slowest_turn_ms", serialize_with = "milliseconds")]
    pub slowest_turn: Duration,
    /// Responses of the AI, with those nobody had asked for.
    pub responses: u32,
    /// Answers that were cut short while they could be heard.
    pub interruptions: u32,
    /// Calls of tools.
    pub tool_calls: u32,
    /// How often another agent took over.
    pub agent_changes: u32,
    /// Moves to another provider connection that began.
    pub hand_overs: u32,
    /// Tokens of the model that speaks, as far as the provider tells them.
    pub usage: Usage,
    /// What the transcription of the user's words cost, likewise. It is another model's, and not in
    /// [`usage`](Self::usage).
    pub transcription: TranscriptionUsage,
}

/// How long a question had to wait for its answer, from the moment the provider heard the end of it.
/// What the provider waits before it takes a silence for an end comes on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TurnLatency {
    /// Until the provider gave the first audio of its answer.
    #[serde(rename = "first_audio_ms", serialize_with = "milliseconds")]
    pub first_audio: Duration,
    /// Until the first of it was sent to the client.
    #[serde(rename = "sent_ms", serialize_with = "milliseconds")]
    pub sent: Duration,
    /// Until the client played it. Known only of a client that says what it plays
    /// ([`ClientEvent::Playback`](crate::transport::ClientEvent::Playback)), and only once it has:
    /// [`RealtimeSession::stats`](crate::RealtimeSession::stats) holds it then, the event of the turn
    /// never does.
    #[serde(
        rename = "played_ms",
        serialize_with = "known_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub played: Option<Duration>,
}

#[expect(clippy::ref_option, reason = "serde gives references to fields")]
fn known_milliseconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    milliseconds(&duration.unwrap_or_default(), to)
}

/// Writes a duration as whole milliseconds.
pub(crate) fn milliseconds<S: serde::Serializer>(
    duration: &Duration,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_u64(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_written_in_milliseconds() {
        let stats = SessionStats {
            ready_after: Duration::from_millis(312),
            turns: 1,
            last_turn: Some(TurnLatency {
                first_audio: Duration::from_millis(450),
                sent: Duration::from_micros(451_900),
                played: None,
            }),
            transcription: TranscriptionUsage {
                audio: Duration::from_secs(3),
                ..TranscriptionUsage::default()
            },
            ..SessionStats::default()
        };
        let written = serde_json::to_value(stats).unwrap();
        assert_eq!(written["ready_after_ms"], 312);
        assert_eq!(
            written["last_turn"],
            json!({"first_audio_ms": 450, "sent_ms": 451})
        );
        assert_eq!(written["usage"]["input_tokens"], 0);
        assert_eq!(written["transcription"]["audio_ms"], 3_000);
    }
}
