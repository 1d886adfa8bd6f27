//! The cap on open rooms, where it can still be said in HTTP.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use roomkit::http::{AuthRequest, Rejection};

use crate::app::App;

/// Turns a caller down for whom a room would have to be made when no more may be. Two who come at
/// once may both get past this; the kit itself then refuses the second.
pub(crate) async fn refuse_one_more_room(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    if app.kit.open_rooms() < app.max_rooms {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let asked = AuthRequest::new(&parts, None);
    let exists = match asked.query("room") {
        Some(room) => app.kit.room(room).await.is_ok(),
        None => false,
    };
    if exists {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let message = "there is no room for one more conversation";
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_rooms", message)
        .with_retry_after(app.retry_after)
        .into_response()
}
