//! The voice channel as a member of rooms: which words of others reach the AI (contracts R3, R4),
//! what its binding allows (A7), and what ends its sessions (R6).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;

use super::{REALTIME_VOICE, channel::RealtimeVoiceChannel};
use crate::{
    call::{Command, ENDING, LAST_HOOKS, Permissions, telling},
    channel::{Channel, ChannelCategory, ChannelError, DetachReason},
    error::SessionError,
    event::EndReason,
    id::{ChannelId, RoomId},
    kit::WeakRoomKit,
    provider::Role,
    room::{Access, ChannelBinding, EventKind, RoomEvent},
    session::RealtimeSession,
};

#[async_trait]
impl Channel for RealtimeVoiceChannel {
    fn id(&self) -> &ChannelId {
        &self.inner().id
    }

    fn kind(&self) -> &str {
        REALTIME_VOICE
    }

    fn provider_name(&self) -> Option<String> {
        Some(self.inner().shared.transport.name().to_owned())
    }

    fn on_registered(&self, kit: WeakRoomKit) -> Result<(), ChannelError> {
        let had_one = "a voice channel is registered once, with one kit; build a new one";
        let kept = self.inner().kit.set(kit);
        kept.map_err(|_| ChannelError::new(had_one))
    }

    /// Text of others becomes words for the AI, in every session of the room (contract R3).
    async fn on_event(
        &self,
        event: Arc<RoomEvent>,
        _binding: &ChannelBinding,
    ) -> Result<(), ChannelError> {
        let sessions: Vec<RealtimeSession> = self
            .inner()
            .sessions()
            .values()
            .filter(|live| *live.session.room_id() == event.room_id && live.since <= event.index)
            .map(|live| live.session.clone())
            .collect();
        let mut failures = Vec::new();
        for session in sessions {
            let command = command_for(&event, self.inner().inject_ai_text);
            let Some(command) = command else {
                return Ok(());
            };
            match self.command(&session, command) {
                // A session that ended meanwhile needs no more words.
                Ok(()) | Err(SessionError::Ended(_)) => {}
                Err(error) => failures.push(error.to_string()),
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(ChannelError::new(failures.join("; ")))
        }
    }

    fn on_binding_changed(&self, binding: &ChannelBinding) {
        for live in self.inner().sessions().values() {
            if *live.session.room_id() == binding.room_id {
                live.permissions.set(permissions_of(binding));
            }
        }
    }

    async fn on_detached(&self, room: &RoomId, why: DetachReason) {
        let reason = match why {
            DetachReason::RoomClosed => EndReason::RoomClosed,
            DetachReason::Shutdown => EndReason::Shutdown,
            DetachReason::Detached => EndReason::Detached,
        };
        self.inner()
            .end_all(reason, |session| session.room_id() == room)
            .await;
        if why == DetachReason::Shutdown {
            // What hooks let through until their own end are last words, too; later the room takes none.
            self.close().await;
        }
    }

    async fn close(&self) {
        self.inner().closed.store(true, Ordering::Release);
        self.inner().end_all(EndReason::Shutdown, |_| true).await;
        self.inner().tasks.close();
        // The task of a session whose hook asks for this is one of them, and waits for the hook.
        if telling().is_none() {
            self.inner().tasks.wait().await;
        }
    }

    /// As long as its sessions may take to end, and to tell their hooks (contract R5).
    fn close_timeout(&self) -> Option<Duration> {
        Some(ENDING + LAST_HOOKS * 2 + Duration::from_secs(1))
    }
}

/// The command that gives an event's text to the AI; `None` when the event is not for it.
fn command_for(event: &RoomEvent, inject_ai_text: bool) -> Option<Command> {
    if event.kind != EventKind::Message {
        return None;
    }
    let text = event
        .content
        .as_text()
        .filter(|text| !text.trim().is_empty())?;
    let from_ai = event.source.channel_type == REALTIME_VOICE
        || event.source.category == ChannelCategory::Intelligence;
    if from_ai && !inject_ai_text {
        return None;
    }
    let role = role_in(event, "inject_role");
    let silent = event
        .metadata
        .get("silent")
        .is_some_and(|silent| silent == true);
    // What the AI says to a person's words is the first link of a chain, to a machine's the next.
    let chain_depth = if from_ai {
        event.chain_depth + 1
    } else {
        event.chain_depth
    };
    Some(Command::Text {
        text: text.to_owned(),
        role,
        silent,
        chain_depth,
    })
}

/// The role that an event's metadata name by this key; `system` where they name none.
pub(super) fn role_in(event: &RoomEvent, key: &str) -> Role {
    match event.metadata.get(key).and_then(|role| role.as_str()) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => Role::System,
    }
}

/// What a binding allows a voice.
pub(super) fn permissions_of(binding: &ChannelBinding) -> Permissions {
    Permissions {
        microphone: binding.can_write(),
        voice: binding.access != Access::None && !binding.output_muted,
    }
}
