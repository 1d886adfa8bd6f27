//! A triage agent that hands the caller to a billing agent, and back; each with instructions, a
//! voice, tools and a greeting of its own.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, sync::Arc};

use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    mock::{
        MockClient, MockConnection, MockRealtimeTransport,
        fake_openai::{FakeOpenAi, Reply},
    },
    openai::{OpenAIConfig, OpenAIRealtimeProvider},
    provider::Role,
    tool::{Tool, ToolDefinition},
    voice::{Agent, DeliveryStrategy},
};
use serde_json::{Map, Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A fake of the vendor's server, which needs no key and says what it is told to.
    let vendor = FakeOpenAi::builder()
        .reply(Reply::speech("Welcome to Acme. What can I do?", 200))
        .reply(Reply::tool_call("hand_off", TO_BILLING))
        .reply(Reply::speech("Billing here. Which invoice?", 200))
        .reply(Reply::tool_call("invoice", r#"{"number": 7}"#))
        .reply(Reply::speech("Invoice 7 is paid.", 200))
        .reply(Reply::speech("Your receipt is in your inbox.", 200))
        .reply(Reply::tool_call("hand_off", r#"{"agent": "triage"}"#))
        .reply(Reply::speech("Anything else?", 200))
        .start()
        .await?;
    let provider = Arc::new(OpenAIRealtimeProvider::new(OpenAIConfig {
        api_key: Some("a-key".into()),
        base_url: vendor.url(),
        ..OpenAIConfig::default()
    })?);

    let triage = Agent::new("triage", "Find out what the caller needs.")
        .about("finds out what a caller needs")
        .voice("marin")
        .greeting("Welcome to Acme. What can I do?")
        .hands_off_to(["billing"]);
    let billing = Agent::new("billing", "You answer questions about invoices.")
        .about("invoices and payments")
        .voice("cedar")
        .greeting("Billing here. Which invoice?")
        .tool(invoice())
        .hands_off_to(["triage"]);

    let transport = Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport)
        .agents([triage, billing])
        .first_agent("triage")
        .build()?;
    voice.on_agent_change(async |change| {
        let name = |agent: Option<Arc<str>>| agent.unwrap_or_else(|| "nobody".into());
        println!("-- {} hands over to {}", name(change.from), name(change.to));
    });
    voice.on_transcription(async |said| {
        if said.is_final && said.role == Role::Assistant {
            let agent = said.session.agent().unwrap_or_default();
            println!("{agent}: {}", said.text);
        }
    });

    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.create_room("support-1").await?;
    kit.attach_channel("support-1", "voice").await?;
    let connection = MockConnection::new();
    let caller = connection.client();
    let session = voice.start_session("support-1", "ann", connection).await?;
    hears(&caller, "Welcome to Acme").await;

    // The voice was heard already, and the vendor changes it only by another connection: the
    // conversation moves to one, and the caller hears the next agent answer.
    println!("caller: I have a question about an invoice.");
    let ask = |text: &str| voice.inject_text(&session, text, Role::User, false);
    ask("I have a question about an invoice.")?;
    hears(&caller, "Which invoice?").await;
    println!("caller: Number 7.");
    ask("Number 7.")?;
    hears(&caller, "is paid").await;

    // Words that nobody asked for wait until nobody speaks.
    let news = "The receipt was just sent. Tell the caller.";
    let wait = DeliveryStrategy::WAIT_FOR_IDLE;
    let delivered = voice.deliver("support-1", news, wait).await?;
    println!("-- news for {} session", delivered.sessions);
    hears(&caller, "receipt").await;

    println!("caller: Thank you, that is all.");
    ask("Thank you, that is all.")?;
    hears(&caller, "Anything else?").await;
    println!("agents changed: {}", session.stats().agent_changes);
    kit.close().await;
    vendor.shutdown().await;
    Ok(())
}

const TO_BILLING: &str = r#"{"agent": "billing", "reason": "a question about an invoice"}"#;

fn invoice() -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
    });
    let definition = ToolDefinition::new("invoice", "Looks up an invoice.", parameters);
    Tool::new(definition, |_, _, arguments: Map<String, Value>| {
        println!("-- invoice {}", arguments["number"]);
        async { Ok(json!({"state": "paid"}).into()) }
    })
}

async fn hears(caller: &MockClient, part: &str) {
    let is_it = |message: &ServerMessage| {
        matches!(
            message,
            ServerMessage::Transcription { text, role: Role::Assistant, is_final: true, .. }
                if text.contains(part)
        )
    };
    caller.wait_for_message(is_it).await;
}
