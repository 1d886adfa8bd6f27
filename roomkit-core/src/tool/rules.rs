//! How calls of one tool are run.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::ConfigError;

/// How calls of one tool are run, where that differs from the channel's other tools.
///
/// ```
/// use std::time::Duration;
/// use roomkit_core::tool::ToolRules;
///
/// let rules = ToolRules::new()
///     .timeout(Duration::from_secs(120))
///     .parallel(1)
///     .speak_while_running(true);
/// ```
///
/// In JSON: `{"timeout_ms": 120000, "parallel": 1, "speak_while_running": true}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolRules {
    /// How long a call may take, instead of the channel's
    /// [`tool_timeout`](crate::voice::RealtimeVoiceChannelBuilder::tool_timeout) (contract K3).
    #[serde(
        rename = "timeout_ms",
        serialize_with = "milliseconds",
        deserialize_with = "from_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// How many calls of this tool run at once in a session; the others wait. The limit over all
    /// tools ([`parallel_tools`](crate::voice::RealtimeVoiceChannelBuilder::parallel_tools)) holds too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel: Option<usize>,
    /// The conversation goes on while the tool runs. The model does not wait for this result before
    /// it goes on with others; when it comes, the model speaks of it as soon as it is not speaking
    /// of something else. Gemini is told that the tool is `NON_BLOCKING`; the results of such a tool
    /// come with the session's `tool_scheduling`, if it has one.
    pub speak_while_running: bool,
    /// The model does not hear the caller while the tool runs, so that nothing said meanwhile
    /// interrupts it.
    pub mute_while_running: bool,
}

impl ToolRules {
    /// Those of the channel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets [`parallel`](Self::parallel).
    #[must_use]
    pub fn parallel(mut self, calls: usize) -> Self {
        self.parallel = Some(calls);
        self
    }

    /// Sets [`speak_while_running`](Self::speak_while_running).
    #[must_use]
    pub fn speak_while_running(mut self, speak: bool) -> Self {
        self.speak_while_running = speak;
        self
    }

    /// Sets [`mute_while_running`](Self::mute_while_running).
    #[must_use]
    pub fn mute_while_running(mut self, mute: bool) -> Self {
        self.mute_while_running = mute;
        self
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses rules by which no call could run; `path` is where they stand, for the error.
    ///
    /// # Errors
    /// When the time or the number of calls is zero; the error names the rule.
    pub fn check(&self, path: &str) -> Result<(), ConfigError> {
        let no_time = self.timeout.is_some_and(|timeout| timeout.is_zero());
        for (rule, is_zero) in [
            ("timeout_ms", no_time),
            ("parallel", self.parallel == Some(0)),
        ] {
            if is_zero {
                let problem = "is zero; give it more, or leave it out";
                return Err(ConfigError::field(format!("{path}.{rule}"), problem));
            }
        }
        Ok(())
    }
}

#[expect(clippy::ref_option, reason = "serde gives references to fields")]
fn milliseconds<S: Serializer>(timeout: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    let ms = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    ms.serialize(to)
}

fn from_milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_written_with_units_and_typos_are_refused() {
        let rules = ToolRules::new()
            .timeout(Duration::from_secs(2))
            .mute_while_running(true);
        let written = serde_json::to_value(rules).unwrap();
        assert_eq!(
            written,
            json!({"timeout_ms": 2000, "speak_while_running": false, "mute_while_running": true})
        );
        assert_eq!(serde_json::from_value::<ToolRules>(written).unwrap(), rules);
        let typo = serde_json::from_value::<ToolRules>(json!({"timout_ms": 1}));
        assert!(typo.unwrap_err().to_string().contains("timout_ms"));
    }

    #[test]
    fn rules_no_call_could_keep_are_refused_by_name() {
        let refusal = ToolRules::new()
            .parallel(0)
            .check("tools.book")
            .unwrap_err();
        assert!(refusal.to_string().contains("tools.book.parallel"));
        let never = ToolRules::new().timeout(Duration::ZERO);
        let refusal = never.check("tools.book").unwrap_err();
        assert!(refusal.to_string().contains("tools.book.timeout_ms"));
    }
}
