//! The timeline: order, idempotency, paging, failures of the store (contracts R1, R8, R9, R10).

use std::sync::Arc;

use proptest::prelude::*;
use roomkit_core::{
    RoomKit,
    error::RoomError,
    framework::FrameworkEventKind,
    room::{NewEvent, RoomOptions, RoomStatus, TimelineQuery},
    store::{MemoryStore, RoomStore},
    subscriber::{RoomUpdate, SubscribeOptions},
};

use crate::support::{FailingStore, Fault, Recorder, report, soon, texts, whole_timeline};

const WRITERS: usize = 8;
const EACH: usize = 50;

async fn kit_with_room() -> RoomKit {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    kit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r1_many_writers_give_one_gap_free_order_to_everybody() {
    let kit = kit_with_room().await;
    let (_, mut first) = Recorder::build("first").attach(&kit, "room").await;
    let (_, mut second) = Recorder::build("second").attach(&kit, "room").await;
    let mut host = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    for writer in 0..WRITERS {
        let id = format!("writer-{writer}");
        let _ = Recorder::build(&id).attach(&kit, "room").await;
    }
    let writers = (0..WRITERS).map(|writer| {
        let kit = kit.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                let text = format!("{writer}:{number}");
                kit.send_event("room", format!("writer-{writer}"), text)
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }

    let said = texts(&kit, "room").await;
    assert_eq!(said.len(), WRITERS * EACH);
    for writer in 0..WRITERS {
        let own = said
            .iter()
            .filter_map(|text| text.strip_prefix(&format!("{writer}:")));
        let expected = (0..EACH).map(|number| number.to_string());
        assert!(own.eq(expected), "each writer's own order is kept");
    }
    let mut watched = Vec::new();
    let mut next = host.first_index();
    while watched.len() < said.len() {
        let Some(RoomUpdate::Event(event)) = soon(host.recv()).await else {
            panic!("the host keeps up");
        };
        assert_eq!(event.index, next, "the host misses nothing");
        next += 1;
        watched.extend(event.content.as_text().map(str::to_owned));
    }
    assert_eq!(watched, said);
    for received in [&mut first, &mut second] {
        for text in &said {
            assert_eq!(received.text().await, *text);
        }
    }
}

#[tokio::test]
async fn r1_a_subscription_joins_the_timeline_without_gap_or_repetition() {
    let kit = kit_with_room().await;
    let (ann, _) = Recorder::build("ann").attach(&kit, "room").await;
    let write =
        |text: &'static str| kit.send_event("room", roomkit_core::channel::Channel::id(&ann), text);
    write("before").await.unwrap();
    let mut updates = kit
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    let after = write("after").await.unwrap();
    assert_eq!(updates.first_index(), after.index);
    let past = TimelineQuery::new().before(updates.first_index());
    let past = kit.timeline("room", past).await.unwrap();
    assert_eq!(past.last().unwrap().content.as_text(), Some("before"));
    let update = soon(updates.recv()).await;
    assert_eq!(update, Some(RoomUpdate::Event(Arc::new(after))));
}

#[tokio::test]
async fn r8_a_key_writes_once_and_is_delivered_once() {
    let kit = kit_with_room().await;
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let event = || NewEvent::text("pay 5 euros").idempotency_key("order-1");
    let first = kit.send_event("room", "ann", event()).await.unwrap();
    let again = kit.send_event("room", "ann", event()).await.unwrap();
    assert_eq!(first, again);
    kit.send_event("room", "ann", "done").await.unwrap();
    assert_eq!(received.text().await, "pay 5 euros");
    assert_eq!(received.text().await, "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r8_a_key_writes_once_under_concurrency_and_per_room() {
    let kit = kit_with_room().await;
    kit.create_room("other").await.unwrap();
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    kit.attach_channel("other", "ann").await.unwrap();
    let writes = (0..32).map(|number| {
        let kit = kit.clone();
        tokio::spawn(async move {
            let event = NewEvent::text(format!("attempt {number}")).idempotency_key("key");
            kit.send_event("room", "ann", event).await.unwrap()
        })
    });
    let mut written = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        written.push(write.await.unwrap());
    }
    assert!(written.iter().all(|event| *event == written[0]));
    assert_eq!(texts(&kit, "room").await.len(), 1);

    let event = NewEvent::text("elsewhere").idempotency_key("key");
    let elsewhere = kit.send_event("other", "ann", event).await.unwrap();
    assert_eq!(elsewhere.content.as_text(), Some("elsewhere"));
}

#[tokio::test]
async fn r8_the_key_of_one_writer_is_none_of_anothers() {
    let kit = kit_with_room().await;
    for writer in ["ann", "bob"] {
        let _ = Recorder::build(writer).attach(&kit, "room").await;
    }
    let event = |text| NewEvent::text(text).idempotency_key("1");
    kit.send_event("room", "ann", event("mine")).await.unwrap();
    for _ in 0..2 {
        let written = kit.send_event("room", "bob", event("his")).await.unwrap();
        assert_eq!(written.content.as_text(), Some("his"));
    }
    assert_eq!(texts(&kit, "room").await, ["mine", "his"]);
}

#[tokio::test]
async fn r8_pages_forwards_and_backwards() {
    let kit = kit_with_room().await;
    let _ = Recorder::build("ann").attach(&kit, "room").await; // index 0
    for number in 1..10 {
        let text = number.to_string();
        kit.send_event("room", "ann", text).await.unwrap();
    }
    let page = async |query| {
        let events = kit.timeline("room", query).await.unwrap();
        events.iter().map(|event| event.index).collect::<Vec<_>>()
    };
    assert_eq!(page(TimelineQuery::new().limit(3)).await, [0, 1, 2]);
    assert_eq!(
        page(TimelineQuery::new().after(2).limit(3)).await,
        [3, 4, 5]
    );
    assert_eq!(
        page(TimelineQuery::new().before(5).limit(3)).await,
        [2, 3, 4]
    );
    assert_eq!(page(TimelineQuery::latest(2)).await, [8, 9]);
    assert_eq!(
        kit.timeline("nowhere", TimelineQuery::new()).await,
        Err(RoomError::NotFound("nowhere".into()))
    );
}

#[tokio::test]
async fn r9_a_failing_store_fails_the_write_and_leaves_no_gap() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).build();
    kit.create_room("room").await.unwrap();
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let mut reports = kit.framework_events();
    kit.send_event("room", "ann", "one").await.unwrap();
    for fault in [Fault::Refuse, Fault::Panic] {
        store.set(fault);
        let failed = kit.send_event("room", "ann", "lost").await;
        assert!(matches!(failed, Err(RoomError::Store(_))));
        let report = report(&mut reports, FrameworkEventKind::StoreFailed).await;
        assert_eq!(report.data["operation"], "append");
    }
    store.set(Fault::None);
    kit.send_event("room", "ann", "two").await.unwrap();
    assert_eq!(texts(&kit, "room").await, ["one", "two"]);
    assert_eq!(received.text().await, "one");
    assert_eq!(received.text().await, "two");
}

