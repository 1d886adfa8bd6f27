//! `[operations]`: where those ask who run the server.

use std::net::SocketAddr;

use roomkit::error::ConfigError;
use serde::Deserialize;

/// A second address, for those who run the server. It answers `/healthz`, `/readyz` and `/metrics`, and
/// has connections of its own, which no caller can take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsConfig {
    /// Address to listen on, such as `127.0.0.1:9090`; port 0 takes a free one. It speaks http, also
    /// where there is `[tls]`.
    pub listen: String,
}

impl OperationsConfig {
    /// Whether the server may listen there: `callers` is its other address.
    pub(crate) fn check(
        address: SocketAddr,
        callers: SocketAddr,
        shows_metrics_to_all: bool,
    ) -> Result<(), ConfigError> {
        let refused = |problem: String| Err(ConfigError::field("operations.listen", problem));
        if address == callers && address.port() != 0 {
            return refused(format!(
                "{address} is the address of `listen` too; choose another port"
            ));
        }
        if shows_metrics_to_all && !address.ip().is_loopback() {
            return refused(format!(
                "{address} can be reached from other machines, and nobody has to show a token for \
                 the metrics; give [auth] tokens, set `metrics.enabled` to false, or say --no-auth"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(address: &str, callers: &str, open: bool) -> Option<String> {
        let (address, callers) = (address.parse().unwrap(), callers.parse().unwrap());
        let checked = OperationsConfig::check(address, callers, open);
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn x2_another_machine_sees_no_metrics_without_a_token() {
        let callers = "127.0.0.1:8080";
        assert_eq!(problem("127.0.0.1:9090", callers, true), None);
        assert_eq!(problem("10.0.0.1:9090", callers, false), None);
        let refused = problem("10.0.0.1:9090", callers, true).unwrap();
        assert!(refused.starts_with("operations.listen: "), "{refused}");
        assert!(refused.contains("--no-auth"), "{refused}");
    }

    #[test]
    fn both_listen_on_an_address_of_their_own() {
        let refused = problem("127.0.0.1:8080", "127.0.0.1:8080", false).unwrap();
        assert!(refused.contains("another port"), "{refused}");
        assert_eq!(problem("127.0.0.1:0", "127.0.0.1:0", false), None);
    }
}
