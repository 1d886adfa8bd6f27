//! What the fake is told to answer: replies, user transcripts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake::speech::Sound;

/// One scripted answer. Replies are used up in order, one per generation: per turn of the user,
/// and one more after the results of a tool call that ends its reply. When none is left the
/// server echoes the user's audio, or answers text and tool results with a tone.
///
/// ```
/// use roomkit_mock::fake_gemini::Reply;
/// use serde_json::json;
///
/// let reply = Reply::speech("Let me look.", 400)
///     .then_tool_call("get_weather", json!({"city": "Oslo"}));
/// # let _ = reply;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub(crate) parts: Vec<Part>,
    pub(crate) ending: Ending,
    pub(crate) delay: Duration,
    pub(crate) stall_after_ms: Option<u64>,
    pub(crate) late_transcript: bool,
    pub(crate) completes_before_result: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Speech {
        text: String,
        audio: Sound,
    },
    Thought(String),
    /// The calls of one frame.
    ToolCalls(Vec<ToolCall>),
    Message(Value),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    pub(crate) arguments: Value,
    pub(crate) id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    /// `turnComplete` with a reason and without `generationComplete`.
    Abnormal {
        reason: String,
    },
    /// `turnComplete` without `generationComplete`.
    Abrupt,
    /// Nothing after the parts.
    Untold,
    /// No answer at all.
    Unanswered,
}

impl Reply {
    fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            ending: Ending::Completed,
            delay: Duration::ZERO,
            stall_after_ms: None,
            late_transcript: false,
            completes_before_result: false,
        }
    }

    /// A 220 Hz tone of `duration_ms` with this transcript.
    pub fn speech(text: impl Into<String>, duration_ms: u64) -> Self {
        Self::of(Vec::new()).then_speech(text, duration_ms)
    }

    /// Given audio: PCM16 little endian, mono, 24 kHz.
    pub fn audio(text: impl Into<String>, pcm_24k: Vec<u8>) -> Self {
        Self::of(vec![Part::Speech {
            text: text.into(),
            audio: Sound::Pcm24k(pcm_24k),
        }])
    }

    /// The user's last turn played back.
    pub fn echo(text: impl Into<String>) -> Self {
        Self::of(vec![Part::Speech {
            text: text.into(),
            audio: Sound::UserAudio,
        }])
    }

    /// A function call. `arguments` should be an object, and is sent as it is.
    pub fn tool_call(name: impl Into<String>, arguments: Value) -> Self {
        Self::of(Vec::new()).then_tool_call(name, arguments)
    }

    /// Speech, then a function call in the same turn.
    pub fn speech_then_tool(
        text: impl Into<String>,
        duration_ms: u64,
        name: impl Into<String>,
        arguments: Value,
    ) -> Self {
        Self::speech(text, duration_ms).then_tool_call(name, arguments)
    }

    /// A turn that ends without audio and with this `turnCompleteReason`, such as
    /// `PROHIBITED_INPUT_CONTENT` or `MALFORMED_FUNCTION_CALL`.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self {
            ending: Ending::Abnormal {
                reason: reason.into(),
            },
            ..Self::of(Vec::new())
        }
    }

    /// The model chooses to keep listening: `waitingForInput`, then `turnComplete`.
    pub fn waiting() -> Self {
        Self::of(Vec::new())
            .then_message(json!({"serverContent": {"waitingForInput": true}}))
            .without_generation_complete()
    }

    /// The turn is swallowed: nothing at all answers it.
    pub fn silence() -> Self {
        Self {
            ending: Ending::Unanswered,
            ..Self::of(Vec::new())
        }
    }

    /// Adds speech.
    #[must_use]
    pub fn then_speech(mut self, text: impl Into<String>, duration_ms: u64) -> Self {
        self.parts.push(Part::Speech {
            text: text.into(),
            audio: Sound::Tone { duration_ms },
        });
        self
    }

    /// Adds a function call in a frame of its own. A blocking one holds up what follows it until
    /// its result is there.
    #[must_use]
    pub fn then_tool_call(mut self, name: impl Into<String>, arguments: Value) -> Self {
        self.parts
            .push(Part::ToolCalls(vec![ToolCall::new(name, arguments)]));
        self
    }

    /// Adds a function call to the frame of the last one.
    #[must_use]
    pub fn and_tool_call(mut self, name: impl Into<String>, arguments: Value) -> Self {
        match self.parts.last_mut() {
            Some(Part::ToolCalls(calls)) => {
                calls.push(ToolCall::new(name, arguments));
                self
            }
            _ => self.then_tool_call(name, arguments),
        }
    }

    /// Gives the last function call this id in place of a generated one.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<String>) -> Self {
        if let Some(Part::ToolCalls(calls)) = self.parts.last_mut()
            && let Some(call) = calls.last_mut()
        {
            call.id = Some(id.into());
        }
        self
    }

    /// Sends the last frame of function calls again with new ids, as the live service does at
    /// times. All of them want an answer.
    #[must_use]
    pub fn repeating_calls(mut self) -> Self {
        let calls = match self.parts.last() {
            Some(Part::ToolCalls(calls)) => calls.clone(),
            _ => return self,
        };
        let again = calls.into_iter().map(|call| ToolCall { id: None, ..call });
        let again = Part::ToolCalls(again.collect());
        self.parts.push(again);
        self
    }

    /// Adds reasoning, which must be neither spoken nor transcribed.
    #[must_use]
    pub fn then_thought(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Thought(text.into()));
        self
    }

    /// Adds a server message of your making, such as grounding metadata or something unknown.
    #[must_use]
    pub fn then_message(mut self, message: Value) -> Self {
        self.parts.push(Part::Message(message));
        self
    }

    /// Leaves `generationComplete` out. Of [`silence`](Self::silence) that makes a turn that is passed
    /// over: `turnComplete` alone.
    #[must_use]
    pub fn without_generation_complete(mut self) -> Self {
        self.ending = Ending::Abrupt;
        self
    }

    /// Leaves `turnComplete` out too: of [`waiting`](Self::waiting) only `waitingForInput` is left.
    #[must_use]
    pub fn without_turn_complete(mut self) -> Self {
        self.ending = Ending::Untold;
        self
    }

    /// Lets the turn end with this `turnCompleteReason` after its parts.
    #[must_use]
    pub fn ending_with(mut self, reason: impl Into<String>) -> Self {
        self.ending = Ending::Abnormal {
            reason: reason.into(),
        };
        self
    }

    /// Sends `outputTranscription` after all of the audio in place of along with it.
    #[must_use]
    pub fn with_late_transcript(mut self) -> Self {
        self.late_transcript = true;
        self
    }

    /// Sends `turnComplete` between a blocking call and its result, as the live service may.
    #[must_use]
    pub fn completing_before_result(mut self) -> Self {
        self.completes_before_result = true;
        self
    }

    /// Waits before the first output.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends this much audio and then nothing more until the turn is interrupted: a barge-in test
    /// that cannot come too late. 0 stalls at once.
    #[must_use]
    pub fn stalling_after_ms(mut self, audio_ms: u64) -> Self {
        self.stall_after_ms = Some(audio_ms);
        self
    }
}

