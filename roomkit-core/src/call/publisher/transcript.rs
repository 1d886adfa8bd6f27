//! Tells what is said: partials as they come, each final once (contracts T2, T5).

use std::collections::VecDeque;

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
    room::{NewEvent, Speaker},
    voice::REALTIME_VOICE,
};

/// Of how many utterances without a final it is known that partials of them went out. Nothing waits for
/// the oldest of more.
const HALF_SAID: usize = 128;

/// The utterances of which partials went out, and no final yet.
#[derive(Debug, Default)]
pub(in crate::call) struct HalfSaid(VecDeque<(Role, Option<ItemId>)>);

impl HalfSaid {
    fn begin(&mut self, role: Role, item_id: Option<&ItemId>) {
        let is_it = |(of, item): &(Role, Option<ItemId>)| *of == role && item.as_ref() == item_id;
        if !self.0.iter().any(is_it) {
            if self.0.len() == HALF_SAID {
                self.0.pop_front();
            }
            self.0.push_back((role, item_id.cloned()));
        }
    }

    /// Gives whether partials of it went out.
    fn end(&mut self, role: Role, item_id: Option<&ItemId>) -> bool {
        let before = self.0.len();
        self.0
            .retain(|(of, item)| *of != role || item.as_ref() != item_id);
        self.0.len() < before
    }
}

/// Whose words these are. A caller who is muted hears the AI, and the room sees what he heard.
pub(super) fn speaker(role: Role) -> Speaker {
    match role {
        Role::Assistant => Speaker::Ai,
        _ => Speaker::Channel,
    }
}

impl Publisher {
    pub(super) async fn partial(
        &mut self,
        kit: &RoomKit,
        at: Timestamp,
        role: Role,
        text: String,
        item_id: Option<ItemId>,
    ) {
        if !self.shared.emit_partials {
            return;
        }
        self.half_said.begin(role, item_id.as_ref());
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

    /// Nothing comes of an utterance: an empty final takes its partials back, where there were any.
    pub(super) async fn withdraw(
        &mut self,
        kit: &RoomKit,
        at: Timestamp,
        role: Role,
        item_id: Option<ItemId>,
    ) {
        if !self.half_said.end(role, item_id.as_ref()) {
            return;
        }
        self.to_client(ServerMessage::Transcription {
            text: String::new(),
            role,
            is_final: true,
            item_id: item_id.clone(),
            interrupted: false,
        })
        .await;
        self.show(kit, EphemeralKind::Transcription, role, at, |event| {
            let event = event
                .data("role", role.as_str())
                .data("text", "")
                .data("withdrawn", true);
            match &item_id {
                Some(item_id) => event.data("item_id", item_id.as_str()),
                None => event,
            }
        });
    }

    /// A final, which may have been said `since` then: the hook first, and if it blocks, the final goes
    /// nowhere, and what was shown of it is taken back (contract T5).
    pub(super) async fn utterance(
        &mut self,
        kit: &RoomKit,
        event: RealtimeTranscriptionEvent,
        since: Moment,
        chain_depth: u32,
    ) {
        let (at, role, item_id) = (event.timestamp, event.role, event.item_id.clone());
        let event = match kit.hooks().transcription(&self.scope, event).await {
            Verdict::Allowed(event) => event,
            Verdict::Blocked { by, .. } => {
                tracing::debug!(hook = by, "a transcript was blocked");
                self.withdraw(kit, at, role, item_id).await;
                return;
            }
        };
        self.half_said.end(role, item_id.as_ref());
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
            let stored = self.stored(&event).chain_depth(chain_depth);
            self.store(kit, stored).await;
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
            let mut stored = self.stored(&event);
            // He may be unmuted by the time this is written; nobody heard it.
            stored.was_refused = true;
            self.store(kit, stored).await;
        }
    }

    /// A final as a room event.
    fn stored(&self, event: &RealtimeTranscriptionEvent) -> NewEvent {
        let mut stored = NewEvent::text(event.text.as_str())
            .provider(self.shared.transport.name())
            .created_at(event.timestamp)
            .metadata("source", REALTIME_VOICE)
            .metadata("role", event.role.as_str())
            .metadata("voice_session_id", self.session.id().as_str());
        stored.speaker = speaker(event.role);
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
        stored
    }

    /// One room event for each final (contract T2).
    async fn store(&self, kit: &RoomKit, event: NewEvent) {
        let sent = kit
            .send_event(self.session.room_id(), self.session.channel_id(), event)
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
