//! What is read and written, and what is refused.

use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn c1_a_hosts_own_message_has_a_type_of_its_own() {
    let check = |message| check_custom(&object(message));
    assert_eq!(check(json!({"type": "card", "id": 7})), Ok(()));
    for none in [json!({}), json!({"type": 7}), json!({"kind": "card"})] {
        assert_eq!(check(none), Err(MessageError::NoType));
    }
    let protocol = include_str!("../../../docs/client-protocol.md");
    let (_, tables) = protocol.split_once("## Client to server").unwrap();
    let (from_client, tables) = tables.split_once("## Server to client").unwrap();
    let (from_server, _) = tables.split_once("### Transcripts").unwrap();
    let from_client = from_client.split(r#"{"type":""#).skip(1);
    let from_client = from_client.filter_map(|rest| rest.split('"').next());
    let from_server = from_server
        .lines()
        .filter_map(|line| line.split('|').nth(1));
    let from_server = from_server.flat_map(|names| names.split('`').skip(1).step_by(2));
    let types: Vec<&str> = from_client.chain(from_server).collect();
    assert!(types.contains(&"mute") && types.contains(&"reconnected"));
    for kind in types {
        let reserved = Err(MessageError::Reserved(kind.into()));
        assert_eq!(check(json!({"type": kind})), reserved);
    }
}

#[test]
fn c1_the_page_on_the_protocol_lists_the_codes_that_clients_read() {
    use crate::error::{
        ProviderError, ProviderErrorKind as Kind, RoomError, StartError, TransportError,
    };

    let protocol = include_str!("../../../docs/client-protocol.md");
    let (_, table) = protocol.split_once("### Error codes").unwrap();
    let (table, _) = table.split_once("## Limits").unwrap();
    let kinds = [
        Kind::Authentication,
        Kind::Quota,
        Kind::Policy,
        Kind::InvalidConfig,
        Kind::InvalidRequest,
        Kind::Unsupported,
        Kind::RateLimited,
        Kind::SessionExpired,
        Kind::Network,
        Kind::Timeout,
        Kind::Protocol,
        Kind::Server,
    ];
    let failures = kinds.map(|kind| ProviderError::new(kind, "").into());
    let gone = TransportError::Disconnected("it hung up".into());
    let others = [
        StartError::TooManySessions(7),
        StartError::Closed,
        StartError::Announce(gone),
        StartError::Ended("by its host".into()),
        RoomError::TooManyRooms(7).into(),
    ];
    for error in failures.into_iter().chain(others) {
        let code = format!("`{}`", error.code());
        assert!(table.contains(&code), "{code} is not in the table");
    }
}

#[test]
fn c5_a_hosts_own_message_has_its_size() {
    let check = |length| check_custom(&object(json!({"type": "card", "x": "x".repeat(length)})));
    let frame = r#"{"type":"card","x":""}"#.len();
    assert_eq!(check(CUSTOM_BYTES - frame), Ok(()));
    let (bytes, max) = (CUSTOM_BYTES + 1, CUSTOM_BYTES);
    assert_eq!(
        check(bytes - frame),
        Err(MessageError::TooLong { bytes, max })
    );
}

fn parsed(text: &str) -> ClientMessage<'_> {
    ClientMessage::parse(text).unwrap()
}

#[test]
fn c5_what_a_pong_repeats_is_short() {
    let ping = |length: usize| format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(length));
    assert!(ClientMessage::parse(&ping(254)).is_ok());
    let error = ClientMessage::parse(&ping(255)).unwrap_err().to_string();
    assert!(error.contains("`id`") && error.contains("256"), "{error}");
}