impl ToolCall {
    fn new(name: impl Into<String>, arguments: Value) -> Self {
        Self {
            name: name.into(),
            arguments,
            id: None,
        }
    }
}

/// What the transcription makes of one turn of the user. Only sent when `setup` has
/// `inputAudioTranscription`, as on the real service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTranscript {
    pub(crate) text: Option<String>,
    pub(crate) timing: TranscriptTiming,
    pub(crate) finished: bool,
    pub(crate) interim: bool,
    pub(crate) again: Option<TranscriptTiming>,
}

/// When a user transcript arrives. The real service promises no order against the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptTiming {
    /// The first half when speech begins, the rest when it ends.
    DuringSpeech,
    /// When speech ends, before any answer.
    BeforeResponse,
    /// After the first audio of the answer.
    DuringResponse,
    /// After the `turnComplete` of the answer.
    AfterResponse,
    /// This long after speech ends.
    After(Duration),
}

impl UserTranscript {
    /// Word by word as deltas, when speech ends.
    pub fn completed(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            timing: TranscriptTiming::BeforeResponse,
            finished: false,
            interim: false,
            again: None,
        }
    }

    /// Nothing arrives for this turn.
    pub fn never() -> Self {
        Self {
            text: None,
            ..Self::completed("")
        }
    }

    /// Sets when it arrives.
    #[must_use]
    pub fn at(mut self, timing: TranscriptTiming) -> Self {
        self.timing = timing;
        self
    }

    /// Ends it with `"finished": true`, which often never arrives.
    #[must_use]
    pub fn finished(mut self) -> Self {
        self.finished = true;
        self
    }

    /// Sends an `interimInputTranscription` before it, which replaces and is not appended.
    #[must_use]
    pub fn with_interim(mut self) -> Self {
        self.interim = true;
        self
    }

    /// Sends the whole utterance again, in one piece, at this time: a field quirk.
    #[must_use]
    pub fn again_at(mut self, timing: TranscriptTiming) -> Self {
        self.again = Some(timing);
        self
    }
}
