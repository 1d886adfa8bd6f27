//! Recordings of calls (contracts V1–V5): what a host decides, and what a place to keep them is.
//!
//! A recording is stereo: the caller on the left, the AI *as heard* on the right, so what an
//! interruption cut off is not in it. It runs from its beginning to the end of the call without a
//! gap, and is silent where nobody speaks and while it is paused. Beside the audio stand marks:
//! who spoke when, what was said, what was interrupted.
//!
//! ```
//! use std::sync::Arc;
//! use roomkit_core::{
//!     RealtimeVoiceChannel,
//!     provider::RealtimeVoiceProvider,
//!     recording::{Consent, Recording, RecordingSink},
//!     registry::ConfigError,
//!     transport::RealtimeAudioTransport,
//! };
//!
//! fn recorded(
//!     provider: Arc<dyn RealtimeVoiceProvider>,
//!     transport: Arc<dyn RealtimeAudioTransport>,
//!     sink: Arc<dyn RecordingSink>,
//! ) -> Result<RealtimeVoiceChannel, ConfigError> {
//!     RealtimeVoiceChannel::builder("voice", provider, transport)
//!         // Nothing is recorded until `grant_recording`, or until the client allows it.
//!         .recording(Recording::new(sink).consent(Consent::Ask).client_decides(true))
//!         .build()
//! }
//! ```

mod recorder;
mod sink;
mod timeline;
mod track;
mod unrecorded;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

pub(crate) use recorder::{Piece, RECORDING_ENDS, Recorder, RecorderQueue};
pub use sink::{
    RecordingError, RecordingInfo, RecordingMark, RecordingMarkKind, RecordingSink,
    RecordingSummary, RecordingWriter,
};
pub(crate) use timeline::Side;

/// That the sessions of a channel are recorded: where to, and who allows it.
#[derive(Clone)]
#[must_use]
pub struct Recording {
    pub(crate) sink: Arc<dyn RecordingSink>,
    pub(crate) terms: RecordingTerms,
}

impl Recording {
    /// Recordings go to this sink. Unless [told otherwise](Self::consent) each session is asked for
    /// consent first.
    pub fn new(sink: Arc<dyn RecordingSink>) -> Self {
        Self {
            sink,
            terms: RecordingTerms {
                consent: Consent::Ask,
                client_decides: false,
            },
        }
    }

    /// Whether consent is given when a session starts.
    pub fn consent(mut self, consent: Consent) -> Self {
        self.terms.consent = consent;
        self
    }

    /// Whether the client may consent, pause and resume by its `recording` message; it may not
    /// unless this is set to true. The last word counts, whether the host's or the client's.
    pub fn client_decides(mut self, decides: bool) -> Self {
        self.terms.client_decides = decides;
        self
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("sink", &self.sink.name())
            .field("terms", &self.terms)
            .finish()
    }
}

/// What one session's recording depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordingTerms {
    pub(crate) consent: Consent,
    pub(crate) client_decides: bool,
}

/// Whether the people of a call have agreed to its being recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// They have: recording begins with the session.
    Given,
    /// Not yet: nothing is kept until they do.
    Ask,
}

/// Whether a session is recorded at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordingState {
    /// It is not, and will not be: nobody wanted it, or it failed.
    #[default]
    Off,
    /// Not yet: consent is waited for, or the session's beginning. A client reads `off`.
    #[serde(rename = "off")]
    Waiting,
    /// It is.
    On,
    /// What is said now is not kept.
    Paused,
}

/// Who let a recording begin, pause or go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordingDecision {
    /// The settings of the channel or the session.
    Settings,
    /// The host.
    Host,
    /// The client.
    Client,
}

impl RecordingDecision {
    /// Who, as framework events have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Host => "host",
            Self::Client => "client",
        }
    }
}
