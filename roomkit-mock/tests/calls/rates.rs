//! Rates that differ, over a hand-over (contracts A2 and H2).

use std::sync::Arc;

use roomkit_core::{
    RealtimeVoiceChannel,
    client_protocol::ServerMessage,
    error::{ProviderError, ProviderErrorKind, StartError},
    provider::{ProviderCapabilities, RealtimeVoiceProvider},
    transport::{ClientCommand, LinkInfo},
};
use roomkit_mock::{MockConnection, MockRealtimeProvider, MockRealtimeTransport};

use crate::support::{House, ROOM, soon};

#[tokio::test(start_paused = true)]
async fn a2_rates_that_a_provider_cannot_mean_are_refused_before_and_when_it_connects() {
    let rates = |input, output| {
        let mut capabilities = MockRealtimeProvider::new().capabilities();
        (capabilities.input_rate, capabilities.output_rate) = (input, output);
        capabilities
    };
    for (bad, field) in [
        (rates(47_999, 24_000), "capabilities.input_rate: 47999 Hz"),
        (rates(24_000, 0), "capabilities.output_rate: 0 Hz"),
    ] {
        let built = |capabilities: &ProviderCapabilities| {
            let provider = MockRealtimeProvider::new().with_capabilities(capabilities.clone());
            let transport = Arc::new(MockRealtimeTransport::new());
            RealtimeVoiceChannel::builder("v", Arc::new(provider), transport).build()
        };
        let refused = built(&bad).unwrap_err().to_string();
        let named = format!("provider.{field}; must be from 8000 to 48000");
        assert!(refused.starts_with(&named), "{refused}");

        let provider = MockRealtimeProvider::new().with_connection_capabilities(bad);
        let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
        let start = house
            .voice
            .start_session(ROOM, "ann", MockConnection::new());
        let error = soon(start).await.unwrap_err();
        let StartError::Provider(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig);
        assert!(error.message().contains(field), "{error}");
        assert_eq!(house.provider.open_connections(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a2_rates_that_a_client_cannot_mean_are_refused_whatever_its_transport_says() {
    let transport = MockRealtimeTransport::new().with_link(LinkInfo::new(24_000, 11_111));
    let house = House::of(MockRealtimeProvider::new(), transport, |voice| voice).await;
    let start = house
        .voice
        .start_session(ROOM, "ann", MockConnection::new());
    let error = soon(start).await.unwrap_err();
    assert!(matches!(error, StartError::Transport(_)), "{error}");
    let told = error.to_string();
    assert!(told.contains("link.output_rate: 11111 Hz"), "{told}");
    assert_eq!(house.transport.open_links(), 0);
    assert_eq!(house.provider.connects().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn h2_a2_what_still_plays_is_resampled_without_a_cut() {
    let provider = MockRealtimeProvider::new();
    let transport = MockRealtimeTransport::new().with_link(LinkInfo::new(24_000, 16_000));
    let house = House::of(provider, transport, |voice| voice).await;
    let call = house.call().await;
    call.ai.simulate_response_start(Some("r"));
    let steady = 1000_i16.to_le_bytes().repeat(48_000);
    call.ai.simulate_item_audio("item", steady);
    call.client.wait_for_audio(16_000).await;
    let cut = ProviderError::new(ProviderErrorKind::Network, "cut");
    call.ai.simulate_closed(Some(cut));
    call.client
        .wait_for_message(|m| matches!(m, ServerMessage::Reconnected))
        .await;
    let so_far = call.client.audio().concat().len();
    assert!(so_far < 60_000, "much of it is still to be played");
    let end = |c: &ClientCommand| matches!(c, ClientCommand::EndOfResponse);
    call.client.wait_for_command(end).await;
    let audio = call.client.audio().concat();
    let heard: Vec<i16> = audio
        .chunks_exact(2)
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
        .collect();
    assert_eq!(heard.len(), 32_000, "two seconds");
    let uneven = heard[100..31_900]
        .iter()
        .position(|sample| sample.abs_diff(1000) > 5);
    assert_eq!(uneven, None, "it is as steady as it was sent");
}
