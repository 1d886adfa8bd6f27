//! Who gets what: visibility, permissions, slow readers, subscriptions (contracts R2, R7, S8, T2, A7).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use roomkit_core::{
    RoomKit,
    channel::{Channel, ChannelCategory, ChannelError},
    ephemeral::{EphemeralEvent, EphemeralKind},
    error::RoomError,
    framework::FrameworkEventKind,
    id::RoomId,
    room::{Access, BindingOptions, Content, EventStatus, NewEvent, TimelineQuery, Visibility},
    subscriber::{CloseReason, RoomUpdate, SubscribeOptions, SubscriberChannel, Subscription},
};
use tokio::sync::Semaphore;

use crate::support::{Received, Recorder, report, soon, whole_timeline};

async fn kit_with_room() -> RoomKit {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    kit
}

/// The next event's text; panics on anything else.
async fn next_text(updates: &mut Subscription) -> String {
    match soon(updates.recv()).await {
        Some(RoomUpdate::Event(event)) => event.content.as_text().expect("text").to_owned(),
        other => panic!("an event was due, not {other:?}"),
    }
}

/// These texts, and nothing after them.
async fn expect(updates: &mut Subscription, texts: &[&str]) {
    for text in texts {
        assert_eq!(next_text(updates).await, *text);
    }
    assert_eq!(updates.try_recv(), None);
}

#[tokio::test]
async fn r2_visibility_decides_who_is_handed_an_event() {
    let kit = kit_with_room().await;
    let _ = Recorder::build("source").attach(&kit, "room").await;
    let (_, phone) = Recorder::build("phone").attach(&kit, "room").await;
    let (_, voice) = Recorder::build("voice").attach(&kit, "room").await;
    let thinker = Recorder::build("ai").category(ChannelCategory::Intelligence);
    let (_, ai) = thinker.attach(&kit, "room").await;
    let mut readers = [phone, voice, ai];

    let cases = [
        (Visibility::All, [true, true, true]),
        (Visibility::None, [false, false, false]),
        (Visibility::Internal, [false, false, false]),
        (Visibility::Transport, [true, true, false]),
        (Visibility::Intelligence, [false, false, true]),
        (
            Visibility::Channels(vec!["voice".into()]),
            [false, true, false],
        ),
        ("phone, ai".parse().unwrap(), [true, false, true]),
    ];
    for (visibility, expected) in cases {
        let event = NewEvent::text(visibility.to_string()).visibility(visibility.clone());
        let sent = kit.send_event("room", "source", event).await.unwrap();
        assert_eq!(sent.status, EventStatus::Delivered);
        // One that everybody gets marks the end of what this case may have sent.
        kit.send_event("room", "source", "mark").await.unwrap();
        for (reader, expected) in readers.iter_mut().zip(expected) {
            let got = reader.text().await == visibility.to_string();
            assert_eq!(got, expected, "{visibility}");
            if got {
                assert_eq!(reader.text().await, "mark");
            }
        }
    }
}

#[tokio::test]
async fn r2_the_bindings_visibility_is_stamped_on_the_copy_only() {
    let kit = kit_with_room().await;
    let (_, mut phone) = Recorder::build("phone").attach(&kit, "room").await;
    let (_, mut desk) = Recorder::build("desk").attach(&kit, "room").await;
    let _ = Recorder::build("ann").register(&kit);
    let to_desk = Visibility::Channels(vec!["desk".into()]);
    let options = BindingOptions::new().visibility(to_desk.clone());
    kit.attach_channel_with("room", "ann", options)
        .await
        .unwrap();

    let stored = kit.send_event("room", "ann", "for the desk").await.unwrap();
    assert_eq!(stored.visibility, Visibility::All);
    assert_eq!(desk.event().await.visibility, to_desk);
    let narrower = NewEvent::text("for the phone").visibility("phone".parse().unwrap());
    kit.send_event("room", "ann", narrower).await.unwrap();
    assert_eq!(phone.text().await, "for the phone");
    assert_eq!(
        whole_timeline(&kit, "room").await[stored.index as usize],
        stored
    );
}

