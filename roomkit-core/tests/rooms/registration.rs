//! Whose channel a channel is.

use std::sync::Arc;

use async_trait::async_trait;
use roomkit_core::{
    RoomKit, WeakRoomKit,
    channel::{Channel, ChannelError},
    error::RoomError,
    id::ChannelId,
    room::{ChannelBinding, RoomEvent},
    subscriber::SubscriberChannel,
};

/// Refuses, having looked whether it can be found.
struct Reluctant(ChannelId);

#[async_trait]
impl Channel for Reluctant {
    fn id(&self) -> &ChannelId {
        &self.0
    }

    fn kind(&self) -> &'static str {
        "reluctant"
    }

    fn on_registered(&self, kit: WeakRoomKit) -> Result<(), ChannelError> {
        let kit = kit.upgrade().unwrap();
        let again = kit.register_channel(SubscriberChannel::new("it"));
        assert_eq!(again, Err(RoomError::ChannelExists("it".into())));
        Err(ChannelError::new(match kit.channel("it") {
            Some(_) => "found",
            None => "no",
        }))
    }

    async fn on_event(
        &self,
        _event: Arc<RoomEvent>,
        _binding: &ChannelBinding,
    ) -> Result<(), ChannelError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_channel_is_found_when_it_has_agreed_and_its_id_is_free_when_it_has_not() {
    let kit = RoomKit::new();
    let refused = kit.register_channel(Reluctant("it".into()));
    let reason = "no".to_owned();
    let channel = ChannelId::from("it");
    assert_eq!(refused, Err(RoomError::Refused { channel, reason }));
    kit.register_channel(SubscriberChannel::new("it")).unwrap();
    assert!(kit.channel("it").is_some());
}

#[tokio::test]
async fn a_dashboard_is_one_kits_at_a_time() {
    let (one, other) = (RoomKit::new(), RoomKit::new());
    let dashboard = SubscriberChannel::new("dashboard");
    one.register_channel(dashboard.clone()).unwrap();
    one.create_room("room").await.unwrap();
    one.attach_channel("room", "dashboard").await.unwrap();

    let refused = other.register_channel(dashboard.clone());
    assert!(matches!(refused, Err(RoomError::Refused { .. })));
    dashboard.subscribe("room").await.unwrap();

    one.unregister_channel("dashboard").await.unwrap();
    let gone = dashboard.subscribe("room").await.err();
    let unregistered = RoomError::ChannelNotRegistered("dashboard".into());
    assert_eq!(gone, Some(unregistered));
    other.register_channel(dashboard).unwrap();
}
