//! The transport on HTTP: `GET {path}`, upgraded to a WebSocket.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, State, WebSocketUpgrade, ws::WebSocket},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::FutureExt;
use http::request::Parts;
use roomkit_core::{
    audio::check_rate,
    registry::{self, inventory},
};
use roomkit_http::{
    Admitted, AuthRequest, BufferedReads, MountContext, MountableTransport, Rejection, Scope,
    SessionHost, StartFailure, StartFailureKind, StartRequest, TransportRoutes, peer_address,
};

use crate::{
    config::{
        AudioEncoding, READ_BUFFER_BYTES, READ_BYTES_OF_BUFFERED, WRITE_BUFFER_BYTES,
        WebSocketTransportConfig,
    },
    connection::WsConnection,
    protocol::close_code,
    transport::{ABOUT, NAME, WebSocketRealtimeTransport},
};

/// The subprotocol of the client protocol.
const SUBPROTOCOL: &str = "roomkit";

impl WebSocketRealtimeTransport {
    /// The route for clients, at the context's path. All query fields are optional:
    ///
    /// | field | meaning |
    /// |---|---|
    /// | `room` | the room the client wants to join |
    /// | `participant` | who it says it is |
    /// | `audio` | `base64` or `binary`: how it wants its audio |
    /// | `input_rate` | the rate it sends, in Hz |
    /// | `output_rate` | the rate it plays, in Hz |
    /// | `token` | for clients that can set neither a header nor a subprotocol |
    ///
    /// Refusals are HTTP answers with JSON. After the upgrade they are an `error` message and
    /// a close code: 1008 when the client may not, 1013 when there is no room now, 1011 when the
    /// server could not.
    ///
    /// A server that reads its connections through a buffer should say so by the extension
    /// [`BufferedReads`]: then little is read, and cleared before, at a time.
    pub fn routes(&self, context: MountContext) -> Router {
        let mount = Arc::new(Mount {
            config: self.config.clone(),
            context,
        });
        // `any`: HTTP/2 upgrades by CONNECT, and what is neither gets a JSON answer.
        Router::new()
            .route(&mount.context.path.clone(), any(connect))
            .with_state(mount)
    }
}

inventory::submit! {
    TransportRoutes {
        name: NAME,
        about: ABOUT,
        build: |config| {
            let transport = WebSocketRealtimeTransport::new(registry::read_config(config)?)?;
            let routed = transport.clone();
            Ok(MountableTransport::new(Arc::new(transport), move |context| {
                routed.routes(context)
            }))
        },
    }
}

struct Mount {
    config: WebSocketTransportConfig,
    context: MountContext,
}

async fn connect(State(mount): State<Arc<Mount>>, request: axum::extract::Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    match mount.admit(&mut parts).await {
        Ok(client) => client.upgrade(mount),
        Err(rejection) => rejection.into_response(),
    }
}

/// A client that has passed all that can be checked before the upgrade.
struct Client {
    admitted: Admitted,
    wishes: Wishes,
    upgrade: WebSocketUpgrade,
    /// How much is read from the connection at once, in bytes.
    read_bytes: usize,
}

impl Mount {
    async fn admit(&self, parts: &mut Parts) -> Result<Client, Rejection> {
        let peer = peer_address(&parts.extensions);
        let admission = &self.context.admission;
        // While nobody is taken nobody is asked who he is.
        admission.ready().map_err(Rejection::counted)?;
        // A token that is no good would be found out in the end; who shows one is told nothing else.
        let identity = admission.check(parts, peer, Scope::Call).await?;
        let mut request = AuthRequest::new(parts, peer);
        identity.bind(&mut request)?;
        Wishes::read(&request)?;
        self.context.host.check(&request, &identity).await?;
        let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
            .await
            .map_err(|error| {
                Rejection::new(error.status(), "not_a_websocket", error.body_text())
            })?;
        // Only now a credential of one use is used up: all that was refused until here can be mended, and
        // tried again with it.
        let admitted = admission.admit(parts, peer).await?;
        // This is whose session it becomes, and the hook may hold it to more than before.
        admitted.identity.bind(&mut request)?;
        let wishes = Wishes::read(&request)?;
        let is_buffered = parts.extensions.get::<BufferedReads>().is_some();
        Ok(Client {
            admitted,
            wishes,
            upgrade,
            read_bytes: if is_buffered {
                READ_BYTES_OF_BUFFERED
            } else {
                READ_BUFFER_BYTES
            },
        })
    }
}

impl Client {
    fn upgrade(self, mount: Arc<Mount>) -> Response {
        let Self {
            admitted,
            wishes,
            upgrade,
            read_bytes,
        } = self;
        let largest = mount.config.max_wire_bytes();
        upgrade
            .protocols([SUBPROTOCOL])
            .read_buffer_size(read_bytes)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(largest)
            .max_frame_size(largest)
            .on_upgrade(async move |socket| {
                start(&*mount.context.host, socket, admitted, wishes).await;
            })
    }
}

async fn start(host: &dyn SessionHost, socket: WebSocket, admitted: Admitted, wishes: Wishes) {
    let mut connection = WsConnection::from(socket)
        .identity(admitted.identity.metadata.clone())
        .keep(admitted.permit);
    connection.input_rate = wishes.input_rate;
    connection.output_rate = wishes.output_rate;
    connection.audio = wishes.audio;
    let farewell = connection.farewell();

    let mut request = StartRequest::new(admitted.identity, connection.into());
    request.address = admitted.address;
    request.room = wishes.room.map(Into::into);
    request.participant = wishes.participant.map(Into::into);

    match AssertUnwindSafe(host.start(request)).catch_unwind().await {
        Ok(Ok(_session)) => {}
        Ok(Err(error)) => {
            let failure = StartFailure::from(&error).counted();
            let code = match failure.kind {
                StartFailureKind::Refused => close_code::POLICY,
                StartFailureKind::Busy => close_code::TRY_AGAIN,
                StartFailureKind::Failed => {
                    tracing::warn!(%error, "a session could not be started");
                    close_code::INTERNAL
                }
            };
            farewell.say(failure.code, &failure.message, code).await;
        }
        Err(_panic) => {
            tracing::error!("the session host panicked; the client was sent away");
            let message = "the session could not be started";
            farewell.say("failed", message, close_code::INTERNAL).await;
        }
    }
}

/// What a client asks for in its query.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    room: Option<String>,
    participant: Option<String>,
    audio: Option<AudioEncoding>,
    input_rate: Option<u32>,
    output_rate: Option<u32>,
}

impl Wishes {
    fn read(request: &AuthRequest) -> Result<Self, Rejection> {
        let audio = request.query("audio").map(|name| {
            AudioEncoding::from_name(name)
                .ok_or_else(|| Rejection::bad_request("audio", "must be `base64` or `binary`"))
        });
        Ok(Self {
            room: request.id("room")?,
            participant: request.id("participant")?,
            audio: audio.transpose()?,
            input_rate: rate(request, "input_rate")?,
            output_rate: rate(request, "output_rate")?,
        })
    }
}

fn rate(request: &AuthRequest, field: &str) -> Result<Option<u32>, Rejection> {
    let Some(text) = request.query(field) else {
        return Ok(None);
    };
    let Ok(rate) = text.parse() else {
        return Err(Rejection::bad_request(field, "must be a number of Hz"));
    };
    match check_rate(field, rate) {
        Ok(rate) => Ok(Some(rate)),
        Err(error) => Err(Rejection::new(
            http::StatusCode::BAD_REQUEST,
            "bad_request",
            error.to_string(),
        )),
    }
}
