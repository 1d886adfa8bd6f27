//! Server messages as types. They borrow from their frame, and every field is optional: the vendor
//! adds fields at any time, and sets several of them in one frame.

use std::{borrow::Cow, fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Any JSON scalar as text that borrows from the frame unless it holds escapes: the vendor writes
/// 64-bit numbers and durations as strings, or not. Anything else reads as empty, rather than
/// failing the whole frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_true(&self) -> bool {
        self.0 == "true"
    }

    /// A count; 0 where it is none.
    pub(super) fn count(&self) -> u64 {
        let number = self.0.trim();
        // A float saturates: what is negative or no number counts as none.
        number
            .parse()
            .unwrap_or_else(|_| number.parse::<f64>().unwrap_or_default() as u64)
    }

    /// Seconds, as `50s`, `17.250s` or a bare number.
    pub(super) fn duration(&self) -> Option<Duration> {
        let seconds = self.0.trim();
        let seconds = seconds.strip_suffix('s').unwrap_or(seconds);
        Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
    }
}

/// The text, or nothing where there is none.
pub(super) fn text_of<'a>(text: Option<&'a Text<'_>>) -> &'a str {
    text.map(Text::as_str).unwrap_or_default()
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scalar")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(if value { "true" } else { "false" })))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// A message that may hold fields nobody has heard of: they are passed over and counted.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident {
        $($wire:literal => $field:ident: $kind:ty,)*
        $(known: $($known:literal),+;)?
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: Option<$kind>,)*
            /// How many fields are unknown, and the first of them.
            pub(super) unknown: Unknown,
            _frame: PhantomData<&'a str>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields<'a>(PhantomData<&'a str>);

                impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut message = $name::default();
                        while let Some(Text(name)) = map.next_key()? {
                            match name.as_ref() {
                                $($wire => message.$field = map.next_value()?,)*
                                name => {
                                    if true $($(&& name != $known)+)? {
                                        message.unknown.note(name);
                                    }
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(message)
                    }
                }

                deserializer.deserialize_map(Fields(PhantomData))
            }
        }
    )+};
}

/// Fields that are not in the types here.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    pub(super) count: u64,
    pub(super) first: String,
}

impl Unknown {
    fn note(&mut self, name: &str) {
        if self.count == 0 {
            self.first = name.chars().take(64).collect();
        }
        self.count += 1;
    }
}

messages! {
    /// One frame.
    ServerMessage {
        "setupComplete" => setup_complete: SetupComplete<'a>,
        "sessionResumptionUpdate" => resumption: ResumptionUpdate<'a>,
        "voiceActivity" => voice_activity: VoiceActivity<'a>,
        "voiceActivityDetectionSignal" => vad_signal: VadSignal<'a>,
        "serverContent" => content: ServerContent<'a>,
        "toolCall" => tool_call: ToolCall<'a>,
        "toolCallCancellation" => cancellation: Cancellation<'a>,
        "usageMetadata" => usage: WireUsage<'a>,
        "goAway" => go_away: GoAway<'a>,
        "error" => error: VendorError<'a>,
    }

    SetupComplete {
        "sessionId" => session_id: Text<'a>,
    }

    ResumptionUpdate {
        "newHandle" => new_handle: Text<'a>,
        "resumable" => resumable: Text<'a>,
    }

    VoiceActivity {
        "voiceActivityType" => kind: Text<'a>,
    }

    /// The older form of `voiceActivity`.
    VadSignal {
        "vadSignalType" => kind: Text<'a>,
    }

    ServerContent {
        "inputTranscription" => input_transcription: Transcription<'a>,
        "interimInputTranscription" => interim_transcription: Transcription<'a>,
        "outputTranscription" => output_transcription: Transcription<'a>,
        "modelTurn" => model_turn: ModelTurn<'a>,
        "interrupted" => interrupted: Text<'a>,
        "turnComplete" => turn_complete: Text<'a>,
        "turnCompleteReason" => reason: Text<'a>,
        "waitingForInput" => waiting_for_input: Text<'a>,
        "interactionStatus" => status: Text<'a>,
        known: "generationComplete", "groundingMetadata", "urlContextMetadata";
    }

    Transcription {
        "text" => text: Text<'a>,
        "finished" => finished: Text<'a>,
    }

    ModelTurn {
        "parts" => parts: Vec<AnswerPart<'a>>,
        known: "role";
    }

    AnswerPart {
        "inlineData" => data: InlineData<'a>,
        "text" => text: Text<'a>,
        "thought" => thought: Text<'a>,
        known: "thoughtSignature", "executableCode", "codeExecutionResult";
    }

    InlineData {
        "data" => data: Text<'a>,
        "mimeType" => mime_type: Text<'a>,
    }

    ToolCall {
        "functionCalls" => calls: Vec<FunctionCall<'a>>,
    }

    FunctionCall {
        "id" => id: Text<'a>,
        "name" => name: Text<'a>,
        "args" => args: &'a RawValue,
    }

    Cancellation {
        "ids" => ids: Vec<Text<'a>>,
    }

    GoAway {
        "timeLeft" => time_left: Text<'a>,
    }

    VendorError {
        "code" => code: Text<'a>,
        "message" => message: Text<'a>,
        "status" => status: Text<'a>,
    }

    /// Tokens, under the names of the Gemini API and those of Vertex AI.
    WireUsage {
        "promptTokenCount" => prompt: Text<'a>,
        "responseTokenCount" => response: Text<'a>,
        "candidatesTokenCount" => candidates: Text<'a>,
        "thoughtsTokenCount" => thoughts: Text<'a>,
        "toolUsePromptTokenCount" => tool_prompt: Text<'a>,
        "cachedContentTokenCount" => cached: Text<'a>,
        "promptTokensDetails" => prompt_details: Vec<ModalityTokens<'a>>,
        "responseTokensDetails" => response_details: Vec<ModalityTokens<'a>>,
        "candidatesTokensDetails" => candidates_details: Vec<ModalityTokens<'a>>,
    }

    ModalityTokens {
        "modality" => modality: Text<'a>,
        "tokenCount" => count: Text<'a>,
    }
}

impl ServerMessage<'_> {
    /// Fields nobody has heard of, in the frame and in what it tells of the conversation.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Unknown> {
        let content = self.content.as_ref().map(|content| &content.unknown);
        [Some(&self.unknown), content]
            .into_iter()
            .flatten()
            .filter(|unknown| unknown.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Text<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_and_durations_come_as_numbers_or_strings() {
        for (json, count) in [
            ("42", 42),
            ("\"42\"", 42),
            ("42.0", 42),
            ("\"1e3\"", 1000),
            ("-1", 0),
            ("\"x\"", 0),
            ("null", 0),
            ("{\"a\":1}", 0),
            ("[1]", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text(json).count(), count, "{json}");
        }
        for (json, milliseconds) in [
            ("\"50s\"", Some(50_000)),
            ("\"17.250s\"", Some(17_250)),
            ("50", Some(50_000)),
            ("\"0s\"", Some(0)),
            ("\"-1s\"", None),
            ("\"soon\"", None),
            ("\"1e300s\"", None),
            ("\"NaNs\"", None),
            ("{}", None),
        ] {
            let expected = milliseconds.map(Duration::from_millis);
            assert_eq!(text(json).duration(), expected, "{json}");
        }
    }
}
