//! Which room a caller comes into, and under what name.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use roomkit::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit,
    error::{RoomError, StartError, TransportError},
    http::{Admission, AuthRequest, Rejection, SessionHost, StartRequest},
    id::{ChannelId, ParticipantId, RoomId},
    room::RoomOptions,
    transport::Connection,
};
use tokio::sync::Mutex;

use crate::any_transport::routed;

/// The id of the voice channel.
pub(crate) const VOICE: &str = "voice";
/// The id of the channel that people who watch write through.
pub(crate) const SUPERVISOR: &str = "supervisor";
/// The note on rooms that were made for a caller who named none.
pub(crate) const UNNAMED: &str = "unnamed";

/// Longest id of a room or a participant, in characters.
const MAX_ID_CHARS: usize = 128;

/// Finds or makes rooms, with all channels of this server in them.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    kit: RoomKit,
    voice: RealtimeVoiceChannel,
    /// Knows when those who are turned down may try again.
    admission: Admission,
    /// Held while channels are attached, so that two who come at once do not both attach them.
    furnishing: Arc<Mutex<()>>,
}

impl Host {
    pub(crate) fn new(kit: RoomKit, voice: RealtimeVoiceChannel, admission: Admission) -> Self {
        Self {
            kit,
            voice,
            admission,
            furnishing: Arc::default(),
        }
    }

    /// Turns a caller down for whom a room would have to be made when no more may be. Two who come
    /// at once may both get past this; the kit itself then refuses the second.
    async fn check(&self, request: &AuthRequest) -> Result<(), Rejection> {
        if self.kit.open_rooms() < self.kit.max_rooms() {
            return Ok(());
        }
        let exists = match request.query("room") {
            Some(room) => self.kit.room(room).await.is_ok(),
            None => false,
        };
        if exists {
            return Ok(());
        }
        let message = "there is no room for one more conversation";
        let rejection = Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_rooms", message);
        Err(rejection
            .with_retry_after(self.admission.retry_after())
            .counted())
    }

    async fn start(&self, request: StartRequest) -> Result<RealtimeSession, StartError> {
        let participant = match request.participant {
            Some(participant) => checked("participant", participant)?,
            None => anonymous(),
        };
        if let Some(room) = request.room {
            let room = checked("room", room)?;
            self.named_room(&room).await?;
            return self.start_in(&room, participant, request.connection).await;
        }
        let unnamed = RoomOptions::new().metadata(UNNAMED, true);
        let room = self.kit.create_room(unnamed).await?.id;
        let started = self.start_in(&room, participant, request.connection).await;
        if started.is_err()
            // Nobody else knows this room.
            && let Err(error) = self.kit.close_room(&room).await
        {
            tracing::warn!(%error, "a room whose call did not start could not be closed");
        }
        started
    }

    async fn start_in(
        &self,
        room: &RoomId,
        participant: ParticipantId,
        connection: Connection,
    ) -> Result<RealtimeSession, StartError> {
        self.furnish(room).await?;
        self.voice
            .start_session(room, participant, connection)
            .await
    }

    /// Makes the room, or finds it.
    async fn named_room(&self, room: &RoomId) -> Result<(), RoomError> {
        match self.kit.create_room(room).await {
            Ok(_) | Err(RoomError::Exists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Attaches what is not attached. What is keeps its permissions.
    async fn furnish(&self, room: &RoomId) -> Result<(), RoomError> {
        let _furnishing = self.furnishing.lock().await;
        for channel in [VOICE, SUPERVISOR].map(ChannelId::from) {
            match self.kit.binding(room, &channel).await {
                Ok(_) => {}
                Err(RoomError::NotAttached { .. }) => {
                    self.kit.attach_channel(room, &channel).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The host as one transport sees it.
pub(crate) struct TransportHost {
    pub(crate) host: Host,
    /// The transport's place in the list.
    pub(crate) transport: usize,
}

#[async_trait]
impl SessionHost for TransportHost {
    async fn check(&self, request: &AuthRequest) -> Result<(), Rejection> {
        self.host.check(request).await
    }

    async fn start(&self, mut request: StartRequest) -> Result<RealtimeSession, StartError> {
        request.connection = routed(self.transport, request.connection);
        self.host.start(request).await
    }
}

/// Whether a text can be the id of a room or a participant here: it has to stand in a path and in a
/// list with commas.
pub(crate) fn is_usable_id(id: &str) -> bool {
    let usable = |c: char| c.is_alphanumeric() || "-._~:@+".contains(c);
    id.chars().all(usable)
        && (1..=MAX_ID_CHARS).contains(&id.chars().count())
        && id != "."
        && id != ".."
}

/// What [`is_usable_id`] asks for, for people.
pub(crate) const USABLE_ID: &str = "must be 1 to 128 letters, digits or characters of `-._~:@+`";

fn checked<Id: AsRef<str>>(field: &str, id: Id) -> Result<Id, TransportError> {
    if is_usable_id(id.as_ref()) {
        Ok(id)
    } else {
        Err(TransportError::Refused(format!("{field}: {USABLE_ID}")))
    }
}

fn anonymous() -> ParticipantId {
    let random = ParticipantId::random();
    let short: String = random.as_str().chars().take(8).collect();
    format!("caller-{short}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_stand_in_a_path() {
        for id in [
            "a",
            "support-4711",
            "zoë",
            "user@host:1",
            "...",
            &"x".repeat(128),
        ] {
            assert!(is_usable_id(id), "{id}");
        }
        for id in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a,b",
            "a?b",
            "a\n",
            "a\u{202e}b",
            &"x".repeat(129),
        ] {
            assert!(!is_usable_id(id), "{id:?}");
        }
    }

    #[test]
    fn who_gives_no_name_gets_one() {
        let name = anonymous();
        let hex = name.as_str().strip_prefix("caller-").unwrap();
        assert_eq!(hex.len(), 8);
        assert!(hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(name, anonymous());
    }
}
