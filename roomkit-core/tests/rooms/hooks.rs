//! Hooks on the way to the timeline (contracts R5, S8). Those of the voice side are tested where
//! they are made.

use std::{sync::Arc, time::Duration};

use roomkit_core::{
    RoomKit,
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    room::{Content, EventStatus, NewEvent},
};
use tokio::sync::mpsc;

use crate::support::{Received, Recorder, report, soon, texts};

async fn room_with(hooks: impl IntoIterator<Item = Hook>) -> (RoomKit, Received) {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    let (_, log) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    for hook in hooks {
        kit.add_hook(hook);
    }
    (kit, log)
}

/// A hook that adds a word.
fn adding(word: &'static str) -> Hook {
    Hook::before_broadcast(move |mut event| async move {
        let text = event.content.as_text().unwrap_or_default();
        event.content = Content::text(format!("{text} {word}"));
        event.id = "forged".into();
        event.source.channel_id = "forged".into();
        Decision::Replace(event)
    })
}

#[tokio::test]
async fn r5_hooks_run_by_priority_and_each_sees_the_replacement_before() {
    let (kit, mut log) = room_with([
        adding("c").priority(5),
        adding("a").priority(-5),
        adding("b"),
        adding("b2"),
    ])
    .await;
    let sent = kit.send_event("room", "ann", "hi").await.unwrap();
    assert_eq!(sent.content.as_text(), Some("hi a b b2 c"));
    assert_eq!(
        sent.source.channel_id, "ann",
        "what identifies an event stays"
    );
    assert_ne!(sent.id, "forged");
    assert_eq!(*log.event().await, sent);
}

#[tokio::test]
async fn r5_a_block_is_stored_with_its_reason_shown_to_nobody_and_ends_the_run() {
    let block = Hook::before_broadcast(|event| async move {
        match event.content.as_text() {
            Some("secret") => Decision::block("not for here"),
            _ => Decision::Allow,
        }
    });
    let never = Hook::before_broadcast(|event| async move {
        assert_ne!(event.content.as_text(), Some("secret"));
        Decision::Allow
    });
    let (kit, mut log) = room_with([block.name("censor"), never.priority(1)]).await;
    let mut reports = kit.framework_events();
    let blocked = kit.send_event("room", "ann", "secret").await.unwrap();
    assert_eq!(blocked.status, EventStatus::Blocked);
    assert_eq!(blocked.blocked_by.as_deref(), Some("censor"));
    assert_eq!(blocked.metadata["blocked_reason"], "not for here");
    let report = report(&mut reports, FrameworkEventKind::EventBlocked).await;
    assert_eq!(report.data["reason"], "not for here");
    kit.send_event("room", "ann", "fine").await.unwrap();
    assert_eq!(log.text().await, "fine");
    assert_eq!(texts(&kit, "room").await, ["secret", "fine"]);
}

#[tokio::test(start_paused = true)]
async fn r5_s8_failing_before_broadcast_hooks_are_reported_and_ignored() {
    let (kit, mut log) = room_with([
        Hook::before_broadcast(|_| async { Err::<Decision<_>, _>("out of order") }).name("errs"),
        Hook::before_broadcast(|event| async move {
            assert!(event.index > 1000, "oh no");
            Decision::Allow
        })
        .name("panics"),
        Hook::before_broadcast(|_| std::future::pending::<Decision<_>>())
            .timeout(Duration::from_millis(20))
            .name("hangs"),
    ])
    .await;
    let mut reports = kit.framework_events();
    kit.send_event("room", "ann", "hello").await.unwrap();
    assert_eq!(log.text().await, "hello");
    for (kind, hook) in [
        (FrameworkEventKind::HookError, "errs"),
        (FrameworkEventKind::HookError, "panics"),
        (FrameworkEventKind::HookTimeout, "hangs"),
    ] {
        let report = report(&mut reports, kind).await;
        assert_eq!(report.data["hook"], hook);
        assert_eq!(report.data["trigger"], "before_broadcast");
    }
}

