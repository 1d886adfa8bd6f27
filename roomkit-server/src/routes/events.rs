//! The dashboard: a room as it happens, over a WebSocket.
//!
//! Text frames of JSON: `{"type":"event","event":…}` for what is written to the timeline, in its
//! order; `{"type":"ephemeral","event":…}` for what is shown at this moment only; `{"type":"alive"}`
//! now and then; and at the end `{"type":"closed","reason":…}`. What a dashboard sends is thrown away.

use std::{convert::Infallible, future::pending, time::Duration};

use axum::{
    extract::{
        FromRequestParts, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::request::Parts,
    response::Response,
};
use metrics::counter;
use roomkit::{
    RoomKit,
    ephemeral::EphemeralEvent,
    error::RoomError,
    http::{AuthRequest, Rejection, Scope},
    id::RoomId,
    room::{RoomEvent, TimelineQuery},
    subscriber::{CloseReason, RoomUpdate, SubscribeOptions, Subscription},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite;

use super::input::{Client, Fields, RoomPath, Visitor, Watch};
use crate::{app::App, error::room_rejection, keys::Pass};

/// Updates that may wait for a dashboard before it is cut off.
const QUEUE: usize = 512;
/// How long a dashboard may take for one message before it is cut off.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How long closing may take, the dashboard's answer included.
const CLOSE_TIME: Duration = Duration::from_secs(3);
/// How long one that said too much may read why: with bytes of its unread, closing at once would reset the
/// connection and take the close frame along.
const TOO_BIG_LINGER: Duration = Duration::from_secs(1);
/// How often a dashboard is asked whether it is there; after two questions without a sign of life
/// it is not. It is told as often that the server is: a page sees no pings, and a network that swallows
/// everything looks to it like a room in which nobody speaks.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Events read at a time when the past is shown; they are held until the dashboard has taken them.
const PAGE: usize = 32;
/// Largest message taken from a dashboard, in bytes: they have nothing to say.
const MAX_INPUT_BYTES: usize = 4096;

/// Close codes, from the registry of RFC 6455.
mod close_code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const INTERNAL: u16 = 1011;
    pub(super) const TRY_AGAIN: u16 = 1013;
}

/// Where to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchQuery {
    /// First the stored events after this index; −1 for all. Without it nothing is repeated.
    after: Option<i64>,
    #[serde(rename = "token")]
    _token: Option<IgnoredAny>,
}

/// `GET /rooms/{room}/events`
pub(super) async fn watch(
    // Before the token is looked at, so that no change after that is missed.
    mut stay: Stay,
    _visitor: Visitor<Watch>,
    State(app): State<App>,
    Client(client): Client,
    RoomPath(room): RoomPath,
    Fields(query): Fields<WatchQuery>,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Rejection> {
    // What is not there is an answer in HTTP, not a socket that closes at once.
    app.kit
        .room(&room)
        .await
        .map_err(|error| room_rejection(&error))?;
    let place = app.dashboards.take(client, app.admission.retry_after())?;
    Ok(upgrade.on_upgrade(async move |socket| {
        let mut dashboard = Dashboard {
            socket,
            room,
            kit: app.kit,
            next: None,
        };
        let end = tokio::select! {
            end = dashboard.show(query.after) => end,
            () = stay.revoked() => End::Revoked,
        };
        dashboard.close(end).await;
        drop(place);
    }))
}

/// What lets a dashboard stay: the token it came by, where one is needed.
pub(super) struct Stay(Option<Pass>);

impl Stay {
    /// Ready once the token is taken away.
    async fn revoked(&mut self) {
        match &mut self.0 {
            Some(pass) => pass.revoked().await,
            None => pending().await,
        }
    }
}

impl FromRequestParts<App> for Stay {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let request = AuthRequest::new(parts, None);
        let shown = app.keys.as_ref().zip(request.bearer_token());
        Ok(Self(
            shown.map(|(keys, token)| keys.pass(token, Scope::Watch)),
        ))
    }
}

