//! Streamable HTTP, with a token that is asked for anew for each request.

use std::{collections::HashMap, io, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, stream::BoxStream};
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, ServerJsonRpcMessage},
    transport::{
        StreamableHttpClientTransport,
        common::client_side_sse::SseRetryPolicy,
        streamable_http_client::{
            SseError, StreamableHttpClient, StreamableHttpClientTransportConfig,
            StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
        },
    },
};
use roomkit_core::registry::ConfigError;
use roomkit_dial::Roots;
use secrecy::{ExposeSecret, SecretString};
use sse_stream::Sse;
use tokio::{sync::Notify, time::timeout};
use url::Url;

use crate::{events::Events, explain::HttpError, secrets::Tokens, token::TokenSource};

/// How many redirects within its own origin a server may answer with.
const REDIRECTS: usize = 3;
/// How often a broken stream of events is taken up again before the connection counts as lost.
const RESUMES: usize = 3;
/// How long a source may take for a token.
const TOKEN: Duration = Duration::from_secs(10);
/// What servers say of a session that they do not know, in lower case. MCP wants 404 for it, and many
/// answer 400.
const UNKNOWN_SESSION: [&str; 9] = [
    "session id",
    "session-id",
    "no valid session",
    "session not found",
    "unknown session",
    "invalid session",
    "session expired",
    "expired session",
    "not initialized",
];

type Failure = HttpError;
type Headers = HashMap<HeaderName, HeaderValue>;

/// Where the bearer token comes from.
#[derive(Clone)]
pub(crate) enum Token {
    None,
    Fixed(SecretString),
    /// With the place where its tokens are kept as secrets.
    Source(Arc<dyn TokenSource>, Tokens),
}

/// How a server is reached over HTTP.
pub(crate) struct Http {
    inner: reqwest::Client,
    token: Token,
    config: StreamableHttpClientTransportConfig,
}

impl Http {
    pub(crate) fn new(
        url: &Url,
        headers: Vec<(HeaderName, HeaderValue)>,
        token: Token,
        roots: Roots,
        max_message_bytes: usize,
    ) -> Result<Self, ConfigError> {
        let tls = roots.client_config()?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .redirect(same_origin())
            .connect_timeout(Duration::from_secs(10));
        if url.scheme() == "http" {
            // A kept connection whose last answer was not read to its end costs 40 ms (delayed
            // acknowledgements); a new one costs nothing nearby. With TLS it is the other way round.
            builder = builder.pool_max_idle_per_host(0);
        }
        let inner = builder
            .build()
            .map_err(|error| ConfigError::field("url", format!("cannot be used: {error}")))?;
        let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
            .custom_headers(headers.into_iter().collect())
            .max_sse_event_size(max_message_bytes)
            .max_json_response_size(max_message_bytes)
            // All sessions share this connection, and a request counts until its answer begins,
            // which for a slow tool is its end: calls of others and pings would wait behind it
            // (contract A6). How many calls run is for each session to limit (contract K3).
            .max_concurrent_requests(usize::MAX)
            // A session that is gone means another server process, whose tools are to be listed.
            .reinit_on_expired_session(false);
        config.retry_config = Arc::new(Resume);
        Ok(Self {
            inner,
            token,
            config,
        })
    }

    /// A new session, which tells when its tools are to be listed again.
    pub(crate) fn transport(
        &self,
        list_changed: Arc<Notify>,
    ) -> StreamableHttpClientTransport<impl StreamableHttpClient> {
        let client = Client {
            inner: self.inner.clone(),
            token: self.token.clone(),
            events: Events::new(list_changed),
        };
        StreamableHttpClientTransport::with_client(client, self.config.clone())
    }
}

/// Whether the failure says that the server does not know the session: it has not looked at the
/// request then.
pub(crate) fn is_expired_session(error: &Failure) -> bool {
    matches!(error, StreamableHttpError::SessionExpired)
}

