//! What a connection to the mock says, at the test's word.

use std::fmt;

use bytes::Bytes;
use roomkit_core::{
    id::{CallId, ItemId, ResponseId},
    provider::{ProviderError, ProviderErrorKind, ProviderEvent, ResponseStatus, Role},
};

use super::MockProviderConnection;

/// What it says.
impl MockProviderConnection {
    /// Says anything.
    pub fn simulate(&self, event: ProviderEvent) {
        self.say(event);
    }

    /// A piece of the running answer, of item `item_1`.
    pub fn simulate_audio(&self, pcm: impl Into<Bytes>) {
        self.simulate_item_audio("item_1", pcm);
    }

    /// A piece of the running answer, of this item.
    pub fn simulate_item_audio(&self, item_id: impl Into<ItemId>, pcm: impl Into<Bytes>) {
        self.simulate(ProviderEvent::Audio {
            response_id: None,
            item_id: Some(item_id.into()),
            content_index: 0,
            pcm: pcm.into(),
        });
    }

    /// Words of either side.
    pub fn simulate_transcription(
        &self,
        text: impl Into<String>,
        role: Role,
        is_final: bool,
        item_id: Option<&str>,
    ) {
        self.simulate(ProviderEvent::Transcript {
            role,
            item_id: item_id.map(ItemId::from),
            text: text.into(),
            is_final,
        });
    }

    /// The user begins to speak.
    pub fn simulate_speech_start(&self, item_id: Option<&str>) {
        let item_id = item_id.map(ItemId::from);
        self.simulate(ProviderEvent::SpeechStarted { item_id });
    }

    /// The user stops speaking.
    pub fn simulate_speech_end(&self, item_id: Option<&str>) {
        let item_id = item_id.map(ItemId::from);
        self.simulate(ProviderEvent::SpeechStopped { item_id });
    }

    /// The model wants a tool.
    pub fn simulate_tool_call(
        &self,
        call_id: impl Into<CallId>,
        name: impl Into<String>,
        arguments: impl fmt::Display,
    ) {
        self.simulate(ProviderEvent::ToolCall {
            call_id: call_id.into(),
            name: name.into(),
            arguments: arguments.to_string(),
        });
    }

    /// The model wants these calls no more.
    pub fn simulate_tool_calls_cancelled(&self, call_ids: &[&str]) {
        let call_ids = call_ids.iter().map(|id| CallId::from(*id)).collect();
        self.simulate(ProviderEvent::ToolCallsCancelled { call_ids });
    }

    /// A response begins.
    pub fn simulate_response_start(&self, response_id: Option<&str>) {
        let response_id = response_id.map(ResponseId::from);
        self.simulate(ProviderEvent::ResponseStarted { response_id });
    }

    /// A response is over, said in full.
    pub fn simulate_response_end(&self, response_id: Option<&str>) {
        self.simulate_response_end_with(response_id, ResponseStatus::Completed);
    }

    /// A response is over.
    pub fn simulate_response_end_with(&self, response_id: Option<&str>, status: ResponseStatus) {
        self.simulate(ProviderEvent::ResponseEnded {
            response_id: response_id.map(ResponseId::from),
            status,
            usage: None,
        });
    }

    /// Something went wrong; the connection goes on.
    pub fn simulate_error(&self, kind: ProviderErrorKind, code: &str, message: &str) {
        let error = ProviderError::new(kind, message).with_code(code);
        self.simulate(ProviderEvent::Error(error));
    }

    /// The vendor closes the connection, for this reason or for none.
    pub fn simulate_closed(&self, error: Option<ProviderError>) {
        self.simulate(ProviderEvent::Closed(error));
    }
}
