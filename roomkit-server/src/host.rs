//! Which room a caller comes into, and under what name.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::StatusCode;
use metrics::counter;
use roomkit::{
    RealtimeSession,
    error::{RoomError, StartError, TransportError},
    http::{AuthRequest, Identity, Rejection, SessionHost, StartRequest, is_id},
    id::{ChannelId, ParticipantId, RoomId},
    room::{RoomOptions, RoomStatus},
    transport::Connection,
    voice::SessionOptions,
};
use tokio::{sync::Mutex, time::sleep};

use crate::{any_transport::routed, app::App, error::room_rejection, first_agent, makers::Claim};

/// The id of the voice channel.
pub(crate) const VOICE: &str = "voice";
/// The id of the channel that people who watch write through.
pub(crate) const SUPERVISOR: &str = "supervisor";
/// The note on rooms that were made for a caller who named none.
pub(crate) const UNNAMED: &str = "unnamed";

/// Longest id of a room or a participant, in characters.
const MAX_ID_CHARS: usize = 128;

/// After what time a room whose call did not start is looked for, and after what time again if it is not
/// there yet.
const LOOKS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(30),
];

/// A room that is made for a call, and closed unless the call begins: nobody else knows it. Dropped
/// where the start was given up, as by a caller over WebRTC who is gone.
struct Unstarted(Option<(App, RoomId)>);

impl Unstarted {
    fn new(app: &App, room: &RoomId) -> Self {
        Self(Some((app.clone(), room.clone())))
    }

    fn keep(mut self) {
        self.0 = None;
    }

    async fn close(mut self) {
        if let Some((app, room)) = self.0.take() {
            close_unstarted(app, room).await;
        }
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some((app, room)) = self.0.take() {
            tokio::spawn(close_unstarted(app, room));
        }
    }
}

async fn close_unstarted(app: App, room: RoomId) {
    for wait in LOOKS {
        sleep(wait).await;
        match app.kit.close_room(&room).await {
            Ok(_) => return,
            // Given up before it was made; but the store may be about to make it.
            Err(RoomError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "a room whose call did not start could not be closed");
                return;
            }
        }
    }
    app.makers.forget(&room);
}

/// Finds or makes rooms, with all channels of this server in them.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    app: App,
    /// Held while channels are attached, so that two who come at once do not both attach them.
    furnishing: Arc<Mutex<()>>,
}

