//! Calls that the AI ends (contract S11), and what keeps a channel alive (contract S7).

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use roomkit_core::{
    WeakRealtimeVoiceChannel,
    provider::{ProviderCommand, Role},
    tool::{Tool, ToolDefinition},
};
use roomkit_mock::provider::answer;
use tokio::time::Instant;

use crate::support::{House, ms, settle};

/// A tool by which the AI hangs up, and where it finds its channel.
fn hang_up() -> (Tool, Arc<OnceLock<WeakRealtimeVoiceChannel>>) {
    let voice = Arc::new(OnceLock::<WeakRealtimeVoiceChannel>::new());
    let of_tool = Arc::clone(&voice);
    let tool = Tool::new(
        ToolDefinition::new("hang_up", "", serde_json::json!({"type": "object"})),
        move |session, _, _| {
            let voice = of_tool.get().unwrap().upgrade().unwrap();
            async move {
                voice.end_session_when_idle(&session, ms(5000));
                Ok("say goodbye".into())
            }
        },
    );
    (tool, voice)
}

#[tokio::test(start_paused = true)]
async fn s11_the_ai_says_goodbye_to_the_tool_that_hangs_up_and_is_heard_to_the_end() {
    let (tool, voice) = hang_up();
    let house = House::with(|voice| voice.tool(tool)).await;
    voice.set(house.voice.downgrade()).unwrap();
    let call = house.call().await;
    call.ai.simulate_response_start(None);
    call.ai.simulate_tool_call("c1", "hang_up", "{}");
    call.ai.simulate_response_end(None);
    call.ai
        .wait_for_command(|c| *c == ProviderCommand::Respond)
        .await;
    // It takes its time.
    tokio::time::sleep(ms(800)).await;
    for event in answer("bye", "goodbye", ms(1000)) {
        call.ai.simulate(event);
    }
    let answered = Instant::now();
    assert_eq!(call.client.wait_for_close().await, "host");
    let heard: usize = call.client.audio().iter().map(Bytes::len).sum();
    assert_eq!(heard, 48_000, "all of a second at 24 kHz");
    let ended = answered.elapsed();
    assert!(ended >= ms(1000), "it was cut off after {ended:?}");
    assert!(ended < ms(2000), "it ended after {ended:?}");
    settle().await;
    house.assert_nothing_left();
    drop((call, house));
    settle().await;
    assert!(
        voice.get().unwrap().upgrade().is_none(),
        "its tool keeps the channel alive"
    );
}

#[tokio::test(start_paused = true)]
async fn s11_a_call_that_is_not_idle_in_time_is_ended_all_the_same() {
    let house = House::new().await;
    let call = house.call().await;
    let began = Instant::now();
    call.ai.simulate_response_start(None);
    settle().await;
    house.voice.end_session_when_idle(&call.session, ms(5000));
    assert_eq!(call.client.wait_for_close().await, "host");
    assert!(began.elapsed() >= ms(5000));
    // It is over: nothing comes of this.
    house.voice.end_session_when_idle(&call.session, ms(5000));
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn s11_a6_a_call_that_has_much_to_take_ends_behind_it() {
    let house = House::new().await;
    let call = house.call().await;
    while house
        .voice
        .inject_text(&call.session, "note", Role::System, true)
        .is_ok()
    {}
    house.voice.end_session_when_idle(&call.session, ms(5000));
    assert_eq!(call.client.wait_for_close().await, "host");
    house.assert_nothing_left();
}
