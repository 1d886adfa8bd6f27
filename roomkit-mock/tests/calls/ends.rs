//! Sessions end once, whoever asks first, and leave nothing behind (contracts S3, S7).

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use roomkit_core::{
    RealtimeVoiceChannel, RoomKit,
    client_protocol::ServerMessage,
    error::{ProviderError, ProviderErrorKind, TransportError},
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    provider::{ProviderEvent, Role},
    tool::{Tool, ToolDefinition},
    transport::ClientEvent,
};
use roomkit_mock::Gate;
use tokio::{runtime::Handle, sync::mpsc};

use crate::support::{Call, House, Notes, ROOM, VOICE, ms, pcm, settle, soon};

/// Ends one running session with `end` and checks that it ends once, everywhere, for `reason`.
async fn ends_once(reason: &str, end: impl AsyncFnOnce(&House, &Call)) {
    ends_once_in(House::new().await, reason, end).await;
}

async fn ends_once_in(house: House, reason: &str, end: impl AsyncFnOnce(&House, &Call)) {
    let notes = Notes::default();
    let log = notes.clone();
    house.kit.add_hook(Hook::session_ended(move |event| {
        log.add(event.reason.as_str());
        async {}
    }));
    let call = house.call().await;
    tokio::time::sleep(ms(1500)).await;
    soon(end(&house, &call)).await;
    let closed_with = call.client.wait_for_close().await;
    // Everybody else asks too; nobody is listened to any more.
    house.voice.end_session(&call.session).await;
    call.client.disconnect();
    call.ai.simulate(ProviderEvent::Closed(None));
    tokio::time::sleep(ms(60_000)).await;

    assert_eq!(closed_with, reason);
    assert_eq!(
        call.client.close_reasons(),
        [reason],
        "one close of the link"
    );
    assert_eq!(call.ai.closes(), 1, "one goodbye to the provider");
    let goodbyes = call
        .client
        .messages()
        .into_iter()
        .filter_map(|message| match message {
            ServerMessage::SessionEnded { reason } => Some(reason),
            _ => None,
        });
    assert_eq!(
        goodbyes.collect::<Vec<_>>(),
        [reason],
        "one goodbye to the client"
    );
    assert_eq!(notes.all(), [reason], "the hook is called once");
    house.assert_nothing_left();
    let mut reports = house.close(FrameworkEventKind::SessionEnded).await;
    assert_eq!(reports.len(), 1, "one report");
    let report = reports.swap_remove(0);
    assert_eq!(report.data["reason"], reason);
    assert!(report.data["duration_ms"].as_u64().unwrap() >= 1500);
    assert_eq!(report.session_id.as_ref(), Some(call.session.id()));
}

