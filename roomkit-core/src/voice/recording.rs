//! The recording of a live session: whether there is one, and who wants it (contracts V1, V2).

use super::{channel::RealtimeVoiceChannel, options::SessionOptions};
use crate::{
    call::Command,
    error::{ConfigError, SessionError},
    recording::{Consent, Recording, RecordingState},
    session::RealtimeSession,
};

impl RealtimeVoiceChannel {
    /// The people of the session have consented to its recording, which begins here.
    pub fn grant_recording(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        recorded(session)?;
        self.command(session, Command::Record(true))?;
        session.grant_recording();
        Ok(())
    }

    /// From here on nothing that is said is kept, until [`resume_recording`](Self::resume_recording).
    /// A session that is about to begin will not be recorded until then; where consent is waited for,
    /// nothing is to be done.
    pub fn pause_recording(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        recorded(session)?;
        self.command(session, Command::Record(false))
    }

    /// A paused recording goes on, or begins if it was paused before the session was live.
    pub fn resume_recording(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        let awaits_consent = recorded(session)? == RecordingState::Waiting;
        if awaits_consent && !session.recording_granted() {
            return Err(SessionError::NoConsent(session.id().clone()));
        }
        self.command(session, Command::Record(true))
    }
}

fn recorded(session: &RealtimeSession) -> Result<RecordingState, SessionError> {
    match session.recording() {
        RecordingState::Off => Err(SessionError::NotRecorded(session.id().clone())),
        state => Ok(state),
    }
}

/// How a new session is recorded, if it may be.
pub(super) fn recording_of(
    channel: Option<&Recording>,
    options: &SessionOptions,
) -> Result<Option<Recording>, ConfigError> {
    match (channel, options.record) {
        (None, Some(true)) => Err(ConfigError::field(
            "record",
            "the channel has no recording; give it one with `recording`, or leave this out",
        )),
        (None, _) | (_, Some(false)) => Ok(None),
        (Some(recording), Some(true)) => Ok(Some(recording.clone().consent(Consent::Given))),
        (Some(recording), None) => Ok(Some(recording.clone())),
    }
}
