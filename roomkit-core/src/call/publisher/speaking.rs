//! Tells who speaks, what responses come and go, and what goes wrong.

use jiff::Timestamp;

use super::{Publisher, count};
use crate::{
    client_protocol::ServerMessage,
    ephemeral::EphemeralKind,
    error::ProviderError,
    event::{RealtimeErrorEvent, RealtimeResponseEvent, RealtimeSpeechEvent, ResponsePhase},
    hook::Notice,
    kit::RoomKit,
    provider::{Role, Usage},
};

impl Publisher {
    pub(super) async fn user_speaking(&self, kit: &RoomKit, at: Timestamp, speaking: bool) {
        self.to_client(ServerMessage::Speaking {
            speaking,
            who: Role::User,
        })
        .await;
        self.show(kit, EphemeralKind::Speech, Role::User, at, |event| {
            event.data("speaking", speaking).data("role", "user")
        });
        let event = RealtimeSpeechEvent {
            session: self.session.clone(),
            speaking,
            timestamp: at,
        };
        let observers = &self.shared.observers;
        let observers = if speaking {
            &observers.speech_start
        } else {
            &observers.speech_end
        };
        observers.tell(|| event.clone()).await;
        let notice = if speaking {
            Notice::SpeechStart(event)
        } else {
            Notice::SpeechEnd(event)
        };
        kit.hooks().notify(&self.scope, notice).await;
    }

    pub(super) async fn response(
        &self,
        at: Timestamp,
        phase: ResponsePhase,
        usage: Option<Box<Usage>>,
    ) {
        let observers = match phase {
            ResponsePhase::Started => &self.shared.observers.response_start,
            _ => &self.shared.observers.response_end,
        };
        let session = self.session.clone();
        observers
            .tell(|| RealtimeResponseEvent {
                session,
                phase,
                usage: usage.map(|usage| *usage),
                timestamp: at,
            })
            .await;
    }

    /// Tells the host.
    pub(super) async fn error(
        &self,
        kit: &RoomKit,
        at: Timestamp,
        error: &ProviderError,
        is_fatal: bool,
    ) {
        count(self.shared.provider.name(), error, is_fatal);
        let event = RealtimeErrorEvent {
            session: self.session.clone(),
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            is_fatal,
            timestamp: at,
        };
        self.shared.observers.error.tell(|| event.clone()).await;
        kit.hooks().notify(&self.scope, Notice::Error(event)).await;
    }
}
