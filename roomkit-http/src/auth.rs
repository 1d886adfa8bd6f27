//! Who is asking: the hook, what it gets and what it answers (contract X2).

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use axum::extract::{OriginalUri, Query};
use http::{Extensions, HeaderMap, StatusCode, header, request::Parts};
use roomkit_core::id::{ParticipantId, RoomId};
use serde_json::{Map, Value};

use crate::{rejection::Rejection, scope::Scopes};

/// Whether a text can be the id of a room or a participant: 1 to 256 bytes without control characters.
/// It is the rule for ids in queries and for those that identities are held to; a host may ask for
/// more of what clients make up.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

const MAX_ID_BYTES: usize = 256;

/// Decides who may connect. Any closure from [`AuthRequest`] that returns a future of
/// `Result<Identity, Refusal>` is one; an `async` closure only if it captures nothing, as its future
/// borrows from it.
///
/// ```
/// use std::{collections::HashSet, sync::Arc};
///
/// use roomkit_http::{AuthRequest, Authenticate, Identity, Refusal};
///
/// fn hook(keys: Arc<HashSet<String>>) -> impl Authenticate {
///     move |request: AuthRequest| {
///         let keys = keys.clone();
///         async move {
///             match request.bearer_token() {
///                 Some(key) if keys.contains(key) => Ok(Identity::default()),
///                 _ => Err(Refusal::Unauthorized("a key is needed".into())),
///             }
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot authenticate connections",
    note = "implement `Authenticate`, or pass a closure that is `Fn(AuthRequest) -> impl Future<Output = Result<Identity, Refusal>>`, `Send`, `Sync` and `'static`"
)]
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Runs before anything is allocated for the connection, within the handshake time. What the
    /// answer is for says [`AuthRequest::purpose`]; a credential of one use is used up by
    /// [`Purpose::Session`] alone.
    async fn authenticate(&self, request: AuthRequest) -> Result<Identity, Refusal>;
}

#[async_trait]
impl<F, Answer> Authenticate for F
where
    F: Fn(AuthRequest) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Identity, Refusal>> + Send,
{
    async fn authenticate(&self, request: AuthRequest) -> Result<Identity, Refusal> {
        self(request).await
    }
}

/// What a request is about, as far as its credentials matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// It becomes a session, which is held to the room and the participant of the answer. For each
    /// session the hook is asked this once.
    Session,
    /// It says something of a session that may be there already, and is heard only where that one
    /// began as the [same client](Identity::is_same_client). So credentials that have expired since,
    /// or were taken away, are still good for it.
    Existing,
    /// Anything else.
    #[default]
    Other,
}

/// What is known of a request. Its `Debug` form names headers and query fields but shows no values, and
/// nothing of the extensions (contract X1).
#[derive(Clone)]
#[non_exhaustive]
pub struct AuthRequest {
    /// The request's headers.
    pub headers: HeaderMap,
    /// The path as the client wrote it.
    pub path: String,
    /// The query's fields, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// The address the bytes come from: a proxy's, where there is one.
    pub peer: Option<SocketAddr>,
    /// What it is about.
    pub purpose: Purpose,
    /// What layers around the routes have put into the request, such as who is logged in:
    ///
    /// ```
    /// use axum::{Extension, Router};
    /// use roomkit_http::{AuthRequest, Identity, Refusal};
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// async fn hook(request: AuthRequest) -> Result<Identity, Refusal> {
    ///     match request.extensions.get::<User>() {
    ///         Some(user) => Ok(Identity::new([("user", user.name.as_str())])),
    ///         None => Err(Refusal::Unauthorized("log in first".into())),
    ///     }
    /// }
    ///
    /// /// `routes` are those of a transport; a middleware of the host's would find out who it is.
    /// fn app(routes: Router) -> Router {
    ///     routes.layer(Extension(User { name: "ann".into() }))
    /// }
    /// ```
    pub extensions: Extensions,
}

