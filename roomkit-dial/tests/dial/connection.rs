//! An open connection: both directions, pings, and the ways in which it ends.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use roomkit_core::provider::{ProviderCommand, ProviderErrorKind, ProviderEvent};
use roomkit_dial::{Decode, DialOptions, Redactor};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{Connection, Server, Words, deadline, dialer, text};

#[tokio::test]
async fn a_command_becomes_any_number_of_frames_and_a_refused_one_none() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    connection.send(text("one two")).await;
    connection.send(text("")).await;
    let refused = connection.sink.send(ProviderCommand::Respond).await;
    assert_eq!(refused.unwrap_err().kind(), ProviderErrorKind::Unsupported);
    connection.send(text("three")).await;
    for word in ["one", "two", "three"] {
        assert_eq!(peer.next().await, Some(Message::text(word)));
    }
}

#[tokio::test]
async fn h5_a_ping_comes_back_in_order_with_what_was_sent() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    connection.send(text("one")).await;
    connection.send(ProviderCommand::Ping).await;
    connection.send(text("two")).await;
    assert_eq!(peer.next().await, Some(Message::text("one")));
    let Some(Message::Ping(first)) = peer.next().await else {
        panic!("no ping");
    };
    // The pong goes out while the peer reads on.
    assert_eq!(peer.next().await, Some(Message::text("two")));
    peer.send(Message::text("updated")).await;
    assert_eq!(connection.next().await, ProviderEvent::Pong);
    assert_eq!(connection.next().await, ProviderEvent::Updated);
    connection.send(ProviderCommand::Ping).await;
    let Some(Message::Ping(second)) = peer.next().await else {
        panic!("no ping");
    };
    assert_ne!(first, second, "each ping is told from the others");
}

#[tokio::test]
async fn h5_a_pong_answers_the_pings_before_it_and_one_unasked_for_nothing() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    for payload in [
        &b""[..],
        b"hello",
        &7_u64.to_be_bytes(),
        &0_u64.to_be_bytes(),
    ] {
        peer.send(Message::Pong(payload.to_vec().into())).await;
    }
    peer.send(Message::text("updated")).await;
    assert_eq!(connection.next().await, ProviderEvent::Updated);
    for _ in 0..3 {
        connection.send(ProviderCommand::Ping).await;
    }
    // Only the third is answered, and twice.
    for number in [3_u64, 3, 2] {
        peer.send(Message::Pong(number.to_be_bytes().to_vec().into()))
            .await;
    }
    peer.send(Message::text("updated")).await;
    for _ in 0..3 {
        assert_eq!(connection.next().await, ProviderEvent::Pong);
    }
    assert_eq!(connection.next().await, ProviderEvent::Updated);
}

#[tokio::test]
async fn h5_a_ping_of_the_vendor_is_answered_while_nothing_is_sent() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    let listen = tokio::spawn(async move { connection.next().await });
    for payload in ["one", "two"] {
        peer.send(Message::Ping(payload.into())).await;
        assert_eq!(peer.next().await, Some(Message::Pong(payload.into())));
    }
    assert!(!listen.is_finished(), "a ping is no event");
    listen.abort();
}

#[tokio::test]
async fn x5_a_binary_frame_is_text_or_dropped_with_a_word() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    peer.send(Message::binary("updated")).await;
    peer.send(Message::binary(vec![0xC3, 0x28, 0xFF])).await;
    peer.send(Message::text("updated")).await;
    assert_eq!(connection.next().await, ProviderEvent::Updated);
    let ProviderEvent::Error(error) = connection.next().await else {
        panic!("no word of it");
    };
    assert_eq!(error.kind(), ProviderErrorKind::Protocol);
    assert_eq!(connection.next().await, ProviderEvent::Updated);
}

#[tokio::test]
async fn x5_what_websocket_does_not_allow_ends_the_connection_with_its_reason() {
    let too_large = {
        let mut frame = vec![0x81, 127];
        frame.extend(u64::MAX.to_be_bytes());
        frame
    };
    let long_ping = [&[0x89, 126, 0, 200][..], &[0; 200]].concat();
    let table: [(&[u8], &str); 5] = [
        (&[0x81, 3, 0xC3, 0x28, 0xFF], "not UTF-8"),
        (&too_large, "`max_message_bytes`"),
        (&[0x83, 0], "not WebSocket"),
        (&[0xF1, 0], "not WebSocket"),
        (&long_ping, "not WebSocket"),
    ];
    for (bytes, told) in table {
        let server = Server::bind().await;
        let (mut peer, connection) = server.connected().await;
        peer.socket.get_mut().write_all(bytes).await.unwrap();
        let error = connection.closed().await.expect("not as asked");
        assert_eq!(error.kind(), ProviderErrorKind::Protocol, "{error}");
        assert!(error.message().contains(told), "{error}");
        assert!(error.is_retryable(), "another connection may do better");
    }
}