#[tokio::test]
async fn r2_only_those_who_may_read_are_handed_events_and_never_the_source() {
    let kit = kit_with_room().await;
    let (_, mut ann) = Recorder::build("ann").attach(&kit, "room").await;
    let mut readers = Vec::new();
    for access in [
        Access::ReadWrite,
        Access::ReadOnly,
        Access::WriteOnly,
        Access::None,
    ] {
        let id = format!("{access:?}");
        let (_, received) = Recorder::build(&id).register(&kit);
        let options = BindingOptions::new().access(access);
        kit.attach_channel_with("room", id.as_str(), options)
            .await
            .unwrap();
        readers.push(received);
    }
    kit.send_event("room", "ann", "hello").await.unwrap();
    kit.set_access("room", "WriteOnly", Access::ReadWrite)
        .await
        .unwrap();
    kit.set_access("room", "None", Access::ReadWrite)
        .await
        .unwrap();
    kit.send_event("room", "ReadWrite", "bye").await.unwrap();
    assert_eq!(ann.text().await, "bye", "not its own words");
    assert_eq!(readers[0].text().await, "hello");
    assert_eq!(readers[1].text().await, "hello");
    assert_eq!(readers[1].text().await, "bye");
    assert_eq!(readers[2].text().await, "bye");
    assert_eq!(readers[3].text().await, "bye");
}

#[tokio::test]
async fn r2_muted_and_read_only_sources_are_stored_as_blocked() {
    let kit = kit_with_room().await;
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let (ann, _) = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();

    kit.mute("room", "ann").await.unwrap();
    let muted = kit.send_event("room", "ann", "psst").await.unwrap();
    assert_eq!(muted.status, EventStatus::Blocked);
    assert_eq!(muted.blocked_by.as_deref(), Some("source_muted"));
    let report = report(&mut reports, FrameworkEventKind::EventBlocked).await;
    assert_eq!(report.data["blocked_by"], "source_muted");
    assert_eq!(report.data["index"], muted.index);

    kit.unmute("room", "ann").await.unwrap();
    for access in [Access::ReadOnly, Access::None] {
        kit.set_access("room", "ann", access).await.unwrap();
        let refused = kit.send_event("room", "ann", "psst").await.unwrap();
        assert_eq!(refused.blocked_by.as_deref(), Some("source_read_only"));
    }
    kit.set_access("room", "ann", Access::WriteOnly)
        .await
        .unwrap();
    kit.send_event("room", "ann", "hello").await.unwrap();
    assert_eq!(received.text().await, "hello");
    assert_eq!(ann.log().len(), 6, "attached, and each change told");
}