impl AuthRequest {
    /// Takes what is needed of a request's head; the purpose is [`Purpose::Other`].
    pub fn new(parts: &Parts, peer: Option<SocketAddr>) -> Self {
        // A router that is nested into another one sees a shortened path.
        let uri = match parts.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri,
            None => &parts.uri,
        };
        Self {
            headers: parts.headers.clone(),
            path: uri.path().to_owned(),
            query: Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(query)| query),
            peer,
            purpose: Purpose::default(),
            extensions: parts.extensions.clone(),
        }
    }

    /// The same for this purpose.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// The first query field of that name.
    pub fn query(&self, name: &str) -> Option<&str> {
        let field = self.query.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The query field of that name as the id of a room or a participant.
    ///
    /// # Errors
    ///
    /// When it is [none](is_id): empty, longer than 256 bytes, or with control characters.
    pub fn id(&self, name: &str) -> Result<Option<String>, Rejection> {
        let Some(id) = self.query(name) else {
            return Ok(None);
        };
        if !is_id(id) {
            let problem = format!("must be 1 to {MAX_ID_BYTES} bytes without control characters");
            return Err(Rejection::bad_request(name, problem));
        }
        Ok(Some(id.to_owned()))
    }

    /// The token the client shows, from the first of these that has one:
    /// `Authorization: Bearer TOKEN`; a WebSocket subprotocol `token.TOKEN`, which is how a browser,
    /// that can set no header there, keeps it out of the URL; the query field `token`.
    pub fn bearer_token(&self) -> Option<&str> {
        self.authorization()
            .or_else(|| self.subprotocol_token())
            .or_else(|| self.query("token"))
            .filter(|token| !token.is_empty())
    }

    fn authorization(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    }

    fn subprotocol_token(&self) -> Option<&str> {
        self.headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|protocol| protocol.trim().strip_prefix("token."))
    }
}

impl fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        let query: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("AuthRequest")
            .field("path", &self.path)
            .field("peer", &self.peer)
            .field("purpose", &self.purpose)
            .field("header_names", &headers)
            .field("query_names", &query)
            .finish_non_exhaustive()
    }
}

/// What authentication knows of a client.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// Becomes part of its session's metadata.
    pub metadata: Map<String, Value>,
    /// What it may do; everything, unless the hook says less.
    pub scopes: Scopes,
    /// The only room it may have to do with.
    pub room: Option<RoomId>,
    /// The only participant it may be.
    pub participant: Option<ParticipantId>,
}

impl Identity {
    /// An identity of these fields, which may do everything.
    pub fn new<K: Into<String>, V: Into<Value>>(fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        Self {
            metadata: fields.collect(),
            ..Self::default()
        }
    }

    /// Restricts it to these scopes.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Restricts it to this room.
    #[must_use]
    pub fn room(mut self, room: impl Into<RoomId>) -> Self {
        self.room = Some(room.into());
        self
    }

    /// Restricts it to this participant.
    #[must_use]
    pub fn participant(mut self, participant: impl Into<ParticipantId>) -> Self {
        self.participant = Some(participant.into());
        self
    }

    /// Whether this is the client that the other one is: it may say something of its sessions. Of
    /// several requests of one client, as WebRTC's are, this is how the later ones are known.
    pub fn is_same_client(&self, other: &Self) -> bool {
        self.metadata == other.metadata
            && self.room == other.room
            && self.participant == other.participant
    }

    /// Holds a request for a session to the room and the participant of this identity: what it does
    /// not ask for is filled in.
    ///
    /// # Errors
    ///
    /// 403 when it asks for others, which is counted.
    pub fn bind(&self, request: &mut AuthRequest) -> Result<(), Rejection> {
        let room = self.room.as_ref().map(RoomId::as_str);
        let participant = self.participant.as_ref().map(ParticipantId::as_str);
        for (field, bound) in [("room", room), ("participant", participant)] {
            let Some(bound) = bound else { continue };
            match request.query(field) {
                None => request.query.push((field.into(), bound.into())),
                Some(asked) if asked == bound => {}
                Some(_) => {
                    let message = format!("{field}: the client is held to another one");
                    let refused = Rejection::new(StatusCode::FORBIDDEN, "forbidden", message);
                    return Err(refused.counted());
                }
            }
        }
        Ok(())
    }
}

