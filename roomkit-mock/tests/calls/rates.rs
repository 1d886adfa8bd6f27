//! Rates that differ, over a hand-over (contracts A2 and H2).

use roomkit_core::{
    client_protocol::ServerMessage,
    error::{ProviderError, ProviderErrorKind},
    transport::{ClientCommand, LinkInfo},
};
use roomkit_mock::{MockRealtimeProvider, MockRealtimeTransport};

use crate::support::House;

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
