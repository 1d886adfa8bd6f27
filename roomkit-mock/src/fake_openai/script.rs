//! What the fake is told to answer: replies, user transcripts.

use std::time::Duration;

use crate::fake::speech::Sound;

/// One scripted answer to a response request. Replies are used up in order; when none is left the
/// server echoes the user's audio, or answers text and tool results with a tone.
///
/// ```
/// use roomkit_mock::fake_openai::Reply;
///
/// let reply = Reply::speech("Let me look.", 400)
///     .then_tool_call("get_weather", r#"{"city":"Oslo"}"#);
/// # let _ = reply;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub(crate) parts: Vec<Part>,
    pub(crate) ending: Ending,
    pub(crate) delay: Duration,
    pub(crate) stall_after_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Speech {
        text: String,
        audio: Sound,
        /// It is another content part of the message before it, rather than one of its own.
        continues: bool,
    },
    ToolCall {
        name: String,
        arguments: String,
        call_id: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed {
        code: String,
    },
    Incomplete {
        reason: String,
    },
    /// No answer at all, not even `response.created`.
    Unanswered,
}

impl Reply {
    fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            ending: Ending::Completed,
            delay: Duration::ZERO,
            stall_after_ms: None,
        }
    }

    /// One message: a 220 Hz tone of `duration_ms` with this transcript. With text output the
    /// transcript alone is sent.
    pub fn speech(text: impl Into<String>, duration_ms: u64) -> Self {
        Self::of(Vec::new()).then_speech(text, duration_ms)
    }

    /// One message of given audio: PCM16 little endian, mono, 24 kHz.
    pub fn audio(text: impl Into<String>, pcm_24k: Vec<u8>) -> Self {
        Self::of(vec![Part::Speech {
            text: text.into(),
            audio: Sound::Pcm24k(pcm_24k),
            continues: false,
        }])
    }

    /// One message that plays the user's last turn back.
    pub fn echo(text: impl Into<String>) -> Self {
        Self::of(vec![Part::Speech {
            text: text.into(),
            audio: Sound::UserAudio,
            continues: false,
        }])
    }

    /// A function call. `arguments` is sent as it is, valid JSON or not.
    pub fn tool_call(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self::of(Vec::new()).then_tool_call(name, arguments)
    }

    /// A spoken message, then a function call in the same response.
    pub fn speech_then_tool(
        text: impl Into<String>,
        duration_ms: u64,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self::speech(text, duration_ms).then_tool_call(name, arguments)
    }

    /// A response that ends `failed` with this error code and no output.
    pub fn failed(code: impl Into<String>) -> Self {
        Self::of(Vec::new()).ending_failed(code)
    }

    /// Speech cut off by the vendor; reasons are `max_output_tokens` and `content_filter`.
    pub fn incomplete(
        text: impl Into<String>,
        duration_ms: u64,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            ending: Ending::Incomplete {
                reason: reason.into(),
            },
            ..Self::speech(text, duration_ms)
        }
    }

    /// The request is swallowed: no event at all answers it.
    pub fn silence() -> Self {
        Self {
            ending: Ending::Unanswered,
            ..Self::of(Vec::new())
        }
    }

    /// Adds a spoken message.
    #[must_use]
    pub fn then_speech(mut self, text: impl Into<String>, duration_ms: u64) -> Self {
        self.parts.push(Part::Speech {
            text: text.into(),
            audio: Sound::Tone { duration_ms },
            continues: false,
        });
        self
    }

    /// Adds a content part to the spoken message before it; a message where there is none.
    #[must_use]
    pub fn then_part(mut self, text: impl Into<String>, duration_ms: u64) -> Self {
        self.parts.push(Part::Speech {
            text: text.into(),
            audio: Sound::Tone { duration_ms },
            continues: true,
        });
        self
    }

    /// Adds a function call to the same response.
    #[must_use]
    pub fn then_tool_call(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.parts.push(Part::ToolCall {
            name: name.into(),
            arguments: arguments.into(),
            call_id: None,
        });
        self
    }

    /// Gives the last function call this `call_id` in place of a generated one.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<String>) -> Self {
        if let Some(Part::ToolCall { call_id, .. }) = self.parts.last_mut() {
            *call_id = Some(id.into());
        }
        self
    }

    /// Lets the response end `failed` after its parts.
    #[must_use]
    pub fn ending_failed(mut self, code: impl Into<String>) -> Self {
        self.ending = Ending::Failed { code: code.into() };
        self
    }

    /// Waits between `response.created` and the first output.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends this much audio and then nothing more until the response is cancelled: a barge-in
    /// test that cannot come too late. 0 stalls right after `response.created`.
    #[must_use]
    pub fn stalling_after_ms(mut self, audio_ms: u64) -> Self {
        self.stall_after_ms = Some(audio_ms);
        self
    }
}

/// What the transcription model makes of one turn of the user. Only sent when the session has
/// `audio.input.transcription` set, as on the real service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTranscript {
    pub(crate) outcome: TranscriptOutcome,
    pub(crate) timing: TranscriptTiming,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TranscriptOutcome {
    Completed(String),
    Failed { code: String },
    Never,
}

/// When a user transcript arrives. The real service promises no order against the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptTiming {
    /// Right after the commit, before any `response.created` it causes.
    BeforeResponse,
    /// After the first audio or text delta of the next response.
    DuringResponse,
    /// After the next `response.done`.
    AfterResponse,
    /// This long after the commit.
    After(Duration),
}

impl UserTranscript {
    /// Word by word as deltas, then completed, 100 ms after the commit.
    pub fn completed(text: impl Into<String>) -> Self {
        Self::with(TranscriptOutcome::Completed(text.into()))
    }

    /// A `.failed` event with this code, such as `audio_unintelligible`.
    pub fn failed(code: impl Into<String>) -> Self {
        Self::with(TranscriptOutcome::Failed { code: code.into() })
    }

    /// Nothing arrives for this turn.
    pub fn never() -> Self {
        Self::with(TranscriptOutcome::Never)
    }

    /// Sets when it arrives.
    #[must_use]
    pub fn at(mut self, timing: TranscriptTiming) -> Self {
        self.timing = timing;
        self
    }

    fn with(outcome: TranscriptOutcome) -> Self {
        Self {
            outcome,
            timing: TranscriptTiming::After(Duration::from_millis(100)),
        }
    }
}