/// Why a client may not come in. The text is sent to it: it must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It has not shown who it is: 401.
    Unauthorized(String),
    /// It has, and may not: 403.
    Forbidden(String),
    /// Something else, in the host's own words.
    Other(Rejection),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized(message) => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            }
            Refusal::Forbidden(message) => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            Refusal::Other(rejection) => rejection,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use roomkit_mock::Counters;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> AuthRequest {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        AuthRequest::new(&request.body(()).unwrap().into_parts().0, None)
    }

    #[test]
    fn x2_the_token_may_come_three_ways() {
        const PROTOCOL: &str = "sec-websocket-protocol";
        for (uri, headers, token) in [
            ("/ws", &[][..], None),
            ("/ws?token=", &[], None),
            ("/ws?token=a%2Bb&token=c", &[], Some("a+b")),
            ("/ws", &[("authorization", "Bearer abc")], Some("abc")),
            ("/ws", &[("authorization", "bearer  abc ")], Some("abc")),
            ("/ws", &[("authorization", "Basic abc")], None),
            ("/ws", &[(PROTOCOL, "roomkit, token.abc")], Some("abc")),
            (
                "/ws",
                &[(PROTOCOL, "roomkit"), (PROTOCOL, "token.abc")],
                Some("abc"),
            ),
            ("/ws", &[(PROTOCOL, "tokens.abc")], None),
            (
                "/ws?token=c",
                &[(PROTOCOL, "token.b"), ("authorization", "Bearer a")],
                Some("a"),
            ),
            ("/ws?token=c", &[(PROTOCOL, "token.b")], Some("b")),
        ] {
            let request = request(uri, headers);
            assert_eq!(request.bearer_token(), token, "{uri} {headers:?}");
        }
    }

    #[test]
    fn x1_debug_shows_no_secret() {
        let mut request = request("/ws?token=hunter2", &[("authorization", "Bearer hunter2")]);
        request.extensions.insert("hunter2");
        let shown = format!("{request:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("authorization") && shown.contains("token"));
    }

    #[test]
    fn x2_the_same_client_has_the_same_metadata_room_and_participant() {
        let ann = || Identity::new([("user", "ann")]).room("lobby");
        let ann_in_person = ann().participant("ann");
        let fewer = Scopes::from_iter([crate::Scope::Call]);
        assert!(ann_in_person.is_same_client(&ann_in_person.clone().scopes(fewer)));
        for other in [
            ann(),
            ann().participant("bob"),
            ann().room("cellar").participant("ann"),
            Identity::default().room("lobby").participant("ann"),
        ] {
            assert!(!ann_in_person.is_same_client(&other), "{other:?}");
        }
    }

    #[test]
    fn x2_a_bound_identity_comes_into_its_own_room_only() {
        let ann = Identity::default().room("lobby").participant("ann");
        let counters = Counters::default();
        let counting = counters.here();
        for (uri, allowed) in [
            ("/ws", true),
            ("/ws?room=lobby", true),
            ("/ws?participant=ann&room=lobby", true),
            ("/ws?room=cellar", false),
            ("/ws?room=", false),
            ("/ws?room=cellar&room=lobby", false),
            ("/ws?room=lobby&participant=bob", false),
        ] {
            let mut request = request(uri, &[]);
            match ann.bind(&mut request) {
                Ok(()) => {
                    assert!(allowed, "{uri}");
                    assert_eq!(request.query("room"), Some("lobby"));
                    assert_eq!(request.query("participant"), Some("ann"));
                }
                Err(refused) => {
                    assert!(!allowed, "{uri}");
                    assert_eq!(refused.status(), 403);
                }
            }
        }
        drop(counting);
        let refused = counters.get("roomkit_admission_refused_total", "forbidden");
        assert_eq!(refused, 4);
        let mut anybody = request("/ws?room=cellar", &[]);
        assert!(Identity::default().bind(&mut anybody).is_ok());
        assert_eq!(anybody.query("room"), Some("cellar"));
    }
}
