//! Why a token is not taken. Nothing of the token is in it (contract X1).

use axum::http::StatusCode;
use roomkit::http::{Refusal, Rejection};

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the token is longer than 8192 bytes")]
    TooLong,
    #[error("the token is no signed JSON Web Token that this server reads")]
    Malformed,
    #[error("the token's algorithm is not taken")]
    Algorithm,
    #[error("the token's key is not known")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token's claim `{0}` is missing, or not of its form")]
    Claim(&'static str),
    #[error("the token's scopes open nothing here")]
    Scopes,
}

impl Refused {
    /// The code for programs. Who cannot sign learns no more than that the token is not taken.
    fn code(self) -> &'static str {
        match self {
            Self::TooLong
            | Self::Malformed
            | Self::Algorithm
            | Self::UnknownKey
            | Self::Signature => "unauthorized",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet_valid",
            Self::Issuer | Self::Audience => "token_not_for_this_server",
            Self::Claim(_) => "token_claims",
            Self::Scopes => "forbidden",
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Scopes => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self::Other(Rejection::new(status, refused.code(), refused.to_string()))
    }
}
