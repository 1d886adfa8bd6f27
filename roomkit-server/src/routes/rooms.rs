//! Rooms over HTTP: what there is, a word from outside, the end.

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use roomkit::{
    RealtimeSession, RealtimeSessionState,
    error::RoomError,
    http::Rejection,
    id::{ChannelId, ParticipantId, RoomId, SessionId},
    recording::RecordingState,
    room::{Access, ChannelBinding, NewEvent, Room, RoomEvent, RoomStatus, Visibility},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::input::{Body, Fields, RoomPath, Visitor, Watch, Write, page_size};
use crate::{app::App, error::room_rejection, host::SUPERVISOR};

/// Longest message, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 16_384;
/// Longest idempotency key, in characters.
const MAX_KEY_CHARS: usize = 128;

// ----- GET /rooms

/// Which rooms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<RoomStatus>,
    /// Only rooms older than this one.
    before: Option<RoomId>,
    limit: Option<usize>,
    #[serde(rename = "token")]
    _token: Option<IgnoredAny>,
}

/// The rooms, newest first.
#[derive(Debug, Serialize)]
pub(super) struct RoomList {
    rooms: Vec<ListedRoom>,
}

#[derive(Debug, Serialize)]
struct ListedRoom {
    #[serde(flatten)]
    room: Room,
    sessions: usize,
}

pub(super) async fn list(
    _visitor: Visitor<Watch>,
    State(app): State<App>,
    Fields(query): Fields<ListQuery>,
) -> Result<Json<RoomList>, Rejection> {
    let limit = page_size(query.limit, 100)?;
    let mut rooms = app
        .kit
        .rooms()
        .await
        .map_err(|error| room_rejection(&error))?;
    if let Some(before) = query.before {
        let place = rooms.iter().position(|room| room.id == before);
        let place = place.ok_or_else(|| room_rejection(&RoomError::NotFound(before)))?;
        rooms.truncate(place);
    }
    let wanted = |room: &Room| query.status.is_none_or(|status| room.status == status);
    let mut sessions = HashMap::<RoomId, usize>::new();
    for session in app.voice.sessions() {
        *sessions.entry(session.room_id().clone()).or_default() += 1;
    }
    let rooms = rooms
        .into_iter()
        .rev()
        .filter(wanted)
        .take(limit)
        .map(|room| ListedRoom {
            sessions: sessions.get(&room.id).copied().unwrap_or_default(),
            room,
        });
    Ok(Json(RoomList {
        rooms: rooms.collect(),
    }))
}

// ----- GET /rooms/{room}

/// A room with what is in it.
#[derive(Debug, Serialize)]
pub(super) struct RoomDescription {
    #[serde(flatten)]
    room: Room,
    bindings: Vec<DescribedBinding>,
    sessions: Vec<DescribedSession>,
}

#[derive(Debug, Serialize)]
struct DescribedBinding {
    channel_id: String,
    channel_type: String,
    access: Access,
    muted: bool,
    output_muted: bool,
    visibility: Visibility,
}

#[derive(Debug, Serialize)]
struct DescribedSession {
    id: SessionId,
    participant_id: ParticipantId,
    state: RealtimeSessionState,
    /// Who speaks with the caller, where agents do.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// Whether it is recorded, where it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<RecordingState>,
    created_at: jiff::Timestamp,
}

pub(super) async fn describe(
    _visitor: Visitor<Watch>,
    State(app): State<App>,
    RoomPath(id): RoomPath,
) -> Result<Json<RoomDescription>, Rejection> {
    Ok(Json(description(&app, id).await?))
}

async fn description(app: &App, id: RoomId) -> Result<RoomDescription, Rejection> {
    let room = app
        .kit
        .room(&id)
        .await
        .map_err(|error| room_rejection(&error))?;
    let bindings = app
        .kit
        .bindings(&id)
        .await
        .map_err(|error| room_rejection(&error))?;
    let mut sessions = app.voice.room_sessions(&id);
    sessions.sort_by_key(RealtimeSession::created_at);
    Ok(RoomDescription {
        room,
        bindings: bindings
            .iter()
            .map(|binding| described_binding(binding))
            .collect(),
        sessions: sessions.iter().map(described_session).collect(),
    })
}

