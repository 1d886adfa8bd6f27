//! The vendor's settings of channel, agent and session: how they go together, and what is refused
//! (contracts S5, S10), through the public API.

use std::sync::Arc;

use roomkit_core::{
    RealtimeVoiceChannel, SessionOptions,
    error::StartError,
    provider::{HistorySupport, RealtimeVoiceProvider, UpdateSupport, UpdateWay},
    voice::{Agent, RealtimeVoiceChannelBuilder, Updated},
};
use roomkit_mock::{
    MockConnection, MockRealtimeProvider, MockRealtimeTransport,
    echo::{EchoConfig, EchoProvider},
};
use serde_json::{Map, Value, json};

use crate::support::{House, ROOM, VOICE, lobby, settle, soon};

fn map(settings: &Value) -> Map<String, Value> {
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
            .provider_config(map(&json!({ "turn_detection": vad })))
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
            .provider_config(map(&json!({"codec": "pcmu"})))
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

fn echo(transport: &MockRealtimeTransport) -> RealtimeVoiceChannelBuilder {
    let provider = EchoProvider::new(EchoConfig::default()).unwrap();
    RealtimeVoiceChannel::builder(VOICE, Arc::new(provider), Arc::new(transport.clone()))
}

#[test]
fn s5_what_can_be_seen_to_be_wrong_with_a_channel_is_refused_when_it_is_built() {
    let wrong = |change: fn(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder| {
        let built = change(echo(&MockRealtimeTransport::new())).build();
        built.unwrap_err().to_string()
    };
    let error = wrong(|voice| voice.provider_config(map(&json!({"top_pp": 0.9}))));
    assert!(error.starts_with("provider_config.top_pp: "), "{error}");
    assert!(wrong(|voice| voice.voice(" ")).contains("voice"));
    assert!(wrong(|voice| voice.temperature(9.0)).contains("temperature"));
}

#[tokio::test(start_paused = true)]
async fn s5_what_can_be_seen_to_be_wrong_with_a_session_is_refused_before_its_client_is_accepted() {
    let transport = MockRealtimeTransport::new();
    let voice = echo(&transport).build().unwrap();
    let _kit = lobby(&voice).await;
    for (options, named) in [
        (
            SessionOptions::new().provider_config("top_pp", 0.9),
            "top_pp",
        ),
        (SessionOptions::new().voice(""), "voice"),
        (SessionOptions::new().temperature(-1.0), "temperature"),
    ] {
        let start = voice.start_session_with(ROOM, "ann", MockConnection::new(), options);
        let error = soon(start).await.unwrap_err();
        assert!(matches!(error, StartError::Config(_)), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
    assert!(transport.clients().is_empty());
    assert_eq!(voice.sessions(), []);
}
