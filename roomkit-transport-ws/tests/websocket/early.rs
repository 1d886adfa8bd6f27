//! Clients that speak before their session listens.

use std::time::Duration;

use roomkit_core::transport::{ClientEvent, DropReason};
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn c5_what_waited_for_its_session_is_not_too_fast() {
    let (server, mut client) = pair(1024 * 1024).await;
    let second = pcm(1_000, 16_000);
    for _ in 0..6 {
        tokio::time::advance(Duration::from_secs(1)).await;
        say(&mut client, Message::binary(second.clone())).await;
    }
    let mut link = accept(server).await.unwrap();
    for i in 0..6 {
        let event = next(&mut link).await;
        assert_eq!(event, Some(ClientEvent::Audio(second.clone())), "{i}");
    }
    let frame = pcm(100, 16_000);
    for i in 0..30 {
        tokio::time::advance(Duration::from_millis(100)).await;
        say(&mut client, Message::binary(frame.clone())).await;
        let event = next(&mut link).await;
        assert_eq!(event, Some(ClientEvent::Audio(frame.clone())), "{i}");
    }
    // From then on the limit is what it is for everybody.
    tokio::time::advance(Duration::from_secs(2)).await;
    for i in 0..5 {
        say(&mut client, Message::binary(second.clone())).await;
        let event = next(&mut link).await.unwrap();
        let is_too_fast = event == ClientEvent::Dropped(DropReason::TooFast);
        assert_eq!(is_too_fast, i == 4, "{i}");
    }
}