fn described_binding(binding: &ChannelBinding) -> DescribedBinding {
    DescribedBinding {
        channel_id: binding.channel_id.to_string(),
        channel_type: binding.channel_type.clone(),
        access: binding.access,
        muted: binding.muted,
        output_muted: binding.output_muted,
        visibility: binding.visibility.clone(),
    }
}

fn described_session(session: &RealtimeSession) -> DescribedSession {
    DescribedSession {
        id: session.id().clone(),
        participant_id: session.participant_id().clone(),
        state: session.state(),
        agent: session.agent().map(|name| name.to_string()),
        recording: Some(session.recording()).filter(|state| *state != RecordingState::Off),
        created_at: session.created_at(),
    }
}

// ----- POST /rooms/{room}/messages

/// Something said from outside, under the supervisor's name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    text: String,
    #[serde(default)]
    visibility: Visibility,
    #[serde(default)]
    silent: bool,
    role: Option<InjectRole>,
    idempotency_key: Option<String>,
}

/// In whose name the AI hears it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InjectRole {
    System,
    User,
    Assistant,
}

impl InjectRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

pub(super) async fn post_message(
    _visitor: Visitor<Write>,
    State(app): State<App>,
    RoomPath(room): RoomPath,
    Body(message): Body<Message>,
) -> Result<(StatusCode, Json<RoomEvent>), Rejection> {
    check(&message)?;
    check_visibility(&app, &room, &message.visibility).await?;
    let mut event = NewEvent::text(message.text).visibility(message.visibility);
    if message.silent {
        event = event.metadata("silent", true);
    }
    if let Some(role) = message.role {
        event = event.metadata("inject_role", role.as_str());
    }
    if let Some(key) = message.idempotency_key {
        event = event.idempotency_key(key);
    }
    let stored = app.kit.send_event(room, SUPERVISOR, event).await;
    let stored = stored.map_err(|error| room_rejection(&error))?;
    Ok((StatusCode::CREATED, Json(stored)))
}

fn check(message: &Message) -> Result<(), Rejection> {
    let characters = message.text.chars().count();
    if message.text.trim().is_empty() || characters > MAX_TEXT_CHARS {
        let problem = format!("must be 1 to {MAX_TEXT_CHARS} characters, not only spaces");
        return Err(Rejection::bad_request("text", problem));
    }
    let key = message.idempotency_key.as_deref();
    if key.is_some_and(|key| !(1..=MAX_KEY_CHARS).contains(&key.chars().count())) {
        let problem = format!("must be 1 to {MAX_KEY_CHARS} characters");
        return Err(Rejection::bad_request("idempotency_key", problem));
    }
    Ok(())
}

/// A whisper to a channel that is not there would be heard by nobody, and nobody would know.
async fn check_visibility(
    app: &App,
    room: &RoomId,
    visibility: &Visibility,
) -> Result<(), Rejection> {
    let Visibility::Channels(channels) = visibility else {
        return Ok(());
    };
    let bindings = app
        .kit
        .bindings(room)
        .await
        .map_err(|error| room_rejection(&error))?;
    if bindings.is_empty() {
        return Ok(()); // The room is closed, which is a better answer.
    }
    let is_there = |channel: &ChannelId| bindings.iter().any(|it| it.channel_id == *channel);
    if channels.iter().all(is_there) {
        return Ok(());
    }
    let names: Vec<&str> = bindings.iter().map(|it| it.channel_id.as_str()).collect();
    let problem = format!(
        "must be `all`, `none`, `internal`, `transport`, `intelligence` or channels of this room, \
         which are {}",
        names.join(", ")
    );
    Err(Rejection::bad_request("visibility", problem))
}

// ----- DELETE /rooms/{room}

pub(super) async fn close(
    _visitor: Visitor<Write>,
    State(app): State<App>,
    RoomPath(id): RoomPath,
) -> Result<Json<RoomDescription>, Rejection> {
    app.kit
        .close_room(&id)
        .await
        .map_err(|error| room_rejection(&error))?;
    Ok(Json(description(&app, id).await?))
}
