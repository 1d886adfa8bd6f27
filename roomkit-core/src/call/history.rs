//! What was said and done in a call so far, for the connection that takes it up (contract H1).

use std::collections::{HashMap, HashSet, VecDeque};

use super::io::{News, ToolRequest};
use crate::{
    id::CallId,
    provider::{HistoryItem, HistorySupport, ResumeToken, Role},
};

/// How much is remembered, in bytes: some 12 000 tokens, well within every vendor's context. Bytes,
/// because they follow tokens in every script: a Chinese character is three of them, and about a
/// token, where a token of English has four characters.
const BYTES: usize = 48_000;
/// How much of one thing, so that none displaces the whole conversation.
const ITEM: usize = BYTES / 2;
/// Follows what was cut.
const CUT: &str = " [cut: the rest is not remembered]";
/// In place of arguments that are too long: a part of them would be no JSON.
const CUT_ARGUMENTS: &str = r#"{"cut":"the arguments are not remembered"}"#;
/// How many things are remembered.
const ITEMS: usize = 500;
/// Of how many it is known that a token may not stand for them: more than a dial tells, and as many
/// as are remembered besides.
const GIVEN: usize = 5 * ITEMS;

/// The conversation, oldest first, and the token that stands for its beginning.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<Entry>,
    bytes: usize,
    token: Option<Token>,
    /// The words and results that the provider was given since the model last ended a turn.
    given: VecDeque<u64>,
    /// What the last dial told.
    told: VecDeque<u64>,
}

#[derive(Debug)]
struct Entry {
    /// When its last word came over the wire, among everything else that did.
    order: u64,
    item: HistoryItem,
}

#[derive(Debug)]
struct Token {
    value: ResumeToken,
    /// It stands for everything that came before this,
    covers: u64,
    /// but for these, which may have been on their way when it was made.
    misses: VecDeque<u64>,
}

impl History {
    /// A conversation that begins with these things.
    pub(super) fn new(seed: Vec<HistoryItem>) -> Self {
        let mut history = Self::default();
        for item in seed {
            history.push(0, item);
        }
        history.told = VecDeque::from([0]);
        history
    }

    /// Remembers what is told, if it is part of the conversation.
    pub(super) fn record(&mut self, order: u64, news: &News) {
        if let Some(item) = item_of(news) {
            self.push(order, item);
        }
    }

    /// From now on this token stands for everything that came before `order`, as far as the model has
    /// it for certain.
    pub(super) fn set_token(&mut self, token: ResumeToken, order: u64) {
        self.token = Some(Token {
            value: token,
            covers: order,
            misses: self.given.clone(),
        });
    }

    /// The provider is given words, or the result of a tool. That it has them shows when the model ends a
    /// turn. What has no place in the conversation, such as an image, has the order 0.
    pub(super) fn gave(&mut self, order: u64) {
        if order == 0 {
            return;
        }
        self.given.push_back(order);
        let spare = self.given.len().saturating_sub(GIVEN);
        self.given.drain(..spare);
    }

    /// A new connection was told what its dial holds, which is certain no sooner.
    pub(super) fn connected(&mut self) {
        self.given = std::mem::take(&mut self.told);
    }

    /// The model has ended a turn.
    pub(super) fn turn_ended(&mut self) {
        self.given.clear();
    }

    /// The vendor does not take the token: the whole conversation has to be told.
    pub(super) fn spend_token(&mut self) -> bool {
        self.token.take().is_some()
    }

    /// The token stands for what has this order.
    fn covers(&self, order: u64) -> bool {
        self.token
            .as_ref()
            .is_some_and(|token| order <= token.covers && !token.misses.contains(&order))
    }

    /// The last thing that the token stands for; 0 without one.
    pub(super) fn covers_until(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.covers)
    }

    pub(super) fn token(&self) -> Option<&ResumeToken> {
        self.token.as_ref().map(|token| &token.value)
    }

    /// What a new connection has to be told: everything, or what the token does not stand for; with
    /// what is still `untold`, in the form that the provider can take.
    pub(super) fn snapshot(
        &mut self,
        untold: impl Iterator<Item = (u64, News)>,
        support: HistorySupport,
    ) -> Vec<HistoryItem> {
        let mut items = self.with_untold(untold);
        match support {
            HistorySupport::None => items.clear(),
            HistorySupport::Text => results_in_words(&mut items, &HashSet::new()),
            HistorySupport::Full => {}
        }
        items.retain(|(order, _)| !self.covers(*order));
        self.told = items.iter().map(|(order, _)| *order).collect();
        let items = items.into_iter().map(|(_, item)| item).collect();
        match support {
            HistorySupport::Full => whole_calls(items),
            _ => items,
        }
    }

    /// What came after one order and up to another: a connection that was told the rest has to be
    /// told of it. Results of calls it does not know are in words.
    pub(super) fn between(
        &self,
        untold: impl Iterator<Item = (u64, News)>,
        (after, until): (u64, u64),
        known: &HashSet<CallId>,
    ) -> Vec<(u64, HistoryItem)> {
        let mut items = self.with_untold(untold);
        results_in_words(&mut items, known);
        let came = |order: u64| after < order && order <= until;
        items.retain(|(order, _)| came(*order));
        items
    }

    fn with_untold(&self, untold: impl Iterator<Item = (u64, News)>) -> Vec<(u64, HistoryItem)> {
        let told = self
            .entries
            .iter()
            .map(|entry| (entry.order, entry.item.clone()));
        let untold = untold.filter_map(|(order, news)| Some((order, shortened(item_of(&news)?))));
        told.chain(untold).collect()
    }

    fn push(&mut self, order: u64, item: HistoryItem) {
        let item = shortened(item);
        self.bytes += bytes_of(&item);
        self.entries.push_back(Entry { order, item });
        while self.bytes > BYTES || self.entries.len() > ITEMS {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= bytes_of(&oldest.item);
        }
    }
}

