//! The HTTP client beneath the exporter: the one that MCP servers are spoken to with, and its TLS.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use reqwest::redirect::Policy;
use roomkit::error::ConfigError;
use roomkit_dial::Roots;
use tokio::runtime::Handle;

/// How long one attempt to send traces may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer of a collector that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends from the runtime, because the exporter has a thread of its own without one.
#[derive(Debug)]
pub(super) struct Client {
    inner: reqwest::Client,
    runtime: Handle,
}

impl Client {
    /// Needs a runtime, which sends.
    pub(super) fn new(roots: Roots) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::field("otel", problem);
        let tls = roots.client_config()?;
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            // The headers are for this collector.
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let runtime = Handle::try_current().map_err(|error| refused(error.to_string()))?;
        Ok(Self { inner, runtime })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.inner.clone();
        self.runtime.spawn(send(client, request)).await?
    }
}

async fn send(
    client: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request).await?;
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(ResponseBodyTooLarge::new().into());
        }
        body.extend_from_slice(&piece);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}