#[test]
fn c1_client_messages() {
    assert_eq!(
        parsed(r#"{"type":"audio","data":"AAA="}"#),
        ClientMessage::Audio("AAA=".into())
    );
    assert_eq!(
        parsed(r#"{"data":"AAA=","x":[1,{}],"type":"audio"}"#),
        ClientMessage::Audio("AAA=".into())
    );
    for (text, event) in [
        (
            r#"{"type":"text","text":"a\"b"}"#,
            ClientEvent::Text("a\"b".into()),
        ),
        (
            r#"{"type":"message","data":{"event":"dtmf","type":"x","digit":"5"}}"#,
            ClientEvent::Message(object(json!({"event": "dtmf", "type": "x", "digit": "5"}))),
        ),
        (
            r#"{"data":{},"type":"message"}"#,
            ClientEvent::Message(Map::new()),
        ),
        (r#"{"type":"interrupt"}"#, ClientEvent::Interrupt),
        (r#"{"type":"mute","muted":true}"#, ClientEvent::Mute(true)),
        (
            r#"{"type":"playback","played_ms":20.5}"#,
            ClientEvent::Playback(Duration::from_micros(20_500)),
        ),
        (
            r#"{"type":"recording","on":true}"#,
            ClientEvent::Recording(true),
        ),
        (r#"{"type":"ping"}"#, ClientEvent::Ping(None)),
        (
            r#"{"type":"ping","id":7}"#,
            ClientEvent::Ping(Some(json!(7))),
        ),
        (r#"{"type":"end"}"#, ClientEvent::End),
    ] {
        assert_eq!(parsed(text), ClientMessage::Event(event), "{text}");
    }
    assert_eq!(
        parsed(r#"{"type":"dance","data":7}"#),
        ClientMessage::Unknown
    );
}

#[test]
fn c1_audio_may_be_escaped() {
    for text in [
        r#"{"type":"audio","data":"A+B\/"}"#,
        r#"{"type":"audio","data":"A\u002BB/"}"#,
        r#"{"type":"audio","data":"A\u002bB\/"}"#,
        r#"{"data":"\u0041+B/","type":"\u0061udio"}"#,
    ] {
        assert_eq!(parsed(text), ClientMessage::Audio("A+B/".into()), "{text}");
    }
}

#[test]
fn a1_broken_client_messages_are_errors() {
    for text in [
        "",
        "nonsense",
        "[]",
        "7",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"audio"}"#,
        r#"{"type":"audio","data":7}"#,
        r#"{"type":"text"}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"message","data":"5"}"#,
        r#"{"type":"message","data":["5"]}"#,
        r#"{"type":"mute","muted":"yes"}"#,
        r#"{"type":"recording","on":"yes"}"#,
        r#"{"type":"playback","played_ms":-1}"#,
        r#"{"type":"playback","played_ms":1e300}"#,
    ] {
        assert!(ClientMessage::parse(text).is_err(), "{text}");
    }
}

#[test]
fn c1_server_messages() {
    for (message, expected) in [
        (ServerMessage::ClearAudio, json!({"type": "clear_audio"})),
        (
            ServerMessage::Transcription {
                text: "hi".into(),
                role: Role::User,
                is_final: true,
                item_id: None,
                interrupted: false,
            },
            json!({"type": "transcription", "text": "hi", "role": "user", "is_final": true}),
        ),
        (
            ServerMessage::Speaking {
                speaking: true,
                who: Role::Assistant,
            },
            json!({"type": "speaking", "speaking": true, "who": "assistant"}),
        ),
        (
            ServerMessage::Recording {
                state: RecordingState::Paused,
            },
            json!({"type": "recording", "state": "paused"}),
        ),
        (
            ServerMessage::Recording {
                state: RecordingState::Waiting,
            },
            json!({"type": "recording", "state": "off"}),
        ),
        (
            ServerMessage::SessionEnded {
                reason: "client_left".into(),
            },
            json!({"type": "session_ended", "reason": "client_left"}),
        ),
        (
            ServerMessage::Custom(object(json!({"type": "card", "id": 7}))),
            json!({"type": "card", "id": 7}),
        ),
    ] {
        assert_eq!(
            serde_json::from_str::<Value>(&message.to_json()).unwrap(),
            expected
        );
    }
}
