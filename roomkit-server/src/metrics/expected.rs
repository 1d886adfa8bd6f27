//! Counters that are there before anything is counted. Of one that comes into being with its first count
//! Prometheus knows no increase, and a sum with one that is not there is nothing: an alert would stay
//! silent just where no call ever begins.

use metrics::{counter, gauge};
use roomkit::error::ProviderErrorKind;

/// Counters without labels.
const PLAIN: [&str; 6] = [
    "roomkit_agent_changes_total",
    "roomkit_interruptions_total",
    "roomkit_server_dashboards_revoked_total",
    "roomkit_server_rooms_evicted_total",
    "roomkit_sessions_started_total",
    "roomkit_tools_left_out_total",
];
/// Counters of one label: all of its values where they are few, otherwise those that say that the server
/// cannot do what it is there for.
const LABELLED: [(&str, &str, &[&str]); 4] = [
    (
        "roomkit_admission_refused_total",
        "reason",
        &["full", "overloaded", "too_many_rooms"],
    ),
    (
        "roomkit_dropped_total",
        "reason",
        &["held_audio", "playout_full", "provider_slow"],
    ),
    ("roomkit_recordings_total", "outcome", &["failed", "whole"]),
    (
        "roomkit_tool_calls_total",
        "outcome",
        &["cancelled", "completed", "failed"],
    ),
];
const KINDS: [ProviderErrorKind; 12] = [
    ProviderErrorKind::Authentication,
    ProviderErrorKind::Quota,
    ProviderErrorKind::Policy,
    ProviderErrorKind::InvalidConfig,
    ProviderErrorKind::InvalidRequest,
    ProviderErrorKind::Unsupported,
    ProviderErrorKind::RateLimited,
    ProviderErrorKind::SessionExpired,
    ProviderErrorKind::Network,
    ProviderErrorKind::Timeout,
    ProviderErrorKind::Protocol,
    ProviderErrorKind::Server,
];
/// Why a connection to a provider is replaced.
const REASONS: [&str; 6] = ["changed", "expiring", "go_away", "host", "lost", "max_age"];

/// What does not depend on the configuration.
pub(super) fn of_every_server() {
    for name in PLAIN {
        counter!(name).increment(0);
    }
    for (name, label, values) in LABELLED {
        for value in values {
            counter!(name, label => *value).increment(0);
        }
    }
    gauge!("roomkit_sessions_active").increment(0.0);
}

/// What is counted of a provider and of MCP servers. The labels stand in the order of those who count:
/// in another one they would be other counters.
pub(super) fn of_plugins(provider: &str, mcp_servers: &[String]) {
    for kind in KINDS {
        for fatal in ["true", "false"] {
            let labels = [
                ("provider", provider.to_owned()),
                ("kind", kind.as_str().to_owned()),
                ("fatal", fatal.to_owned()),
            ];
            counter!("roomkit_provider_errors_total", &labels).increment(0);
        }
    }
    for reason in REASONS {
        let labels = [
            ("provider", provider.to_owned()),
            ("reason", reason.to_owned()),
            ("outcome", "failed".to_owned()),
        ];
        counter!("roomkit_hand_overs_total", &labels).increment(0);
    }
    for server in mcp_servers {
        counter!("roomkit_mcp_reconnects_total", "server" => server.clone()).increment(0);
    }
}
