//! Words for the callers of a room that nobody asked for.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use roomkit::{
    error::{DeliverError, SessionError},
    http::Rejection,
    voice::DeliveryStrategy,
};
use serde::{Deserialize, Serialize};

use super::{
    input::{Body, RoomPath, Visitor, Write},
    rooms::MAX_TEXT_CHARS,
};
use crate::{app::App, error::room_rejection};

/// Longest wait for a quiet moment, in ms.
const MAX_WAIT_MS: u64 = 600_000;

// ----- POST /rooms/{room}/deliveries

/// What the AI is to bring up, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivery {
    text: String,
    #[serde(default)]
    strategy: Strategy,
    wait_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    Immediate,
    #[default]
    WaitForIdle,
    Queued,
}

/// Who took it.
#[derive(Debug, Serialize)]
pub(super) struct Accepted {
    sessions: usize,
}

pub(super) async fn post_delivery(
    _visitor: Visitor<Write>,
    State(app): State<App>,
    RoomPath(room): RoomPath,
    Body(delivery): Body<Delivery>,
) -> Result<(StatusCode, Json<Accepted>), Rejection> {
    let strategy = strategy(&delivery)?;
    if delivery.text.chars().count() > MAX_TEXT_CHARS {
        let problem = format!("must be at most {MAX_TEXT_CHARS} characters");
        return Err(Rejection::bad_request("text", problem));
    }
    let delivered = app.voice.deliver(room, delivery.text, strategy).await;
    let sessions = delivered.map_err(|error| rejection(&error))?.sessions;
    Ok((StatusCode::ACCEPTED, Json(Accepted { sessions })))
}

fn strategy(delivery: &Delivery) -> Result<DeliveryStrategy, Rejection> {
    match (delivery.strategy, delivery.wait_ms) {
        (Strategy::WaitForIdle, None) => Ok(DeliveryStrategy::WAIT_FOR_IDLE),
        (Strategy::WaitForIdle, Some(wait @ 0..=MAX_WAIT_MS)) => {
            let wait = Duration::from_millis(wait);
            Ok(DeliveryStrategy::WaitForIdle(wait))
        }
        (Strategy::WaitForIdle, Some(_)) => {
            let problem = format!("must be at most {MAX_WAIT_MS}");
            Err(Rejection::bad_request("wait_ms", problem))
        }
        (_, Some(_)) => {
            let problem = "goes with the strategy `wait_for_idle` only; leave it out";
            Err(Rejection::bad_request("wait_ms", problem))
        }
        (Strategy::Immediate, None) => Ok(DeliveryStrategy::Immediate),
        (Strategy::Queued, None) => Ok(DeliveryStrategy::Queued),
    }
}

fn rejection(error: &DeliverError) -> Rejection {
    match error {
        DeliverError::Room(error) => room_rejection(error),
        DeliverError::Empty => Rejection::bad_request("text", "holds no words".to_owned()),
        // The last call ended just now: there is nobody to try again with.
        DeliverError::NoSession(_) | DeliverError::Session(SessionError::Ended(_)) => {
            Rejection::new(StatusCode::CONFLICT, "no_session", error.to_string())
        }
        _ => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Rejection::new(status, "session_busy", error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use roomkit::id::SessionId;

    use super::*;
    use crate::config::Config;

    #[test]
    fn r11_a_call_that_has_just_ended_is_nobody_on_the_line() {
        let session = SessionId::random();
        let refused = rejection(&DeliverError::Session(SessionError::Ended(session)));
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        assert_eq!(refused.code(), "no_session");
    }

    #[tokio::test]
    async fn x4_a_delivery_to_a_server_that_has_closed_its_rooms_is_refused_as_that() {
        let config: Config = toml::from_str("[metrics]\nenabled = false").unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let (app, _router) = App::build(&config, address, None).unwrap();
        app.kit.create_room("lobby").await.unwrap();
        app.kit.close().await;
        let delivered = app
            .voice
            .deliver("lobby", "hello", DeliveryStrategy::Queued);
        let refused = rejection(&delivered.await.unwrap_err());
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.code(), "shutting_down");
    }
}
