//! A link that always has a frame ready keeps nobody else of the call out (contract A6).
//!
//! Each flood is there before what must pass it, and is long: what comes only at its end, when there is nothing
//! left to be passed, was kept out.

use std::time::Duration;

use roomkit_core::{
    client_protocol::{ServerMessage, ToolCallStatus},
    provider::{ProviderCommand, Role},
    tool::{Tool, ToolDefinition},
    transport::ClientEvent,
};
use roomkit_mock::Gate;
use serde_json::json;

use crate::support::{Call, House, ms, pcm, settle, soon};

const FRAMES: usize = 5000;

/// Who floods the call, with frames so short that nothing is too much to be kept. The last of them makes the call
/// say something at once, which shows that the flood is over.
#[derive(Debug, Clone, Copy)]
enum Flood {
    Client,
    Provider,
    Both,
}

impl Flood {
    const ALL: [Self; 3] = [Self::Client, Self::Provider, Self::Both];

    fn begin(self, call: &Call) {
        if matches!(self, Self::Client | Self::Both) {
            for _ in 0..FRAMES {
                call.client.send_audio(pcm(ms(1)));
            }
            call.client.send(ClientEvent::Ping(None));
        }
        if matches!(self, Self::Provider | Self::Both) {
            call.ai.simulate_response_start(Some("flood"));
            for _ in 0..FRAMES {
                call.ai.simulate_item_audio("flood", pcm(ms(1)));
            }
            call.ai.simulate_speech_start(None);
        }
    }

    /// Whether each link that floods still has frames to give.
    fn goes_on(self, call: &Call) -> bool {
        let client_goes_on = pongs(call) == 0;
        let provider_goes_on = call.ai.truncations().is_empty();
        match self {
            Self::Client => client_goes_on,
            Self::Provider => provider_goes_on,
            Self::Both => client_goes_on && provider_goes_on,
        }
    }

    #[track_caller]
    fn assert_passed_by(self, call: &Call, what: &str) {
        assert!(
            self.goes_on(call),
            "{what} had to wait for the end of a flood ({self:?})"
        );
    }
}

fn pongs(call: &Call) -> usize {
    let messages = call.client.messages().into_iter();
    messages
        .filter(|message| matches!(message, ServerMessage::Pong { .. }))
        .count()
}

/// A tool `lamp` that answers once the gate is open.
fn lamp(gate: &Gate) -> Tool {
    let gate = gate.clone();
    let definition = ToolDefinition::new("lamp", "", json!({"type": "object"}));
    Tool::new(definition, move |_, _, _| {
        let gate = gate.clone();
        async move {
            gate.wait().await;
            Ok("on".into())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a6_the_other_link_passes_a_flood() {
    let house = House::new().await;
    let call = house.call().await;
    Flood::Client.begin(&call);
    call.ai.simulate_response_start(Some("answer"));
    call.ai.simulate_item_audio("answer", pcm(ms(100)));
    call.client.wait_for_audio(pcm(ms(100)).len()).await;
    Flood::Client.assert_passed_by(&call, "the AI's voice");

    let call = house.call().await;
    Flood::Provider.begin(&call);
    call.client.send_audio(pcm(ms(20)));
    call.ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Audio(_)))
        .await;
    Flood::Provider.assert_passed_by(&call, "the caller's voice");
}

#[tokio::test(start_paused = true)]
async fn a6_two_floods_are_taken_in_turns() {
    let house = House::new().await;
    let call = house.call().await;
    Flood::Provider.begin(&call);
    for _ in 0..2 * FRAMES {
        call.client.send(ClientEvent::Ping(None));
    }
    call.ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Truncate { .. }))
        .await;
    let share = FRAMES * 3 / 4..=FRAMES * 5 / 4;
    assert!(
        share.contains(&pongs(&call)),
        "{} of {FRAMES}",
        pongs(&call)
    );
}

#[tokio::test(start_paused = true)]
async fn a6_a_tools_result_passes_a_flood() {
    for flood in Flood::ALL {
        let gate = Gate::closed();
        let house = House::with(|voice| voice.tool(lamp(&gate))).await;
        let call = house.call().await;
        call.ai.simulate_tool_call("c1", "lamp", "{}");
        call.client
            .wait_for_message(|message| {
                matches!(
                    message,
                    ServerMessage::ToolCall {
                        status: ToolCallStatus::Started,
                        ..
                    }
                )
            })
            .await;
        flood.begin(&call);
        gate.open();
        call.ai
            .wait_for_command(|command| matches!(command, ProviderCommand::ToolResult { .. }))
            .await;
        flood.assert_passed_by(&call, "a tool's result");
    }
}

#[tokio::test(start_paused = true)]
async fn a6_a_whole_tool_call_passes_the_clients_flood() {
    let gate = Gate::opened();
    let house = House::with(|voice| voice.tool(lamp(&gate))).await;
    let call = house.call().await;
    Flood::Client.begin(&call);
    call.ai.simulate_tool_call("c1", "lamp", "{}");
    call.ai
        .wait_for_command(|command| matches!(command, ProviderCommand::ToolResult { .. }))
        .await;
    Flood::Client.assert_passed_by(&call, "the call, its hooks or its result");
}

#[tokio::test(start_paused = true)]
async fn a6_the_hosts_commands_pass_a_flood() {
    for flood in Flood::ALL {
        let house = House::new().await;
        let call = house.call().await;
        flood.begin(&call);
        house
            .voice
            .inject_text(&call.session, "be brief", Role::System, false)
            .unwrap();
        call.ai
            .wait_for_command(|command| matches!(command, ProviderCommand::Text { .. }))
            .await;
        flood.assert_passed_by(&call, "a text of the host");

        soon(house.voice.end_session(&call.session)).await;
        flood.assert_passed_by(&call, "the end of the session");
        assert_eq!(call.client.close_reasons(), ["host"]);
    }
}

/// The clock of a test stands still while there is something to do, and in a flood there is.
async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

/// The machine looks at the clock with every frame, so this needs no timer.
#[tokio::test(start_paused = true)]
async fn a6_s6_a_limit_is_kept_in_a_flood() {
    for flood in Flood::ALL {
        let house = House::with(|voice| voice.max_duration(ms(30_000))).await;
        let call = house.call().await;
        settle().await;
        flood.begin(&call);
        pass(ms(30_000)).await;
        assert_eq!(call.client.wait_for_close().await, "max_duration");
        flood.assert_passed_by(&call, "the limit");
    }
}

#[tokio::test(start_paused = true)]
async fn a6_a_client_that_takes_nothing_is_noticed_in_the_providers_flood() {
    let house = House::new().await;
    let call = house.call().await;
    settle().await;
    call.client.stall();
    call.client.send(ClientEvent::Ping(None));
    settle().await;
    Flood::Provider.begin(&call);
    pass(ms(10_000)).await;
    call.ai.wait_for_close().await;
    Flood::Provider.assert_passed_by(&call, "the end of the session");
}

#[tokio::test(start_paused = true)]
async fn a6_h5_a_provider_that_takes_nothing_is_noticed_in_the_clients_flood() {
    let house = House::new().await;
    let call = house.call().await;
    settle().await;
    call.ai.stall();
    call.client.send_audio(pcm(ms(20)));
    settle().await;
    Flood::Client.begin(&call);
    pass(ms(10_000)).await;
    call.client
        .wait_for_message(|message| *message == ServerMessage::Reconnecting)
        .await;
    Flood::Client.assert_passed_by(&call, "another connection");
}
