//! What a provider says that it can.

use std::time::Duration;

#[cfg(doc)]
use super::{ProviderCommand, ProviderEvent, SessionSetup};
use super::{UpdateSupport, UpdateWay};
use crate::{audio::check_rate, error::ConfigError};

/// What a connection takes, gives and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderCapabilities {
    /// Rate of the audio it takes, in Hz: 8000 to 48 000, and a multiple of 25
    /// ([`check_rate`](crate::audio::check_rate)).
    pub input_rate: u32,
    /// Rate of the audio it gives, in Hz; as above.
    pub output_rate: u32,
    /// How a response is asked for.
    pub continuation: Continuation,
    /// A result of a tool is answered, by [`continuation`](Self::continuation). Otherwise the vendor
    /// was told to take results silently, and nothing is owed after one.
    pub answers_results: bool,
    /// It stops a running response by itself when the user starts to speak. Otherwise the engine
    /// sends [`ProviderCommand::CancelResponse`].
    pub interrupts_itself: bool,
    /// It heeds [`SessionSetup::interruptions`]: where that is false, speech stops no response of it.
    /// Of a channel that allows no interruptions, one that [interrupts
    /// itself](Self::interrupts_itself) and cannot be told otherwise is no provider.
    pub heeds_interruptions: bool,
    /// It can forget the part of an answer that nobody heard ([`ProviderCommand::Truncate`]).
    pub truncates: bool,
    /// It takes [`ProviderCommand::ActivityStart`] and [`ProviderCommand::ActivityEnd`]: the host says
    /// when the user speaks. Otherwise neither is sent, and a host that asks for them is refused.
    pub manual_turns: bool,
    /// A final transcript (or [`ProviderEvent::TranscriptFailed`]) follows each user utterance, so
    /// the engine may wait a moment for it before it publishes the answer (contract T1).
    pub transcribes_user: bool,
    /// How the settings of a live session can be changed.
    pub updates: UpdateSupport,
    /// It answers each [`ProviderCommand::Update`] with [`ProviderEvent::Updated`] or
    /// [`ProviderEvent::UpdateRefused`]. Otherwise the engine takes a change that it has sent as made,
    /// until it is refused: a host may then be told of an agent that never took over, and that the one
    /// before is back.
    pub confirms_updates: bool,
    /// It takes [`ProviderCommand::Image`].
    pub images: bool,
    /// It takes text and images while a tool call waits for its result. Otherwise the engine keeps
    /// them until the last result of the turn was sent.
    pub text_during_tools: bool,
    /// It takes text and images while a response runs, and the response goes on. Otherwise, as they
    /// would cut it short, the engine keeps them until it has ended.
    pub text_during_responses: bool,
    /// It gives out [`ProviderEvent::Resumable`] tokens and takes them in
    /// [`SessionSetup::resume`].
    pub resumes: bool,
    /// With such a token a connection may be set up otherwise than the one before. If not, a
    /// session that was changed is told the conversation instead.
    pub resumes_changed: bool,
    /// What it can make of [`SessionSetup::history`].
    pub history: HistorySupport,
    /// A conversation may have a second connection while the first is still open, so that a
    /// hand-over can dial before it hangs up. Otherwise the old one is closed first.
    pub overlaps: bool,
    /// It takes [`ProviderCommand::Ping`] and answers each with [`ProviderEvent::Pong`].
    pub pings: bool,
    /// How long after the user begins to speak its [`ProviderEvent::SpeechStarted`] may come. So
    /// much audio before that belongs to the utterance, should the connection break in it.
    pub speech_lag: Duration,
    /// How many times faster than real time it takes audio: what was held back while there was no
    /// connection is sent at this pace. At least 2; more than 4 makes it a guess where in the audio
    /// the provider notices speech, should the connection break again just then.
    pub catch_up: u32,
}

impl ProviderCapabilities {
    /// The least a connection can do, with its rates in Hz: explicit responses and nothing else.
    pub fn new(input_rate: u32, output_rate: u32) -> Self {
        Self {
            input_rate,
            output_rate,
            continuation: Continuation::Explicit,
            answers_results: true,
            interrupts_itself: false,
            heeds_interruptions: false,
            truncates: false,
            manual_turns: false,
            transcribes_user: false,
            updates: UpdateSupport::all(UpdateWay::NewConnection),
            confirms_updates: false,
            images: false,
            text_during_tools: true,
            text_during_responses: true,
            resumes: false,
            resumes_changed: false,
            history: HistorySupport::None,
            overlaps: false,
            pings: false,
            speech_lag: Duration::from_millis(700),
            catch_up: 4,
        }
    }

    /// Refuses rates that cannot be, and those between which a resampler would be costly (contract A2).
    pub(crate) fn check_rates(&self) -> Result<(), ConfigError> {
        check_rate("capabilities.input_rate", self.input_rate)?;
        check_rate("capabilities.output_rate", self.output_rate)?;
        Ok(())
    }
}

/// How much of an earlier conversation a provider can give to a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistorySupport {
    /// Nothing: a new connection knows only the system prompt.
    None,
    /// Words. Tool calls and their results are told to it in words by the engine.
    Text,
    /// Words, tool calls and their results; a result may also answer a call from the history.
    Full,
}

/// How a provider is brought to answer injected text and tool results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuation {
    /// It waits for [`ProviderCommand::Respond`]. The engine sends that once per turn and never
    /// while a response runs (contract K7).
    Explicit,
    /// It goes on by itself after a tool result, and after text with `respond` set. The engine
    /// sends [`ProviderCommand::Respond`] only when a new connection owes an answer to something
    /// in its history.
    Automatic,
}
