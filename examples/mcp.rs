//! Tools of an MCP server, which the AI calls like any other.
//!
//! `cargo run --example mcp` starts a small server as a program of its own: this one, in another
//! role. `cargo run --example mcp -- http://localhost:9998/mcp` takes the tools of yours, and says
//! which they are.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{
    env,
    error::Error,
    io::{self, BufRead, Write},
    sync::Arc,
};

use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    mcp::{McpServer, McpTools},
    mock::{EchoProvider, MockConnection, MockRealtimeTransport},
    provider::Role,
    tool::ToolSource,
    transport::ClientEvent,
};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = match env::args().nth(1).as_deref() {
        Some("serve") => return Ok(serve()?),
        Some(url) => McpServer::http(url),
        None => McpServer {
            name: "weather".into(),
            // So that two servers never clash.
            prefix: "weather_".into(),
            ..McpServer::process(env::current_exe()?.to_string_lossy(), ["serve"])
        },
    };

    // Connects, and finds out what there is.
    let tools = McpTools::connect([server]).await?;
    for tool in tools.tools().await? {
        println!("tool {}: {}", tool.name, tool.description);
    }
    tools.on_progress(|told| println!("{}: {:?}", told.tool, told.message));

    let provider = Arc::new(EchoProvider::default());
    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport)
        .system_prompt("You are a helpful assistant with access to tools.")
        .tool_source(Arc::new(tools.clone()))
        .build()?;

    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.create_room("tools").await?;
    kit.attach_channel("tools", "voice").await?;

    if env::args().nth(1).is_none() {
        let connection = MockConnection::new();
        let caller = connection.client();
        voice.start_session("tools", "ann", connection).await?;
        // The echo calls a tool when it is told to; a real model decides for itself.
        for (request, answer) in [
            (r#"use weather_get {"city": "Oslo"}"#, "snow"),
            // An error is what the model reads, and can tell the caller.
            (
                r#"use weather_get {"city": "Atlantis"}"#,
                "no weather station",
            ),
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
    }
    kit.close().await;
    // Ends the program, and waits until it is gone.
    tools.close().await;
    Ok(())
}

fn is_answer(message: &ServerMessage, part: &str) -> bool {
    matches!(
        message,
        ServerMessage::Transcription { text, role: Role::Assistant, is_final: true, .. }
            if text.contains(part)
    )
}

/// The server: one JSON message a line, in and out. Servers are written with a library for it; this
/// shows how little there is to the protocol.
fn serve() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "weather", "version": "1"},
            }),
            Some("tools/list") => json!({"tools": [{
                "name": "get",
                "description": "The weather in a city right now.",
                "inputSchema": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            }]}),
            Some("tools/call") => match message["params"]["arguments"]["city"].as_str() {
                Some("Oslo") => json!({
                    "content": [{"type": "text", "text": "snow, -3 degrees"}],
                    "structuredContent": {"sky": "snow", "celsius": -3},
                }),
                _ => json!({
                    "content": [{"type": "text", "text": "there is no weather station there"}],
                    "isError": true,
                }),
            },
            _ => json!({}),
        };
        // What has no id wants no answer.
        if message.get("id").is_some() {
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
            let mut output = io::stdout().lock();
            writeln!(output, "{answer}")?;
            output.flush()?;
        }
    }
    Ok(())
}
