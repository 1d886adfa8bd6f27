//! Tells of tool calls: observers, the room, the client, and the call itself, which may run them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{FromPublisher, Publisher};
use crate::{
    call::io::ToolRequest,
    client_protocol::{ServerMessage, ToolCallStatus},
    ephemeral::EphemeralKind,
    event::{RealtimeToolCallEvent, RealtimeToolProgressEvent},
    framework::{FrameworkEvent, FrameworkEventKind},
    id::CallId,
    kit::RoomKit,
    provider::Role,
};

impl Publisher {
    pub(super) async fn tool_call(&self, kit: &RoomKit, at: Timestamp, request: ToolRequest) {
        let ToolRequest {
            serial,
            call_id,
            name,
            arguments,
        } = request;
        let session = self.session.clone();
        let event = || RealtimeToolCallEvent {
            session,
            tool_call_id: call_id.clone(),
            name: name.clone(),
            arguments: match serde_json::from_str(&arguments) {
                Ok(Value::Object(arguments)) => arguments,
                _ => Map::from_iter([("raw".to_owned(), Value::String(arguments))]),
            },
            timestamp: at,
        };
        self.shared.observers.tool_call.tell(event).await;
        self.tool_status(kit, at, call_id, name, ToolCallStatus::Started)
            .await;
        let _ = self.call.send(FromPublisher::ToolCleared(serial)).await;
    }

    pub(super) async fn tool_progress(
        &self,
        kit: &RoomKit,
        at: Timestamp,
        call_id: CallId,
        name: String,
        progress: String,
    ) {
        self.show(kit, EphemeralKind::ToolCall, Role::Assistant, at, |event| {
            event
                .data("tool_call_id", call_id.as_str())
                .data("name", name.as_str())
                .data("status", "running")
                .data("progress", progress.as_str())
        });
        let session = self.session.clone();
        let event = || RealtimeToolProgressEvent {
            session,
            tool_call_id: call_id,
            name,
            progress,
            timestamp: at,
        };
        self.shared.observers.tool_progress.tell(event).await;
    }

    /// Counts a call that is over. A name that is none of a tool's may be words of the caller, and is in
    /// no event (contract X6).
    pub(super) fn tool_ended(
        &self,
        kit: &RoomKit,
        call_id: &CallId,
        name: Option<&str>,
        status: ToolCallStatus,
    ) {
        if let Some(outcome) = outcome(status) {
            metrics::counter!("roomkit_tool_calls_total", "outcome" => outcome).increment(1);
            kit.emit(
                FrameworkEvent::new(FrameworkEventKind::ToolCall)
                    .room(self.session.room_id())
                    .channel(self.session.channel_id())
                    .session(self.session.id())
                    .data("tool_call_id", call_id.as_str())
                    .data("tool_name", name)
                    .data("outcome", outcome),
            );
        }
    }

    pub(super) async fn tool_status(
        &self,
        kit: &RoomKit,
        at: Timestamp,
        call_id: CallId,
        name: String,
        status: ToolCallStatus,
    ) {
        self.show(kit, EphemeralKind::ToolCall, Role::Assistant, at, |event| {
            event
                .data("tool_call_id", call_id.as_str())
                .data("name", name.as_str())
                .data("status", serde_json::to_value(status).unwrap_or_default())
        });
        self.to_client(ServerMessage::ToolCall {
            call_id,
            name,
            status,
        })
        .await;
    }
}

/// How a call ended, if it has.
fn outcome(status: ToolCallStatus) -> Option<&'static str> {
    match status {
        ToolCallStatus::Started => None,
        ToolCallStatus::Completed => Some("completed"),
        ToolCallStatus::Failed => Some("failed"),
        ToolCallStatus::Cancelled => Some("cancelled"),
    }
}
