//! The hooks of the voice side; those of the timeline are tested through the kit.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Map;

use super::{Decision, Hook, HookScope, Hooks, Notice, Trigger, Verdict};
use crate::{
    event::{
        RealtimeSpeechEvent, RealtimeToolCallEvent, RealtimeToolResultEvent,
        RealtimeTranscriptionEvent,
    },
    framework::{FrameworkBus, FrameworkEventKind},
    provider::Role,
    session::RealtimeSession,
};

fn session() -> RealtimeSession {
    RealtimeSession::new("room", "ann", "voice", Map::new())
}

fn scope(hooks: &Hooks) -> HookScope {
    hooks.scope("room", "voice", "realtime_voice")
}

fn hooks(list: impl IntoIterator<Item = Hook>) -> (Hooks, Arc<FrameworkBus>) {
    let bus = Arc::new(FrameworkBus::new());
    let hooks = Hooks::new(Arc::clone(&bus));
    for hook in list {
        hooks.add(None, hook);
    }
    (hooks, bus)
}

fn transcript(text: &str) -> RealtimeTranscriptionEvent {
    RealtimeTranscriptionEvent {
        session: session(),
        text: text.to_owned(),
        role: Role::User,
        is_final: true,
        was_barge_in: false,
        item_id: None,
        timestamp: Timestamp::UNIX_EPOCH,
    }
}

fn call() -> RealtimeToolCallEvent {
    RealtimeToolCallEvent {
        session: session(),
        tool_call_id: "call".into(),
        name: "refund".to_owned(),
        arguments: Map::new(),
        timestamp: Timestamp::UNIX_EPOCH,
    }
}

fn result() -> RealtimeToolResultEvent {
    RealtimeToolResultEvent {
        session: session(),
        tool_call_id: "call".into(),
        name: "refund".to_owned(),
        arguments: None,
        result: "done".to_owned(),
        is_error: false,
        timestamp: Timestamp::UNIX_EPOCH,
    }
}

