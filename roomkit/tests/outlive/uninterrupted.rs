//! Callers who cannot interrupt the AI, on whatever connection it is (contract A3).

use std::sync::Arc;

use roomkit::{
    RealtimeVoiceChannel, audio, error::ConfigError, event::ResponsePhase,
    mock::MockRealtimeTransport, registry::Registry,
};
use serde_json::json;

use crate::support::{Setup, Vendor, ms, with_both};

#[tokio::test]
async fn a3_where_interruptions_are_off_the_vendor_goes_on_too() {
    with_both(|vendor| async move {
        let setup = Setup::new(vendor)
            // An answer is still being made while it is heard, so that it can be cut short.
            .openai(|fake| fake.speed(1.0))
            .gemini(|fake| fake.speed(1.0).real_time_turns(true))
            .channel(|channel| channel.interruptions(false));
        let house = setup.open().await;
        let call = house.call().await;
        let whole = audio::bytes_for(ms(2_000), 24_000);
        for connection in 0..2 {
            let answer = format!("It is noon, for the {connection} th time.");
            house.fake.will_say(&answer, 2_000);
            let before = call.played();
            call.voice.say(ms(400)).await;
            call.client.wait_for_audio(before + 9_600).await;
            call.voice.say(ms(400)).await;
            call.client.wait_for_audio(before + whole).await;
            call.hears(&answer).await;
            house.wait_for_responses(connection + 1).await;
            if connection == 0 {
                house.voice.hand_over(&call.session).unwrap();
                house.wait_for_hand_overs(1).await;
            }
        }
        let responses = house.responses.all();
        let all_whole = responses
            .iter()
            .all(|phase| *phase == ResponsePhase::Completed);
        assert!(all_whole, "{responses:?}");
        assert_eq!(call.clears(), 0);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn a3_a_provider_whose_settings_interrupt_is_refused_for_a_channel_that_allows_none() {
    let openai = json!({"turn_detection": {"type": "server_vad", "interrupt_response": true}});
    let gemini = json!({"no_interruption": false});
    let cases = [
        (Vendor::OpenAi, openai, "interrupt_response"),
        (Vendor::Gemini, gemini, "no_interruption"),
    ];
    for (vendor, session, setting) in cases {
        let config = json!({"api_key": "key", "session": session});
        let provider = Registry::linked().unwrap();
        let provider = provider.provider(vendor.provider(), config).unwrap();
        let transport = Arc::new(MockRealtimeTransport::new());
        let channel = RealtimeVoiceChannel::builder("voice", provider, transport);
        let error = channel.interruptions(false).build().unwrap_err();
        assert!(matches!(error, ConfigError::Field { .. }), "{error:?}");
        let error = error.to_string();
        for name in [setting, "interruptions"] {
            assert!(error.contains(name), "{error}");
        }
    }
}
