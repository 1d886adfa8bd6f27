//! What is dropped is counted under its reason, and under no other (`roomkit_dropped_total`).

use std::sync::Arc;

use roomkit_core::{
    error::{DeliverError, SessionError},
    hook::Hook,
    provider::{ProviderCommand, ProviderEvent, Role, SessionUpdate},
    recording::{Consent, Recording},
    tool::{Tool, ToolDefinition},
    transport::{ClientEvent, DropReason},
    voice::DeliveryStrategy,
};
use roomkit_mock::{
    Counters, Gate, MockConnection, MockRecordingSink, provider::ConnectOutcome,
    recording::RecordingFault,
};
use serde_json::{Map, json};

use crate::support::{Call, House, ROOM, ms, pcm, settle, soon};

/// Runs a call in which something is dropped for this reason alone, `expected` times.
async fn counts(
    reason: &str,
    expected: u64,
    house: House,
    provoke: impl AsyncFnOnce(&House, &Call),
) {
    let counters = Counters::default();
    let counting = counters.here();
    let call = house.call().await;
    provoke(&house, &call).await;
    settle().await;
    assert!(call.client.is_open(), "{reason}: the call goes on");
    drop(counting);
    only(&counters, reason, expected);
}

#[track_caller]
fn only(counters: &Counters, reason: &str, expected: u64) {
    let dropped = counters.all("roomkit_dropped_total");
    assert_eq!(dropped, [(reason.to_owned(), expected)].into());
}

/// The call loses its provider connection and gets another only when this is opened.
async fn without_connection(house: &House, call: &Call) -> Gate {
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    call.ai.simulate_closed(None);
    settle().await;
    gate
}