fn speech() -> RealtimeSpeechEvent {
    RealtimeSpeechEvent {
        session: session(),
        speaking: true,
        timestamp: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test(start_paused = true)]
async fn t5_a_failing_transcription_hook_blocks() {
    let failing = [
        Hook::transcription(|_| async { Err::<Decision<_>, _>("no filter today") }).name("errs"),
        Hook::transcription(|_| std::future::pending::<Decision<_>>()).name("hangs"),
        Hook::transcription(|_| async { panic!("oh no") as Decision<_> }).name("panics"),
        Hook::transcription(|event| {
            assert!(event.text.is_empty(), "before the first await");
            async { Decision::Allow }
        })
        .name("panics at once"),
    ];
    for hook in failing {
        let name = hook.name.to_string();
        let (hooks, bus) = hooks([hook]);
        let mut reports = bus.receiver();
        let verdict = hooks
            .transcription(&scope(&hooks), transcript("hello"))
            .await;
        let Verdict::Blocked { by, .. } = verdict else {
            panic!("{name} let it through");
        };
        assert_eq!(by, name);
        let report = reports.recv().await.unwrap();
        let expected = match name.as_str() {
            "hangs" => FrameworkEventKind::HookTimeout,
            _ => FrameworkEventKind::HookError,
        };
        assert_eq!(report.kind, expected);
        assert!(
            !format!("{report:?}").contains("hello"),
            "no words in reports"
        );
    }
}

#[tokio::test]
async fn t5_a_transcript_can_be_blocked_and_replaced_even_by_nothing() {
    let (hooks, _) = hooks([
        Hook::transcription(|mut event| async move {
            event.text = event.text.replace("1234", "****");
            Decision::Replace(event)
        }),
        Hook::transcription(|event| async move {
            match event.text.as_str() {
                "my card is ****" => Decision::Replace(RealtimeTranscriptionEvent {
                    text: String::new(),
                    ..event
                }),
                "stop" => Decision::block("rude"),
                _ => Decision::Allow,
            }
        })
        .name("manners"),
    ]);
    let run = async |text: &str| hooks.transcription(&scope(&hooks), transcript(text)).await;
    assert!(matches!(run("my card is 1234").await, Verdict::Allowed(e) if e.text.is_empty()));
    assert!(matches!(run("pin 1234").await, Verdict::Allowed(e) if e.text == "pin ****"));
    let Verdict::Blocked { by, reason, .. } = run("stop").await else {
        panic!("it is blocked");
    };
    assert_eq!((by.as_str(), reason.as_str()), ("manners", "rude"));
}

#[tokio::test]
async fn r5_a_failing_tool_gate_blocks_and_a_failing_result_hook_does_not() {
    let (hooks, _) = hooks([
        Hook::before_tool_use(|_| async { panic!("oh no") as Decision<_> }),
        Hook::tool_result(|_| async { panic!("oh no") as Decision<_> }),
        Hook::tool_result(|mut event| async move {
            event.result.push('!');
            Decision::Replace(event)
        }),
    ]);
    let gate = hooks.before_tool_use(&scope(&hooks), call()).await;
    assert!(matches!(gate, Verdict::Blocked { .. }));
    let outcome = hooks.tool_result(&scope(&hooks), result()).await;
    assert!(matches!(outcome, Verdict::Allowed(event) if event.result == "done!"));
}

#[tokio::test(start_paused = true)]
async fn s8_notifying_hooks_are_told_in_order_whatever_the_others_do() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = |name: &'static str| {
        let told = Arc::clone(&told);
        Hook::speech_start(move |_| {
            let told = Arc::clone(&told);
            async move { told.lock().unwrap().push(name) }
        })
    };
    let (hooks, _) = hooks([
        telling("third").priority(1),
        Hook::speech_start(|_| async { panic!("oh no") }),
        telling("first").priority(-1),
        Hook::speech_start(|_| std::future::pending()).timeout(Duration::from_secs(1)),
        telling("second"),
        telling("elsewhere").channel("other"),
        telling("another kind").channel_kind("websocket"),
        Hook::speech_end(|_| async { panic!("not this one") }),
    ]);
    hooks
        .notify(&scope(&hooks), Notice::SpeechStart(speech()))
        .await;
    assert_eq!(*told.lock().unwrap(), ["first", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn r5_a_hook_has_thirty_seconds_unless_it_says_otherwise() {
    for (seconds, passes) in [(29, true), (31, false)] {
        let (hooks, _) = hooks([Hook::transcription(move |_| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Decision::Allow
        })]);
        let scope = scope(&hooks);
        let verdict = hooks.transcription(&scope, transcript("hello")).await;
        assert_eq!(matches!(verdict, Verdict::Allowed(_)), passes);
    }
}

#[test]
fn r5_whether_anything_is_hooked_follows_what_is_added_and_removed() {
    let (hooks, _) = hooks([]);
    let level = || Hook::audio_level(|_| async {}).name("meter");
    let hooked = |room: &str, channel: &str| {
        let scope = hooks.scope(room, channel, "realtime_voice");
        hooks.is_hooked(Trigger::AudioLevel, &scope)
    };
    let room = "room".into();
    assert!(!hooked("room", "voice"));

    hooks.add(Some(&room), level().channel("voice"));
    assert!(hooked("room", "voice"));
    assert!(!hooked("room", "phone"));
    assert!(!hooked("other", "voice"));
    assert!(!hooks.is_hooked(Trigger::BargeIn, &scope(&hooks)));

    hooks.add(None, level());
    assert!(hooked("other", "phone"));
    assert!(hooks.remove(None, "meter"));
    assert!(!hooks.remove(None, "meter"));
    assert!(hooked("room", "voice"), "the room's own is still there");
    let kept = scope(&hooks);
    hooks.forget_room(&room);
    assert!(!hooked("room", "voice"));
    assert!(hooks.is_hooked(Trigger::AudioLevel, &kept), "until it ends");
    drop(kept);
    assert!(!hooks.any(Trigger::AudioLevel), "nobody needs it any more");

    hooks.add(None, level());
    hooks.add(Some(&room), level());
    hooks.clear();
    assert!(!hooked("room", "voice"));
}

#[tokio::test]
async fn t5_nothing_passes_hooks_that_are_gone() {
    let (hooks, _) = hooks([Hook::transcription(|_| async { Decision::Allow })]);
    let run = async || {
        hooks
            .transcription(&scope(&hooks), transcript("hello"))
            .await
    };
    assert!(matches!(run().await, Verdict::Allowed(_)));
    hooks.clear();
    assert!(matches!(run().await, Verdict::Blocked { .. }));
    let gate = hooks.before_tool_use(&scope(&hooks), call()).await;
    assert!(matches!(gate, Verdict::Blocked { .. }));
}

#[test]
fn r5_every_trigger_has_a_place_of_its_own() {
    let all = [
        Trigger::BeforeBroadcast,
        Trigger::AfterBroadcast,
        Trigger::Transcription,
        Trigger::BeforeToolUse,
        Trigger::ToolResult,
        Trigger::SessionStarted,
        Trigger::SessionEnded,
        Trigger::SpeechStart,
        Trigger::SpeechEnd,
        Trigger::PartialTranscription,
        Trigger::BargeIn,
        Trigger::TextInjected,
        Trigger::Error,
        Trigger::AudioLevel,
    ];
    assert_eq!(all.len(), Trigger::COUNT);
    for (place, trigger) in all.into_iter().enumerate() {
        assert_eq!(trigger.slot(), place);
    }
}
