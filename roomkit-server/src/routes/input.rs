//! What comes in with a request, checked: who asks, which room, which query, which body.

use std::{convert::Infallible, marker::PhantomData, net::IpAddr, time::Duration};

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, RawPathParams, Request,
        rejection::JsonRejection,
    },
    http::{StatusCode, request::Parts},
};
use roomkit::{
    http::{Identity, Rejection, Scope, peer_address},
    id::RoomId,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{
    app::App,
    host::{USABLE_ID, is_usable_id},
};

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Most rooms or events in one answer.
const MAX_PAGE: usize = 1000;

/// Somebody who may ask for this: the origin is allowed (contract X3), and the token, where one is
/// needed, is valid, has the scope, and is for this room (contract X2).
#[derive(Debug)]
pub(super) struct Visitor<N> {
    pub(super) identity: Identity,
    need: PhantomData<N>,
}

/// What a route needs of its visitors.
pub(super) trait Need {
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($need:ident,)+) => {
        $(
            /// The need of the scope of this name.
            #[derive(Debug)]
            pub(super) struct $need;

            impl Need for $need {
                const SCOPE: Scope = Scope::$need;
            }
        )+
    };
}

needs! { Watch, Write, Metrics, Mint, }

impl<N: Need> FromRequestParts<App> for Visitor<N> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Rejection> {
        let peer = peer_address(&parts.extensions);
        let identity = app.admission.check(parts, peer, N::SCOPE).await?;
        if let Some(room) = &identity.room {
            check_room(parts, app, room).await?;
        }
        Ok(Self {
            identity,
            need: PhantomData,
        })
    }
}

/// Holds those who are held to one room to it: other rooms are not theirs, nor is what is of none.
async fn check_room(parts: &mut Parts, app: &App, room: &RoomId) -> Result<(), Rejection> {
    let path = RawPathParams::from_request_parts(parts, app).await;
    let is_it = path.is_ok_and(|fields| {
        let mut fields = fields.iter();
        fields.any(|(name, value)| name == "room" && value == room.as_str())
    });
    if is_it {
        return Ok(());
    }
    let message = "room: the client is held to another one";
    Err(Rejection::new(StatusCode::FORBIDDEN, "forbidden", message).counted())
}

/// The network that the client is known by, if it is.
#[derive(Debug)]
pub(super) struct Client(pub(super) Option<IpAddr>);

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = peer_address(&parts.extensions);
        let client = app.admission.client_address(&parts.headers, peer);
        Ok(Self(client.map(|it| app.admission.network_of(it))))
    }
}

/// The room in the path.
#[derive(Debug)]
pub(super) struct RoomPath(pub(super) RoomId);

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let refused = || Rejection::bad_request("room", USABLE_ID);
        let path = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state);
        match path.await {
            Ok(Path(id)) if is_usable_id(&id) => Ok(Self(id.into())),
            _ => Err(refused()),
        }
    }
}

/// The query's fields. Each query also has a field `token`, for clients that cannot set a header;
/// it is read where requests are admitted.
#[derive(Debug)]
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Fields<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(fields)) => Ok(Self(fields)),
            Err(error) => Err(Rejection::bad_request("query", error.body_text())),
        }
    }
}

/// The field `limit` of a query, in rooms or events.
pub(super) fn page_size(limit: Option<usize>, default: usize) -> Result<usize, Rejection> {
    match limit {
        None => Ok(default),
        Some(limit @ 1..=MAX_PAGE) => Ok(limit),
        Some(_) => {
            let problem = format!("must be from 1 to {MAX_PAGE}");
            Err(Rejection::bad_request("limit", problem))
        }
    }
}

/// The body as JSON.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, Rejection> {
        match timeout(BODY_TIME, Json::from_request(request, state)).await {
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(error)) => Err(body_rejection(&error)),
            Err(_elapsed) => {
                let message = format!(
                    "body: it did not come whole within {} s; send it at once",
                    BODY_TIME.as_secs()
                );
                Err(Rejection::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "timeout",
                    message,
                ))
            }
        }
    }
}

fn body_rejection(error: &JsonRejection) -> Rejection {
    let status = error.status();
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!(
                "body: it has more than {} bytes; send less at once",
                super::MAX_BODY_BYTES
            );
            Rejection::new(status, "too_large", message)
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let message = "the body must be JSON, with `content-type: application/json`";
            Rejection::new(status, "not_json", message)
        }
        _ => Rejection::bad_request("body", error.body_text()),
    }
}
