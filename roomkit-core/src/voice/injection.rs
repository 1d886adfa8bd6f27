//! Which events of a room are words for the AI (contracts R3, R4).

use crate::{
    call::Command,
    channel::ChannelCategory,
    provider::Role,
    room::{ChannelBinding, EventKind, RoomEvent},
    voice::REALTIME_VOICE,
};

/// The command that gives an event's text to the AI; `None` when the event is not for it.
///
/// `source` is the binding the event came from, if it is still there.
pub(super) fn command_for(
    event: &RoomEvent,
    source: Option<&ChannelBinding>,
    inject_ai_text: bool,
) -> Option<Command> {
    if event.kind != EventKind::Message {
        return None;
    }
    let text = event
        .content
        .as_text()
        .filter(|text| !text.trim().is_empty())?;
    let from_ai = event.source.channel_type == REALTIME_VOICE
        || source.is_some_and(|source| source.category == ChannelCategory::Intelligence);
    if from_ai && !inject_ai_text {
        return None;
    }
    let role = match event
        .metadata
        .get("inject_role")
        .and_then(|role| role.as_str())
    {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => Role::System,
    };
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
