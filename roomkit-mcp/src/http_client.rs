//! Streamable HTTP, with a token that is asked for anew for each request.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use rmcp::{
    model::ClientJsonRpcMessage,
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
use url::Url;

use crate::{explain::HttpError, token::TokenSource};

/// How many redirects within its own origin a server may answer with.
const REDIRECTS: usize = 3;
/// How often a broken stream of events is taken up again before the connection counts as lost.
const RESUMES: usize = 3;

type Failure = HttpError;
type Headers = HashMap<HeaderName, HeaderValue>;

/// Where the bearer token comes from.
#[derive(Clone)]
pub(crate) enum Token {
    None,
    Fixed(SecretString),
    Source(Arc<dyn TokenSource>),
}

/// How a server is reached over HTTP.
pub(crate) struct Http {
    client: Client,
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
            client: Client { inner, token },
            config,
        })
    }

    pub(crate) fn transport(&self) -> StreamableHttpClientTransport<impl StreamableHttpClient> {
        StreamableHttpClientTransport::with_client(self.client.clone(), self.config.clone())
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
}

impl Client {
    async fn token(&self) -> Result<Option<String>, Failure> {
        Ok(match &self.token {
            Token::None => None,
            Token::Fixed(token) => Some(token.expose_secret().to_owned()),
            Token::Source(source) => {
                let token = source.token().await.map_err(|error| {
                    io::Error::other(format!("there is no bearer token: {error}"))
                })?;
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
        let token = self.token().await?;
        self.inner
            .post_message(uri, message, session_id, token, headers)
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
        self.inner
            .post_message_with_response_limits(uri, message, session_id, token, headers, limits)
            .await
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
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let token = self.token().await?;
        self.inner
            .get_stream(uri, session_id, last_event_id, token, headers)
            .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let token = self.token().await?;
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
    }
}
