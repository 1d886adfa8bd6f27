//! What the server tells of itself: the metrics of all parts, for Prometheus.

mod expected;

use std::{fmt, sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use roomkit::error::ConfigError;

/// How often what was measured is gathered, so that it does not pile up where nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);
/// Waits of callers and of calls, in seconds.
const WAITS: [f64; 17] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0,
];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric there is; `docs/metrics.md` lists them with their labels.
const METRICS: [(&str, Kind, &str); 36] = [
    (
        "roomkit_admission_refused_total",
        Kind::Counter,
        "Clients that were refused, by reason",
    ),
    (
        "roomkit_admission_sessions",
        Kind::Gauge,
        "Places taken by calls",
    ),
    (
        "roomkit_agent_changes_total",
        Kind::Counter,
        "Sessions that another agent took over",
    ),
    (
        "roomkit_dropped_total",
        Kind::Counter,
        "Audio, commands and results that were dropped, by reason",
    ),
    (
        "roomkit_hand_over_held_seconds",
        Kind::Histogram,
        "The caller's audio held during a hand-over",
    ),
    (
        "roomkit_hand_over_seconds",
        Kind::Histogram,
        "How long hand-overs took",
    ),
    (
        "roomkit_hand_overs_total",
        Kind::Counter,
        "Moves to another provider connection, by reason and outcome",
    ),
    (
        "roomkit_interruptions_total",
        Kind::Counter,
        "Answers cut short while they could be heard",
    ),
    (
        "roomkit_mcp_calls_total",
        Kind::Counter,
        "Calls of tools of MCP servers",
    ),
    (
        "roomkit_mcp_connected",
        Kind::Gauge,
        "1 while there is a connection to an MCP server, otherwise 0",
    ),
    (
        "roomkit_mcp_reconnects_total",
        Kind::Counter,
        "Connections to MCP servers after the first; attempts that fail are not counted",
    ),
    (
        "roomkit_mcp_tools_left_out_total",
        Kind::Counter,
        "Tools of MCP servers that cannot be offered, counted when a list is new or another",
    ),
    (
        "roomkit_provider_errors_total",
        Kind::Counter,
        "Errors of providers, by kind",
    ),
    (
        "roomkit_provider_malformed_events_total",
        Kind::Counter,
        "Messages of providers that could not be read",
    ),
    (
        "roomkit_provider_unknown_events_total",
        Kind::Counter,
        "Messages of providers of an unknown type",
    ),
    (
        "roomkit_ready_seconds",
        Kind::Histogram,
        "From the start of a session until its provider was ready",
    ),
    (
        "roomkit_recordings_total",
        Kind::Counter,
        "Recordings that ended, by outcome",
    ),
    (
        "roomkit_sessions_active",
        Kind::Gauge,
        "Sessions that are active",
    ),
    (
        "roomkit_sessions_ended_total",
        Kind::Counter,
        "Sessions that ended, by reason",
    ),
    (
        "roomkit_sessions_started_total",
        Kind::Counter,
        "Sessions that became active",
    ),
    (
        "roomkit_tokens_total",
        Kind::Counter,
        "Tokens read and written by the AI, by purpose and kind",
    ),
    (
        "roomkit_tool_calls_total",
        Kind::Counter,
        "Calls of tools, by outcome",
    ),
    (
        "roomkit_tools_left_out_total",
        Kind::Counter,
        "Tools of sources that a channel cannot offer, counted when a list is new or another",
    ),
    (
        "roomkit_transcribed_seconds_total",
        Kind::Counter,
        "Speech whose transcription is charged by its length",
    ),
    (
        "roomkit_turn_latency_seconds",
        Kind::Histogram,
        "How long a question waited for its answer, by stage",
    ),
    (
        "roomkit_webrtc_datagrams_lost_total",
        Kind::Counter,
        "Datagrams that were dropped, by reason",
    ),
    (
        "roomkit_webrtc_inbound_frames_total",
        Kind::Counter,
        "Frames of callers, by what became of them",
    ),
    (
        "roomkit_webrtc_outbound_frames_total",
        Kind::Counter,
        "Frames sent to callers, by kind",
    ),
    (
        "roomkit_server_load",
        Kind::Gauge,
        "Share of their time in which the server's threads were busy",
    ),
    (
        "roomkit_server_timer_lateness_seconds",
        Kind::Gauge,
        "How late timers wake: one in twenty is later",
    ),
    (
        "roomkit_server_rooms_evicted_total",
        Kind::Counter,
        "Empty rooms that were closed because somebody needed one",
    ),
    (
        "roomkit_server_dashboards_revoked_total",
        Kind::Counter,
        "Events sockets that were closed because their token was taken away",
    ),
    (
        "roomkit_server_connections",
        Kind::Gauge,
        "HTTP connections that are open and became neither a call nor a dashboard",
    ),
    (
        "roomkit_server_config_last_reload_successful",
        Kind::Gauge,
        "1 unless the configuration could not be used when it was last read again, then 0",
    ),
    (
        "roomkit_server_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "When the first certificate of the chain in use expires, in seconds of Unix time",
    ),
    ("roomkit_server_info", Kind::Gauge, "1, with the version"),
];

/// The recorder of this process, once it is set; `None`: there was another one.
static EXPORTER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Shows what was measured. A cheap handle.
#[derive(Clone)]
pub(crate) struct Exporter(PrometheusHandle);

impl Exporter {
    /// Collects metrics from now on, once for all servers of the process.
    ///
    /// # Errors
    ///
    /// When the process has another recorder already, set by a program around this library.
    pub(crate) fn start() -> Result<Self, ConfigError> {
        let exporter = EXPORTER.get_or_init(|| record().ok()).clone();
        exporter.map(Self).ok_or_else(|| {
            let problem =
                "is true, and this process collects its metrics elsewhere; set it to false";
            ConfigError::field("metrics.enabled", problem)
        })
    }

    /// Shows from now on, at 0, what is counted of this provider and of these MCP servers.
    pub(crate) fn expect(provider: &str, mcp_servers: &[String]) {
        expected::of_plugins(provider, mcp_servers);
    }

    /// Everything, in the text format of Prometheus.
    pub(crate) fn show(&self) -> String {
        self.0.render()
    }

    /// Keeps what was measured from piling up where nobody asks for it. Never returns.
    pub(crate) async fn tidy(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

fn record() -> Result<PrometheusHandle, Box<dyn std::error::Error>> {
    let seconds = Matcher::Suffix("_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &WAITS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    for (name, kind, help) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
    metrics::gauge!("roomkit_server_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    expected::of_every_server();
    Ok(handle)
}

#[cfg(test)]
mod tests;
