//! Function calls.

use roomkit_core::{id::CallId, provider::ProviderEvent};
use roomkit_dial::text_of;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::message::FunctionCall;

/// How ids begin that are ours. The vendor must not see them.
const OURS: &str = "roomkit-call-";

/// Names calls that come without an id.
#[derive(Debug)]
pub(super) struct Calls {
    /// Of this connection: a call must not be taken for one of another connection.
    prefix: String,
    named: u64,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            prefix: format!("{OURS}{}", Uuid::new_v4().simple()),
            named: 0,
        }
    }

    pub(super) fn event(&mut self, call: &FunctionCall<'_>) -> ProviderEvent {
        let call_id = match text_of(call.id.as_ref()) {
            "" => {
                self.named += 1;
                format!("{}-{}", self.prefix, self.named)
            }
            id => id.to_owned(),
        };
        ProviderEvent::ToolCall {
            call_id: CallId::from(call_id),
            name: text_of(call.name.as_ref()).to_owned(),
            arguments: call.args.map_or("{}", RawValue::get).to_owned(),
        }
    }
}

/// The id as the vendor knows it, if it gave one.
pub(super) fn vendors_id(call_id: &CallId) -> Option<&str> {
    let id = call_id.as_str();
    (!id.is_empty() && !id.starts_with(OURS)).then_some(id)
}
