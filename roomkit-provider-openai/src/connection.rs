//! From a dialled socket to a session that the vendor has accepted.

use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use roomkit_dial::{Redactor, Socket};

use crate::protocol::{Handshake, kind_of};

/// What the vendor says of a session.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// Its id.
    pub(crate) id: Option<String>,
    /// When it ends, in Unix seconds.
    pub(crate) expires_at: Option<f64>,
}

/// Waits for an event that carries the session. An `error` or the end of the socket before it is
/// the vendor's refusal.
pub(crate) async fn await_session(
    socket: &mut Socket,
    wanted: &str,
    redactor: &Redactor,
) -> Result<Accepted, ProviderError> {
    loop {
        let frame = socket.receive().await?;
        let kind = kind_of(&frame).unwrap_or_default();
        if kind != wanted && kind != "error" {
            continue;
        }
        let event: Handshake<'_> = serde_json::from_str(&frame).unwrap_or_default();
        if kind == wanted {
            let session = event.session.unwrap_or_default();
            return Ok(Accepted {
                id: session
                    .id
                    .map(|id| id.as_str().to_owned())
                    .filter(|id| !id.is_empty()),
                expires_at: session.expires_at.and_then(|at| at.as_str().parse().ok()),
            });
        }
        let error = event
            .error
            .unwrap_or_default()
            .as_vendor_error()
            .classify(redactor);
        return Err(match error.kind() {
            // Nothing has been asked yet but to be set up like this.
            ProviderErrorKind::InvalidRequest => {
                ProviderError::new(ProviderErrorKind::InvalidConfig, error.message())
                    .with_code(error.code())
            }
            _ => error,
        });
    }
}
