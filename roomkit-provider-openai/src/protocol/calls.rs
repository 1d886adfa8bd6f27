//! Function calls: told in up to three events, reported once, and only if they are whole. What the user
//! or a limit cuts off has a last event for its arguments, too, with what there is of them.

use std::{collections::VecDeque, mem};

use roomkit_core::{id::CallId, provider::ProviderEvent};
use roomkit_dial::{Text, text_of};

use super::{
    decode::malformed,
    message::{Flat, ItemBody},
    remember,
};

/// What is known of the function calls of a connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Calls of the running response that are not known to be whole.
    open: VecDeque<Open>,
    /// Calls already reported: the end of each one is told twice.
    reported: VecDeque<CallId>,
}

#[derive(Debug, Default)]
struct Open {
    item_id: String,
    call_id: String,
    name: String,
    /// Once they have ended.
    arguments: Option<String>,
}

impl Calls {
    /// `response.output_item.added`
    pub(super) fn announce(&mut self, item: &ItemBody<'_>) {
        if !is_function_call(item) {
            return;
        }
        let call = Open {
            item_id: text_of(item.id.as_ref()).to_owned(),
            call_id: text_of(item.call_id.as_ref()).to_owned(),
            name: text_of(item.name.as_ref()).to_owned(),
            arguments: None,
        };
        remember(&mut self.open, call);
    }

    /// `response.function_call_arguments.done`
    pub(super) fn arguments_done(&mut self, flat: &Flat<'_>) -> Option<ProviderEvent> {
        let call = self.ended(
            flat.item_id.as_ref(),
            flat.call_id.as_ref(),
            flat.name.as_ref(),
            flat.arguments.as_ref(),
        );
        if call.call_id.is_empty() {
            return Some(without_id());
        }
        remember(&mut self.open, call);
        None
    }

    /// `response.output_item.done`
    pub(super) fn item_done(&mut self, item: &ItemBody<'_>) -> Option<ProviderEvent> {
        if !is_function_call(item) {
            return None;
        }
        let call = self.ended(
            item.id.as_ref(),
            item.call_id.as_ref(),
            item.name.as_ref(),
            item.arguments.as_ref(),
        );
        let is_whole = matches!(text_of(item.status.as_ref()), "" | "completed");
        is_whole.then(|| self.report(call)).flatten()
    }

    /// `response.done`: some servers end a call by its arguments alone.
    pub(super) fn response_done(
        &mut self,
        is_complete: bool,
        events: &mut VecDeque<ProviderEvent>,
    ) {
        for call in mem::take(&mut self.open) {
            if is_complete && call.arguments.is_some() {
                events.extend(self.report(call));
            }
        }
    }

    /// A call at its end, with what its beginning said of it.
    fn ended(
        &mut self,
        item_id: Option<&Text<'_>>,
        call_id: Option<&Text<'_>>,
        name: Option<&Text<'_>>,
        arguments: Option<&Text<'_>>,
    ) -> Open {
        let (item_id, call_id) = (text_of(item_id), text_of(call_id));
        let at = self.open.iter().rposition(|open| {
            !item_id.is_empty() && open.item_id == item_id
                || !call_id.is_empty() && open.call_id == call_id
        });
        let mut call = at.and_then(|at| self.open.remove(at)).unwrap_or_default();
        for (known, said) in [
            (&mut call.item_id, item_id),
            (&mut call.call_id, call_id),
            (&mut call.name, text_of(name)),
        ] {
            if !said.is_empty() {
                said.clone_into(known);
            }
        }
        if let Some(arguments) = arguments {
            call.arguments = Some(arguments.as_str().to_owned());
        }
        call
    }

    fn report(&mut self, call: Open) -> Option<ProviderEvent> {
        if call.call_id.is_empty() {
            return Some(without_id());
        }
        let call_id = CallId::from(call.call_id);
        if self.reported.contains(&call_id) {
            return None;
        }
        remember(&mut self.reported, call_id.clone());
        Some(ProviderEvent::ToolCall {
            call_id,
            name: call.name,
            arguments: call.arguments.unwrap_or_default(),
        })
    }
}

fn without_id() -> ProviderEvent {
    malformed("a function call", &"it has no call_id")
}

fn is_function_call(item: &ItemBody<'_>) -> bool {
    text_of(item.kind.as_ref()) == "function_call"
}
