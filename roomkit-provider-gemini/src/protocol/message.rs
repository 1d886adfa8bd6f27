//! Server messages as types. They borrow from their frame, and every field is optional: the vendor
//! adds fields at any time, and sets several of them in one frame.

use std::{fmt, marker::PhantomData};

use roomkit_dial::Text;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

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
            /// What of it is unknown.
            pub(super) unknown: Option<Box<Unknown>>,
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
                                        message.unknown.get_or_insert_default().note(name);
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
    /// How many they are.
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

// A frame for each 20 ms or so of audio is made of these, and most of it is for what is in few of
// them: boxes keep that small.
messages! {
    /// One frame.
    ServerMessage {
        "setupComplete" => setup_complete: Box<SetupComplete<'a>>,
        "sessionResumptionUpdate" => resumption: Box<ResumptionUpdate<'a>>,
        "voiceActivity" => voice_activity: Box<VoiceActivity<'a>>,
        "voiceActivityDetectionSignal" => vad_signal: Box<VadSignal<'a>>,
        "serverContent" => content: ServerContent<'a>,
        "toolCall" => tool_call: Box<ToolCall<'a>>,
        "toolCallCancellation" => cancellation: Box<Cancellation<'a>>,
        "usageMetadata" => usage: Box<WireUsage<'a>>,
        "goAway" => go_away: Box<GoAway<'a>>,
        "error" => error: Box<VendorError<'a>>,
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
        "inputTranscription" => input_transcription: Box<Transcription<'a>>,
        "interimInputTranscription" => interim_transcription: Box<Transcription<'a>>,
        "outputTranscription" => output_transcription: Box<Transcription<'a>>,
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
        "toolUsePromptTokensDetails" => tool_prompt_details: Vec<ModalityTokens<'a>>,
        "cacheTokensDetails" => cached_details: Vec<ModalityTokens<'a>>,
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
        let content = self.content.as_ref();
        let of_content = content.and_then(|content| content.unknown.as_deref());
        self.unknown.as_deref().into_iter().chain(of_content)
    }
}
