//! The tokens that are valid now. A server that is told to read its configuration again takes others
//! without a restart.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use roomkit::http::{AuthRequest, Authenticate, Identity, Refusal};

use crate::auth::Tokens;

/// The tokens in force. A cheap handle: clones ask the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Arc<RwLock<Tokens>>);

impl Keys {
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self(Arc::new(RwLock::new(tokens)))
    }

    /// From now on these count. The key that signs minted tokens stays, and what was used with it.
    /// Without tokens nobody comes in but by a minted one: what was taken away must not open
    /// anything, and a door that asked for tokens does not stop asking while it is in use.
    pub(crate) fn replace(&self, tokens: Option<Tokens>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = match tokens {
            Some(tokens) => tokens.minted_by(current.minted.clone()),
            None => Tokens::only_minted(current.minted.clone()),
        };
    }

    fn current(&self) -> Tokens {
        let tokens = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tokens.clone()
    }
}

#[async_trait]
impl Authenticate for Keys {
    async fn authenticate(&self, request: AuthRequest) -> Result<Identity, Refusal> {
        self.current().authenticate(request).await
    }
}