/// Whether the failure is one of this answer alone, and the connection goes on.
pub(crate) fn is_of_the_answer(error: &Failure) -> bool {
    match error {
        StreamableHttpError::ResponseBodyTooLarge { .. }
        | StreamableHttpError::Deserialize(_)
        | StreamableHttpError::UnexpectedContentType(_)
        | StreamableHttpError::UnexpectedServerResponse(_)
        // A token that has expired, or allows too little for this: the next may be another.
        | StreamableHttpError::AuthRequired(_)
        | StreamableHttpError::InsufficientScope(_)
        // There was no token, and nothing was sent.
        | StreamableHttpError::Io(_) => true,
        StreamableHttpError::HttpStatus(status) => {
            status.status == StatusCode::TOO_MANY_REQUESTS.as_u16()
        }
        _ => false,
    }
}

/// Whether the server, or a proxy before it, failed at this request. The next may succeed.
pub(crate) fn is_of_the_server(error: &Failure) -> bool {
    matches!(error, StreamableHttpError::HttpStatus(status) if status.status >= 500)
}

/// Whether these are words for a session that the server does not know.
pub(crate) fn is_of_the_session(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    UNKNOWN_SESSION.iter().any(|told| words.contains(told))
}

/// Whether the stream of events can be opened later, if it cannot now.
fn may_pass(error: &Failure) -> bool {
    match error {
        StreamableHttpError::HttpStatus(status) => {
            status.status != StatusCode::NOT_IMPLEMENTED.as_u16()
        }
        StreamableHttpError::Client(error) => {
            let status = error.status();
            status.is_none_or(|status| {
                let passing = [
                    StatusCode::UNAUTHORIZED,
                    StatusCode::FORBIDDEN,
                    StatusCode::REQUEST_TIMEOUT,
                    // The server holds the last one open, and has not noticed its end.
                    StatusCode::CONFLICT,
                ];
                passing.contains(&status)
            })
        }
        // The next token may be another.
        StreamableHttpError::AuthRequired(_)
        | StreamableHttpError::InsufficientScope(_)
        | StreamableHttpError::Io(_) => true,
        _ => false,
    }
}

/// The failure without the address, whose query may hold a key: rmcp logs failures as they are
/// (contract X1).
fn without_address(error: Failure) -> Failure {
    match error {
        StreamableHttpError::Client(error) => StreamableHttpError::Client(error.without_url()),
        other => other,
    }
}

