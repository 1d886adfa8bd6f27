//! The signalling over HTTP: FastRTC's offers and candidates, and WHIP.

mod fast_rtc;
mod start;
mod whip;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State as AxumState,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use futures_util::FutureExt;
use http::{Request as HttpRequest, StatusCode, request::Parts};
use roomkit_core::{
    error::{ConfigError, StartError},
    registry::{self, inventory},
};
use roomkit_http::{
    Admission, Admitted, AuthRequest, Identity, MountContext, MountableTransport, Rejection, Scope,
    SessionHost, TransportRoutes, peer_address,
};
use serde_json::json;
use tokio::time::timeout;

use self::start::Wishes;
use crate::{
    callers::Speaker,
    connected::ClientConnected,
    life::OnConnected,
    peer::Owner,
    protocol::WebRtcId,
    signalling::{ClientOffer, SignallingError},
    transport::{ABOUT, NAME, WebRtcRealtimeTransport},
};

impl WebRtcRealtimeTransport {
    /// The signalling, to be nested under any path of a host's own application:
    ///
    /// | request | meaning |
    /// |---|---|
    /// | `POST /webrtc/offer` | `{"sdp", "type": "offer", "webrtc_id"}` for an answer, `{"type": "ice-candidate", "candidate", "webrtc_id"}` for more ways to the client, as FastRTC's clients send them; an offer with `"restart": true` for a client that looks for a new way |
    /// | `DELETE /webrtc/offer/{webrtc_id}` | the client hangs up |
    /// | `GET /webrtc/config` | `{"ice_servers": [...]}`, the servers a client should use |
    /// | `POST /whip` | `application/sdp` for `201`, an answer, a `Location`, and a `Link` for each server a client should use |
    /// | `PATCH`, `DELETE` at the location | more candidates, and the end |
    ///
    /// The transport tells [`on_client_connected`](Self::on_client_connected) of each client, with what
    /// authentication said, and the room and the participant it is held to or asks for in its offer's query
    /// (`room`, `participant`), and the host starts a session with its id.
    pub fn router(&self, admission: Admission) -> Router {
        self.signalling(admission, None)
    }

    /// The same at the context's path, where the context's host starts the sessions. The query
    /// fields `room` and `participant` of an offer go to it.
    pub fn routes(&self, context: MountContext) -> Router {
        let signalling = self.signalling(context.admission, Some(context.host));
        Router::new().nest(&context.path, signalling)
    }

    fn signalling(&self, admission: Admission, host: Option<Arc<dyn SessionHost>>) -> Router {
        let signalling = Arc::new(Signalling {
            transport: self.clone(),
            admission,
            host,
        });
        let routes = Router::new()
            .route("/webrtc/offer", post(fast_rtc::post))
            .route("/webrtc/offer/{webrtc_id}", delete(fast_rtc::hang_up))
            .route("/webrtc/config", get(config))
            .route("/whip", post(whip::post))
            .route(
                "/whip/{webrtc_id}",
                delete(whip::hang_up).patch(whip::patch),
            )
            .with_state(Arc::clone(&signalling));
        signalling.admission.with_cors(routes)
    }
}

/// Mounts the signalling of a transport on a host's application, as the Python original does; see
/// [`WebRtcRealtimeTransport::router`].
///
/// # Errors
///
/// When the path is not a plain one such as `/rtc-realtime`.
pub fn mount_fastrtc_realtime(
    app: Router,
    transport: &WebRtcRealtimeTransport,
    path: &str,
    admission: Admission,
) -> Result<Router, ConfigError> {
    // Checked as every mount's; there are no sessions to start.
    let nobody = async |_| Err(StartError::Closed);
    let checked = MountContext::new(path, admission, Arc::new(nobody) as Arc<dyn SessionHost>)?;
    Ok(app.nest(&checked.path, transport.router(checked.admission)))
}

inventory::submit! {
    TransportRoutes {
        name: NAME,
        about: ABOUT,
        build: |config| {
            let transport = WebRtcRealtimeTransport::new(registry::read_config(config)?)?;
            let routed = transport.clone();
            Ok(MountableTransport::new(Arc::new(transport), move |context| {
                routed.routes(context)
            }))
        },
    }
}

/// What all requests need.
struct Signalling {
    transport: WebRtcRealtimeTransport,
    admission: Admission,
    /// Who starts sessions; none when the transport's observer sees to it.
    host: Option<Arc<dyn SessionHost>>,
}

/// A request whose sender is known. Its credentials may be used up or have expired: that is looked at
/// where it says what is new.
struct Caller {
    identity: Identity,
    parts: Parts,
    address: Option<SocketAddr>,
}

impl Signalling {
    /// Finds out whose a request is, before anything of it is read (contract X2).
    async fn recognize(&self, request: HttpRequest<Body>) -> Result<(Caller, Body), Rejection> {
        let (parts, body) = request.into_parts();
        let address = peer_address(&parts.extensions);
        let identity = self.admission.recognize(&parts, address).await?;
        let caller = Caller {
            identity,
            parts,
            address,
        };
        Ok((caller, body))
    }

