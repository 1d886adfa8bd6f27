//! What hooks still get when a session ends with its room or its kit (contracts T5, R5, S7).

use std::sync::Arc;

use roomkit_core::{
    RealtimeSession, RoomKit,
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    provider::Role,
    recording::{Consent, Recording},
    room::TimelineQuery,
    store::{MemoryStore, RoomStore},
    tool::{Tool, ToolDefinition},
};
use roomkit_mock::{
    Counters, Gate, MockRealtimeProvider, MockRealtimeTransport, MockRecordingSink,
};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::support::{House, Notes, ROOM, VOICE, ms, pcm, settle, soon};

/// What a session ends with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum With {
    Room,
    Kit,
}

async fn recorded(sink: &MockRecordingSink) -> House {
    let recording = Recording::new(Arc::new(sink.clone())).consent(Consent::Given);
    House::with(|voice| voice.recording(recording)).await
}

/// Blocks secrets, in a session that its hook ends with something else.
async fn t5_holds_when_a_hook_closes(with: With) {
    let sink = MockRecordingSink::new();
    let house = recorded(&sink).await;
    let (notes, gate, kit) = (Notes::default(), Gate::closed(), house.kit.downgrade());
    let (log, held) = (notes.clone(), gate.clone());
    let hooks = [
        Hook::transcription(|event| async move {
            if event.text.contains("4711") {
                Decision::block("a secret")
            } else {
                Decision::Allow
            }
        }),
        Hook::session_ended(move |_| {
            log.add("ended");
            async {}
        }),
        Hook::speech_start(move |_| {
            let (gate, kit) = (held.clone(), kit.upgrade().unwrap());
            async move {
                gate.wait().await;
                match with {
                    With::Room => drop(kit.close_room(ROOM).await),
                    With::Kit => kit.close().await,
                }
            }
        }),
    ];
    for hook in hooks {
        match with {
            With::Room => house.kit.add_room_hook(ROOM, hook).await.unwrap(),
            With::Kit => house.kit.add_hook(hook),
        }
    }
    let log = notes.clone();
    house.voice.on_transcription(move |event| {
        log.add(event.text);
        async {}
    });
    let call = house.call().await;
    call.ai.simulate_speech_start(None);
    call.ai
        .simulate_transcription("my number is 4711", Role::User, true, None);
    call.ai
        .simulate_transcription("good bye", Role::User, true, None);
    settle().await;
    let counters = Counters::default();
    let counting = counters.here();
    gate.open();
    call.client.wait_for_close().await;
    soon(house.kit.close()).await;
    drop(counting);
    assert_eq!(notes.all(), ["good bye", "ended"], "{with:?}");
    let words: Vec<_> = call.words().into_iter().map(|(_, text, _)| text).collect();
    assert_eq!(words, ["good bye"], "{with:?}");
    let recorded = sink.finished(call.session.id()).await;
    assert!(
        !format!("{:?}", recorded.marks).contains("4711"),
        "{with:?}"
    );
    // A kit waits for what its hooks let through; of a room that is closed it is told that it is missing.
    let dropped = counters.all("roomkit_dropped_total");
    match with {
        With::Kit => assert_eq!(dropped, [].into()),
        With::Room => assert_eq!(dropped, [("unstored_transcript".to_owned(), 1)].into()),
    }
    let stored: &[&str] = if with == With::Kit {
        &["good bye"]
    } else {
        &[]
    };
    assert_eq!(house.texts().await, stored, "{with:?}");
}

#[tokio::test(start_paused = true)]
async fn t5_r5_hooks_look_at_the_last_words_when_one_of_them_closes_the_kit() {
    t5_holds_when_a_hook_closes(With::Kit).await;
}

#[tokio::test(start_paused = true)]
async fn t5_r5_hooks_look_at_the_last_words_when_one_of_them_closes_the_room() {
    t5_holds_when_a_hook_closes(With::Room).await;
}

/// The channel is being taken out when something else closes, and a hook is at its last words.
async fn t5_last_words_of_a_channel_that_is_leaving(with: With) {
    let store = Arc::new(MemoryStore::new());
    let house = House::built(
        RoomKit::builder().store(Arc::clone(&store) as _).build(),
        MockRealtimeProvider::new(),
        MockRealtimeTransport::new(),
        |voice| voice,
    )
    .await;
    let gate = Gate::closed();
    let held = gate.clone();
    house.kit.add_hook(Hook::transcription(move |_| {
        let gate = held.clone();
        async move {
            gate.wait().await;
            Decision::Allow
        }
    }));
    let call = house.call().await;
    call.ai
        .simulate_transcription("my last words", Role::User, true, None);
    settle().await;
    let kit = house.kit.clone();
    let leaving = tokio::spawn(async move {
        match with {
            With::Room => kit.detach_channel(ROOM, VOICE).await,
            With::Kit => kit.unregister_channel(VOICE).await,
        }
    });
    settle().await;
    let kit = house.kit.clone();
    let closing = tokio::spawn(async move {
        match with {
            With::Room => drop(kit.close_room(ROOM).await.unwrap()),
            With::Kit => kit.close().await,
        }
    });
    settle().await;
    gate.open();
    soon(leaving).await.unwrap().unwrap();
    soon(closing).await.unwrap();
    let (room, query) = (ROOM.into(), TimelineQuery::new());
    let events = store.timeline(&room, &query).await.unwrap();
    let texts: Vec<_> = events
        .iter()
        .filter_map(|event| event.content.as_text())
        .collect();
    assert_eq!(texts, ["my last words"], "{with:?}");
}

#[tokio::test(start_paused = true)]
async fn r6_t5_a_room_that_closes_waits_for_a_channel_that_is_leaving() {
    t5_last_words_of_a_channel_that_is_leaving(With::Room).await;
}

