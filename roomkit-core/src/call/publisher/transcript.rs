//! Tells what is said: partials as they come, each final once (contracts T2, T5).

use jiff::Timestamp;

use super::Publisher;
use crate::{
    call::io::Moment,
    client_protocol::ServerMessage,
    ephemeral::EphemeralKind,
    error::RoomError,
    event::RealtimeTranscriptionEvent,
    hook::{Notice, Trigger, Verdict},
    id::ItemId,
    kit::RoomKit,
    provider::Role,
    room::NewEvent,
};

impl Publisher {
    pub(super) async fn partial(
        &self,
        kit: &RoomKit,
        at: Timestamp,
        role: Role,
        text: String,
        item_id: Option<ItemId>,
    ) {
        if !self.shared.emit_partials {
            return;
        }
        self.to_client(ServerMessage::Transcription {
            text: text.clone(),
            role,
            is_final: false,
            item_id: item_id.clone(),
            interrupted: false,
        })
        .await;
        self.show(kit, EphemeralKind::Transcription, role, at, |event| {
            let event = event
                .data("role", role.as_str())
                .data("text", text.as_str());
            match &item_id {
                Some(item_id) => event.data("item_id", item_id.as_str()),
                None => event,
            }
        });
        let event = RealtimeTranscriptionEvent {
            session: self.session.clone(),
            text,
            role,
            is_final: false,
            was_barge_in: false,
            item_id,
            timestamp: at,
        };
        self.shared
            .observers
            .transcription
            .tell(|| event.clone())
            .await;
        if self.is_hooked(kit, Trigger::PartialTranscription) {
            kit.hooks()
                .notify(&self.scope, Notice::PartialTranscription(event))
                .await;
        }
    }

    /// A final, which may have been said `since` then: the hook first, and if it blocks, the final goes
    /// nowhere (contract T5).
    pub(super) async fn utterance(
        &self,
        kit: &RoomKit,
        event: RealtimeTranscriptionEvent,
        since: Moment,
        chain_depth: u32,
    ) {
        let event = match kit.hooks().transcription(&self.scope, event).await {
            Verdict::Allowed(event) => event,
            Verdict::Blocked { by, .. } => {
                tracing::debug!(hook = by, "a transcript was blocked");
                return;
            }
        };
        self.mark_words(&event, since);
        self.to_client(ServerMessage::Transcription {
            text: event.text.clone(),
            role: event.role,
            is_final: true,
            item_id: event.item_id.clone(),
            interrupted: event.role == Role::Assistant && event.was_barge_in,
        })
        .await;
        self.shared
            .observers
            .transcription
            .tell(|| event.clone())
            .await;
        if self.shared.emit_transcription_events && !event.text.trim().is_empty() {
            self.store(kit, event, chain_depth).await;
        }
    }

    /// What a caller types who may not say it: the room keeps it as blocked, and nobody is told (contract
    /// R2). What hooks do not let through is not kept either.
    pub(super) async fn unheard(&self, kit: &RoomKit, at: Timestamp, text: String) {
        let event = RealtimeTranscriptionEvent {
            session: self.session.clone(),
            text,
            role: Role::User,
            is_final: true,
            was_barge_in: false,
            item_id: None,
            timestamp: at,
        };
        if let Verdict::Allowed(event) = kit.hooks().transcription(&self.scope, event).await
            && self.shared.emit_transcription_events
            && !event.text.trim().is_empty()
        {
            self.store(kit, event, 0).await;
        }
    }

    /// One room event for each final (contract T2).
    async fn store(&self, kit: &RoomKit, event: RealtimeTranscriptionEvent, chain_depth: u32) {
        let mut stored = NewEvent::text(event.text)
            .provider(self.shared.transport.name())
            .created_at(event.timestamp)
            .chain_depth(chain_depth)
            .metadata("source", "realtime_voice")
            .metadata("role", event.role.as_str())
            .metadata("voice_session_id", self.session.id().as_str());
        if event.role == Role::User {
            stored = stored.participant(self.session.participant_id());
        }
        if let Some(item_id) = &event.item_id {
            stored = stored.metadata("item_id", item_id.as_str());
        }
        if event.was_barge_in {
            let mark = if event.role == Role::User {
                "was_barge_in"
            } else {
                "interrupted"
            };
            stored = stored.metadata(mark, true);
        }
        let sent = kit
            .send_event(self.session.room_id(), self.session.channel_id(), stored)
            .await;
        let Err(error) = sent else {
            return;
        };
        metrics::counter!("roomkit_dropped_total", "reason" => "unstored_transcript").increment(1);
        match error {
            // A hook took the room or the channel away, or let these words through only after their end.
            RoomError::Closed(_) | RoomError::NotFound(_) | RoomError::NotAttached { .. } => {
                tracing::warn!(%error, "a transcript came too late to be stored");
            }
            error => tracing::error!(%error, "a transcript could not be stored"),
        }
    }
}