#[tokio::test(start_paused = true)]
async fn a1_what_the_transport_drops() {
    for reason in [
        DropReason::OddLength,
        DropReason::OversizedFrame,
        DropReason::OversizedMessage { limit: 65_536 },
        DropReason::Undecodable,
        DropReason::TooFast,
    ] {
        counts(reason.as_str(), 2, House::new().await, async |_, call| {
            for _ in 0..2 {
                call.client.send(ClientEvent::Dropped(reason));
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn c5_words_that_are_typed_too_fast() {
    counts("too_fast", 3, House::new().await, async |_, call| {
        for _ in 0..5 {
            call.client.send(ClientEvent::Text("x".repeat(60_000)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s4_audio_beyond_what_is_kept_before_the_first_connection() {
    let counters = Counters::default();
    let _counting = counters.here();
    let (house, gate) = (House::new().await, Gate::closed());
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    let connection = MockConnection::new();
    let client = connection.client();
    let start = house.voice.start_session(ROOM, "ann", connection);
    let speaks = async {
        for _ in 0..18 {
            client.send_audio(vec![0; 1 << 16]);
        }
        settle().await;
        gate.open();
    };
    let (session, ()) = soon(async { tokio::join!(start, speaks) }).await;
    assert!(session.is_ok());
    only(&counters, "early_audio", 2);
}

#[tokio::test(start_paused = true)]
async fn h2_audio_beyond_what_is_held_for_the_next_connection() {
    let house = House::with(|voice| voice.hold(ms(1000))).await;
    counts("held_audio", 3, house, async |house, call| {
        let _gate = without_connection(house, call).await;
        for _ in 0..13 {
            call.client.send_audio(pcm(ms(100)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a6_audio_for_a_provider_that_takes_nothing() {
    // At most half of what may wait for it is audio, and one frame is on its way.
    counts("provider_slow", 2, House::new().await, async |_, call| {
        call.ai.stall();
        for _ in 0..512 + 1 + 2 {
            call.client.send_audio(pcm(ms(10)));
            tokio::time::sleep(ms(10)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a5_audio_of_the_ai_beyond_what_may_wait() {
    let house = House::with(|voice| voice.playout_backlog(ms(1000))).await;
    counts("playout_full", 2, house, async |_, call| {
        call.ai.simulate_response_start(None);
        for _ in 0..4 {
            call.ai.simulate_audio(pcm(ms(500)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a3_late_audio_of_an_interrupted_answer() {
    counts(
        "interrupted_audio",
        2,
        House::new().await,
        async |_, call| {
            call.ai.simulate_response_start(None);
            call.ai.simulate_audio(pcm(ms(1000)));
            settle().await;
            call.ai.simulate_speech_start(None);
            for _ in 0..2 {
                call.ai.simulate_audio(pcm(ms(100)));
            }
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn x5_words_beyond_what_waits_for_a_connection() {
    counts(
        "early_command",
        2,
        House::new().await,
        async |house, call| {
            let _gate = without_connection(house, call).await;
            for number in 0..1024 + 2 {
                house
                    .voice
                    .inject_text(&call.session, "and", Role::System, true)
                    .unwrap();
                if number % 100 == 0 {
                    settle().await;
                }
            }
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a6_partials_for_a_host_that_is_slow() {
    let (house, gate) = (House::new().await, Gate::closed());
    let held = gate.clone();
    house.kit.add_hook(Hook::speech_start(move |_| {
        let gate = held.clone();
        async move { gate.wait().await }
    }));
    // Half of what may wait is for what must not be missed.
    counts("host_slow", 3, house, async |_, call| {
        call.ai.simulate_speech_start(Some("u"));
        settle().await;
        for _ in 0..512 + 1 + 3 {
            call.ai
                .simulate_transcription("and", Role::User, false, Some("u"));
        }
        settle().await;
        gate.open();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn k1_a_call_that_is_repeated() {
    let definition = ToolDefinition::new("f", "", json!({"type": "object"}));
    let tool = Tool::new(definition, |_, _, _| async { Ok("done".into()) });
    let house = House::with(|voice| voice.tool(tool)).await;
    counts("repeated_tool_call", 2, house, async |_, call| {
        for _ in 0..3 {
            call.ai.simulate_tool_call("c1", "f", "{}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s5_more_settings_of_the_vendor_than_are_kept() {
    counts(
        "vendor_settings",
        2,
        House::new().await,
        async |house, call| {
            for number in 0..128 + 2 {
                let mut config = Map::new();
                config.insert(format!("setting_{number}"), true.into());
                let update = SessionUpdate {
                    provider_config: Some(config),
                    ..SessionUpdate::default()
                };
                let updated = house.voice.update_session(&call.session, update);
                soon(updated).await.unwrap();
                call.ai.simulate(ProviderEvent::Updated);
                settle().await;
            }
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn r11_more_deliveries_than_wait() {
    counts("delivery", 2, House::new().await, async |house, call| {
        call.ai.simulate_speech_start(None);
        settle().await;
        let busy = DeliverError::Session(SessionError::Busy(call.session.id().clone()));
        for number in 0..256 + 2 {
            let delivered = house.voice.deliver(ROOM, "and", DeliveryStrategy::Queued);
            let sessions = soon(delivered).await.map(|delivered| delivered.sessions);
            let expected = if number < 256 {
                Ok(1)
            } else {
                Err(busy.clone())
            };
            assert_eq!(sessions, expected);
            settle().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a6_audio_for_an_observer_that_is_slow() {
    let (house, gate) = (House::new().await, Gate::closed());
    let held = gate.clone();
    house.voice.on_audio(move |_, _| {
        let gate = held.clone();
        async move { gate.wait().await }
    });
    counts("audio_observer_slow", 3, house, async |_, call| {
        call.ai.simulate_response_start(None);
        call.ai.simulate_audio(pcm(ms(20 * (256 + 1 + 3))));
        tokio::time::sleep(ms(20 * (256 + 1 + 3))).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn v4_what_a_slow_recording_misses() {
    let gate = Gate::closed();
    let sink = MockRecordingSink::new().with_fault(RecordingFault::Hang(gate.clone()));
    let recording = Recording::new(Arc::new(sink)).consent(Consent::Given);
    let counters = Counters::default();
    let _counting = counters.here();
    let house = House::with(|voice| voice.recording(recording)).await;
    let call = house.call().await;
    let missed = || {
        let dropped = counters.all("roomkit_dropped_total");
        dropped.get("recording_slow").copied().unwrap_or_default()
    };
    // A sink that hangs is given ten seconds; it does not come to that.
    for _ in 0..2500 {
        call.client.send_audio(pcm(ms(1)));
        tokio::time::sleep(ms(1)).await;
    }
    gate.open();
    settle().await;
    assert!(missed() > 0);
    only(&counters, "recording_slow", missed());
    assert!(call.client.is_open(), "the call goes on");
}

/// What a tool says when nobody waits for it any more, or a provider on a connection that was left, can
/// come only at an unlucky moment: those two reasons are looked at in the machine.
#[tokio::test(start_paused = true)]
async fn a_call_in_which_all_is_well_drops_nothing() {
    let counters = Counters::default();
    let _counting = counters.here();
    let house = House::new().await;
    let call = house.call().await;
    call.client.send_audio(pcm(ms(20)));
    call.ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Audio(_)))
        .await;
    soon(house.voice.end_session(&call.session)).await;
    assert!(counters.all("roomkit_dropped_total").is_empty());
}
