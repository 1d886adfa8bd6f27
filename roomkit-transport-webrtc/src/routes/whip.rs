//! WHIP (RFC 9725): an offer as `application/sdp`, and the session as a resource.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{OriginalUri, Path, State as AxumState},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode, header};
use roomkit_http::Rejection;

use super::{Signalling, rejection};
use crate::{
    config::IceServer,
    protocol::{WebRtcId, candidates_of_fragment, ufrag_of_fragment},
    signalling::SignallingError,
};

const OFFER: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// `POST /whip`
pub(super) async fn post(
    AxumState(signalling): AxumState<Arc<Signalling>>,
    OriginalUri(uri): OriginalUri,
    request: HttpRequest<Body>,
) -> Response {
    match signalling.whip(request).await {
        Ok((id, answer)) => {
            let location = format!("{}/{id}", uri.path().trim_end_matches('/'));
            let headers = [
                (header::CONTENT_TYPE, OFFER.to_owned()),
                (header::LOCATION, location),
            ];
            let mut response = (StatusCode::CREATED, headers, answer).into_response();
            let servers = &signalling.transport.shared.config.client_ice_servers;
            let links = servers.iter().flat_map(links);
            response
                .headers_mut()
                .extend(links.map(|link| (header::LINK, link)));
            response
        }
        Err(rejection) => rejection.into_response(),
    }
}

/// `PATCH /whip/{webrtc_id}`
pub(super) async fn patch(
    AxumState(signalling): AxumState<Arc<Signalling>>,
    Path(id): Path<String>,
    request: HttpRequest<Body>,
) -> Response {
    match signalling.trickle(request, id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(rejection) => rejection.into_response(),
    }
}

/// `DELETE /whip/{webrtc_id}`
pub(super) async fn hang_up(
    AxumState(signalling): AxumState<Arc<Signalling>>,
    Path(id): Path<String>,
    request: HttpRequest<Body>,
) -> Response {
    match signalling.hang_up(request, id).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(rejection) => rejection.into_response(),
    }
}

impl Signalling {
    async fn whip(&self, request: HttpRequest<Body>) -> Result<(WebRtcId, String), Rejection> {
        let (caller, body) = self.recognize(request).await?;
        expect(&caller.parts.headers, OFFER)?;
        let offer = text(&self.body(body).await?)?;
        let id = WebRtcId::random();
        let answer = self.answer(caller, id.clone(), offer).await?;
        Ok((id, answer))
    }

    async fn trickle(&self, request: HttpRequest<Body>, id: String) -> Result<(), Rejection> {
        let (caller, body) = self.recognize(request).await?;
        expect(&caller.parts.headers, FRAGMENT)?;
        let id = WebRtcId::from(id);
        self.check_unless_there(&caller, &id).await?;
        let by = self.speaker(&caller);
        // A resource is there before its candidates are, so none are kept for one that is not.
        let there = self.transport.shared.callers.get(&id, &by);
        let peer = there.map_err(|missing| rejection(&missing.into()))?;
        let fragment = text(&self.body(body).await?)?;
        if ufrag_of_fragment(&fragment).is_some_and(|ufrag| !peer.has_ufrag(ufrag)) {
            // RFC 9725, section 4.3: who takes candidates and no restarts says so.
            return Err(Rejection::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "ice_restart_unsupported",
                "a=ice-ufrag: is not that of the offer, and WHIP clients cannot restart ICE here; make a new offer",
            ));
        }
        for candidate in candidates_of_fragment(&fragment) {
            let added = self.transport.add_candidate_by(&by, &id, candidate).await;
            if !added.map_err(|error| rejection(&error))? {
                return Err(rejection(&SignallingError::Unknown));
            }
        }
        Ok(())
    }
}

/// How a client is told to use a server (RFC 9725, section 4.6).
fn links(server: &IceServer) -> impl Iterator<Item = HeaderValue> {
    let credentials = if server.username.is_empty() {
        String::new()
    } else {
        let (username, credential) = (quoted(&server.username), quoted(&server.credential));
        format!("; username={username}; credential={credential}; credential-type=\"password\"")
    };
    server.urls.iter().filter_map(move |url| {
        let link = format!("<{url}>; rel=\"ice-server\"{credentials}");
        // The settings have been checked: there is nothing in it that a header cannot have.
        HeaderValue::from_bytes(link.as_bytes()).ok()
    })
}

/// A quoted string (RFC 9110, section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn expect(headers: &HeaderMap, content_type: &'static str) -> Result<(), Rejection> {
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(content_type) {
        return Ok(());
    }
    Err(Rejection::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("content-type: must be `{content_type}`"),
    ))
}

fn text(body: &[u8]) -> Result<String, Rejection> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|error| Rejection::bad_request("body", error))?;
    Ok(text.to_owned())
}