#[tokio::test]
async fn r9_what_the_store_wrote_but_denied_is_shown_with_the_next_write() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).build();
    kit.create_room("room").await.unwrap();
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    store.set(Fault::Lie);
    let event = || NewEvent::text("one").idempotency_key("key");
    assert!(kit.send_event("room", "ann", event()).await.is_err());
    store.set(Fault::None);
    kit.send_event("room", "ann", event()).await.unwrap();
    kit.send_event("room", "ann", "two").await.unwrap();
    assert_eq!(texts(&kit, "room").await, ["one", "two"]);
    assert_eq!(received.text().await, "one");
    assert_eq!(received.text().await, "two");
}

#[tokio::test]
async fn r9_permissions_apply_even_when_their_record_cannot_be_stored() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).build();
    kit.create_room("room").await.unwrap();
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    store.set(Fault::Refuse);
    assert!(kit.mute("room", "ann").await.unwrap().muted);
    assert!(kit.binding("room", "ann").await.unwrap().muted);
}

#[tokio::test]
async fn r9_rooms_of_an_earlier_process_go_on_where_they_were() {
    let store = Arc::new(MemoryStore::new());
    let before = RoomKit::builder().store(store.clone()).build();
    before.create_room("room").await.unwrap();
    let _ = Recorder::build("ann").attach(&before, "room").await;
    before.send_event("room", "ann", "one").await.unwrap();
    before.close().await;

    let after = RoomKit::builder().store(store).build();
    let _ = Recorder::build("ann").attach(&after, "room").await;
    after.send_event("room", "ann", "two").await.unwrap();
    assert_eq!(texts(&after, "room").await, ["one", "two"]);
}

