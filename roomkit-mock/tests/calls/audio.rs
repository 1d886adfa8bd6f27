//! Audio both ways, barge-in, pacing, permissions, idleness (contracts A1–A5, A7, A8).

use std::{sync::Arc, time::Duration};

use roomkit_core::{
    SessionOptions,
    audio::duration_of,
    client_protocol::ServerMessage,
    hook::Hook,
    provider::{
        ProviderCapabilities, ProviderCommand, RealtimeVoiceProvider, ResponseStatus, Role,
    },
    room::{Access, BindingOptions},
    transport::{ClientCommand, ClientEvent, DropReason, LinkInfo},
    voice::{RealtimeVoiceChannel, RealtimeVoiceChannelBuilder},
};
use roomkit_mock::{
    Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport,
    provider::{Truncation, answer},
};

use crate::support::{Call, House, ROOM, VOICE, ms, pcm, pcm_at, settle};

fn played(call: &Call) -> usize {
    call.client.audio().iter().map(bytes::Bytes::len).sum()
}

/// A response that says `length` of audio at once and does not end.
fn speak(call: &Call, id: &str, length: Duration) {
    call.ai.simulate_response_start(Some(id));
    call.ai
        .simulate_item_audio(format!("item_{id}"), pcm(length));
}

#[tokio::test(start_paused = true)]
async fn a1_what_the_transport_dropped_does_not_end_the_call() {
    let house = House::new().await;
    let call = house.call().await;
    for reason in [
        DropReason::OddLength,
        DropReason::OversizedFrame,
        DropReason::Undecodable,
        DropReason::TooFast,
    ] {
        call.client.send(ClientEvent::Dropped(reason));
    }
    call.client.send_audio(pcm(ms(20)));
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::Audio(_)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a2_where_the_rates_agree_audio_passes_untouched() {
    let house = House::new().await;
    let call = house.call().await;
    let frame: Vec<u8> = (0..960).map(|n| n as u8).collect();
    call.client.send_audio(frame.clone());
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    assert_eq!(call.ai.sent_audio().concat(), frame);
    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(frame.clone());
    call.client.wait_for_audio(960).await;
    assert_eq!(call.client.audio().concat(), frame);
}

#[tokio::test(start_paused = true)]
async fn a2_where_the_rates_differ_each_side_hears_its_own() {
    let house = House::of(
        MockRealtimeProvider::new().with_capabilities(ProviderCapabilities::new(16_000, 24_000)),
        MockRealtimeTransport::new().with_link(LinkInfo::new(8000, 48_000)),
        |voice| voice,
    )
    .await;
    let call = house.call().await;
    let ServerMessage::SessionStarted {
        input_sample_rate,
        output_sample_rate,
        ..
    } = call.client.messages().swap_remove(0)
    else {
        panic!("{:?}", call.client);
    };
    assert_eq!((input_sample_rate, output_sample_rate), (8000, 48_000));

    for _ in 0..50 {
        call.client.send_audio(pcm_at(ms(20), 8000));
        tokio::time::sleep(ms(20)).await;
    }
    let heard = duration_of(call.ai.sent_audio().concat().len(), 16_000);
    assert!(heard > ms(980) && heard <= ms(1000), "{heard:?} of 1 s");

    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(pcm(ms(1000)));
    call.ai.simulate_response_end(None);
    let end = |c: &ClientCommand| matches!(c, ClientCommand::EndOfResponse);
    call.client.wait_for_command(end).await;
    let heard = duration_of(played(&call), 48_000);
    assert!(
        heard > ms(998) && heard < ms(1005),
        "{heard:?} of 1 s, to the last sample"
    );
    let last = call
        .client
        .commands()
        .into_iter()
        .rfind(|c| end(c) || matches!(c, ClientCommand::Audio(_)));
    assert_eq!(
        last,
        Some(ClientCommand::EndOfResponse),
        "the mark follows the tail"
    );
}

#[tokio::test(start_paused = true)]
async fn a3_barge_in_clears_before_hooks() {
    let house = House::new().await;
    let gate = Gate::closed();
    let held = gate.clone();
    house.kit.add_hook(Hook::barge_in(move |_| {
        let gate = held.clone();
        async move { gate.wait().await }
    }));
    let call = house.call().await;
    speak(&call, "a", ms(5000));
    tokio::time::sleep(ms(1000)).await;
    call.ai.simulate_speech_start(Some("user"));
    settle().await;

    // The hook has not returned, and everything has been done.
    let cut = call.ai.truncations();
    let [
        Truncation {
            item_id,
            content_index: 0,
            heard,
        },
    ] = &cut[..]
    else {
        panic!("{cut:?}");
    };
    assert_eq!(*item_id, "item_a");
    assert_eq!(*heard, ms(1000));
    let commands = call.client.commands();
    let clear = commands
        .iter()
        .position(|c| *c == ClientCommand::Clear)
        .unwrap();
    assert!(
        commands[clear..]
            .iter()
            .all(|c| !matches!(c, ClientCommand::Audio(_)))
    );
    let news = commands.iter().position(|c| {
        matches!(
            c,
            ClientCommand::Message(ServerMessage::Speaking {
                who: Role::User,
                ..
            })
        )
    });
    assert!(news.is_none_or(|news| news > clear), "{commands:?}");
    assert!(
        duration_of(played(&call), 24_000) <= ms(1200),
        "at most the lead was beyond recall"
    );
    assert_eq!(call.ai.cancels(), 0, "this provider stops by itself");
    gate.open();
}

#[tokio::test(start_paused = true)]
async fn a3_late_audio_of_the_interrupted_response_is_dropped() {
    let house = House::new().await;
    let call = house.call().await;
    speak(&call, "a", ms(5000));
    tokio::time::sleep(ms(500)).await;
    call.ai.simulate_speech_start(None);
    settle().await;
    let before = played(&call);
    call.ai.simulate_item_audio("item_a", pcm(ms(400)));
    call.ai.simulate_speech_end(None);
    call.ai.simulate_item_audio("item_a", pcm(ms(400)));
    call.ai
        .simulate_response_end_with(Some("a"), ResponseStatus::Cancelled);
    tokio::time::sleep(ms(1000)).await;
    assert_eq!(played(&call), before);

    speak(&call, "b", ms(300));
    call.client
        .wait_for_audio(before + pcm(ms(300)).len())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a3_a_provider_that_does_not_stop_by_itself_is_told_to() {
    let mut capabilities = RealtimeVoiceProvider::capabilities(&MockRealtimeProvider::new());
    capabilities.interrupts_itself = false;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let call = house.call().await;
    speak(&call, "a", ms(5000));
    tokio::time::sleep(ms(500)).await;
    call.ai.simulate_speech_start(None);
    settle().await;
    let control: Vec<_> = call.ai.commands();
    assert!(
        matches!(
            control[..],
            [
                ProviderCommand::CancelResponse,
                ProviderCommand::Truncate { .. }
            ]
        ),
        "{control:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a3_a_provider_is_told_that_the_user_interrupts_nothing() {
    let provider = MockRealtimeProvider::new();
    let setups = provider.clone();
    let polite = |voice: RealtimeVoiceChannelBuilder| voice.interruptions(false);
    let house = House::of(provider, MockRealtimeTransport::new(), polite).await;
    let call = house.call().await;
    assert!(!setups.connects()[0].interruptions);
    speak(&call, "a", ms(1000));
    tokio::time::sleep(ms(500)).await;
    call.ai.simulate_speech_start(None);
    call.client.wait_for_audio(pcm(ms(1000)).len()).await;
    assert!(!call.client.commands().contains(&ClientCommand::Clear));
    assert_eq!(call.ai.commands(), []);

    let other = SessionOptions::new().interruptions(true);
    let other = house.call_with(other).await;
    assert!(setups.connects()[1].interruptions);
    speak(&other, "a", ms(1000));
    tokio::time::sleep(ms(500)).await;
    other.ai.simulate_speech_start(None);
    let is_clear = |command: &ClientCommand| *command == ClientCommand::Clear;
    other.client.wait_for_command(is_clear).await;
}

#[tokio::test(start_paused = true)]
async fn a3_a_session_that_cannot_be_kept_from_being_interrupted_is_refused() {
    let mut capabilities = RealtimeVoiceProvider::capabilities(&MockRealtimeProvider::new());
    capabilities.heeds_interruptions = false;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let options = SessionOptions::new().interruptions(false);
    let error = house
        .voice
        .start_session_with(ROOM, "ann", MockConnection::new(), options)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("interruptions"), "{error}");
}

#[tokio::test]
async fn a3_a_provider_that_cannot_be_kept_from_interrupting_is_refused() {
    let mut capabilities = RealtimeVoiceProvider::capabilities(&MockRealtimeProvider::new());
    capabilities.heeds_interruptions = false;
    let build = |interrupts_itself| {
        let mut capabilities = capabilities.clone();
        capabilities.interrupts_itself = interrupts_itself;
        let provider = Arc::new(MockRealtimeProvider::new().with_capabilities(capabilities));
        RealtimeVoiceChannel::builder("voice", provider, Arc::new(MockRealtimeTransport::new()))
            .interruptions(false)
            .build()
    };
    let error = build(true).unwrap_err().to_string();
    assert!(error.contains("interruptions"), "{error}");
    assert!(error.contains("`mock`"), "{error}");
    // Where the engine does it, it does not.
    build(false).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a3_host_and_client_can_interrupt_too() {
    let house = House::new().await;
    let call = house.call().await;
    speak(&call, "a", ms(5000));
    tokio::time::sleep(ms(500)).await;
    house.voice.interrupt(&call.session).unwrap();
    call.client
        .wait_for_command(|c| *c == ClientCommand::Clear)
        .await;
    call.ai
        .wait_for_command(|c| *c == ProviderCommand::CancelResponse)
        .await;
    call.ai
        .simulate_response_end_with(Some("a"), ResponseStatus::Cancelled);

    speak(&call, "b", ms(5000));
    tokio::time::sleep(ms(500)).await;
    call.client.send(ClientEvent::Interrupt);
    call.ai
        .wait_for_commands(2, |c| *c == ProviderCommand::CancelResponse)
        .await;
    settle().await;
    let clears = call
        .client
        .commands()
        .into_iter()
        .filter(|c| *c == ClientCommand::Clear);
    assert_eq!(clears.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a3_an_answer_that_is_still_audible_after_its_end_can_be_interrupted() {
    let house = House::new().await;
    let call = house.call().await;
    speak(&call, "a", ms(3000));
    call.ai.simulate_response_end(Some("a"));
    tokio::time::sleep(ms(1000)).await;
    call.ai.simulate_speech_start(None);
    settle().await;
    assert_eq!(call.ai.truncations()[0].heard, ms(1000));
    assert_eq!(call.ai.cancels(), 0, "nothing runs that could be cancelled");
}

#[tokio::test(start_paused = true)]
async fn a4_the_clients_word_on_what_it_played_counts() {
    let house = House::new().await;
    let call = house.call().await;
    speak(&call, "a", ms(5000));
    tokio::time::sleep(ms(1000)).await;
    call.client.send(ClientEvent::Playback(ms(640)));
    settle().await;
    call.ai.simulate_speech_start(None);
    settle().await;
    assert_eq!(
        call.ai.truncations()[0].heard,
        ms(641),
        "and the moment since"
    );
}

#[tokio::test(start_paused = true)]
async fn a5_audio_is_paced_to_real_time_with_the_links_lead() {
    for (lead, setting) in [(ms(60), None), (ms(300), Some(ms(300)))] {
        let mut link = LinkInfo::new(24_000, 24_000);
        link.lead = ms(60);
        let house = House::of(
            MockRealtimeProvider::new(),
            MockRealtimeTransport::new().with_link(link),
            |voice| match setting {
                Some(lead) => voice.playout_lead(lead),
                None => voice,
            },
        )
        .await;
        let call = house.call().await;
        let began = tokio::time::Instant::now();
        speak(&call, "a", ms(2000));
        call.client.wait_for_audio(pcm(ms(2000)).len()).await;
        let mut sent = Duration::ZERO;
        for (at, frame) in call.client.timed_audio() {
            assert!(
                sent + ms(40) >= at - began,
                "{sent:?} starves after {:?}",
                at - began
            );
            sent += duration_of(frame.len(), 24_000);
            assert!(
                sent <= at - began + lead + ms(2),
                "{sent:?} after {:?}",
                at - began
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a5_the_end_of_a_response_does_not_overtake_its_audio() {
    let house = House::new().await;
    let call = house.call().await;
    for event in answer("1", "one two three", ms(900)) {
        call.ai.simulate(event);
    }
    call.client
        .wait_for_command(|c| *c == ClientCommand::EndOfResponse)
        .await;
    assert_eq!(played(&call), pcm(ms(900)).len());
}

#[tokio::test(start_paused = true)]
async fn a7_muting_the_channel_stops_the_microphone_at_the_next_frame() {
    let house = House::new().await;
    let call = house.call().await;
    let say = async |frame: u8| {
        call.client.send_audio(vec![frame; 960]);
        settle().await;
    };
    say(1).await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    say(2).await;
    house.kit.unmute(ROOM, VOICE).await.unwrap();
    say(3).await;
    house
        .kit
        .set_access(ROOM, VOICE, Access::ReadOnly)
        .await
        .unwrap();
    say(4).await;
    house
        .kit
        .set_access(ROOM, VOICE, Access::WriteOnly)
        .await
        .unwrap();
    say(5).await;
    house
        .kit
        .set_access(ROOM, VOICE, Access::None)
        .await
        .unwrap();
    say(6).await;
    house
        .kit
        .set_access(ROOM, VOICE, Access::ReadWrite)
        .await
        .unwrap();
    say(7).await;
    let muted = BindingOptions::new().muted(true);
    house
        .kit
        .attach_channel_with(ROOM, VOICE, muted)
        .await
        .unwrap();
    say(8).await;
    house.kit.attach_channel(ROOM, VOICE).await.unwrap();
    say(9).await;
    let heard: Vec<u8> = call.ai.sent_audio().iter().map(|frame| frame[0]).collect();
    assert_eq!(heard, [1, 3, 5, 7, 9]);
}

#[tokio::test(start_paused = true)]
async fn a7_muting_the_output_stops_the_voice_but_not_the_words() {
    let house = House::new().await;
    let call = house.call().await;
    house.kit.mute_output(ROOM, VOICE).await.unwrap();
    for event in answer("1", "can you hear me", ms(600)) {
        call.ai.simulate(event);
    }
    call.wait_for_final("can you hear me").await;
    assert_eq!(played(&call), 0);
    house.kit.unmute_output(ROOM, VOICE).await.unwrap();
    speak(&call, "b", ms(100));
    call.client.wait_for_audio(pcm(ms(100)).len()).await;
}

#[tokio::test(start_paused = true)]
async fn a5_a_client_with_a_jitter_buffer_gets_a_frame_every_20_ms() {
    let mut link = LinkInfo::new(24_000, 24_000);
    link.lead = ms(20);
    link.jitter_buffer = ms(60);
    for (host_wants, first) in [(None, 1), (Some(ms(200)), 10)] {
        let house = House::of(
            MockRealtimeProvider::new(),
            MockRealtimeTransport::new().with_link(link.clone()),
            |voice| match host_wants {
                Some(lead) => voice.playout_lead(lead),
                None => voice,
            },
        )
        .await;
        let call = house.call().await;
        let began = tokio::time::Instant::now();
        // Not cut where frames end.
        call.ai.simulate_response_start(Some("r"));
        for _ in 0..4 {
            call.ai.simulate_item_audio("item", pcm(ms(250)));
        }
        let frame = pcm(ms(20)).len();
        for (sent, due) in (first..=50).zip(0..) {
            call.client.wait_for_audio(sent * frame).await;
            let due = began + ms(20) * due;
            let late = tokio::time::Instant::now() - due;
            assert!(late <= ms(2), "frame {sent} is {late:?} late");
        }
        let frames = call.client.audio();
        assert!(frames.iter().all(|pcm| pcm.len() == frame));
    }
}

#[tokio::test(start_paused = true)]
async fn a7_output_muted_in_mid_sentence_falls_silent_at_once() {
    let house = House::new().await;
    let call = house.call().await;
    speak(&call, "a", ms(5000));
    tokio::time::sleep(ms(500)).await;
    house.kit.mute_output(ROOM, VOICE).await.unwrap();
    call.client
        .wait_for_command(|c| *c == ClientCommand::Clear)
        .await;
    let before = played(&call);
    tokio::time::sleep(ms(1000)).await;
    assert_eq!(played(&call), before);
}

#[tokio::test(start_paused = true)]
async fn a7_a_client_can_mute_itself() {
    let house = House::new().await;
    let call = house.call().await;
    call.client.send(ClientEvent::Mute(true));
    call.client.send_audio(vec![1; 960]);
    call.client.send(ClientEvent::Mute(false));
    call.client.send_audio(vec![2; 960]);
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    settle().await;
    assert_eq!(call.ai.sent_audio(), [vec![2; 960]]);
}

#[tokio::test(start_paused = true)]
async fn s6_a_client_that_mutes_in_mid_sentence_and_sends_nothing_is_idle_in_the_end() {
    let short = |voice: RealtimeVoiceChannelBuilder| voice.idle_timeout(ms(30_000));
    let provider = MockRealtimeProvider::new();
    let house = House::of(provider, MockRealtimeTransport::new(), short).await;
    let call = house.call().await;
    call.client.send_audio(pcm(ms(20)));
    call.ai.simulate_speech_start(None);
    call.client.send(ClientEvent::Mute(true));
    let silence = ProviderCommand::Audio(vec![0; pcm(ms(20)).len()].into());
    call.ai.wait_for_commands(20, |c| *c == silence).await;
    call.ai.simulate_speech_end(None);
    assert_eq!(call.client.wait_for_close().await, "idle_timeout");
}

#[tokio::test(start_paused = true)]
async fn a8_idle_is_no_response_nothing_audible_and_a_silent_user() {
    let house = House::new().await;
    let call = house.call().await;
    let idle = async || house.voice.wait_idle(ROOM, ms(10)).await;
    assert!(idle().await);
    speak(&call, "a", ms(1000));
    assert!(!idle().await, "a response runs");
    call.ai.simulate_response_end(Some("a"));
    assert!(!idle().await, "its end is still audible");
    assert!(house.voice.wait_idle(ROOM, ms(2000)).await);
    call.ai.simulate_speech_start(None);
    assert!(!idle().await, "the user speaks");
    call.ai.simulate_speech_end(None);
    assert!(house.voice.wait_idle(ROOM, ms(2000)).await);
    house
        .voice
        .inject_text(&call.session, "say hello", Role::System, false)
        .unwrap();
    assert!(!idle().await, "an answer was just asked for");
    call.ai.simulate_response_start(None);
    house.voice.end_session(&call.session).await;
    assert!(idle().await, "a call that is over is silent");
}