#[tokio::test(start_paused = true)]
async fn s7_t5_a_kit_that_closes_waits_for_a_channel_that_is_leaving() {
    t5_last_words_of_a_channel_that_is_leaving(With::Kit).await;
}

/// What runs beside the news of a session, and ends it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Beside {
    BeforeTool,
    ToolResult,
    Audio,
}

async fn s3_runs_to_its_end(which: Beside) {
    let notes = Notes::default();
    let log = notes.clone();
    let tool = Tool::new(
        ToolDefinition::new("f", "", json!({"type": "object"})),
        move |_: RealtimeSession, _: String, _: Map<String, Value>| {
            log.add("ran");
            async { Ok("done".into()) }
        },
    );
    let house = House::with(|voice| voice.tool(tool)).await;
    let (voice, log) = (house.voice.clone(), notes.clone());
    let ends = move |session: RealtimeSession| {
        let (voice, log) = (voice.clone(), log.clone());
        async move {
            voice.end_session(&session).await;
            tokio::time::sleep(ms(5000)).await;
            log.add("returned");
        }
    };
    match which {
        Beside::BeforeTool => house.kit.add_hook(Hook::before_tool_use(move |event| {
            let ended = ends(event.session);
            async {
                ended.await;
                Decision::Allow
            }
        })),
        Beside::ToolResult => house.kit.add_hook(Hook::tool_result(move |event| {
            let ended = ends(event.session);
            async {
                ended.await;
                Decision::Allow
            }
        })),
        Beside::Audio => house.voice.on_audio(move |session, _| ends(session)),
    }
    let call = house.call().await;
    if which == Beside::Audio {
        call.ai.simulate_response_start(None);
        call.ai.simulate_audio(pcm(ms(100)));
    } else {
        call.ai.simulate_tool_call("c1", "f", "{}");
    }
    let before: &[&str] = match which {
        Beside::ToolResult => &["ran"],
        _ => &[],
    };
    settle().await;
    house.assert_nothing_left();
    assert_eq!(notes.all(), before, "{which:?}");
    soon(house.kit.close()).await;
    assert_eq!(notes.all(), [before, &["returned"]].concat(), "{which:?}");
    drop(house);
    settle().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn s3_a_hook_around_a_tool_that_ends_its_session_runs_to_its_end() {
    s3_runs_to_its_end(Beside::BeforeTool).await;
    s3_runs_to_its_end(Beside::ToolResult).await;
}

#[tokio::test(start_paused = true)]
async fn s3_an_observer_of_audio_that_ends_its_session_runs_to_its_end() {
    s3_runs_to_its_end(Beside::Audio).await;
}

/// The room is gone long before the hook is done with the first words.
#[tokio::test(start_paused = true)]
async fn t5_hooks_of_a_room_look_at_words_that_come_after_its_end() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.voice.on_transcription(move |event| {
        log.add(event.text);
        async {}
    });
    let hanging = Hook::transcription(|_| std::future::pending::<Decision<_>>());
    let hanging = hanging.timeout(ms(8000));
    house.kit.add_room_hook(ROOM, hanging).await.unwrap();
    let call = house.call().await;
    for text in ["my number", "is 4711"] {
        call.ai.simulate_transcription(text, Role::User, true, None);
    }
    settle().await;
    soon(house.kit.close_room(ROOM)).await.unwrap();
    soon(house.kit.close()).await;
    assert_eq!(notes.all(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn s7_r5_closing_the_kit_gives_the_last_hooks_their_time() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.kit.add_hook(Hook::session_ended(move |_| {
        let log = log.clone();
        async move {
            tokio::time::sleep(ms(20_000)).await;
            log.add("told");
        }
    }));
    house.call().await;
    let failures = house.close(FrameworkEventKind::ChannelFailed).await;
    assert_eq!(notes.all(), ["told"]);
    assert_eq!(failures, []);
}

#[tokio::test(start_paused = true)]
async fn s7_r5_hooks_that_never_return_leave_no_task_when_the_kit_is_closed() {
    let house = House::new().await;
    let hours = ms(3_600_000);
    for hook in [
        Hook::speech_start(|_| std::future::pending()),
        Hook::session_ended(|_| std::future::pending()),
    ] {
        house.kit.add_hook(hook.timeout(hours));
    }
    let call = house.call().await;
    call.ai.simulate_speech_start(None);
    settle().await;
    soon(house.kit.close()).await;
    settle().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn v2_a_recording_ends_with_the_call_however_long_its_last_hooks_take() {
    let sink = MockRecordingSink::new();
    let house = recorded(&sink).await;
    house
        .kit
        .add_hook(Hook::session_ended(|_| tokio::time::sleep(ms(4000))));
    let call = house.call().await;
    tokio::time::sleep(ms(3000)).await;
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let length = recorded.summary.unwrap().duration.as_millis();
    assert!((2990..=3010).contains(&length), "{length} ms");
}

#[tokio::test(start_paused = true)]
async fn v4_words_that_come_too_late_for_the_recording_are_counted() {
    let sink = MockRecordingSink::new();
    let house = recorded(&sink).await;
    house.kit.add_hook(Hook::transcription(|_| async {
        tokio::time::sleep(ms(9000)).await;
        Decision::Allow
    }));
    let counters = Counters::default();
    let counting = counters.here();
    let call = house.call().await;
    call.ai
        .simulate_transcription("good bye", Role::User, true, None);
    settle().await;
    soon(house.kit.close()).await;
    drop(counting);
    let recorded = sink.finished(call.session.id()).await;
    assert_eq!(recorded.marks, []);
    let dropped = counters.all("roomkit_dropped_total");
    assert_eq!(dropped, [("recording_slow".to_owned(), 1)].into());
}
