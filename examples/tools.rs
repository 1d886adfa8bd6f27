//! Two tools that the AI calls: one is a Rust function of typed arguments, which also reports how far
//! it is; the other is declared with a schema of its own and answered by the channel's handler.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc, time::Duration};

use roomkit::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    mock::{EchoProvider, MockConnection, MockRealtimeTransport},
    provider::Role,
    schemars::{self, JsonSchema},
    tool::{Tool, ToolDefinition, ToolError, ToolInvocation, ToolOutput, ToolRules},
    transport::ClientEvent,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the model says when it books a table. The comments are what it knows of each field.
#[derive(Deserialize, JsonSchema)]
struct Booking {
    /// The time, as in 19:30.
    time: String,
    /// How many will come.
    guests: u8,
}

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
    // One at a time, and not so long that the caller hangs up.
    let rules = ToolRules::new()
        .timeout(Duration::from_secs(10))
        .parallel(1);
    let book = Tool::typed("book_table", "Books a table for tonight.", book_table).rules(rules);

    let provider = Arc::new(EchoProvider::default());
    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport)
        .tool(book)
        .tool(weather)
        .tool_handler(handle_tool)
        .build()?;
    voice.on_tool_progress(|told| async move { println!("{}: {}", told.name, told.progress) });

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
        (r#"use book_table {"time": "19:30", "guests": 4}"#, "19:30"),
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

/// Called with arguments that satisfy the schema of their type.
async fn book_table(call: ToolInvocation, booking: Booking) -> Result<Value, ToolError> {
    call.report("asking the kitchen");
    if booking.guests > 8 {
        return Err(ToolError::new("there is no table for more than 8"));
    }
    Ok(json!({"booked": booking.time}))
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