#[tokio::test]
async fn large_messages_are_taken_up_to_the_limit() {
    let server = Server::bind().await;
    let mut options = DialOptions::default();
    options.max_message_bytes = 100_000;
    let (dialer, deadline) = (dialer(&server.url(), options), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let mut socket = socket.unwrap();
    let script = tokio::spawn(async move {
        peer.send(Message::text("A".repeat(100_000))).await;
        peer.send(Message::text("A".repeat(100_001))).await;
        peer.next().await;
    });
    assert_eq!(socket.receive().await.unwrap().len(), 100_000);
    let (sink, events) = socket.split(Words, Words);
    let error = Connection { sink, events }.closed().await.unwrap();
    assert_eq!(error.code(), "message_too_large");
    script.await.unwrap();
}

#[tokio::test]
async fn h1_much_can_be_sent_to_a_vendor_that_answers_each_and_its_answers_come_first() {
    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let mut socket = socket.unwrap();
    // More than the system's buffers hold, from a peer that reads nothing while it writes.
    let frame = "A".repeat(100_000);
    let echo = tokio::spawn(async move {
        for _ in 0..100 {
            let frame = peer.next().await.unwrap();
            peer.send(frame).await;
        }
        peer.send(Message::text("updated")).await;
        peer
    });
    socket
        .send_all(std::iter::repeat_n(frame.clone(), 100))
        .await
        .unwrap();
    assert_eq!(socket.receive().await.unwrap().as_str(), frame);
    let (sink, events) = socket.split(Words, Words);
    let mut connection = Connection { sink, events };
    assert_eq!(connection.next().await, ProviderEvent::Updated);
    drop(echo.await.unwrap());
}

#[tokio::test]
async fn x5_a_vendor_cannot_fill_the_memory_while_it_is_sent_to() {
    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let mut socket = socket.unwrap();
    let flood = async {
        while peer
            .socket
            .send(Message::text("A".repeat(60_000)))
            .await
            .is_ok()
        {}
    };
    let endless = async {
        let sent = socket.send_all(std::iter::repeat("A".repeat(60_000))).await;
        drop(socket);
        sent
    };
    let (sent, ()) = tokio::join!(endless, flood);
    let error = sent.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Protocol);
    assert!(error.message().contains("16 MiB"), "{error}");
}

#[tokio::test]
async fn t2_what_a_decoder_held_back_is_told_before_the_end() {
    struct Hoarder;
    impl Decode for Hoarder {
        fn decode(&mut self, _: &str, _: &mut VecDeque<ProviderEvent>) {}

        fn finish(&mut self, events: &mut VecDeque<ProviderEvent>) {
            events.push_back(ProviderEvent::Updated);
        }
    }

    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let (sink, events) = socket.unwrap().split(Words, Hoarder);
    let mut connection = Connection { sink, events };
    peer.close(1011, "").await;
    assert_eq!(connection.next().await, ProviderEvent::Updated);
    let error = connection.closed().await.expect("not as asked");
    assert_eq!(error.kind(), ProviderErrorKind::Server);
}

#[tokio::test]
async fn s3_closing_says_goodbye_and_is_no_error() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    connection.sink.close().await;
    let Some(Message::Close(Some(frame))) = peer.next().await else {
        panic!("no goodbye");
    };
    assert_eq!(frame.code, CloseCode::Normal);
    assert_eq!(peer.next().await, None, "our half of the handshake");
    assert_eq!(connection.closed().await, None);
}

#[tokio::test]
async fn s7_dropping_the_sink_closes_the_socket() {
    let server = Server::bind().await;
    let (mut peer, connection) = server.connected().await;
    let Connection { sink, mut events } = connection;
    drop(sink);
    assert_eq!(events.next().await, Some(ProviderEvent::Closed(None)));
    assert_eq!(events.next().await, None);
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn h3_the_end_is_classified_by_code_and_reason() {
    let table = [
        (
            1001,
            "Your session hit the maximum duration of 60 minutes.",
            ProviderErrorKind::SessionExpired,
        ),
        (1001, "", ProviderErrorKind::Network),
        (1000, "", ProviderErrorKind::Network),
        (1011, "keepalive ping timeout", ProviderErrorKind::Server),
        (1008, "no_money", ProviderErrorKind::Quota),
        (3000, "wrong.bad_key", ProviderErrorKind::Authentication),
    ];
    let server = Server::bind().await;
    for (code, reason, kind) in table {
        let (mut peer, connection) = server.connected().await;
        peer.close(code, reason).await;
        let error = connection.closed().await.expect("not as asked");
        assert_eq!(error.kind(), kind, "{code} {reason}");
        let reply = peer.next().await;
        assert!(
            matches!(reply, Some(Message::Close(_))),
            "{code}: the handshake is completed"
        );
    }
}

#[tokio::test]
async fn h3_the_error_right_before_a_mute_end_is_its_reason() {
    let server = Server::bind().await;
    let (mut peer, connection) = server.connected().await;
    peer.send(Message::text("error no_money")).await;
    drop(peer);
    let error = connection.closed().await.unwrap();
    assert_eq!(
        (error.kind(), error.code()),
        (ProviderErrorKind::Quota, "no_money")
    );

    // An error that was about one request only has nothing to do with it.
    let (mut peer, connection) = server.connected().await;
    peer.send(Message::text("error about_one_request")).await;
    drop(peer);
    let error = connection.closed().await.unwrap();
    assert_eq!(error.kind(), ProviderErrorKind::Network);
}

#[tokio::test]
async fn a_command_on_a_broken_socket_fails() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    peer.close(1011, "").await;
    drop(peer);
    assert!(matches!(
        connection.next().await,
        ProviderEvent::Closed(Some(_))
    ));
    for command in [text("hi"), ProviderCommand::Ping] {
        let sent = connection.sink.send(command).await;
        assert_eq!(sent.unwrap_err().kind(), ProviderErrorKind::Network);
    }
}

proptest! {
    #[test]
    fn x1_redaction_takes_any_text(text in ".*", secret in ".{0,20}") {
        let redacted = Redactor::new(vec![secret.into()]).redact(&text);
        prop_assert!(redacted.chars().count() <= 501);
    }
}
