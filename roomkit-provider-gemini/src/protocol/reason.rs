//! Why a turn ended, in the vendor's words.

use roomkit_core::provider::{ProviderError, ProviderErrorKind, ResponseStatus};

/// What the end of a turn means, by the vendor's reason for it. An answer refused for its content
/// fails with [`InvalidRequest`](ProviderErrorKind::InvalidRequest): the conversation goes on.
pub(super) fn status(reason: &str, redact: impl Fn(&str) -> String) -> ResponseStatus {
    const REFUSALS: [&str; 12] = [
        "PROHIBITED",
        "SAFETY",
        "BLOCKLIST",
        "PROMINENT_P",
        "CELEBRITY",
        "IDENTIFIABLE_PEOPLE",
        "CHILD",
        "MINORS",
        "NCII",
        "UNSAFE",
        "INPUT_OTHER",
        "GENERATED_OTHER",
    ];
    match reason {
        // The last one: the model asks back.
        "" | "TURN_COMPLETE_REASON_UNSPECIFIED" | "NEED_MORE_INPUT" => ResponseStatus::Completed,
        reason if REFUSALS.iter().any(|word| reason.contains(word)) => {
            let reason = redact(reason);
            let message = format!("the vendor refused the content of this turn: {reason}");
            let error = ProviderError::new(ProviderErrorKind::InvalidRequest, message);
            ResponseStatus::Failed(error.with_code(reason))
        }
        reason => ResponseStatus::Incomplete(redact(reason)),
    }
}
