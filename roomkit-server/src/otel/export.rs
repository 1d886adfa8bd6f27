//! Sends the spans of calls on, in batches, from a thread of its own: a slow collector costs spans and
//! no call.

use std::time::Duration;

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use roomkit::error::ConfigError;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    registry::LookupSpan,
};

use super::{OtelConfig, client::Client};

/// How long the last spans may take to go out.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Traces on their way to a collector. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send. Needs a runtime.
    pub(crate) fn start(config: &OtelConfig) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::field("otel", problem);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(config.roots()?)?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.url()?)
            .build()
            .map_err(|error| refused(format!("cannot be used: {error}")))?;
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What takes spans of calls, whatever is logged.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let spans = filter_fn(|what| what.is_span() && what.target() == "roomkit")
            .with_max_level_hint(LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("roomkit"))
            // These cost something each time that a call goes on, and tell nothing of it.
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_filter(spans)
    }

    /// Sends what is left, for as long as that may take.
    pub(crate) async fn finish(self) {
        // It waits for a thread that waits for the runtime.
        let finishing =
            tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST_WORDS));
        match finishing.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces could not be sent"),
            Err(error) => tracing::error!(%error, "sending the last traces failed"),
        }
    }
}
