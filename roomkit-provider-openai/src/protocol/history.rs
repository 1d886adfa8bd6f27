//! What was said and done before a connection, as items of its conversation.

use std::collections::HashSet;

use roomkit_core::provider::{HistoryItem, ProviderError, Role};

use super::{
    encode::to_frame,
    message::{ClientEvent, Content, Item},
};

/// The longest text of one item, in characters: as much as a tool may answer.
const TEXT_LIMIT: usize = 16_384;

/// The most of a history that is told, in bytes; the oldest is left out. It is more than a model
/// takes in, and less than would hold up a new connection.
const HISTORY_LIMIT: usize = 1_000_000;

/// What stands where the rest of a text was cut off.
const CUT: &str = " […]";

/// The client events that tell a new connection of `history`, in its order; none of them asks for
/// a response.
///
/// What the vendor would refuse is left out: messages without words, calls without a name or id,
/// a second call or result with the same id, and results of calls that are not in the history. So
/// is the oldest of what exceeds a megabyte.
/// Calls without a result are kept, so that a later result finds them.
///
/// # Errors
/// None in practice; the events are made of text.
pub fn replay(history: &[HistoryItem]) -> Result<Vec<String>, ProviderError> {
    let mut open = HashSet::new();
    let mut seen = HashSet::new();
    let mut frames = Vec::with_capacity(history.len());
    for (index, item) in history.iter().enumerate().skip(first_told(history)) {
        let text;
        let item = match item {
            HistoryItem::Message { role, text: words } => {
                if words.trim().is_empty() {
                    continue;
                }
                text = cut(words);
                Item::Message {
                    role: role.as_str(),
                    content: vec![match role {
                        Role::Assistant => Content::OutputText { text: &text },
                        Role::User | Role::System => Content::InputText { text: &text },
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
                    // Half a JSON object is worse than none.
                    arguments: match arguments.as_str() {
                        "" => "{}",
                        arguments if arguments.len() > TEXT_LIMIT => "{}",
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
                text = cut(output);
                Item::FunctionCallOutput {
                    call_id: call_id.as_str(),
                    output: if text.is_empty() { "{}" } else { &text },
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

/// Where the newest part of the history begins that is told.
fn first_told(history: &[HistoryItem]) -> usize {
    let mut total = 0;
    let newest = history.iter().rev().take_while(|item| {
        let text = match item {
            HistoryItem::Message { text, .. } => text,
            HistoryItem::ToolCall { arguments, .. } => arguments,
            HistoryItem::ToolResult { output, .. } => output,
            _ => return true,
        };
        total += text.len().min(TEXT_LIMIT * 4);
        total <= HISTORY_LIMIT
    });
    history.len() - newest.count()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}{CUT}", &text[..end]),
        None => text.to_owned(),
    }
}
