//! One limit for all steps of a connecting.

use std::{future::Future, time::Duration};

use roomkit_core::provider::{ProviderError, ProviderErrorKind, SessionSetup};
use tokio::time::{Instant, timeout_at};

/// Longer than any clock counts on.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The moment by which a connection must be ready, whatever its steps take.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    limit: Duration,
    /// The setting that it is; none where the engine waits no longer.
    field: Option<&'static str>,
}

impl Deadline {
    /// A deadline `limit` from now; `field` is the setting that the limit comes from, for errors.
    pub fn after(limit: Duration, field: &'static str) -> Self {
        Self {
            at: Instant::now()
                .checked_add(limit)
                .unwrap_or_else(|| Instant::now() + NEVER),
            limit,
            field: Some(field),
        }
    }

    /// The same, or, if that is earlier, the one of the engine for this connection.
    pub fn of(setup: &SessionSetup, limit: Duration, field: &'static str) -> Self {
        match setup.connect_within {
            Some(within) if within < limit => Self {
                field: None,
                ..Self::after(within, field)
            },
            _ => Self::after(limit, field),
        }
    }

    /// Runs one step of the connecting.
    ///
    /// # Errors
    /// That of the step, or [`Timeout`](ProviderErrorKind::Timeout) once the deadline has passed:
    /// "no `awaited` within …".
    pub async fn within<T>(
        &self,
        awaited: &str,
        step: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let passed = || ProviderError::new(ProviderErrorKind::Timeout, self.passed(awaited));
        let outcome = timeout_at(self.at, step).await;
        outcome.unwrap_or_else(|_| Err(passed()))
    }

    /// The same for a step before the vendor has been told anything.
    ///
    /// # Errors
    /// As there, but [`Network`](ProviderErrorKind::Network) with the code `connect` once the deadline
    /// has passed. A silence after the setup may be the answer to it, such as to a resume token; this
    /// one is not.
    pub async fn before_words<T>(
        &self,
        awaited: &str,
        step: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let passed = || ProviderError::new(ProviderErrorKind::Network, self.passed(awaited));
        let outcome = timeout_at(self.at, step).await;
        outcome.unwrap_or_else(|_| Err(passed().with_code("connect")))
    }

    fn passed(&self, awaited: &str) -> String {
        let limit = self.limit.as_millis();
        match self.field {
            Some(field) => format!("no {awaited} within {limit} ms (`{field}`)"),
            None => format!("no {awaited} within {limit} ms, and the engine waits no longer"),
        }
    }
}
