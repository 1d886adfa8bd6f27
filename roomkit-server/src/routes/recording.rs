//! Pauses the recordings of the calls in a room, such as while a card number is read out.

use axum::{Json, extract::State, http::StatusCode};
use roomkit::{
    RealtimeSession, RealtimeSessionState, error::SessionError, http::Rejection,
    recording::RecordingState,
};
use serde::{Deserialize, Serialize};

use super::input::{Body, RoomPath, Visitor, Write};
use crate::{app::App, error::room_rejection};

// ----- POST /rooms/{room}/recording

/// What is to become of the recordings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    state: Wished,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wished {
    /// They go on.
    On,
    /// From here on nothing that is said is kept.
    Paused,
}

/// Whom it was asked of.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    sessions: usize,
}

pub(super) async fn change(
    _visitor: Visitor<Write>,
    State(app): State<App>,
    RoomPath(id): RoomPath,
    Body(wish): Body<Wish>,
) -> Result<(StatusCode, Json<Asked>), Rejection> {
    let room = app.kit.room(&id).await;
    room.map_err(|error| room_rejection(&error))?;
    let mut all = app.voice.room_sessions(&id);
    all.retain(|session| session.state() != RealtimeSessionState::Ended);
    let mut sessions = 0;
    let mut busy = None;
    // All of them, whatever becomes of one, and those that seem to wait for consent: it may be on its
    // way, and must not come after this.
    for session in &all {
        let asked = match wish.state {
            Wished::On => app.voice.resume_recording(session),
            Wished::Paused => app.voice.pause_recording(session),
        };
        match asked {
            Ok(()) if awaits_consent(session) => {}
            Ok(()) => sessions += 1,
            Err(error @ SessionError::Busy(_)) => busy = Some(error),
            // Nothing is kept of it: it is not recorded, nobody has consented, or it is over.
            Err(_) => {}
        }
    }
    match busy {
        Some(error) => Err(Rejection::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "session_busy",
            error.to_string(),
        )),
        None if sessions == 0 => Err(nothing_to_change(&all)),
        None => Ok((StatusCode::ACCEPTED, Json(Asked { sessions }))),
    }
}

/// One that has consent and is about to begin does not.
fn awaits_consent(session: &RealtimeSession) -> bool {
    session.recording() == RecordingState::Waiting && !session.recording_granted()
}

fn nothing_to_change(sessions: &[RealtimeSession]) -> Rejection {
    let (code, problem) = if sessions.is_empty() {
        ("no_session", "nobody is on the line in this room")
    } else if sessions.iter().any(awaits_consent) {
        (
            "no_consent",
            "nothing is recorded in this room yet; the caller has to consent first",
        )
    } else {
        (
            "not_recorded",
            "no call in this room is recorded; that takes the table `recording` in the server's settings",
        )
    };
    Rejection::new(StatusCode::CONFLICT, code, problem.to_owned())
}