/// Follows redirects that keep method and body, within the origin: elsewhere the token and the
/// arguments have no business.
fn same_origin() -> Policy {
    Policy::custom(|attempt| {
        let keeps = matches!(
            attempt.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let stays = attempt
            .previous()
            .first()
            .is_some_and(|first| first.origin() == attempt.url().origin());
        if keeps && stays && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

#[derive(Debug)]
struct Resume;

impl SseRetryPolicy for Resume {
    fn retry(&self, current_times: usize) -> Option<Duration> {
        (current_times < RESUMES).then(|| Duration::from_millis(200 << current_times.min(8)))
    }
}

/// `reqwest`, with our token in place of the transport's.
#[derive(Clone)]
struct Client {
    inner: reqwest::Client,
    token: Token,
    events: Events,
}

/// What must be known of a message to judge its answer.
struct Sent {
    /// Its id, if it is a request.
    id: Option<String>,
    is_ping: bool,
    in_session: bool,
}

impl Sent {
    fn of(message: &ClientJsonRpcMessage, session_id: Option<&Arc<str>>) -> Self {
        let (id, is_ping) = match message {
            ClientJsonRpcMessage::Request(request) => {
                let is_ping = matches!(request.request, ClientRequest::PingRequest(_));
                (Some(request.id.to_string()), is_ping)
            }
            _ => (None, false),
        };
        Self {
            id,
            is_ping,
            in_session: session_id.is_some(),
        }
    }

    /// The answer, unless it is a refusal before MCP: of a session that is not known, as a ping is told
    /// in so many words, or of a request whose id was not looked at, to which nobody else would give an
    /// answer. The words that refuse a call may be the tool's, or what somebody said in it.
    fn judged(
        &self,
        answer: Result<StreamableHttpPostResponse, Failure>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        match &answer {
            Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), _)) => {
                let answered = error.id.as_ref().map(ToString::to_string);
                let is_ours = self.id.is_none() || answered == self.id;
                let message = &error.error.message;
                if self.in_session && self.is_ping && is_of_the_session(message) {
                    return Err(StreamableHttpError::SessionExpired);
                }
                if !is_ours {
                    let message = message.clone();
                    return Err(StreamableHttpError::UnexpectedServerResponse(message));
                }
            }
            Err(StreamableHttpError::UnexpectedServerResponse(told))
                if self.in_session
                    && self.is_ping
                    && told.starts_with("HTTP 400")
                    && is_of_the_session(told) =>
            {
                return Err(StreamableHttpError::SessionExpired);
            }
            _ => {}
        }
        answer
    }
}

impl Client {
    async fn token(&self) -> Result<Option<String>, Failure> {
        Ok(match &self.token {
            Token::None => None,
            Token::Fixed(token) => Some(token.expose_secret().to_owned()),
            Token::Source(source, tokens) => {
                // It runs on the task of the connection, and with it of all calls (contract S8).
                let asked = AssertUnwindSafe(async { source.token().await }).catch_unwind();
                let token = match timeout(TOKEN, asked).await {
                    Ok(Ok(token)) => token.map_err(|error| error.to_string()),
                    Ok(Err(_)) => Err("its source panicked".to_owned()),
                    Err(_) => Err(format!("its source gave none within {TOKEN:?}")),
                };
                let token = token.map_err(|problem| {
                    io::Error::other(format!("there is no bearer token: {problem}"))
                })?;
                tokens.add(&token);
                Some(token.expose_secret().to_owned())
            }
        })
    }
}

impl StreamableHttpClient for Client {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, None, headers, limits)
            .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let token = self.token().await?;
        let sent = Sent::of(&message, session_id.as_ref());
        let answer = self
            .inner
            .post_message_with_response_limits(uri, message, session_id, token, headers, limits)
            .await
            .map_err(without_address);
        sent.judged(answer)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        headers: Headers,
    ) -> Result<(), Failure> {
        let token = self.token().await?;
        self.inner
            .delete_session(uri, session_id, token, headers)
            .await
            .map_err(without_address)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let limit = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            None,
            headers,
            limit,
        )
        .await
    }

    /// The transport gives the stream of a session's events up for good after a short outage, and the
    /// connection goes on without it: so that here it is tried until it is there, or is none.
    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        mut last_event_id: Option<String>,
        _auth_header: Option<String>,
        headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let get = async |last_event_id| {
            let token = self.token().await?;
            let (uri, session_id, headers) = (uri.clone(), session_id.clone(), headers.clone());
            self.inner
                .get_stream_with_max_sse_event_size(
                    uri,
                    session_id,
                    last_event_id,
                    token,
                    headers,
                    max_sse_event_size,
                )
                .await
                .map_err(without_address)
        };
        if !self.events.is_meant(last_event_id.as_deref()) {
            return get(last_event_id).await;
        }
        loop {
            self.events.next_attempt().await;
            let problem = match get(last_event_id.clone()).await {
                Ok(stream) => return Ok(self.events.opened(stream)),
                Err(problem) => problem,
            };
            self.events.failed();
            let is_none = matches!(problem, StreamableHttpError::ServerDoesNotSupportSse);
            // A server may have forgotten the event after which it is to go on.
            let forgot = !is_none && !may_pass(&problem) && last_event_id.take().is_some();
            if !forgot && !may_pass(&problem) {
                return Err(problem);
            }
            tracing::debug!(%problem, "the events of an MCP server are not there yet");
        }
    }
}