#[tokio::test]
async fn r9_two_kits_on_one_store_never_take_the_same_place() {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn RoomStore>;
    let here = RoomKit::builder().store(Arc::clone(&store)).build();
    let there = RoomKit::builder().store(store).build();
    here.create_room("room").await.unwrap();
    let (_, mut received) = Recorder::build("log").attach(&here, "room").await;
    for kit in [&here, &there] {
        let _ = Recorder::build("ann").attach(kit, "room").await;
    }
    for number in 0..10 {
        let kit = if number % 2 == 0 { &there } else { &here };
        kit.send_event("room", "ann", number.to_string())
            .await
            .unwrap();
    }
    let said = texts(&here, "room").await;
    assert_eq!(said.len(), 10);
    for text in said {
        assert_eq!(received.text().await, text);
    }
}

#[tokio::test]
async fn r9_four_mebibytes_of_a_timeline_are_kept_unless_the_store_says_otherwise() {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    for letter in ["a", "b", "c", "d", "e"] {
        let text = letter.repeat(1 << 20);
        kit.send_event("room", "ann", text).await.unwrap();
    }
    let kept = kit.timeline("room", TimelineQuery::new()).await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|event| &event.content.as_text().unwrap()[..1])
        .collect();
    assert_eq!(
        kept,
        ["c", "d", "e"],
        "each takes some more than a mebibyte"
    );
}

#[tokio::test]
async fn r9_x5_of_a_long_timeline_the_oldest_is_forgotten() {
    const MOST: usize = 20_000;
    let store = MemoryStore::new().max_timeline_bytes(MOST);
    let kit = RoomKit::builder().store(Arc::new(store)).build();
    for room in ["room", "other"] {
        kit.create_room(room).await.unwrap();
    }
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let write = async |text: &str, key: &str| {
        let event = NewEvent::text(text).idempotency_key(key);
        kit.send_event("room", "ann", event).await.unwrap()
    };
    let long = "x".repeat(500);
    let first = write(&long, "first").await;
    let mut last = first.index;
    for number in 0..100 {
        let written = write(&long, &number.to_string()).await;
        assert_eq!(written.index, last + 1, "indices go on");
        last = written.index;
    }
    for _ in 0..101 {
        assert_eq!(received.text().await, long, "who listens misses nothing");
    }
    let page = async |query| kit.timeline("room", query).await.unwrap();
    let kept = page(TimelineQuery::new().limit(1000)).await;
    let indices = kept.iter().map(|event| event.index).collect::<Vec<_>>();
    let oldest = indices[0];
    assert_eq!(indices, (oldest..=last).collect::<Vec<_>>());
    assert!(oldest > first.index);
    let said = kept.len() * long.len();
    assert!(said < MOST && said > MOST / 4, "{said}");
    assert_eq!(page(TimelineQuery::new().after(0).limit(1000)).await, kept);
    assert!(page(TimelineQuery::new().before(oldest)).await.is_empty());

    assert_eq!(write(&long, "99").await.index, last, "written once");
    assert_eq!(write(&long, "first").await.index, last + 1, "forgotten");
    let giant = write(&"x".repeat(2 * MOST), "giant").await;
    assert_eq!(page(TimelineQuery::new()).await, [giant]);
    write("more", "more").await;
    assert_eq!(page(TimelineQuery::new()).await.len(), 1);

    kit.attach_channel("other", "ann").await.unwrap();
    assert_eq!(whole_timeline(&kit, "other").await.len(), 1);
}

#[tokio::test]
async fn r8_r9_a_repeated_write_shows_what_the_store_wrote_but_denied() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).build();
    kit.create_room("room").await.unwrap();
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    store.set(Fault::Lie);
    let event = || NewEvent::text("one").idempotency_key("key");
    assert!(kit.send_event("room", "ann", event()).await.is_err());
    store.set(Fault::None);
    kit.send_event("room", "ann", event()).await.unwrap();
    assert_eq!(received.text().await, "one");
}

