//! How rooms and kits end (contracts R6, S7).

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use roomkit_core::{
    RoomKit,
    channel::ChannelError,
    error::RoomError,
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    room::{EventStatus, RoomStatus, TimelineQuery},
    subscriber::{CloseReason, RoomUpdate, SubscribeOptions},
};
use tokio::sync::Semaphore;

use crate::support::{FailingStore, Fault, Recorder, report, soon, texts};

async fn kit_with_room() -> RoomKit {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    kit
}

#[tokio::test]
async fn r6_closing_lets_channels_finish_then_refuses_writes_and_stays_readable() {
    let kit = kit_with_room().await;
    let weak = kit.downgrade();
    let voice = Recorder::build("voice").when_detached(move |room, _| {
        let kit = weak.upgrade().unwrap();
        async move {
            let binding = kit.binding(&room, "voice").await;
            assert_eq!(
                binding,
                Err(RoomError::Closed(room.clone())),
                "no new sessions"
            );
            let last = kit.send_event(&room, "voice", "goodbye").await.unwrap();
            assert_eq!(last.status, EventStatus::Delivered);
        }
    });
    let (voice, _) = voice.attach(&kit, "room").await;
    let (_, mut log) = Recorder::build("log").attach(&kit, "room").await;
    let mut updates = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    let mut reports = kit.framework_events();

    let closed = kit.close_room("room").await.unwrap();
    assert_eq!(closed.status, RoomStatus::Closed);
    assert!(closed.closed_at.is_some());
    assert_eq!(voice.log(), ["attached", "detached from room: RoomClosed"]);
    assert_eq!(log.text().await, "goodbye");
    assert!(matches!(
        soon(updates.recv()).await,
        Some(RoomUpdate::Event(_))
    ));
    let end = RoomUpdate::Closed(CloseReason::RoomClosed);
    assert_eq!(soon(updates.recv()).await, Some(end));
    assert_eq!(soon(updates.recv()).await, None);
    report(&mut reports, FrameworkEventKind::RoomClosed).await;

    let refused = || RoomError::Closed("room".into());
    assert_eq!(kit.send_event("room", "log", "late").await, Err(refused()));
    assert_eq!(kit.attach_channel("room", "log").await, Err(refused()));
    assert_eq!(kit.mute("room", "log").await, Err(refused()));
    let subscribed = kit.subscribe("room", SubscribeOptions::new()).await;
    assert_eq!(subscribed.unwrap_err(), refused());
    assert_eq!(texts(&kit, "room").await, ["goodbye"]);
    assert_eq!(kit.room("room").await.unwrap(), closed);
    assert_eq!(
        kit.close_room("room").await.unwrap(),
        closed,
        "closing again is nothing"
    );
    assert!(kit.bindings("room").await.unwrap().is_empty());
}

#[tokio::test]
async fn r6_detaching_lets_the_channel_finish_first() {
    let kit = kit_with_room().await;
    let weak = kit.downgrade();
    let voice = Recorder::build("voice").when_detached(move |room, _| {
        let kit = weak.upgrade().unwrap();
        async move {
            assert!(
                kit.binding(&room, "voice").await.is_err(),
                "no new sessions"
            );
            kit.send_event(&room, "voice", "goodbye").await.unwrap();
        }
    });
    let (voice, mut received) = voice.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    kit.detach_channel("room", "voice").await.unwrap();
    assert_eq!(voice.log(), ["attached", "detached from room: Detached"]);
    assert_eq!(texts(&kit, "room").await, ["goodbye"]);
    let gone = Err(RoomError::NotAttached {
        room: "room".into(),
        channel: "voice".into(),
    });
    assert_eq!(kit.detach_channel("room", "voice").await, gone);
    assert!(kit.send_event("room", "voice", "late").await.is_err());
    kit.send_event("room", "ann", "unheard").await.unwrap();
    kit.attach_channel("room", "voice").await.unwrap();
    kit.send_event("room", "ann", "heard").await.unwrap();
    assert_eq!(received.text().await, "heard");
}

