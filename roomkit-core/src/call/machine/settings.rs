//! What a host decides about its calls.

use std::time::Duration;

use crate::recording::RecordingTerms;

/// What a host decides about its calls.
#[derive(Debug, Clone)]
pub(crate) struct CallSettings {
    /// How far ahead of real time audio is sent to this client.
    pub(crate) lead: Duration,
    /// How late audio may come to this client without a gap being heard.
    pub(crate) jitter_buffer: Duration,
    /// How much audio may wait for the client.
    pub(crate) backlog: Duration,
    /// How long an answer's words wait for the question's transcript.
    pub(crate) transcript_wait: Duration,
    pub(crate) tool_limit: usize,
    pub(crate) tool_timeout: Duration,
    pub(crate) tool_result_cap: usize,
    pub(crate) interruptions: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_duration: Option<Duration>,
    /// How much of the user's audio is held while there is no provider connection.
    pub(crate) hold: Duration,
    /// How many new connections are tried in a row before the call is given up.
    pub(crate) reconnect_attempts: u32,
    /// A provider connection is replaced before it is older than this.
    pub(crate) max_connection_age: Option<Duration>,
    /// The rate of this client's microphone, in Hz.
    pub(crate) input_rate: u32,
    /// Whether the call can be recorded, and who decides it.
    pub(crate) recording: Option<RecordingTerms>,
    /// Makes this call's waits differ from those of others.
    pub(crate) seed: u64,
}
