//! What was said and done before a connection, as items of its conversation.

use std::collections::HashSet;

use roomkit_core::provider::{HistoryItem, ProviderError, Role};

use super::{
    encode::to_frame,
    message::{ClientEvent, Content, Item},
};

/// The client events that tell a new connection of `history`, in its order; none of them asks for
/// a response.
///
/// What the vendor would refuse is left out: messages without words, calls without a name or id,
/// a second call or result with the same id, and results of calls that are not in the history.
/// How much is told is the engine's to say (contract H).
/// Calls without a result are kept, so that a later result finds them.
///
/// # Errors
/// None in practice; the events are made of text.
pub fn replay(history: &[HistoryItem]) -> Result<Vec<String>, ProviderError> {
    let mut open = HashSet::new();
    let mut seen = HashSet::new();
    let mut frames = Vec::with_capacity(history.len());
    for (index, item) in history.iter().enumerate() {
        let item = match item {
            HistoryItem::Message { role, text: words } => {
                if words.trim().is_empty() {
                    continue;
                }
                Item::Message {
                    role: role.as_str(),
                    content: vec![match role {
                        Role::Assistant => Content::OutputText { text: words },
                        Role::User | Role::System => Content::InputText { text: words },
                    }],
                }
            }
            HistoryItem::ToolCall {
                call_id,
                name,
                arguments,
            } => {
                let is_whole = !call_id.as_str().is_empty() && !name.is_empty();
                if !is_whole || !seen.insert(call_id) {
                    tracing::debug!(%call_id, "left a tool call out of the history");
                    continue;
                }
                open.insert(call_id);
                Item::FunctionCall {
                    call_id: call_id.as_str(),
                    name,
                    arguments: match arguments.as_str() {
                        "" => "{}",
                        arguments => arguments,
                    },
                }
            }
            HistoryItem::ToolResult {
                call_id, output, ..
            } => {
                if !open.remove(call_id) {
                    tracing::debug!(%call_id, "left a result without its call out of the history");
                    continue;
                }
                Item::FunctionCallOutput {
                    call_id: call_id.as_str(),
                    output: if output.is_empty() { "{}" } else { output },
                }
            }
            _ => continue,
        };
        frames.push(to_frame(&ClientEvent::ItemCreate {
            event_id: Some(format!("replay_{index}")),
            item,
        })?);
    }
    Ok(frames)
}
