//! What a host decides about its calls.

use std::time::Duration;

use crate::{audio, recording::RecordingTerms};

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
    /// Whether the user's speech can cut a greeting short, where it can cut anything short.
    pub(crate) greeting_interruptions: bool,
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

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            lead: Duration::from_millis(200),
            jitter_buffer: Duration::ZERO,
            backlog: Duration::from_secs(120),
            transcript_wait: Duration::from_millis(1500),
            tool_limit: 8,
            tool_timeout: Duration::from_secs(30),
            tool_result_cap: 16_384,
            interruptions: true,
            greeting_interruptions: true,
            idle_timeout: None,
            max_duration: None,
            hold: Duration::from_secs(30),
            reconnect_attempts: 5,
            max_connection_age: None,
            input_rate: audio::DEFAULT_RATE,
            recording: None,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_t1_k3_k6_h2_s6_what_a_host_leaves_open_is_as_the_contracts_say() {
        let settings = CallSettings::default();
        let seconds = Duration::from_secs_f64;
        assert_eq!(
            (settings.lead, settings.backlog),
            (seconds(0.2), seconds(120.0)),
            "A5"
        );
        assert_eq!(settings.transcript_wait, seconds(1.5), "T1");
        let tools = (settings.tool_limit, settings.tool_timeout);
        assert_eq!(tools, (8, seconds(30.0)), "K3");
        assert_eq!(settings.tool_result_cap, 16_384, "K6");
        let outage = (settings.hold, settings.reconnect_attempts);
        assert_eq!(outage, (seconds(30.0), 5), "H2");
        let limits = [
            settings.idle_timeout,
            settings.max_duration,
            settings.max_connection_age,
        ];
        assert_eq!(limits, [None; 3], "S6, H1");
    }
}