#[tokio::test]
async fn r6_a_channel_that_is_replaced_while_it_is_attached_is_not_left_in_the_room() {
    let kit = kit_with_room().await;
    let permits = Arc::new(Semaphore::new(0));
    let first = Recorder::build("voice").agreeing_with(&permits);
    let (first, _) = first.register(&kit);
    let attach = kit.attach_channel("room", "voice");
    let replace = async {
        while first.log().is_empty() {
            tokio::task::yield_now().await;
        }
        kit.unregister_channel("voice").await.unwrap();
        let (second, _) = Recorder::build("voice").register(&kit);
        permits.add_permits(1);
        second
    };
    let (attached, second) = tokio::join!(attach, replace);
    let gone = RoomError::ChannelNotRegistered("voice".into());
    assert_eq!(attached, Err(gone));
    assert!(kit.bindings("room").await.unwrap().is_empty());
    kit.attach_channel("room", "voice").await.unwrap();
    let left = ["attached", "closed", "detached from room: Detached"];
    assert_eq!(first.log(), left);
    assert_eq!(second.log(), ["attached"]);
}

#[tokio::test(start_paused = true)]
async fn r6_s8_a_channel_that_panics_or_hangs_when_detached_does_not_keep_a_room_open() {
    let kit = kit_with_room().await;
    let hanging =
        Recorder::build("hanging").when_detached(async |_, _| std::future::pending().await);
    let _ = hanging.attach(&kit, "room").await;
    let panicking = Recorder::build("panicking").when_detached(async |_, _| panic!("oh no"));
    let _ = panicking.attach(&kit, "room").await;
    let (healthy, _) = Recorder::build("healthy").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    soon(kit.close_room("room")).await.unwrap();
    assert_eq!(healthy.log().len(), 2);
    for channel in ["panicking", "hanging"] {
        let report = report(&mut reports, FrameworkEventKind::ChannelFailed).await;
        assert_eq!(report.channel_id.unwrap(), channel);
        assert_eq!(report.data["operation"], "on_detached");
    }

    // How long a channel may take is the host's to say: this one would be done in time.
    let hurried = RoomKit::builder()
        .lifecycle_timeout(Duration::from_millis(500))
        .build();
    hurried.create_room("room").await.unwrap();
    let slow = Recorder::build("slow")
        .when_detached(async |_, _| tokio::time::sleep(Duration::from_secs(1)).await);
    let _ = slow.attach(&hurried, "room").await;
    let mut reports = hurried.framework_events();
    soon(hurried.close_room("room")).await.unwrap();
    let report = report(&mut reports, FrameworkEventKind::ChannelFailed).await;
    assert_eq!(report.data["operation"], "on_detached");
}

#[tokio::test]
async fn r6_a_room_can_be_closed_from_within_a_delivery_and_by_many_at_once() {
    let kit = kit_with_room().await;
    let weak = kit.downgrade();
    let closer = Recorder::build("closer").reacting(move |_| {
        let kit = weak.upgrade().unwrap();
        async move {
            let close = || kit.close_room("room");
            let (one, two) = tokio::join!(close(), close());
            assert_eq!(one.unwrap(), two.unwrap());
            Ok::<_, ChannelError>(())
        }
    });
    let _ = closer.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    kit.send_event("room", "ann", "close it").await.unwrap();
    report(&mut reports, FrameworkEventKind::RoomClosed).await;
    assert!(kit.send_event("room", "ann", "late").await.is_err());
}

