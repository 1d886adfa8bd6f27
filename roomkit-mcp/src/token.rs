//! Bearer tokens that are asked for again and again, because they expire.

use std::future::Future;

use async_trait::async_trait;
use secrecy::SecretString;

/// Gives the bearer token of each HTTP request. Implemented for closures that return a future; an
/// `async` closure is one only if it captures nothing, as its future borrows from it.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no bearer token",
    note = "pass a closure `move || {{ let cache = cache.clone(); async move {{ Ok(cache.token().await) }} }}` or implement `TokenSource`"
)]
pub trait TokenSource: Send + Sync + 'static {
    /// The token as it is now. Asked before every request, so keep it until it expires. It may take ten
    /// seconds; if it takes longer or panics, that request fails.
    ///
    /// # Errors
    /// When there is none; the message is told to the host, and must not hold a secret.
    async fn token(&self) -> Result<SecretString, TokenError>;
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(pub String);

#[async_trait]
impl<F, Fut> TokenSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<SecretString, TokenError>> + Send + 'static,
{
    async fn token(&self) -> Result<SecretString, TokenError> {
        self().await
    }
}
