//! The vendor's settings of channel, agent and session, and how they go together (contracts S5, S10),
//! through the public API.

use roomkit_core::{
    SessionOptions,
    provider::{HistorySupport, RealtimeVoiceProvider, UpdateSupport, UpdateWay},
    voice::{Agent, Updated},
};
use roomkit_mock::{MockRealtimeProvider, MockRealtimeTransport};
use serde_json::{Map, Value, json};

use crate::support::{House, settle, soon};

fn map(settings: Value) -> Map<String, Value> {
    settings.as_object().cloned().unwrap()
}

/// What each connection was set up with: all layers of the vendor's settings that say something.
fn layers(provider: &MockRealtimeProvider) -> Vec<Vec<Value>> {
    let setups = provider.connects().into_iter();
    setups
        .map(|setup| {
            let layers = setup.provider_layers().filter(|layer| !layer.is_empty());
            layers.map(|layer| json!(layer)).collect()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn s10_a_session_begins_as_an_agent_with_the_settings_of_one_that_becomes_it() {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.updates = UpdateSupport::all(UpdateWay::NewConnection);
    capabilities.history = HistorySupport::Full;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let slow = json!({"silence_duration_ms": 900});
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        let vad = json!({"type": "server_vad", "threshold": 0.7});
        voice
            .provider_config(map(json!({ "turn_detection": vad })))
            .agents([Agent::new("slow", "take your time").provider_config("turn_detection", slow)])
    })
    .await;
    let becomes = house.call().await;
    let done = soon(house.voice.hand_off(&becomes.session, "slow")).await;
    assert_eq!(done, Ok(Updated::OnHandOver));
    house.provider.wait_for_attempts(2).await;
    settle().await;
    house.call_with(SessionOptions::new().agent("slow")).await;

    let layers = layers(&house.provider);
    let [_, of_who_became_it, of_who_began_as_it] = &layers[..] else {
        panic!("{layers:?}");
    };
    assert_eq!(of_who_began_as_it, of_who_became_it);
    assert_eq!(of_who_began_as_it.len(), 2, "only the provider merges them");
}

#[tokio::test(start_paused = true)]
async fn s5_the_settings_of_a_session_are_a_layer_over_those_of_channel_and_agent() {
    let house = House::with(|voice| {
        voice
            .provider_config(map(json!({"codec": "pcmu"})))
            .agents([Agent::new("slow", "take your time").provider_config("speed", 0.9)])
    })
    .await;
    let options = SessionOptions::new()
        .agent("slow")
        .provider_config("input_codec", "pcm");
    house.call_with(options).await;
    // In one map the first and the last would exclude each other (OpenAI).
    let expected = [
        json!({"codec": "pcmu"}),
        json!({"speed": 0.9}),
        json!({"input_codec": "pcm"}),
    ];
    assert_eq!(layers(&house.provider), [expected]);
}
