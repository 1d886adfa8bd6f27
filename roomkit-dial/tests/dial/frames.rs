//! Frames of both kinds, and what a vendor says while it is sent to.

use std::{collections::VecDeque, iter};

use bytes::Bytes;
use roomkit_core::provider::{ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent};
use roomkit_dial::{Decode, Encode, Outgoing};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Connection, Server, Words, deadline, text};

/// A vendor whose audio goes in binary frames, marked by their first byte. Everything else is words.
struct Voice;

const MARK: u8 = 0xA5;

impl Encode for Voice {
    type Frame = Outgoing;

    fn encode(
        &mut self,
        command: &ProviderCommand,
        frames: &mut VecDeque<Outgoing>,
    ) -> Result<(), ProviderError> {
        match command {
            ProviderCommand::Audio(pcm) => frames.push_back(pcm.clone().into()),
            ProviderCommand::Text { text, .. } => frames.push_back(text.clone().into()),
            _ => {}
        }
        Ok(())
    }
}

impl Decode for Voice {
    fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>) {
        Words.decode(frame, events);
    }

    fn decode_binary(&mut self, frame: &Bytes, events: &mut VecDeque<ProviderEvent>) -> bool {
        let is_audio = frame.first() == Some(&MARK);
        if is_audio {
            events.push_back(audio(&frame.slice(1..)));
        }
        is_audio
    }
}

fn audio(pcm: &Bytes) -> ProviderEvent {
    ProviderEvent::Audio {
        response_id: None,
        item_id: None,
        content_index: 0,
        pcm: pcm.clone(),
    }
}

#[tokio::test]
async fn audio_goes_both_ways_in_binary_frames_beside_words() {
    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let (sink, events) = socket.unwrap().split(Voice, Voice);
    let mut connection = Connection { sink, events };
    let pcm = Bytes::from_static(&[0, 1, 0xFF, 0xFE]);
    connection.send(ProviderCommand::Audio(pcm.clone())).await;
    connection.send(text("hello")).await;
    assert_eq!(peer.next().await, Some(Message::Binary(pcm)));
    assert_eq!(peer.next().await, Some(Message::text("hello")));
    peer.send(Message::binary(vec![MARK, 0, 0xFF])).await;
    // What is not audio is read as ever.
    peer.send(Message::binary("updated")).await;
    peer.send(Message::binary(vec![0xFF])).await;
    let heard = audio(&Bytes::from_static(&[0, 0xFF]));
    assert_eq!(connection.next().await, heard);
    assert_eq!(connection.next().await, ProviderEvent::Updated);
    let ProviderEvent::Error(error) = connection.next().await else {
        panic!("no word of it");
    };
    assert_eq!(error.kind(), ProviderErrorKind::Protocol);
}

#[tokio::test]
async fn a_binary_frame_that_comes_while_much_is_sent_waits_for_the_decoder() {
    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let mut socket = socket.unwrap();
    let script = async {
        peer.send(Message::binary(vec![MARK, 0xFF])).await;
        for _ in 0..100 {
            peer.next().await;
        }
    };
    // More than the system's buffers hold.
    let frames = iter::repeat_n(Bytes::from(vec![0xFF; 100_000]), 100);
    let (sent, ()) = tokio::join!(socket.send_all(frames), script);
    sent.unwrap();
    let (sink, events) = socket.split(Voice, Voice);
    let heard = audio(&Bytes::from_static(&[0xFF]));
    assert_eq!(Connection { sink, events }.next().await, heard);
}

#[tokio::test]
async fn h3_the_error_right_before_a_mute_end_is_why_nothing_could_be_sent() {
    use ProviderErrorKind::{Authentication, Network, Quota};

    // How the vendor ends it after what it says; without a code it hangs up.
    let table = [
        (&["error no_money"][..], Some((1000, "")), Quota),
        (&["error no_money"], None, Quota),
        (&["error no_money"], Some((3000, "bad_key")), Authentication),
        // An error that was about one request only, or was not the last, has nothing to do with it.
        (&["error about_one_request"], Some((1000, "")), Network),
        (&["error no_money", "updated"], Some((1000, "")), Network),
        (&[], Some((1000, "")), Network),
    ];
    for (said, end, kind) in table {
        let server = Server::bind().await;
        let (dialer, deadline) = (server.dialer(), deadline());
        let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
        let mut socket = socket.unwrap();
        let script = async move {
            for said in said {
                peer.send(Message::text(*said)).await;
            }
            match end {
                None => None,
                Some((code, reason)) => {
                    peer.close(code, reason).await;
                    // Nothing that was sent is read.
                    Some(peer)
                }
            }
        };
        let endless = socket.send_all(iter::repeat("A".repeat(60_000)));
        let (sent, _peer) = tokio::join!(endless, script);
        let error = socket.explain(sent.unwrap_err(), &mut Words);
        assert_eq!(error.kind(), kind, "{said:?} {end:?}: {error}");
    }
}