/// A tool call and its answer as a note to a model that did not make the call.
pub(super) fn tool_note(request: &ToolRequest, output: &str) -> String {
    let ToolRequest {
        name, arguments, ..
    } = request;
    format!("[The tool `{name}` was called with {arguments} and answered: {output}]")
}

/// The calls of a history that have no result yet.
pub(super) fn open_calls(history: &[HistoryItem]) -> HashSet<CallId> {
    let mut open = HashSet::new();
    for item in history {
        match item {
            HistoryItem::ToolCall { call_id, .. } => {
                open.insert(call_id.clone());
            }
            HistoryItem::ToolResult { call_id, .. } => {
                open.remove(call_id);
            }
            HistoryItem::Message { .. } => {}
        }
    }
    open
}

fn item_of(news: &News) -> Option<HistoryItem> {
    match news {
        News::Final { role, text, .. } | News::Injected { role, text, .. } => {
            Some(HistoryItem::Message {
                role: *role,
                text: text.clone(),
            })
        }
        News::ToolCall(request) => Some(HistoryItem::ToolCall {
            call_id: request.call_id.clone(),
            name: request.name.clone(),
            arguments: request.arguments.clone(),
        }),
        News::ToolDone {
            call_id,
            name,
            answer,
            ..
        } => Some(HistoryItem::ToolResult {
            call_id: call_id.clone(),
            name: name.clone(),
            output: answer.output.clone(),
            is_error: answer.is_error,
        }),
        // The model has taken it back and wants no answer; a call without one would wait for ever.
        News::ToolCancelled { call_id, name, .. } => Some(HistoryItem::ToolResult {
            call_id: call_id.clone(),
            name: name.clone(),
            output: r#"{"error":"the call was cancelled"}"#.to_owned(),
            is_error: true,
        }),
        _ => None,
    }
}

/// Results whose call is not in the history any more become notes: vendors refuse them, and the model
/// has to know what they say.
fn whole_calls(items: Vec<HistoryItem>) -> Vec<HistoryItem> {
    let mut known = HashSet::new();
    let whole = |item| match item {
        HistoryItem::ToolCall { ref call_id, .. } => known.insert(call_id.clone()).then_some(item),
        HistoryItem::ToolResult {
            call_id,
            name,
            output,
            ..
        } if !known.remove(&call_id) => Some(note(&forgotten_call(call_id, name), &output)),
        item => Some(item),
    };
    items.into_iter().filter_map(whole).collect()
}

/// A call of which only the result is left.
fn forgotten_call(call_id: CallId, name: String) -> ToolRequest {
    ToolRequest {
        serial: 0,
        call_id,
        name,
        arguments: "arguments that are forgotten".to_owned(),
    }
}

fn note(request: &ToolRequest, output: &str) -> HistoryItem {
    HistoryItem::Message {
        role: Role::System,
        text: tool_note(request, output),
    }
}

/// Every call becomes one note at the place of its result; those that still run are left out.
/// Results of calls that are known stay results.
fn results_in_words(items: &mut Vec<(u64, HistoryItem)>, known: &HashSet<CallId>) {
    let mut calls: HashMap<CallId, ToolRequest> = HashMap::new();
    for (_, item) in items.iter_mut() {
        match item {
            HistoryItem::ToolCall {
                call_id,
                name,
                arguments,
            } => {
                let request = ToolRequest {
                    serial: 0,
                    call_id: call_id.clone(),
                    name: name.clone(),
                    arguments: arguments.clone(),
                };
                calls.insert(call_id.clone(), request);
            }
            HistoryItem::ToolResult {
                call_id,
                name,
                output,
                ..
            } if !known.contains(call_id) => {
                let request = calls
                    .remove(call_id)
                    .unwrap_or_else(|| forgotten_call(call_id.clone(), name.clone()));
                *item = note(&request, output);
            }
            HistoryItem::ToolResult { .. } | HistoryItem::Message { .. } => {}
        }
    }
    items.retain(|(_, item)| !matches!(item, HistoryItem::ToolCall { .. }));
}

fn shortened(mut item: HistoryItem) -> HistoryItem {
    match &mut item {
        HistoryItem::Message { text, .. } | HistoryItem::ToolResult { output: text, .. } => {
            if text.len() > ITEM {
                let end = (0..=ITEM).rev().find(|end| text.is_char_boundary(*end));
                text.truncate(end.unwrap_or(0));
                text.push_str(CUT);
            }
        }
        HistoryItem::ToolCall { arguments, .. } => {
            if arguments.len() > ITEM {
                CUT_ARGUMENTS.clone_into(arguments);
            }
        }
    }
    item
}

fn bytes_of(item: &HistoryItem) -> usize {
    match item {
        HistoryItem::Message { text, .. } => text.len(),
        HistoryItem::ToolCall { arguments, .. } => arguments.len(),
        HistoryItem::ToolResult { output, .. } => output.len(),
    }
}

#[cfg(test)]
mod tests;