#[tokio::test]
async fn r6_r9_a_room_whose_closing_cannot_be_stored_can_be_closed_again() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).build();
    kit.create_room("room").await.unwrap();
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    store.set(Fault::Refuse);
    assert!(matches!(
        kit.close_room("room").await,
        Err(RoomError::Store(_))
    ));
    assert_eq!(kit.room("room").await.unwrap().status, RoomStatus::Active);
    store.set(Fault::None);
    assert!(kit.bindings("room").await.unwrap().is_empty());
    let closed = kit.close_room("room").await.unwrap();
    assert_eq!(closed.status, RoomStatus::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r6_no_write_slips_in_after_a_room_was_closed() {
    for _ in 0..20 {
        let kit = kit_with_room().await;
        let _ = Recorder::build("ann").attach(&kit, "room").await;
        let writer = tokio::spawn({
            let kit = kit.clone();
            async move {
                let mut written = 0;
                while kit.send_event("room", "ann", "x").await.is_ok() {
                    written += 1;
                }
                written
            }
        });
        kit.close_room("room").await.unwrap();
        let at_close = kit
            .timeline("room", TimelineQuery::latest(1))
            .await
            .unwrap();
        let written = writer.await.unwrap();
        assert_eq!(texts(&kit, "room").await.len(), written);
        let later = kit
            .timeline("room", TimelineQuery::latest(1))
            .await
            .unwrap();
        assert_eq!(at_close, later);
    }
}

#[tokio::test]
async fn s7_close_ends_everything_in_order() {
    let kit = kit_with_room().await;
    let weak = kit.downgrade();
    let voice = Recorder::build("voice").when_detached(move |room, _| {
        let kit = weak.upgrade().unwrap();
        async move {
            kit.send_event(&room, "voice", "goodbye").await.unwrap();
        }
    });
    let (voice, _) = voice.attach(&kit, "room").await;
    let panicking = Recorder::build("panicking").when_detached(async |_, _| panic!("oh no"));
    let _ = panicking.attach(&kit, "room").await;
    let (log, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let mut updates = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    let mut reports = kit.framework_events();

    tokio::join!(kit.close(), kit.close());
    assert_eq!(
        voice.log(),
        ["attached", "detached from room: Shutdown", "closed"]
    );
    assert_eq!(
        log.log(),
        ["attached", "detached from room: Shutdown", "closed"]
    );
    assert_eq!(received.text().await, "goodbye");
    assert!(matches!(
        soon(updates.recv()).await,
        Some(RoomUpdate::Event(_))
    ));
    let end = RoomUpdate::Closed(CloseReason::Shutdown);
    assert_eq!(soon(updates.recv()).await, Some(end));
    while soon(reports.recv()).await.is_some() {}

    let refused = || RoomError::KitClosed;
    assert_eq!(kit.send_event("room", "log", "late").await, Err(refused()));
    assert_eq!(kit.create_room("new").await, Err(refused()));
    assert_eq!(kit.register_channel(log), Err(refused()));
    let room = kit.room("room").await.unwrap();
    assert_eq!(
        room.status,
        RoomStatus::Active,
        "the room outlives the process"
    );
    assert_eq!(texts(&kit, "room").await, ["goodbye"]);
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Lets tasks that have nothing left to do end, and fails when some do not.
async fn none_left(before: usize) {
    for _ in 0..100_000 {
        if tasks() <= before {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} tasks are left", tasks() - before);
}

#[tokio::test]
async fn s7_close_leaves_no_task_even_when_a_channel_hangs() {
    tokio::time::pause();
    let before = tasks();
    let kit = kit_with_room().await;
    let hanging = Recorder::build("hanging").reacting(async |_| std::future::pending().await);
    let _ = hanging.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    kit.add_hook(Hook::after_broadcast(|_| std::future::pending()));
    for _ in 0..10 {
        kit.send_event("room", "ann", "x").await.unwrap();
    }
    assert!(tasks() > before);
    soon(kit.close()).await;
    none_left(before).await;
}

#[tokio::test]
async fn s7_the_last_handle_takes_everything_along() {
    let before = tasks();
    let kit = kit_with_room().await;
    let weak = kit.downgrade();
    let hanging = Recorder::build("hanging").reacting(async |_| std::future::pending().await);
    let (_, mut received) = hanging.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut updates = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    kit.send_event("room", "ann", "x").await.unwrap();
    received.event().await;
    let other = kit.clone();
    drop(kit);
    assert!(weak.upgrade().is_some());
    drop(other);
    assert!(weak.upgrade().is_none());
    assert!(matches!(
        soon(updates.recv()).await,
        Some(RoomUpdate::Event(_))
    ));
    let end = RoomUpdate::Closed(CloseReason::Shutdown);
    assert_eq!(soon(updates.recv()).await, Some(end));
    none_left(before).await;
}

#[tokio::test]
async fn s7_closed_rooms_and_detached_channels_leave_no_task() {
    let kit = RoomKit::new();
    kit.add_hook(Hook::before_broadcast(async |_| Decision::Allow));
    kit.add_hook(Hook::after_broadcast(async |_| ()));
    let _ = Recorder::build("ann").register(&kit);
    let _ = Recorder::build("log").register(&kit);
    let before = tasks();
    for number in 0..100 {
        let room = kit.create_room(format!("room-{number}")).await.unwrap();
        kit.attach_channel(&room.id, "ann").await.unwrap();
        kit.attach_channel(&room.id, "log").await.unwrap();
        kit.send_event(&room.id, "ann", "hello").await.unwrap();
        kit.detach_channel(&room.id, "log").await.unwrap();
        kit.close_room(&room.id).await.unwrap();
    }
    none_left(before).await;
}

#[tokio::test]
async fn s7_the_kit_can_be_closed_from_within_a_delivery() {
    tokio::time::pause();
    let kit = kit_with_room().await;
    let weak = kit.downgrade();
    let closer = Recorder::build("closer").reacting(move |_| {
        let kit = weak.upgrade().unwrap();
        async move {
            kit.close().await;
            Ok(())
        }
    });
    let _ = closer.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    kit.send_event("room", "ann", "close").await.unwrap();
    while soon(reports.recv()).await.is_some() {}
    soon(kit.close()).await;
}

#[tokio::test(start_paused = true)]
async fn s7_what_the_store_takes_while_the_kit_closes_is_still_shown() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(Arc::clone(&store) as _).build();
    kit.create_room("room").await.unwrap();
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut updates = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    store.set(Fault::Hold);
    let (writer, closer) = (kit.clone(), kit.clone());
    let writing = tokio::spawn(async move { writer.send_event("room", "ann", "last").await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let closing = tokio::spawn(async move { closer.close().await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    store.release();
    let written = soon(writing).await.unwrap().unwrap();
    soon(closing).await.unwrap();
    assert_eq!(received.text().await, "last");
    let shown = RoomUpdate::Event(Arc::new(written));
    assert_eq!(soon(updates.recv()).await, Some(shown));
    let end = RoomUpdate::Closed(CloseReason::Shutdown);
    assert_eq!(soon(updates.recv()).await, Some(end));
}

#[tokio::test(start_paused = true)]
async fn s7_a_channel_is_closed_after_the_events_that_were_on_their_way_to_it() {
    let kit = kit_with_room().await;
    let closed_after = Arc::new(Mutex::new(Vec::new()));
    let (taken, log) = (
        Arc::clone(&closed_after),
        Arc::new(OnceLock::<Recorder>::new()),
    );
    let itself = Arc::clone(&log);
    let slow = Recorder::build("log").reacting(move |event| {
        let (taken, itself) = (Arc::clone(&taken), Arc::clone(&itself));
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let is_closed = itself.get().unwrap().log().contains(&"closed".to_owned());
            taken.lock().unwrap().push((event.index, is_closed));
            Ok(())
        }
    });
    let (recorder, _) = slow.register(&kit);
    let _ = log.set(recorder);
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    kit.attach_channel("room", "log").await.unwrap();
    let mut written = Vec::new();
    for number in 0..5 {
        let event = kit.send_event("room", "ann", number.to_string()).await;
        written.push((event.unwrap().index, false));
    }
    soon(kit.close()).await;
    assert_eq!(*closed_after.lock().unwrap(), written);
}

/// Host code that panics when it is dropped.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("it broke");
    }
}

#[tokio::test(start_paused = true)]
async fn s8_host_code_that_hangs_and_then_panics_when_it_is_dropped_keeps_no_kit_open() {
    let kit = kit_with_room().await;
    let brittle = Recorder::build("brittle").when_detached(async |_, _| {
        let _brittle = Brittle;
        std::future::pending::<()>().await;
    });
    let _ = brittle.attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    soon(kit.close()).await;
    let failed = report(&mut reports, FrameworkEventKind::ChannelFailed).await;
    assert_eq!(failed.data["operation"], "on_detached");
}
