//! Who makes a session of a connected caller.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use roomkit_http::{
    AuthRequest, Identity, Rejection, SessionHost, StartFailure, StartFailureKind, StartRequest,
};

use crate::peer::Peer;

/// What a caller asks for in its query.
pub(super) struct Wishes {
    pub(super) room: Option<String>,
    pub(super) participant: Option<String>,
}

impl Wishes {
    pub(super) fn read(request: &AuthRequest) -> Result<Self, Rejection> {
        Ok(Self {
            room: request.id("room")?,
            participant: request.id("participant")?,
        })
    }
}

/// Makes a session of a caller, or sends it away.
pub(super) async fn session(
    host: Arc<dyn SessionHost>,
    peer: Arc<Peer>,
    identity: Identity,
    address: Option<IpAddr>,
    wishes: Wishes,
) {
    peer.expect_farewell();
    let mut request = StartRequest::new(identity, peer.id.clone().into());
    request.address = address;
    request.room = wishes.room.map(Into::into);
    request.participant = wishes.participant.map(Into::into);
    match AssertUnwindSafe(host.start(request)).catch_unwind().await {
        Ok(Ok(_session)) => peer.no_farewell().await,
        Ok(Err(error)) => {
            let failure = StartFailure::from(&error).counted();
            if failure.kind == StartFailureKind::Failed {
                tracing::warn!(%error, "a session could not be started");
            }
            peer.farewell(failure.code, &failure.message).await;
        }
        Err(_panic) => {
            tracing::error!("the session host panicked; the client was sent away");
            let message = "the session could not be started";
            peer.farewell("failed", message).await;
        }
    }
}