#[tokio::test(start_paused = true)]
async fn s3_the_host_ends_it() {
    ends_once("host", async |house, call| {
        house.voice.end_session(&call.session).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_client_ends_it() {
    ends_once("client_ended", async |_, call| {
        call.client.send(ClientEvent::End);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_client_leaves() {
    ends_once("client_left", async |_, call| call.client.disconnect()).await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_client_breaks_a_rule() {
    ends_once("client_violation", async |_, call| {
        call.client.send(ClientEvent::Violation("shouting".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_h3_the_provider_fails_for_good() {
    ends_once("provider_error", async |_, call| {
        call.ai
            .simulate_error(ProviderErrorKind::Authentication, "bad_key", "who are you?");
        let told = call
            .client
            .wait_for_message(|m| matches!(m, ServerMessage::Error { .. }));
        let ServerMessage::Error { code, .. } = told.await else {
            unreachable!()
        };
        assert_eq!(code, "bad_key");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_room_is_closed() {
    ends_once("room_closed", async |house, _| {
        house.kit.close_room(ROOM).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_channel_is_detached() {
    ends_once("detached", async |house, _| {
        house.kit.detach_channel(ROOM, VOICE).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_channel_is_unregistered() {
    ends_once("detached", async |house, _| {
        house.kit.unregister_channel(VOICE).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_the_kit_is_closed() {
    ends_once("shutdown", async |house, _| house.kit.close().await).await;
}

#[tokio::test(start_paused = true)]
async fn s3_s6_the_idle_limit_is_reached() {
    let house = House::with(|voice| voice.idle_timeout(ms(30_000))).await;
    ends_once_in(house, "idle_timeout", async |_, _| {}).await;
}

#[tokio::test(start_paused = true)]
async fn s3_s6_the_longest_duration_is_reached() {
    let house = House::with(|voice| voice.max_duration(ms(30_000))).await;
    ends_once_in(house, "max_duration", async |_, _| {}).await;
}

#[tokio::test(start_paused = true)]
async fn s3_everybody_ends_it_at_once() {
    let house = House::new().await;
    let call = house.call().await;
    let (voice, session) = (house.voice.clone(), call.session.clone());
    call.client.send(ClientEvent::End);
    call.client.disconnect();
    call.ai
        .simulate_error(ProviderErrorKind::Quota, "quota", "no money");
    let ends = async {
        tokio::join!(
            voice.end_session(&session),
            voice.end_session(&session),
            house.kit.close_room(ROOM),
            house.kit.detach_channel(ROOM, VOICE),
        )
    };
    let _ = soon(ends).await;
    assert_eq!(call.ai.closes(), 1);
    assert_eq!(call.client.close_reasons().len(), 1);
    house.assert_nothing_left();
    let reports = house.close(FrameworkEventKind::SessionEnded).await;
    assert_eq!(reports.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s3_a_client_that_cannot_be_reached_is_let_go_and_the_rest_is_closed() {
    let house = House::new().await;
    let call = house.call().await;
    call.client
        .fail_sends(TransportError::Disconnected("broken pipe".into()));
    call.client.stall_close();
    call.ai.stall_close();
    call.ai.simulate_speech_start(None);
    call.client.wait_for_close().await;
    call.ai.wait_for_close().await;
    soon(house.voice.end_session(&call.session)).await;
    assert_eq!(
        (call.ai.closes(), call.client.close_reasons().len()),
        (1, 1)
    );
    house.assert_nothing_left();
    let reports = house.close(FrameworkEventKind::SessionEnded).await;
    assert_eq!(reports.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s3_a_hook_that_never_returns_does_not_keep_the_session() {
    let house = House::new().await;
    let gate = Gate::closed();
    let held = gate.clone();
    house.kit.add_hook(Hook::session_ended(move |_| {
        let gate = held.clone();
        async move { gate.wait().await }
    }));
    let call = house.call().await;
    soon(house.voice.end_session(&call.session)).await;
    assert_eq!(
        (call.ai.closes(), call.client.close_reasons().len()),
        (1, 1)
    );
    tokio::time::sleep(ms(40_000)).await;
    house.assert_nothing_left();
}

/// A house whose speech hooks never return, and what its hook for the end is told.
async fn house_that_is_behind() -> (House, mpsc::UnboundedReceiver<String>) {
    let house = House::new().await;
    house
        .kit
        .add_hook(Hook::speech_start(|_| std::future::pending()));
    let (told, reasons) = mpsc::unbounded_channel();
    house.kit.add_hook(Hook::session_ended(move |event| {
        let _ = told.send(event.reason.as_str().to_owned());
        async {}
    }));
    (house, reasons)
}

#[tokio::test(start_paused = true)]
async fn r5_s3_the_end_is_told_to_hooks_that_are_behind() {
    let (house, mut reasons) = house_that_is_behind().await;
    let call = house.call().await;
    for _ in 0..5 {
        call.ai.simulate_speech_start(None);
        call.ai.simulate_speech_end(None);
    }
    settle().await;
    soon(house.voice.end_session(&call.session)).await;
    assert_eq!(soon(reasons.recv()).await.as_deref(), Some("host"));
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn a6_r5_a_host_that_is_too_slow_is_told_the_end_all_the_same() {
    let (house, mut reasons) = house_that_is_behind().await;
    let call = house.call().await;
    call.ai.simulate_speech_start(None);
    settle().await;
    for number in 0..1100 {
        call.ai
            .simulate_transcription(format!("{number}"), Role::User, true, None);
    }
    assert_eq!(call.client.wait_for_close().await, "host_too_slow");
    assert_eq!(soon(reasons.recv()).await.as_deref(), Some("host_too_slow"));
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn s3_a_session_whose_kit_is_gone_does_not_blame_the_host() {
    let house = House::new().await;
    let call = house.call().await;
    // The voice channel is there still, nobody speaks, and the vendor's connection costs money.
    drop(house.kit);
    assert_eq!(call.client.wait_for_close().await, "shutdown");
}

#[tokio::test(start_paused = true)]
async fn s3_a_provider_whose_sends_fail_ends_with_its_reason() {
    let house = House::new().await;
    let call = house.call().await;
    let error = ProviderError::new(ProviderErrorKind::Policy, "not allowed");
    call.ai.fail_sends(error);
    call.client.send_audio(pcm(ms(20)));
    assert_eq!(call.client.wait_for_close().await, "provider_error");
    settle().await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn t2_what_the_provider_said_before_a_send_failed_is_told() {
    let house = House::new().await;
    let call = house.call().await;
    let error = ProviderError::new(ProviderErrorKind::Network, "broken pipe");
    call.ai.fail_sends(error);
    call.client.send_audio(pcm(ms(20)));
    let words = ["one", "two", "three", "four"];
    for (word, item) in words.iter().zip(["1", "2", "3", "4"]) {
        call.ai
            .simulate_transcription(*word, Role::User, true, Some(item));
    }
    for word in words {
        call.wait_for_final(word).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s3_the_host_may_end_the_session_from_an_observer() {
    let house = House::new().await;
    let voice = house.voice.clone();
    house.voice.on_transcription(move |event| {
        let voice = voice.clone();
        async move { voice.end_session(&event.session).await }
    });
    let call = house.call().await;
    call.ai
        .simulate_transcription("goodbye", Role::User, true, None);
    let limit = tokio::time::timeout(ms(1000), call.client.wait_for_close());
    assert_eq!(
        limit.await.as_deref(),
        Ok("host"),
        "the host waits for itself"
    );
}

#[tokio::test(start_paused = true)]
async fn s3_the_host_may_end_the_session_from_a_hook() {
    let house = House::new().await;
    let voice = house.voice.clone();
    house.kit.add_hook(Hook::transcription(move |event| {
        let voice = voice.clone();
        async move {
            voice.end_session(&event.session).await;
            Decision::Allow
        }
    }));
    let call = house.call().await;
    call.ai
        .simulate_transcription("goodbye", Role::User, true, None);
    let limit = tokio::time::timeout(ms(1000), call.client.wait_for_close());
    assert_eq!(
        limit.await.as_deref(),
        Ok("host"),
        "the host waits for itself"
    );
}

#[tokio::test(start_paused = true)]
async fn s3_the_host_may_end_the_session_from_a_tool() {
    let hang_up = Arc::new(OnceLock::<RealtimeVoiceChannel>::new());
    let channel = Arc::clone(&hang_up);
    let tool = Tool::new(
        ToolDefinition::new("hang_up", "", serde_json::json!({"type": "object"})),
        move |session, _, _| {
            let channel = Arc::clone(&channel);
            async move {
                channel.get().unwrap().end_session(&session).await;
                Ok("done".into())
            }
        },
    );
    let house = House::with(|voice| voice.tool(tool)).await;
    hang_up.set(house.voice.clone()).unwrap();
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "hang_up", "{}");
    let limit = tokio::time::timeout(ms(1000), call.client.wait_for_close());
    assert_eq!(limit.await.as_deref(), Ok("host"));
    settle().await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn s3_ending_a_session_once_more_from_its_last_hook_returns() {
    let house = House::new().await;
    let (voice, notes) = (house.voice.clone(), Notes::default());
    let log = notes.clone();
    house.kit.add_hook(Hook::session_ended(move |event| {
        let (voice, log) = (voice.clone(), log.clone());
        async move {
            voice.end_session(&event.session).await;
            log.add("returned");
        }
    }));
    let call = house.call().await;
    call.client.disconnect();
    call.client.wait_for_close().await;
    tokio::time::sleep(ms(1000)).await;
    assert_eq!(notes.all(), ["returned"], "the hook waits for itself");
    house.assert_nothing_left();
}

/// The same from any hook, with what ends sessions among other things.
async fn returns_from_a_hook(end: fn(RoomKit) -> BoxFuture<'static, ()>) {
    for is_last in [false, true] {
        let house = House::new().await;
        let (kit, notes) = (house.kit.downgrade(), Notes::default());
        let log = notes.clone();
        let ends = move || {
            let (kit, log) = (kit.upgrade().unwrap(), log.clone());
            async move {
                end(kit).await;
                log.add("returned");
            }
        };
        house.kit.add_hook(if is_last {
            Hook::session_ended(move |_| ends())
        } else {
            Hook::speech_start(move |_| ends())
        });
        let call = house.call().await;
        if is_last {
            call.client.disconnect();
        } else {
            call.ai.simulate_speech_start(None);
        }
        let limit = tokio::time::timeout(ms(1000), call.client.wait_for_close());
        assert!(limit.await.is_ok(), "the hook waits for itself");
        settle().await;
        assert_eq!(notes.all(), ["returned"]);
        house.assert_nothing_left();
    }
}

#[tokio::test(start_paused = true)]
async fn s3_closing_the_room_from_a_hook_of_the_session_returns() {
    returns_from_a_hook(|kit| Box::pin(async move { drop(kit.close_room(ROOM).await) })).await;
}

#[tokio::test(start_paused = true)]
async fn s3_detaching_the_channel_from_a_hook_of_the_session_returns() {
    returns_from_a_hook(|kit| Box::pin(async move { drop(kit.detach_channel(ROOM, VOICE).await) }))
        .await;
}

#[tokio::test(start_paused = true)]
async fn s3_closing_the_kit_from_a_hook_of_the_session_returns() {
    returns_from_a_hook(|kit| Box::pin(async move { kit.close().await })).await;
}

#[tokio::test(start_paused = true)]
async fn s7_many_sessions_leave_nothing() {
    let house = House::new().await;
    house.voice.end_session(&house.call().await.session).await;
    settle().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    for number in 0..300 {
        let call = house.call().await;
        call.client.send_audio(pcm(ms(20)));
        call.ai.simulate_response_start(None);
        call.ai.simulate_audio(pcm(ms(500)));
        match number % 3 {
            0 => house.voice.end_session(&call.session).await,
            1 => call.client.disconnect(),
            _ => call
                .ai
                .simulate_error(ProviderErrorKind::Quota, "quota", ""),
        }
        call.client.wait_for_close().await;
    }
    settle().await;
    house.assert_nothing_left();
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
}

#[tokio::test(start_paused = true)]
async fn s7_closing_the_kit_leaves_no_task() {
    let house = House::new().await;
    let calls = [house.call().await, house.call().await];
    calls[0].ai.simulate_response_start(None);
    calls[0].ai.simulate_audio(pcm(ms(5000)));
    soon(house.kit.close()).await;
    house.assert_nothing_left();
    settle().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn s7_dropping_the_last_handles_ends_the_sessions() {
    let House {
        kit,
        provider,
        transport,
        voice,
        reports,
    } = House::new().await;
    let connection = roomkit_mock::MockConnection::new();
    let client = connection.client();
    voice.start_session(ROOM, "ann", connection).await.unwrap();
    drop((kit, voice, reports));
    assert_eq!(client.wait_for_close().await, "shutdown");
    tokio::time::sleep(ms(60_000)).await;
    assert_eq!(
        (provider.open_connections(), transport.open_links()),
        (0, 0)
    );
    assert_eq!(provider.last().closes(), 1);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}