#[tokio::test]
async fn r1_r9_what_another_process_wrote_is_shown_whole_however_much_it_is() {
    const MANY: usize = 2100;
    let store = Arc::new(MemoryStore::new()) as Arc<dyn RoomStore>;
    let here = RoomKit::builder()
        .store(Arc::clone(&store))
        .queue_size(MANY + 10)
        .build();
    let there = RoomKit::builder().store(store).build();
    here.create_room("room").await.unwrap();
    let (_, mut received) = Recorder::build("log").attach(&here, "room").await;
    for kit in [&here, &there] {
        let _ = Recorder::build("ann").attach(kit, "room").await;
    }
    for number in 0..MANY {
        let text = number.to_string();
        there.send_event("room", "ann", text).await.unwrap();
    }
    here.send_event("room", "ann", "end").await.unwrap();
    for number in 0..MANY {
        assert_eq!(received.text().await, number.to_string());
    }
    assert_eq!(received.text().await, "end");
}

#[tokio::test]
async fn r10_an_existing_room_is_never_overwritten() {
    let kit = kit_with_room().await;
    let taken = Err(RoomError::Exists("room".into()));
    assert_eq!(kit.create_room("room").await, taken);
    kit.close_room("room").await.unwrap();
    assert_eq!(kit.create_room("room").await, taken);

    let fresh = kit.create_room(()).await.unwrap();
    let other = kit.create_room(RoomOptions::new()).await.unwrap();
    assert_ne!(fresh.id, other.id);
    let options = RoomOptions::new().id("vip").metadata("tier", "gold");
    let vip = kit.create_room(options).await.unwrap();
    assert_eq!(vip.metadata["tier"], "gold");
    assert_eq!(kit.room("vip").await.unwrap(), vip);
    assert_eq!(vip.status, RoomStatus::Active);
    assert_eq!(kit.rooms().await.unwrap().len(), 4);
}

#[tokio::test]
async fn r1_a_cancelled_caller_does_not_part_a_commit_from_its_delivery() {
    let kit = kit_with_room().await;
    let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    for number in 0..20 {
        let mut write = Box::pin(kit.send_event("room", "ann", number.to_string()));
        let _ = futures_util::poll!(&mut write);
        drop(write);
    }
    kit.send_event("room", "ann", "end").await.unwrap();
    for text in texts(&kit, "room").await {
        assert_eq!(received.text().await, text);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { writer: usize, key: Option<u8> },
    Mute(usize),
    Unmute(usize),
    Fail,
    Lie,
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, proptest::option::of(0..6_u8))
            .prop_map(|(writer, key)| Step::Write { writer, key }),
        1 => (0..3_usize).prop_map(Step::Mute),
        1 => (0..3_usize).prop_map(Step::Unmute),
        1 => Just(Step::Fail),
        1 => Just(Step::Lie),
        2 => Just(Step::Recover),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is written, muted, repeated and lost: no gap, no key twice, and readers see exactly
    /// what is not blocked, in the order of the timeline.
    #[test]
    fn r1_r8_r9_any_history_is_gap_free_and_seen_alike(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(FailingStore::default());
            let kit = RoomKit::builder().store(store.clone()).build();
            kit.create_room("room").await.unwrap();
            let (_, mut received) = Recorder::build("log").attach(&kit, "room").await;
            for writer in 0..3 {
                let _ = Recorder::build(&writer.to_string()).attach(&kit, "room").await;
            }
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Write { writer, key } => {
                        let mut event = NewEvent::text(number.to_string());
                        if let Some(key) = key {
                            event = event.idempotency_key(key.to_string());
                        }
                        let _ = kit.send_event("room", writer.to_string(), event).await;
                    }
                    Step::Mute(writer) => { kit.mute("room", writer.to_string()).await.unwrap(); }
                    Step::Unmute(writer) => { kit.unmute("room", writer.to_string()).await.unwrap(); }
                    Step::Fail => store.set(Fault::Refuse),
                    Step::Lie => store.set(Fault::Lie),
                    Step::Recover => store.set(Fault::None),
                }
            }
            store.set(Fault::None);
            kit.unmute("room", "0").await.unwrap();
            kit.send_event("room", "0", "end").await.unwrap();
            let timeline = whole_timeline(&kit, "room").await;
            let mut keys = timeline.iter().filter_map(|e| Some((e.source.channel_id.clone(), e.idempotency_key.clone()?))).collect::<Vec<_>>();
            let count = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), count, "each key of a writer once");
            for event in timeline.iter().filter(|e| e.blocked_by.is_none() && e.content.as_text().is_some()) {
                assert_eq!(received.event().await.index, event.index);
            }
        });
    }
}
