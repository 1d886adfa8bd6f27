//! An open connection: both directions, pings, and the ways in which it ends.

use futures_util::{SinkExt, StreamExt};
use roomkit_core::provider::{
    ProviderCommand, ProviderConnection, ProviderErrorKind, ProviderEvent, Role,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{Server, next};

async fn closed(mut connection: ProviderConnection) -> (ProviderErrorKind, String) {
    loop {
        if let ProviderEvent::Closed(error) = next(&mut connection).await {
            assert_eq!(connection.events.next().await, None, "closed is the last");
            let error = error.expect("not as asked");
            return (error.kind(), error.code().to_owned());
        }
    }
}

#[tokio::test]
async fn t1_events_come_in_wire_order_and_commands_go_in_theirs() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    for command in [
        ProviderCommand::Audio(vec![1, 0].into()),
        ProviderCommand::Text {
            role: Role::User,
            text: "hi".into(),
            respond: false,
        },
        ProviderCommand::ActivityStart,
        ProviderCommand::Respond,
    ] {
        connection.sink.send(command).await.unwrap();
    }
    for kind in [
        "input_audio_buffer.append",
        "conversation.item.create",
        "response.create",
    ] {
        assert_eq!(peer.receive().await["type"], kind);
    }
    peer.send(json!({ "type": "response.created", "response": { "id": "r" } }))
        .await;
    peer.send(json!({ "type": "rate_limits.updated", "rate_limits": null }))
        .await;
    peer.send(
        json!({ "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "i", "transcript": "hi", "usage": { "input_tokens": 1 } }),
    )
    .await;
    let event = json!({ "type": "response.done", "response": { "id": "r" } }).to_string();
    peer.socket.send(Message::binary(event)).await.unwrap();
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::ResponseStarted { .. }
    ));
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::Transcript { .. }
    ));
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::TranscriptionUsage(_)
    ));
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::ResponseEnded { .. }
    ));
}

#[tokio::test]
async fn h5_a_ping_is_answered_while_nothing_is_sent() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    let listen = tokio::spawn(async move { next(&mut connection).await });
    for payload in ["one", "two"] {
        peer.socket
            .send(Message::Ping(payload.into()))
            .await
            .unwrap();
        assert_eq!(peer.next().await, Some(Message::Pong(payload.into())));
    }
    assert!(!listen.is_finished(), "a ping is no event");
    listen.abort();
}

#[tokio::test]
async fn large_messages_are_taken_up_to_the_limit() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    let script = tokio::spawn(async move {
        let large = "A".repeat(8 * 1024 * 1024);
        peer.send(json!({ "type": "response.output_audio.delta", "delta": large }))
            .await;
        let too_large = Message::text("A".repeat(17 * 1024 * 1024));
        let _ = peer.socket.send(too_large).await;
    });
    let ProviderEvent::Audio { pcm, .. } = next(&mut connection).await else {
        panic!("no audio");
    };
    assert_eq!(pcm.len(), 6 * 1024 * 1024);
    assert_eq!(closed(connection).await.0, ProviderErrorKind::Protocol);
    script.await.unwrap();
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
    assert_eq!(next(&mut connection).await, ProviderEvent::Closed(None));
    assert_eq!(connection.events.next().await, None);
}

#[tokio::test]
async fn s7_dropping_the_sink_closes_the_socket() {
    let server = Server::bind().await;
    let (mut peer, connection) = server.connected().await;
    let ProviderConnection {
        sink, mut events, ..
    } = connection;
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
        (1008, "insufficient_quota", ProviderErrorKind::Quota),
        (
            3000,
            "invalid_request_error.invalid_api_key",
            ProviderErrorKind::Authentication,
        ),
    ];
    let server = Server::bind().await;
    for (code, reason, kind) in table {
        let (mut peer, connection) = server.connected().await;
        peer.close(code, reason).await;
        assert_eq!(closed(connection).await.0, kind, "{code} {reason}");
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
    let error = |code: &str| json!({ "type": "error", "error": { "code": code, "message": "m" } });

    let (mut peer, connection) = server.connected().await;
    peer.send(error("insufficient_quota")).await;
    drop(peer);
    let (kind, code) = closed(connection).await;
    assert_eq!(
        (kind, code.as_str()),
        (ProviderErrorKind::Quota, "insufficient_quota")
    );

    // An error that was about one request only has nothing to do with it.
    let (mut peer, connection) = server.connected().await;
    let mut wrong = error("unknown_parameter");
    wrong["error"]["type"] = "invalid_request_error".into();
    peer.send(wrong).await;
    drop(peer);
    assert_eq!(closed(connection).await.0, ProviderErrorKind::Network);
}

#[tokio::test]
async fn a_command_on_a_broken_socket_fails() {
    let server = Server::bind().await;
    let (mut peer, mut connection) = server.connected().await;
    peer.close(1011, "").await;
    drop(peer);
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::Closed(Some(_))
    ));
    let sent = connection.sink.send(ProviderCommand::Respond).await;
    assert_eq!(sent.unwrap_err().kind(), ProviderErrorKind::Network);
}