/// A request to become a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade(WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let upgrade = upgrade.map_err(|error| {
            Rejection::new(error.status(), "not_a_websocket", error.body_text())
        })?;
        let upgrade = upgrade
            .protocols(["roomkit"])
            // The default of 128 KiB was most of what a dashboard cost.
            .read_buffer_size(MAX_INPUT_BYTES)
            .write_buffer_size(0)
            .max_message_size(MAX_INPUT_BYTES)
            .max_frame_size(MAX_INPUT_BYTES);
        Ok(Self(upgrade))
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Shown<'a> {
    Event { event: &'a RoomEvent },
    Ephemeral { event: &'a EphemeralEvent },
    Alive,
    Closed { reason: &'a str },
}

/// Why a dashboard is over.
#[derive(Debug)]
enum End {
    /// The client is gone, or takes nothing: there is nobody to tell.
    Gone,
    /// The client closes the socket.
    Left,
    /// The client says more than is read.
    TooBig,
    /// The room's side ended it.
    Closed(CloseReason),
    /// The token it came by was taken away.
    Revoked,
    /// The past could not be read.
    Failed(RoomError),
}

impl End {
    /// What reading met.
    fn of(error: axum::Error) -> Self {
        match error.into_inner().downcast_ref() {
            Some(tungstenite::Error::Capacity(_)) => Self::TooBig,
            _ => Self::Gone,
        }
    }
}

impl From<RoomError> for End {
    fn from(error: RoomError) -> Self {
        match error {
            // Deleted while it was being shown.
            RoomError::NotFound(_) => Self::Closed(CloseReason::RoomClosed),
            error => Self::Failed(error),
        }
    }
}

struct Dashboard {
    socket: WebSocket,
    room: RoomId,
    kit: RoomKit,
    /// The first index that has not been shown, once one is known.
    next: Option<u64>,
}

impl Dashboard {
    /// Shows the room until there is nothing more to show.
    async fn show(&mut self, after: Option<i64>) -> End {
        // Following begins before the past is read, so that nothing falls between the two.
        let options = SubscribeOptions::new().include_blocked().queue_size(QUEUE);
        let mut updates = match self.kit.subscribe(&self.room, options).await {
            Ok(updates) => Ok(updates),
            Err(RoomError::Closed(_)) => Err(CloseReason::RoomClosed),
            Err(RoomError::KitClosed) => Err(CloseReason::Shutdown),
            Err(error) => return error.into(),
        };
        if let Some(after) = after {
            self.next = Some(u64::try_from(after).map_or(0, |after| after.saturating_add(1)));
            let until = updates.as_ref().map(Subscription::first_index).ok();
            if let Err(end) = self.replay(until).await {
                return end;
            }
        }
        match &mut updates {
            Ok(updates) => self.follow(updates).await,
            Err(reason) => End::Closed(*reason),
        }
    }

    async fn replay(&mut self, until: Option<u64>) -> Result<(), End> {
        loop {
            let next = self.next.unwrap_or_default();
            let mut page = TimelineQuery::new().limit(PAGE);
            if let Some(shown) = next.checked_sub(1) {
                page = page.after(shown);
            }
            let events = self
                .kit
                .timeline(&self.room, page)
                .await
                .map_err(End::from)?;
            let wanted = |event: &&RoomEvent| until.is_none_or(|until| event.index < until);
            let mut shown_any = false;
            for event in events.iter().filter(wanted) {
                self.show_event(event).await?;
                shown_any = true;
            }
            if !shown_any {
                return Ok(());
            }
        }
    }

    async fn follow(&mut self, updates: &mut Subscription) -> End {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        loop {
            let shown = tokio::select! {
                update = updates.recv() => match update {
                    Some(RoomUpdate::Event(event)) => self.show_event(&event).await,
                    Some(RoomUpdate::Ephemeral(event)) => {
                        self.send(&Shown::Ephemeral { event: &event }).await
                    }
                    Some(RoomUpdate::Closed(reason)) => return End::Closed(reason),
                    Some(_) => Ok(()),
                    None => return End::Closed(CloseReason::Shutdown),
                },
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Close(_))) => return End::Left,
                    Some(Err(error)) => return End::of(error),
                    None => return End::Gone,
                    Some(Ok(_)) => {
                        unanswered = 0;
                        Ok(())
                    }
                },
                _ = pings.tick() => {
                    if unanswered == 2 {
                        return End::Gone;
                    }
                    unanswered += 1;
                    match self.deliver(Message::Ping(axum::body::Bytes::new())).await {
                        Ok(()) => self.send(&Shown::Alive).await,
                        gone => gone,
                    }
                }
            };
            if let Err(end) = shown {
                return end;
            }
        }
    }

    async fn show_event(&mut self, event: &RoomEvent) -> Result<(), End> {
        if self.next.is_some_and(|next| event.index < next) {
            return Ok(());
        }
        self.next = Some(event.index.saturating_add(1));
        self.send(&Shown::Event { event }).await
    }

    async fn send(&mut self, shown: &Shown<'_>) -> Result<(), End> {
        match serde_json::to_string(shown) {
            Ok(text) => self.deliver(Message::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "something in a room cannot be written as JSON");
                Ok(())
            }
        }
    }

    async fn deliver(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND_TIME, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    async fn close(mut self, end: End) {
        let (reason, code) = match end {
            End::Gone => return,
            // The library has the answer ready; it goes out as more is read.
            End::Left => return self.part().await,
            End::TooBig => ("message_too_long", close_code::TOO_BIG),
            End::Closed(reason @ CloseReason::TooSlow) => (reason.as_str(), close_code::TRY_AGAIN),
            End::Closed(reason @ CloseReason::Shutdown) => {
                (reason.as_str(), close_code::GOING_AWAY)
            }
            End::Closed(reason) => (reason.as_str(), close_code::NORMAL),
            End::Revoked => {
                counter!("roomkit_server_dashboards_revoked_total").increment(1);
                ("token_revoked", close_code::POLICY)
            }
            End::Failed(error) => {
                tracing::error!(%error, room_id = %self.room, "a dashboard could not be shown");
                ("failed", close_code::INTERNAL)
            }
        };
        let told = self.send(&Shown::Closed { reason }).await;
        let reason = reason.into();
        let frame = Message::Close(Some(CloseFrame { code, reason }));
        if told.is_err() || self.deliver(frame).await.is_err() {
            return;
        }
        if code == close_code::TOO_BIG {
            sleep(TOO_BIG_LINGER).await;
        } else {
            self.part().await;
        }
    }

    /// Reads until the other side has closed as well.
    async fn part(&mut self) {
        let closing = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = timeout(CLOSE_TIME, closing).await;
    }
}