#[tokio::test]
async fn r5_filters_by_channel_kind_and_room() {
    let (kit, mut log) = room_with([
        adding("bob").channel("bob"),
        adding("voice").channel_kind("realtime_voice"),
        adding("recorder")
            .channel_kind("recorder")
            .channel("ann")
            .channel("bob"),
    ])
    .await;
    kit.create_room("other").await.unwrap();
    kit.attach_channel("other", "ann").await.unwrap();
    kit.add_room_hook("other", adding("here")).await.unwrap();
    kit.send_event("room", "ann", "hi").await.unwrap();
    assert_eq!(log.text().await, "hi recorder");
    let other = kit.send_event("other", "ann", "hi").await.unwrap();
    assert_eq!(other.content.as_text(), Some("hi recorder here"));
    assert!(kit.remove_room_hook("other", "before_broadcast"));
    assert!(kit.remove_hook("before_broadcast"));
    assert!(!kit.remove_hook("before_broadcast"));
    kit.send_event("room", "ann", "plain").await.unwrap();
    assert_eq!(log.text().await, "plain");
    assert!(kit.add_room_hook("nowhere", adding("x")).await.is_err());
}

#[tokio::test]
async fn r5_after_broadcast_hooks_follow_in_order_and_do_not_hold_up_the_room() {
    let (seen, mut order) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let after = Hook::after_broadcast(move |event| {
        let (seen, gate) = (seen.clone(), Arc::clone(&held));
        async move {
            gate.acquire().await.unwrap().forget();
            seen.send(event.index).unwrap();
        }
    });
    let panics = Hook::after_broadcast(|_| async { panic!("oh no") }).priority(-1);
    let (kit, mut log) = room_with([after, panics]).await;
    let mut sent = Vec::new();
    for number in 0..5 {
        let event = kit
            .send_event("room", "ann", number.to_string())
            .await
            .unwrap();
        sent.push(event.index);
        assert_eq!(log.text().await, number.to_string());
    }
    gate.add_permits(5);
    for index in sent {
        assert_eq!(soon(order.recv()).await, Some(index));
    }
}

#[tokio::test]
async fn r5_hooks_may_write_to_the_same_room_and_come_to_an_end() {
    let (kit, mut log) = room_with([]).await;
    let weak = kit.downgrade();
    kit.add_hook(Hook::before_broadcast(move |event| {
        let kit = weak.upgrade().unwrap();
        async move {
            let note = format!("noted at depth {}", event.chain_depth);
            kit.send_event(&event.room_id, "ann", note).await.unwrap();
            Decision::Allow
        }
    }));
    soon(kit.send_event("room", "ann", NewEvent::text("hi")))
        .await
        .unwrap();
    for depth in (0..5).rev() {
        assert_eq!(log.text().await, format!("noted at depth {depth}"));
    }
    assert_eq!(log.text().await, "hi");
}

#[tokio::test]
async fn r5_r6_after_broadcast_hooks_of_a_room_see_all_that_was_said_before_its_end() {
    let (kit, _log) = room_with([]).await;
    let (seen, mut order) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let after = Hook::after_broadcast(move |event| {
        let (seen, gate) = (seen.clone(), Arc::clone(&held));
        async move {
            gate.acquire().await.unwrap().forget();
            seen.send(event.index).unwrap();
        }
    });
    kit.add_room_hook("room", after).await.unwrap();
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.push(kit.send_event("room", "ann", text).await.unwrap().index);
    }
    kit.close_room("room").await.unwrap();
    gate.add_permits(3);
    for index in sent {
        assert_eq!(soon(order.recv()).await, Some(index));
    }
}

#[tokio::test]
async fn r5_a_blocked_event_is_stored_as_the_hooks_before_left_it() {
    let redact = Hook::before_broadcast(|mut event| async move {
        event.content = Content::text("card ****");
        Decision::Replace(event)
    });
    let spam = Hook::before_broadcast(|_| async { Decision::block("spam") });
    let (kit, _log) = room_with([spam, redact.priority(-10)]).await;
    let blocked = kit.send_event("room", "ann", "card 4711").await.unwrap();
    assert_eq!(blocked.status, EventStatus::Blocked);
    assert_eq!(texts(&kit, "room").await, ["card ****"]);
}