impl Host {
    pub(crate) fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            furnishing: Arc::default(),
        }
    }

    /// Turns a caller down whose room or name can be none, whose agent is not here, whose room is closed, or for whom one would have to be
    /// made when no more may be: in all, if none can make way, or by this client. Two who come at once may both get past
    /// this; the second is then refused when its room is to be made.
    async fn check(&self, request: &AuthRequest, identity: &Identity) -> Result<(), Rejection> {
        let is_own = identity.participant.is_none();
        for (field, is_callers) in [("room", true), ("participant", is_own)] {
            let id = request.query(field).filter(|_| is_callers);
            if id.is_some_and(|id| !is_usable_id(id)) {
                return Err(Rejection::bad_request(field, USABLE_ID));
            }
        }
        self.app.agents.admit(identity)?;
        let App {
            kit,
            makers,
            admission,
            ..
        } = &self.app;
        if let Some(room) = request.query("room")
            && let Ok(room) = kit.room(room).await
        {
            return match room.status {
                RoomStatus::Active => Ok(()),
                RoomStatus::Closed => Err(room_rejection(&RoomError::Closed(room.id))),
            };
        }
        let client = admission.client_address(&request.headers, request.peer);
        let client = client.map(|it| admission.network_of(it));
        let refused = if self.is_full() && !makers.can_make_way(client, &self.busy_rooms()) {
            let most = kit.max_rooms();
            Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_rooms",
                format!(
                    "`limits.max_rooms`: all {most} rooms that may be open are; name one of them as `room`"
                ),
            )
        } else if !makers.may_make(client) {
            let most = makers.most();
            Rejection::new(
                StatusCode::TOO_MANY_REQUESTS,
                TOO_MANY_OF_ADDRESS,
                too_many_of_address(most),
            )
        } else {
            return Ok(());
        };
        Err(refused.with_retry_after(admission.retry_after()).counted())
    }

    pub(crate) async fn start(&self, request: StartRequest) -> Result<RealtimeSession, StartError> {
        let participant = match request.participant {
            // Not of the caller's making: issuers have forms of their own, such as `auth0|4711`.
            Some(participant) if request.identity.participant.as_ref() == Some(&participant) => {
                participant
            }
            Some(participant) => checked("participant", participant)?,
            None => anonymous(),
        };
        let options = first_agent::options(&request.identity);
        let admission = &self.app.admission;
        let client = request.address.map(|it| admission.network_of(it));
        if let Some(room) = request.room {
            let room = checked("room", room)?;
            let _coming = self.app.makers.coming(&room);
            self.named_room(&room, client).await?;
            return self
                .start_in(&room, participant, request.connection, options)
                .await;
        }
        let room = RoomId::random();
        let _coming = self.app.makers.coming(&room);
        let unnamed = RoomOptions::new().id(&room).metadata(UNNAMED, true);
        let unstarted = Unstarted::new(&self.app, &room);
        self.make_room(&room, unnamed, client).await?;
        let started = self
            .start_in(&room, participant, request.connection, options)
            .await;
        match &started {
            Ok(_) => unstarted.keep(),
            Err(_) => unstarted.close().await,
        }
        started
    }

    /// Makes the room, or finds it.
    async fn named_room(&self, room: &RoomId, client: Option<IpAddr>) -> Result<(), StartError> {
        if self.app.kit.room(room).await.is_ok() {
            return Ok(());
        }
        match self.make_room(room, room.into(), client).await {
            Ok(()) | Err(StartError::Room(RoomError::Exists(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a room on behalf of a client.
    async fn make_room(
        &self,
        id: &RoomId,
        options: RoomOptions,
        client: Option<IpAddr>,
    ) -> Result<(), StartError> {
        let App { kit, makers, .. } = &self.app;
        let mut claim = makers.claim(id, client).ok_or_else(|| StartError::Busy {
            code: TOO_MANY_OF_ADDRESS,
            message: too_many_of_address(makers.most()),
        })?;
        if self.is_full() {
            self.make_way(&claim).await;
        }
        // It is made even if its caller is gone meanwhile.
        claim.stays();
        match kit.create_room(options).await {
            Ok(_room) => {
                claim.made();
                Ok(())
            }
            Err(error) => {
                claim.withdraw();
                Err(error.into())
            }
        }
    }

    /// Whether as many rooms are open as may be.
    fn is_full(&self) -> bool {
        self.app.kit.open_rooms() >= self.app.kit.max_rooms()
    }

    /// Rooms with calls in them.
    fn busy_rooms(&self) -> HashSet<RoomId> {
        let sessions = self.app.voice.sessions();
        let rooms = sessions.iter().map(|session| session.room_id().clone());
        rooms.collect()
    }

    /// Closes a room that nobody is in, so that a client can make one.
    async fn make_way(&self, claim: &Claim) {
        let App { kit, makers, .. } = &self.app;
        let Some((room, made)) = makers.make_way(claim, &self.busy_rooms()) else {
            return;
        };
        match kit.close_room(&room).await {
            Ok(_) => counter!("roomkit_server_rooms_evicted_total").increment(1),
            // It is gone already.
            Err(RoomError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "an empty room could not make way for another");
                makers.stays(room, made);
            }
        }
    }

    async fn start_in(
        &self,
        room: &RoomId,
        participant: ParticipantId,
        connection: Connection,
        options: SessionOptions,
    ) -> Result<RealtimeSession, StartError> {
        self.furnish(room).await?;
        self.app
            .voice
            .start_session_with(room, participant, connection, options)
            .await
    }

    /// Attaches what is not attached. What is keeps its permissions.
    async fn furnish(&self, room: &RoomId) -> Result<(), RoomError> {
        let _furnishing = self.furnishing.lock().await;
        for channel in [VOICE, SUPERVISOR].map(ChannelId::from) {
            match self.app.kit.binding(room, &channel).await {
                Ok(_) => {}
                Err(RoomError::NotAttached { .. }) => {
                    self.app.kit.attach_channel(room, &channel).await?;
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
    async fn check(&self, request: &AuthRequest, identity: &Identity) -> Result<(), Rejection> {
        self.host.check(request, identity).await
    }

    async fn start(&self, mut request: StartRequest) -> Result<RealtimeSession, StartError> {
        request.connection = routed(self.transport, request.connection);
        self.host.start(request).await
    }
}

/// Whether a text can be the id of a room, which has to stand in a path and in a list with commas, or
/// a name that a caller gives himself.
pub(crate) fn is_usable_id(id: &str) -> bool {
    let usable = |c: char| c.is_alphanumeric() || "-._~:@+".contains(c);
    is_id(id)
        && id.chars().all(usable)
        && id.chars().count() <= MAX_ID_CHARS
        && id != "."
        && id != ".."
}

/// What [`is_usable_id`] asks for, for people.
pub(crate) const USABLE_ID: &str =
    "must be 1 to 128 letters, digits or characters of `-._~:@+`, of 256 bytes at most";

fn checked<Id: AsRef<str>>(field: &str, id: Id) -> Result<Id, TransportError> {
    if is_usable_id(id.as_ref()) {
        Ok(id)
    } else {
        Err(TransportError::Refused(format!("{field}: {USABLE_ID}")))
    }
}

const TOO_MANY_OF_ADDRESS: &str = "too_many_rooms_of_address";

fn too_many_of_address(most: usize) -> String {
    format!(
        "`limits.max_rooms_per_address`: calls of this address have made all {most} open rooms that they may; name \
         one that is open as `room`, or close one"
    )
}

fn anonymous() -> ParticipantId {
    let random = ParticipantId::random();
    let short: String = random.as_str().chars().take(8).collect();
    format!("caller-{short}").into()
}

#[cfg(test)]
mod tests;
