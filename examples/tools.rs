//! A tool that the AI calls: declared with a schema, run by a handler.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc};

use roomkit::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    mock::{EchoProvider, MockConnection, MockRealtimeTransport},
    provider::Role,
    tool::{ToolDefinition, ToolError, ToolOutput},
    transport::ClientEvent,
};
use serde_json::{Map, Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let weather = ToolDefinition::new(
        "get_weather",
        "The weather in a city right now.",
        json!({
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": false,
        }),
    );
    let provider = Arc::new(EchoProvider::default());
    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport)
        .tool(weather)
        .tool_handler(handle_tool)
        .build()?;

    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.create_room("tools").await?;
    kit.attach_channel("tools", "voice").await?;

    let connection = MockConnection::new();
    let caller = connection.client();
    voice.start_session("tools", "ann", connection).await?;

    // The echo calls a tool when it is told to; a real model decides for itself.
    for (request, answer) in [
        (r#"use get_weather {"city": "Oslo"}"#, "snow"),
        // The handler's error is what the model reads; it can tell the caller, or try again.
        (
            r#"use get_weather {"city": "Atlantis"}"#,
            "no weather station",
        ),
        // What does not satisfy the schema never reaches the handler.
        (r#"use get_weather {"town": "Oslo"}"#, "town"),
    ] {
        println!("\ncaller: {request}");
        caller.send(ClientEvent::Text(request.into()));
        let said = caller
            .wait_for_message(|message| is_answer(message, answer))
            .await;
        if let ServerMessage::Transcription { text, .. } = said {
            println!("AI: {text}");
        }
    }
    kit.close().await;
    Ok(())
}

/// The channel's handler, asked for every tool that has none of its own.
async fn handle_tool(
    session: RealtimeSession,
    name: String,
    arguments: Map<String, Value>,
) -> Result<ToolOutput, ToolError> {
    println!(
        "{name} is called for {}: {arguments:?}",
        session.participant_id()
    );
    match arguments.get("city").and_then(Value::as_str) {
        Some("Oslo") => Ok(json!({"sky": "snow", "celsius": -3}).into()),
        _ => Err(ToolError::new("there is no weather station in that city")),
    }
}

fn is_answer(message: &ServerMessage, part: &str) -> bool {
    matches!(
        message,
        ServerMessage::Transcription { text, role: Role::Assistant, is_final: true, .. }
            if text.contains(part)
    )
}