#[tokio::test]
async fn a7_each_change_is_told_in_order_and_recorded() {
    let kit = kit_with_room().await;
    let (ann, _) = Recorder::build("ann").attach(&kit, "room").await;
    kit.mute("room", "ann").await.unwrap();
    kit.mute("room", "ann").await.unwrap(); // Changes nothing.
    kit.mute_output("room", "ann").await.unwrap();
    kit.unmute_output("room", "ann").await.unwrap();
    kit.unmute("room", "ann").await.unwrap();
    kit.set_visibility("room", "ann", Visibility::Internal)
        .await
        .unwrap();
    assert_eq!(
        ann.log()[1..],
        [
            "muted=true output_muted=false access=ReadWrite visibility=all",
            "muted=true output_muted=true access=ReadWrite visibility=all",
            "muted=true output_muted=false access=ReadWrite visibility=all",
            "muted=false output_muted=false access=ReadWrite visibility=all",
            "muted=false output_muted=false access=ReadWrite visibility=internal",
        ]
    );
    let timeline = whole_timeline(&kit, "room").await;
    let codes = timeline.iter().map(|event| match &event.content {
        Content::System { code, .. } => code.as_str(),
        other => panic!("{other:?}"),
    });
    let expected = [
        "channel_attached",
        "channel_muted",
        "channel_unmuted",
        "channel_updated",
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert!(
        timeline
            .iter()
            .all(|event| event.visibility == Visibility::Internal)
    );
    assert_eq!(
        kit.mute("room", "nobody").await,
        Err(RoomError::NotAttached {
            room: "room".into(),
            channel: "nobody".into()
        })
    );
}

#[tokio::test]
async fn a7_attaching_again_tells_the_channel_its_new_permissions() {
    let kit = kit_with_room().await;
    let (ann, _) = Recorder::build("ann").attach(&kit, "room").await;
    let muted = BindingOptions::new().muted(true);
    kit.attach_channel_with("room", "ann", muted).await.unwrap();
    assert_eq!(
        ann.log(),
        [
            "attached",
            "attached",
            "muted=true output_muted=false access=ReadWrite visibility=all",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn r7_a_channel_that_hangs_is_disconnected_and_delays_nobody() {
    let kit = kit_with_room().await;
    let hanging = Recorder::build("hanging").reacting(async |_| std::future::pending().await);
    let (_, mut stuck) = hanging.attach(&kit, "room").await;
    let (_, mut healthy) = Recorder::build("healthy").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    for number in 0..3 {
        kit.send_event("room", "ann", number.to_string())
            .await
            .unwrap();
        assert_eq!(healthy.text().await, number.to_string());
    }
    let told = report(&mut reports, FrameworkEventKind::ChannelDisconnected).await;
    assert_eq!(told.channel_id.unwrap(), "hanging");
    assert_eq!(told.data["reason"], "timeout");
    assert_eq!(stuck.text().await, "0");

    // Attached again, it is handed what comes from then on.
    kit.attach_channel("room", "hanging").await.unwrap();
    kit.send_event("room", "ann", "again").await.unwrap();
    assert_eq!(stuck.text().await, "again");

    // How long that takes is the host's to say: this one would be done in time.
    let hurried = RoomKit::builder()
        .delivery_timeout(Duration::from_millis(500))
        .build();
    hurried.create_room("room").await.unwrap();
    let slow = Recorder::build("slow").reacting(async |_| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let _ = slow.attach(&hurried, "room").await;
    let _ = Recorder::build("ann").attach(&hurried, "room").await;
    let mut reports = hurried.framework_events();
    hurried.send_event("room", "ann", "quick!").await.unwrap();
    let told = report(&mut reports, FrameworkEventKind::ChannelDisconnected).await;
    assert_eq!(told.data["reason"], "timeout");
}

#[tokio::test(start_paused = true)]
async fn r7_a_channel_whose_queue_is_full_is_disconnected_and_never_called_twice_at_a_time() {
    let kit = RoomKit::builder().queue_size(2).build();
    kit.create_room("room").await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let busy = Arc::new(AtomicUsize::new(0));
    let (held, calls) = (Arc::clone(&gate), Arc::clone(&busy));
    let slow = Recorder::build("slow").reacting(move |_| {
        let (gate, busy) = (Arc::clone(&held), Arc::clone(&calls));
        async move {
            assert_eq!(busy.fetch_add(1, Ordering::SeqCst), 0, "one call at a time");
            gate.acquire().await.unwrap().forget();
            busy.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let (_, mut received) = slow.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    kit.send_event("room", "ann", "0").await.unwrap();
    assert_eq!(received.text().await, "0");
    for number in 1..=3 {
        kit.send_event("room", "ann", number.to_string())
            .await
            .unwrap();
    }
    let report = report(&mut reports, FrameworkEventKind::ChannelDisconnected).await;
    assert_eq!(report.data["reason"], "queue_full");

    kit.attach_channel("room", "slow").await.unwrap();
    kit.send_event("room", "ann", "back").await.unwrap();
    assert!(received.now().is_none(), "it is still at the first");
    gate.add_permits(2);
    assert_eq!(received.text().await, "back");
}

#[tokio::test(start_paused = true)]
async fn r1_a_channel_that_is_taken_out_and_put_back_is_in_one_call_at_a_time() {
    let kit = kit_with_room().await;
    let gate = Arc::new(Semaphore::new(0));
    let busy = Arc::new(AtomicUsize::new(0));
    let (held, calls) = (Arc::clone(&gate), Arc::clone(&busy));
    let slow = Recorder::build("slow").reacting(move |_| {
        let (gate, busy) = (Arc::clone(&held), Arc::clone(&calls));
        async move {
            busy.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            busy.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let (_, mut received) = slow.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    kit.send_event("room", "ann", "first").await.unwrap();
    assert_eq!(received.text().await, "first");
    for text in ["second", "third"] {
        kit.detach_channel("room", "slow").await.unwrap();
        kit.attach_channel("room", "slow").await.unwrap();
        kit.send_event("room", "ann", text).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(received.now().is_none(), "it is still at the first");
    assert_eq!(busy.load(Ordering::SeqCst), 1);
    gate.add_permits(1);
    assert_eq!(received.text().await, "third");
    assert_eq!(busy.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn s8_a_channel_that_fails_or_panics_gets_the_next_event() {
    let kit = kit_with_room().await;
    let moody = Recorder::build("moody").reacting(async |event| match event.content.as_text() {
        Some("panic") => panic!("oh no"),
        Some("fail") => Err(ChannelError::new("not today")),
        _ => Ok(()),
    });
    let (_, mut received) = moody.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    for text in ["panic", "fail", "well"] {
        kit.send_event("room", "ann", text).await.unwrap();
        assert_eq!(received.text().await, text);
    }
    for error in ["it panicked: oh no", "not today"] {
        let report = report(&mut reports, FrameworkEventKind::DeliveryFailed).await;
        assert_eq!(report.data["error"], error);
    }
}

#[tokio::test]
async fn r4_answers_from_within_a_delivery_neither_deadlock_nor_loop_for_ever() {
    let kit = RoomKit::builder().max_chain_depth(3).build();
    kit.create_room("room").await.unwrap();
    let mut ends = Vec::new();
    for (id, other) in [("ping", "pong"), ("pong", "ping")] {
        let weak = kit.downgrade();
        let echo = Recorder::build(id).reacting(move |_| {
            let kit = weak.upgrade().unwrap();
            async move {
                let text = format!("{id} to {other}");
                kit.send_event("room", id, text).await.unwrap();
                Ok(())
            }
        });
        ends.push(echo.attach(&kit, "room").await);
    }
    let mut reports = kit.framework_events();
    kit.send_event("room", "ping", "start").await.unwrap();
    let report = report(&mut reports, FrameworkEventKind::ChainDepthExceeded).await;
    assert_eq!(report.data["chain_depth"], 4);
    let timeline = whole_timeline(&kit, "room").await;
    let depths = timeline[2..].iter().map(|event| event.chain_depth);
    assert_eq!(depths.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let last = timeline.last().unwrap();
    assert_eq!(last.blocked_by.as_deref(), Some("chain_depth"));
}

#[tokio::test]
async fn r4_a_depth_given_by_the_writer_counts_too() {
    let kit = kit_with_room().await;
    let _ = Recorder::build("ai").attach(&kit, "room").await;
    let question = kit
        .send_event("room", "ai", NewEvent::text("?").chain_depth(5))
        .await
        .unwrap();
    assert_eq!(question.status, EventStatus::Delivered);
    let answer = NewEvent::text("!").answer_to(&question);
    let answer = kit.send_event("room", "ai", answer).await.unwrap();
    assert_eq!(answer.blocked_by.as_deref(), Some("chain_depth"));
}

#[tokio::test]
async fn r7_a_slow_subscriber_reads_what_it_has_and_then_why_it_ended() {
    let kit = kit_with_room().await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let options = SubscribeOptions::new().queue_size(2);
    let mut slow = kit.subscribe("room", options).await.unwrap();
    let mut quick = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    for number in 0..4 {
        kit.send_event("room", "ann", number.to_string())
            .await
            .unwrap();
        assert_eq!(next_text(&mut quick).await, number.to_string());
    }
    assert_eq!(next_text(&mut slow).await, "0");
    assert_eq!(next_text(&mut slow).await, "1");
    let end = RoomUpdate::Closed(CloseReason::TooSlow);
    assert_eq!(soon(slow.recv()).await, Some(end));
    assert_eq!(soon(slow.recv()).await, None);
    assert_eq!(soon(slow.next()).await, None, "as a stream too");
}

#[tokio::test]
async fn r7_a_subscriber_of_one_room_never_sees_another() {
    let kit = kit_with_room().await;
    kit.create_room("other").await.unwrap();
    let dashboard = SubscriberChannel::new("dashboard");
    kit.register_channel(dashboard.clone()).unwrap();
    let _ = Recorder::build("ann").register(&kit);
    for room in ["room", "other"] {
        kit.attach_channel(room, "dashboard").await.unwrap();
        kit.attach_channel(room, "ann").await.unwrap();
    }
    let mut here = dashboard.subscribe("room").await.unwrap();
    let mut there = dashboard.subscribe("other").await.unwrap();
    let typing = |room: &str| EphemeralEvent::new(EphemeralKind::Typing, room, "ann");
    kit.publish_ephemeral(typing("other"));
    kit.send_event("other", "ann", "there").await.unwrap();
    kit.send_event("room", "ann", "here").await.unwrap();
    assert_eq!(next_text(&mut here).await, "here");
    assert!(matches!(there.try_recv(), Some(RoomUpdate::Ephemeral(_))));
    assert_eq!(next_text(&mut there).await, "there");
    assert_eq!(here.try_recv(), None);
    assert_eq!(there.try_recv(), None);
}

#[tokio::test]
async fn r2_a_subscriber_sees_what_its_channel_may_see_and_the_host_everything() {
    let kit = kit_with_room().await;
    let dashboard = SubscriberChannel::new("dashboard");
    assert!(matches!(
        dashboard.subscribe("room").await,
        Err(RoomError::ChannelNotRegistered(_))
    ));
    kit.register_channel(dashboard.clone()).unwrap();
    assert!(matches!(
        dashboard.subscribe("room").await,
        Err(RoomError::NotAttached { .. })
    ));
    kit.attach_channel("room", "dashboard").await.unwrap();
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut theirs = dashboard.subscribe("room").await.unwrap();
    let own = SubscribeOptions::new().include_own();
    let mut shared = dashboard.subscribe_with("room", own).await.unwrap();
    let mut host = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    let all = SubscribeOptions::new().include_blocked();
    let mut auditor = kit.subscribe("room", all).await.unwrap();

    let secret = NewEvent::text("secret").visibility(Visibility::Internal);
    kit.send_event("room", "ann", secret).await.unwrap();
    kit.send_event("room", "dashboard", "own").await.unwrap();
    let blocked = NewEvent::text("blocked").chain_depth(99);
    kit.send_event("room", "ann", blocked).await.unwrap();
    kit.send_event("room", "ann", "hello").await.unwrap();

    expect(&mut theirs, &["hello"]).await;
    expect(&mut shared, &["own", "hello"]).await;
    expect(&mut host, &["secret", "own", "hello"]).await;
    expect(&mut auditor, &["secret", "own", "blocked", "hello"]).await;

    kit.set_access("room", "dashboard", Access::WriteOnly)
        .await
        .unwrap();
    kit.send_event("room", "ann", "unseen").await.unwrap();
    assert_eq!(theirs.try_recv(), None, "permissions count as they stand");
    kit.detach_channel("room", "dashboard").await.unwrap();
    let end = RoomUpdate::Closed(CloseReason::Detached);
    assert_eq!(soon(theirs.recv()).await, Some(end));
}

#[tokio::test]
async fn t2_ephemeral_events_reach_those_who_may_see_and_are_never_stored() {
    let kit = kit_with_room().await;
    let room = RoomId::from("room");
    let dashboard = SubscriberChannel::new("dashboard");
    kit.register_channel(dashboard.clone()).unwrap();
    kit.attach_channel("room", "dashboard").await.unwrap();
    let _ = Recorder::build("voice").attach(&kit, "room").await;
    let before = whole_timeline(&kit, "room").await;
    let partial = |text: &str| {
        EphemeralEvent::new(EphemeralKind::Transcription, "room", "voice").data("text", text)
    };
    assert!(!kit.has_subscribers(&room));
    kit.publish_ephemeral(partial("nobody listens"));
    let mut theirs = dashboard.subscribe("room").await.unwrap();
    let mut host = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    assert!(kit.has_subscribers(&room));

    kit.publish_ephemeral(partial("hel"));
    let expect = |update: Option<RoomUpdate>, text: &str| match update {
        Some(RoomUpdate::Ephemeral(event)) => assert_eq!(event.data["text"], text),
        other => panic!("{other:?}"),
    };
    expect(theirs.try_recv(), "hel");
    expect(host.try_recv(), "hel");
    assert_eq!(whole_timeline(&kit, "room").await, before);

    kit.set_visibility("room", "voice", Visibility::Internal)
        .await
        .unwrap();
    kit.publish_ephemeral(partial("lo"));
    assert_eq!(theirs.try_recv(), None, "the voice is internal now");

    drop((theirs, host));
    assert!(!kit.has_subscribers(&room), "s7: nothing is left of them");
}

#[tokio::test]
async fn r7_ephemeral_events_give_way_before_events_do() {
    let kit = kit_with_room().await;
    let _ = Recorder::build("voice").attach(&kit, "room").await;
    let options = SubscribeOptions::new().queue_size(4);
    let mut updates = kit.subscribe("room", options).await.unwrap();
    for _ in 0..10 {
        kit.publish_ephemeral(EphemeralEvent::new(EphemeralKind::Speech, "room", "voice"));
    }
    kit.send_event("room", "voice", "final").await.unwrap();
    kit.send_event("room", "voice", "final").await.unwrap();
    for _ in 0..2 {
        assert!(matches!(updates.try_recv(), Some(RoomUpdate::Ephemeral(_))));
    }
    for _ in 0..2 {
        assert!(matches!(updates.try_recv(), Some(RoomUpdate::Event(_))));
    }
    assert_eq!(updates.try_recv(), None);
}

#[tokio::test]
async fn registering_and_attaching_say_what_is_wrong() {
    let kit = kit_with_room().await;
    let (ann, _) = Recorder::build("ann").register(&kit);
    assert_eq!(
        kit.register_channel(ann.clone()),
        Err(RoomError::ChannelExists("ann".into()))
    );
    assert!(kit.channel("ann").is_some());
    let attach = async |room: &str, channel: &str| kit.attach_channel(room, channel).await;
    assert_eq!(
        attach("room", "bob").await,
        Err(RoomError::ChannelNotRegistered("bob".into()))
    );
    assert_eq!(
        attach("nowhere", "ann").await,
        Err(RoomError::NotFound("nowhere".into()))
    );
    let _ = Recorder::build("shy")
        .refusing("too many people")
        .register(&kit);
    let refused = attach("room", "shy").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "channel `shy` refused: too many people"
    );
    assert!(kit.bindings("room").await.unwrap().is_empty());
    assert!(matches!(
        kit.send_event("room", "ann", "?").await,
        Err(RoomError::NotAttached { .. })
    ));
    assert!(whole_timeline(&kit, "room").await.is_empty());

    kit.attach_channel("room", "ann").await.unwrap();
    let bindings = kit.bindings("room").await.unwrap();
    assert_eq!(bindings[0].channel_id, *ann.id());
    assert_eq!(bindings[0].channel_type, "recorder");
    kit.unregister_channel("ann").await.unwrap();
    assert_eq!(
        ann.log(),
        ["attached", "detached from room: Detached", "closed"]
    );
    assert!(kit.bindings("room").await.unwrap().is_empty());
    assert!(kit.channel("ann").is_none());
    let mut received: Received = Recorder::build("ann").register(&kit).1;
    assert!(received.now().is_none(), "its id is free again");
}

#[tokio::test(start_paused = true)]
async fn r1_a_channel_is_in_one_call_at_a_time_also_when_it_was_taken_out_while_it_was_asked() {
    let kit = kit_with_room().await;
    let (gate, permits) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1)));
    let held = Arc::clone(&gate);
    let slow = Recorder::build("slow")
        .agreeing_with(&permits)
        .reacting(move |_| {
            let gate = Arc::clone(&held);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        });
    let (_, mut received) = slow.attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    kit.send_event("room", "ann", "first").await.unwrap();
    assert_eq!(received.text().await, "first");
    let other = kit.clone();
    let again = tokio::spawn(async move { other.attach_channel("room", "slow").await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    kit.detach_channel("room", "slow").await.unwrap();
    permits.add_permits(2);
    assert!(matches!(
        soon(again).await.unwrap(),
        Err(RoomError::NotAttached { .. })
    ));
    kit.attach_channel("room", "slow").await.unwrap();
    kit.send_event("room", "ann", "second").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(received.now().is_none(), "it is still at the first");
    gate.add_permits(1);
    assert_eq!(received.text().await, "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a7_records_of_changes_are_in_the_order_of_the_changes() {
    let kit = kit_with_room().await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    for _ in 0..500 {
        let changes = [true, false].map(|mute| {
            let kit = kit.clone();
            tokio::spawn(async move {
                if mute {
                    kit.mute("room", "ann").await.unwrap();
                } else {
                    kit.unmute("room", "ann").await.unwrap();
                }
            })
        });
        for change in changes {
            soon(change).await.unwrap();
        }
        let is_muted = kit.binding("room", "ann").await.unwrap().muted;
        let last = kit
            .timeline("room", TimelineQuery::latest(1))
            .await
            .unwrap();
        let Content::System { code, .. } = &last[0].content else {
            panic!("{last:?}");
        };
        let expected = if is_muted {
            "channel_muted"
        } else {
            "channel_"
        };
        assert!(code.starts_with(expected), "{code}, muted: {is_muted}");
        assert!(is_muted || code != "channel_muted", "{code}");
    }
}
