//! What is left of rooms: how they are deleted, and how many there may be (contracts S7, S6).

use std::sync::Arc;

use roomkit_core::{
    RoomKit,
    error::RoomError,
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    room::{RoomStatus, TimelineQuery},
    store::{MemoryStore, RoomStore},
    subscriber::{CloseReason, RoomUpdate, SubscribeOptions},
};

use crate::support::{FailingStore, Fault, Recorder, report, soon, texts};

#[tokio::test]
async fn s7_a_deleted_room_leaves_nothing_and_its_id_is_free_again() {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    let _ = Recorder::build("ann").attach(&kit, "room").await;
    let silence = Hook::before_broadcast(async |_| Decision::block("silence"));
    kit.add_room_hook("room", silence.name("silence"))
        .await
        .unwrap();
    kit.send_event("room", "ann", "unheard").await.unwrap();
    let mut reports = kit.framework_events();

    kit.close_room("room").await.unwrap();
    assert_eq!(kit.open_rooms(), 0);
    kit.delete_room("room").await.unwrap();
    report(&mut reports, FrameworkEventKind::RoomDeleted).await;
    let gone = || RoomError::NotFound("room".into());
    assert_eq!(kit.rooms().await.unwrap(), []);
    assert_eq!(kit.room("room").await, Err(gone()));
    let page = kit.timeline("room", TimelineQuery::new()).await;
    assert_eq!(page, Err(gone()));
    assert_eq!(kit.send_event("room", "ann", "late").await, Err(gone()));
    assert_eq!(kit.close_room("room").await, Err(gone()));
    assert_eq!(kit.delete_room("room").await, Err(gone()));

    kit.create_room("room").await.unwrap();
    assert!(kit.bindings("room").await.unwrap().is_empty());
    assert!(!kit.remove_room_hook("room", "silence"));
    kit.attach_channel("room", "ann").await.unwrap();
    kit.send_event("room", "ann", "heard").await.unwrap();
    assert_eq!(texts(&kit, "room").await, ["heard"]);
}

#[tokio::test]
async fn r6_an_open_room_cannot_be_deleted() {
    let kit = RoomKit::new();
    kit.create_room("room").await.unwrap();
    let refused = kit.delete_room("room").await;
    assert_eq!(refused, Err(RoomError::Open("room".into())));
    let room = kit.room("room").await.unwrap();
    assert_eq!(room.status, RoomStatus::Active);
}

#[tokio::test]
async fn r9_a_room_that_the_store_does_not_let_go_of_can_be_deleted_again() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).build();
    kit.create_room("room").await.unwrap();
    kit.close_room("room").await.unwrap();
    for fault in [Fault::Refuse, Fault::Panic] {
        store.set(fault);
        let refused = kit.delete_room("room").await;
        assert!(matches!(refused, Err(RoomError::Store(_))));
    }
    store.set(Fault::None);
    kit.delete_room("room").await.unwrap();
    assert!(kit.rooms().await.unwrap().is_empty());
}

#[tokio::test]
async fn r9_a_store_that_is_slow_with_one_room_keeps_no_other_waiting() {
    let store = Arc::new(FailingStore::default());
    let kit = RoomKit::builder().store(store.clone()).max_rooms(2).build();
    store.set(Fault::Hold);
    let slow = tokio::spawn({
        let kit = kit.clone();
        async move { kit.create_room("slow").await }
    });
    store.held().await;
    store.set(Fault::None);

    kit.create_room("room").await.unwrap();
    let refused = kit.create_room("third").await;
    let full = Err(RoomError::TooManyRooms(2));
    assert_eq!(refused, full, "what is being created counts");
    let unknown = soon(kit.close_room("unknown")).await;
    assert_eq!(unknown, Err(RoomError::NotFound("unknown".into())));
    soon(kit.close_room("room")).await.unwrap();
    soon(kit.delete_room("room")).await.unwrap();

    store.release();
    slow.await.unwrap().unwrap();
    assert_eq!(kit.open_rooms(), 1);
}

#[tokio::test]
async fn s7_a_room_that_another_process_closed_lets_go_of_everybody_here() {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn RoomStore>;
    let here = RoomKit::builder().store(Arc::clone(&store)).build();
    let there = RoomKit::builder().store(store).build();
    here.create_room("room").await.unwrap();
    let mut updates = here
        .subscribe("room", SubscribeOptions::new())
        .await
        .unwrap();
    there.close_room("room").await.unwrap();
    here.delete_room("room").await.unwrap();
    let end = RoomUpdate::Closed(CloseReason::RoomClosed);
    assert_eq!(soon(updates.recv()).await, Some(end));
    assert_eq!(here.open_rooms(), 0);
}

#[tokio::test]
async fn s6_no_more_rooms_are_open_than_may_be() {
    let kit = RoomKit::builder().max_rooms(2).build();
    kit.create_room("one").await.unwrap();
    kit.create_room("two").await.unwrap();
    let refused = kit.create_room("three").await;
    assert_eq!(refused, Err(RoomError::TooManyRooms(2)));
    let exists = kit.create_room("two").await;
    assert_eq!(exists, Err(RoomError::Exists("two".into())), "use that");
    kit.close_room("one").await.unwrap();
    kit.create_room("three").await.unwrap();
    assert_eq!(kit.open_rooms(), 2);
    kit.set_max_rooms(1);
    assert_eq!((kit.max_rooms(), kit.open_rooms()), (1, 2), "they stay");
    kit.close_room("two").await.unwrap();
    let refused = kit.create_room("four").await;
    assert_eq!(refused, Err(RoomError::TooManyRooms(1)));
    kit.set_max_rooms(2);
    kit.create_room("four").await.unwrap();
}
