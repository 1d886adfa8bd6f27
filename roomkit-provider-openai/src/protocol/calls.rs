//! Function calls: told in up to three events, reported once.

use std::collections::VecDeque;

use roomkit_core::{id::CallId, provider::ProviderEvent};

use super::{
    decode::malformed,
    message::{Flat, ItemBody, text_of},
    remember,
};

/// What is known of the function calls of a connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Calls that have begun, for servers that do not repeat the name at their end.
    announced: VecDeque<Announced>,
    /// Calls already reported: the end of each one is told twice.
    reported: VecDeque<CallId>,
}

#[derive(Debug)]
struct Announced {
    item_id: String,
    call_id: String,
    name: String,
}

impl Calls {
    /// `response.output_item.added`
    pub(super) fn announce(&mut self, item: &ItemBody<'_>) {
        if !is_function_call(item) {
            return;
        }
        let call = Announced {
            item_id: text_of(item.id.as_ref()).to_owned(),
            call_id: text_of(item.call_id.as_ref()).to_owned(),
            name: text_of(item.name.as_ref()).to_owned(),
        };
        remember(&mut self.announced, call);
    }

    /// `response.function_call_arguments.done`
    pub(super) fn arguments_done(&mut self, flat: &Flat<'_>) -> Option<ProviderEvent> {
        self.report(
            text_of(flat.item_id.as_ref()),
            text_of(flat.call_id.as_ref()),
            text_of(flat.name.as_ref()),
            text_of(flat.arguments.as_ref()),
        )
    }

    /// `response.output_item.done`
    pub(super) fn item_done(&mut self, item: &ItemBody<'_>) -> Option<ProviderEvent> {
        // A call that was interrupted while it was written is not a call.
        let is_whole = matches!(text_of(item.status.as_ref()), "" | "completed");
        if !is_whole || !is_function_call(item) {
            return None;
        }
        self.report(
            text_of(item.id.as_ref()),
            text_of(item.call_id.as_ref()),
            text_of(item.name.as_ref()),
            text_of(item.arguments.as_ref()),
        )
    }

    fn report(
        &mut self,
        item_id: &str,
        call_id: &str,
        name: &str,
        arguments: &str,
    ) -> Option<ProviderEvent> {
        let announced = self.announced.iter().rev().find(|announced| {
            !item_id.is_empty() && announced.item_id == item_id
                || !call_id.is_empty() && announced.call_id == call_id
        });
        let or_announced = |given: &str, field: fn(&Announced) -> &str| match given {
            "" => announced.map_or_else(String::new, |call| field(call).to_owned()),
            given => given.to_owned(),
        };
        let call_id = CallId::from(or_announced(call_id, |call| &call.call_id));
        let name = or_announced(name, |call| &call.name);
        if call_id.as_str().is_empty() {
            return Some(malformed("a function call", &"it has no call_id"));
        }
        if self.reported.contains(&call_id) {
            return None;
        }
        remember(&mut self.reported, call_id.clone());
        Some(ProviderEvent::ToolCall {
            call_id,
            name,
            arguments: arguments.to_owned(),
        })
    }
}

fn is_function_call(item: &ItemBody<'_>) -> bool {
    text_of(item.kind.as_ref()) == "function_call"
}
