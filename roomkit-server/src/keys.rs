//! The tokens that are valid now. A server that is told to read its configuration again takes others
//! without a restart.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use roomkit::http::{AuthRequest, Authenticate, Identity, Refusal, Scope};
use tokio::sync::watch;

use crate::{auth::Tokens, jwt::Jwt};

/// The tokens in force. A cheap handle: clones ask the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokens: RwLock<Tokens>,
    /// Says that some may have been taken away, by a reload or by their issuer: there is no other while the
    /// server runs.
    changed: watch::Sender<()>,
}

impl Keys {
    pub(crate) fn new(tokens: Tokens) -> Self {
        let changed = tokens.jwt.as_ref().map(Jwt::read_again);
        Self(Arc::new(Inner {
            tokens: RwLock::new(tokens),
            changed: changed.unwrap_or_default(),
        }))
    }

    /// From now on these count. The key that signs minted tokens stays, and what was used with it.
    /// Without tokens nobody comes in but by a minted one: what was taken away must not open
    /// anything, and a door that asked for tokens does not stop asking while it is in use.
    pub(crate) fn replace(&self, tokens: Option<Tokens>) {
        {
            let mut current = self
                .0
                .tokens
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let tokens = tokens.unwrap_or_else(|| Tokens::only_minted(current.minted.clone()));
            *current = tokens.replacing(&current);
        }
        self.0.changed.send_replace(());
    }

    /// The issuer whose tokens are taken, if there is one.
    pub(crate) fn issuer(&self) -> Option<Jwt> {
        self.current().jwt
    }

    /// Watches over a token for what it opens. To miss no change, ask for it before the token is looked
    /// at.
    pub(crate) fn pass(&self, token: &str, scope: Scope) -> Pass {
        Pass {
            changes: self.0.changed.subscribe(),
            keys: self.clone(),
            token: token.to_owned(),
            scope,
        }
    }

    fn current(&self) -> Tokens {
        let tokens = self.0.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.clone()
    }
}

#[async_trait]
impl Authenticate for Keys {
    async fn authenticate(&self, request: AuthRequest) -> Result<Identity, Refusal> {
        self.current().authenticate(request).await
    }
}

/// A token that has opened something which stays open.
pub(crate) struct Pass {
    keys: Keys,
    token: String,
    scope: Scope,
    changes: watch::Receiver<()>,
}

impl Pass {
    /// Ready once the token is taken away, or no longer opens this. That it has expired is no reason.
    pub(crate) async fn revoked(&mut self) {
        // Fails only when the sender is gone, and `self` holds it.
        while self.changes.changed().await.is_ok() {
            if !self.keys.current().still_open(&self.token, self.scope) {
                return;
            }
        }
    }
}