    /// Reads a body within the handshake's time.
    async fn body(&self, body: Body) -> Result<Bytes, Rejection> {
        // A character of SDP may be two of JSON, and something stands around it.
        let limit = 2 * self.transport.shared.config.max_sdp_bytes + 4096;
        let read = axum::body::to_bytes(body, limit);
        let handshake = self.admission.handshake_time();
        match timeout(handshake, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Rejection::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "sdp_too_large",
                format!(
                    "body: it breaks off, or has more than {limit} bytes (twice `max_sdp_bytes` and a little more); offer \
                     fewer codecs or candidates"
                ),
            )
            .counted()),
            Err(_elapsed) => Err(Rejection::new(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                format!("body: it did not come whole within {} ms (`handshake_ms`); send it at once", handshake.as_millis()),
            )
            .counted()),
        }
    }

    /// Answers an offer and stays with the caller from then on.
    async fn answer(&self, caller: Caller, id: WebRtcId, sdp: String) -> Result<String, Rejection> {
        // What the host says of a room is for those whose credentials are valid (contract X7).
        self.check(&caller).await?;
        let mut request = AuthRequest::new(&caller.parts, caller.address);
        caller.identity.bind(&mut request)?;
        Wishes::read(&request)?;
        if let Some(host) = &self.host {
            host.check(&request, &caller.identity).await?;
        }
        let read = self.transport.read(&id, &sdp);
        let read = read.map_err(|error| rejection(&error))?;
        // Only now it is known that this begins a session: a credential of one use is used up here.
        let Admitted {
            identity,
            permit,
            address,
            ..
        } = self.admission.admit(&caller.parts, caller.address).await?;
        // This is whose session it becomes, and the hook may hold it to more than before.
        identity.bind(&mut request)?;
        let wishes = Wishes::read(&request)?;
        let offer = ClientOffer::new(id.clone(), sdp)
            .identity(identity.metadata.clone())
            // As later requests are recognized: the hook may hold a session to more.
            .held_to(caller.identity.room, caller.identity.participant)
            .keep(permit);
        let on_connected: OnConnected = match self.host.clone() {
            Some(host) => {
                Box::new(move |peer| start::session(host, peer, identity, address, wishes).boxed())
            }
            None => self.transport.observing(ClientConnected {
                identity: identity.metadata,
                room: wishes.room.map(Into::into),
                participant: wishes.participant.map(Into::into),
                address,
                ..ClientConnected::new(id)
            }),
        };
        let answer = self.transport.answer_and_then(offer, read, on_connected);
        answer.await.map_err(|error| rejection(&error))
    }

    /// Of a client that is not there a caller may speak while its credentials are valid. Whether one that
    /// is there is its own is seen where what it says is done: by then another may have come.
    async fn check_unless_there(&self, caller: &Caller, id: &WebRtcId) -> Result<(), Rejection> {
        if self.transport.shared.callers.has(id) {
            return Ok(());
        }
        self.check(caller).await
    }

    /// As whom a caller speaks of clients.
    fn speaker(&self, caller: &Caller) -> Speaker {
        let (admission, parts) = (&self.admission, &caller.parts);
        let address = admission.client_address(&parts.headers, caller.address);
        Speaker {
            owner: Some(Arc::new(Owner {
                metadata: caller.identity.metadata.clone(),
                room: caller.identity.room.clone(),
                participant: caller.identity.participant.clone(),
            })),
            network: address.map(|address| admission.network_of(address)),
        }
    }

    /// Whether a caller's credentials are valid now.
    async fn check(&self, caller: &Caller) -> Result<(), Rejection> {
        let checked = self
            .admission
            .check(&caller.parts, caller.address, Scope::Call);
        checked.await.map(|_identity| ())
    }

    /// Ends a caller's connection.
    async fn hang_up(&self, request: HttpRequest<Body>, id: String) -> Result<(), Rejection> {
        let (caller, _body) = self.recognize(request).await?;
        let id = WebRtcId::from(id);
        self.check_unless_there(&caller, &id).await?;
        self.transport
            .hang_up_by(&self.speaker(&caller), &id)
            .await
            .map_err(|error| rejection(&error))
    }
}

/// `GET /webrtc/config`
async fn config(
    AxumState(signalling): AxumState<Arc<Signalling>>,
    request: HttpRequest<Body>,
) -> Response {
    let (parts, _body) = request.into_parts();
    let address = peer_address(&parts.extensions);
    match signalling
        .admission
        .check(&parts, address, Scope::Call)
        .await
    {
        Ok(_) => {
            let servers = &signalling.transport.shared.config.client_ice_servers;
            Json(json!({"ice_servers": servers})).into_response()
        }
        Err(rejection) => rejection.into_response(),
    }
}

fn rejection(error: &SignallingError) -> Rejection {
    let status = match error {
        SignallingError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        SignallingError::InvalidSdp(_)
        | SignallingError::NoAudio
        | SignallingError::NoCommonCodec(_)
        | SignallingError::InvalidCandidate => StatusCode::BAD_REQUEST,
        SignallingError::Forbidden => StatusCode::FORBIDDEN,
        SignallingError::AlreadyExists => StatusCode::CONFLICT,
        SignallingError::Unknown => StatusCode::NOT_FOUND,
        SignallingError::Ended => StatusCode::GONE,
        SignallingError::TooManyCandidates { .. }
        | SignallingError::TooManyEarlyCandidates { .. } => StatusCode::TOO_MANY_REQUESTS,
        SignallingError::Failed(_) => {
            // What is wrong here is the log's.
            let message = "the offer could not be answered";
            return Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, error.code(), message);
        }
    };
    let rejection = Rejection::new(status, error.code(), error.to_string());
    match error {
        SignallingError::Forbidden
        | SignallingError::TooLarge { .. }
        | SignallingError::TooManyCandidates { .. }
        | SignallingError::TooManyEarlyCandidates { .. } => rejection.counted(),
        _ => rejection,
    }
}
