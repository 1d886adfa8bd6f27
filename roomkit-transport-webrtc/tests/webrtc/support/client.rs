//! A client as a browser is one: a peer connection on real sockets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rtc::{
    rtcp,
    rtp::{Packet, header::Header},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use webrtc::{
    data_channel::{DataChannel, RTCDataChannelInit},
    media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    peer_connection::{PeerConnection, RTCPeerConnectionState, RTCSessionDescription},
};

use super::{
    Answer, Http, Server,
    codec::{Codec, Ear, Mouth},
    connection::{Channel, Event, Kind, SSRC, Watched, add_audio, connection, voice},
    soon,
};

/// A packet of the AI's voice, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) header: Header,
    pub(crate) samples: Vec<i16>,
    /// Whether it carries a copy of the packet before it.
    pub(crate) has_copy: bool,
}

pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) pc: Arc<dyn PeerConnection>,
    /// The last offer.
    pub(crate) offer: String,
    /// All of the AI's voice so far.
    pub(crate) heard: Vec<Heard>,
    /// All messages so far.
    pub(crate) messages: Vec<Value>,
    kind: Kind,
    events: mpsc::UnboundedReceiver<Event>,
    watched: Watched,
    voice: Arc<TrackLocalStaticRTP>,
    /// Held, or the library would show it as one of the server's.
    _agreed: Option<Arc<dyn DataChannel>>,
    mouth: Mouth,
    ear: Ear,
    /// Packets sent so far.
    sent: u32,
}

impl Client {
    /// Calls, and waits until the session has started.
    pub(crate) async fn call(server: &Server) -> Self {
        Self::call_as(Kind::default(), &server.http).await
    }

    pub(crate) async fn call_as(kind: Kind, http: &Http) -> Self {
        let mut client = Self::connect_as(kind, http).await;
        if kind.channel != Channel::Absent {
            client.message("session_started").await;
        }
        client
    }

    pub(crate) fn codec(&self) -> Codec {
        self.kind.codec
    }

    /// Calls, and waits for nothing but the answer.
    pub(crate) async fn connect_as(kind: Kind, http: &Http) -> Self {
        let client = Self::new(kind).await;
        let answer = http.offer(&client.fast_rtc()).await;
        client.take(&answer.sdp()).await;
        client
    }

    /// A client with an offer that has all its addresses.
    pub(crate) async fn new(kind: Kind) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let watched = Watched {
            tell,
            channel: watch::Sender::new(None),
            gathered: watch::Sender::new(false),
        };
        let pc = connection(kind, &watched).await;
        let voice = voice(kind.codec);
        let track: Arc<dyn TrackLocal> = voice.clone();
        add_audio(&pc, kind.audio, track).await;
        let mut agreed = None;
        if kind.channel != Channel::Absent {
            // What is agreed on outside the connection is not announced on it.
            let negotiated = (kind.channel == Channel::Agreed).then_some(100);
            let init = RTCDataChannelInit {
                negotiated,
                ..RTCDataChannelInit::default()
            };
            let channel = pc.create_data_channel("text", Some(init)).await.unwrap();
            watched.hurry(Arc::downgrade(&channel));
            if negotiated.is_none() {
                watched.hear(channel);
            } else {
                agreed = Some(channel);
            }
        }
        let mut client = Self {
            id: uuid::Uuid::new_v4().to_string(),
            pc,
            offer: String::new(),
            heard: Vec::new(),
            messages: Vec::new(),
            kind,
            events,
            watched,
            voice,
            _agreed: agreed,
            mouth: Mouth::new(kind.codec),
            ear: Ear::new(kind.codec),
            sent: 0,
        };
        client.make_offer().await;
        client
    }

    pub(crate) async fn make_offer(&mut self) {
        let mut gathered = self.watched.gathered.subscribe();
        gathered.mark_unchanged();
        let offer = self.pc.create_offer(None).await.unwrap();
        self.pc.set_local_description(offer).await.unwrap();
        soon(gathered.wait_for(|complete| *complete)).await.unwrap();
        self.offer = self.pc.local_description().await.unwrap().sdp;
    }

    /// The offer as FastRTC's clients send it.
    pub(crate) fn fast_rtc(&self) -> Value {
        json!({"sdp": self.offer, "type": "offer", "webrtc_id": self.id})
    }

    /// One of this client's candidates, or any other, as FastRTC's clients send them.
    pub(crate) fn candidate(&self, candidate: &str) -> Value {
        json!({
            "type": "ice-candidate",
            "webrtc_id": self.id,
            "candidate": {"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0},
        })
    }

    /// The same offer, without a word of where the client is.
    pub(crate) fn fast_rtc_from_nowhere(&self) -> Value {
        let mut offer = self.fast_rtc();
        let lines = self.offer.split_inclusive('\n');
        let lines = lines.filter(|line| !line.starts_with("a=candidate:"));
        offer["sdp"] = lines.collect::<String>().into();
        offer
    }

    /// Takes the server's answer.
    pub(crate) async fn take(&self, sdp: &str) {
        let answer = RTCSessionDescription::answer(sdp.to_owned()).unwrap();
        self.pc.set_remote_description(answer).await.unwrap();
    }

    /// Looks for a new way. Gives what the server said to that.
    pub(crate) async fn restart(&mut self, http: &Http) -> Answer {
        self.pc.restart_ice().await.unwrap();
        self.make_offer().await;
        let mut offer = self.fast_rtc();
        offer["restart"] = true.into();
        http.offer(&offer).await
    }

    // ----- the data channel

    pub(crate) async fn channel(&self) -> Arc<dyn DataChannel> {
        let mut channel = self.watched.channel.subscribe();
        let open = soon(channel.wait_for(Option::is_some)).await.unwrap();
        open.clone().unwrap()
    }

    /// Opens a channel beside those that there are, and hears what comes on it.
    pub(crate) async fn open_channel(&self, label: &str) {
        let channel = self.pc.create_data_channel(label, None).await.unwrap();
        self.watched.hear(channel);
    }

    pub(crate) async fn send(&self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&self, text: &str) {
        self.channel().await.send_text(text).await.unwrap();
    }

    /// Asks for a pong and waits for it: what was sent before has been seen then.
    pub(crate) async fn ping(&mut self) {
        self.send(&json!({"type": "ping", "id": "are you there?"}))
            .await;
        self.message("pong").await;
    }

    /// Waits until the server has everything that was sent, whoever reads it there.
    pub(crate) async fn delivered(&self) {
        let channel = self.channel().await;
        soon(async {
            while channel.outstanding_bytes().await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    // ----- the voice

    /// Says this, 20 ms by 20 ms, as fast as it goes.
    pub(crate) async fn say(&mut self, samples: &[i16]) {
        for frame in samples.chunks_exact(self.kind.codec.rate() as usize / 50) {
            let payload = self.mouth.encode(frame);
            self.send_payload(payload).await;
        }
    }

    pub(crate) async fn send_payload(&mut self, payload: Bytes) {
        let codec = self.kind.codec;
        let header = Header {
            version: 2,
            marker: self.sent == 0,
            payload_type: codec.payload_type(),
            sequence_number: (self.sent as u16).wrapping_add(u16::MAX - 10),
            timestamp: self.sent.wrapping_mul(codec.clock_rate() / 50),
            ssrc: SSRC,
            ..Header::default()
        };
        self.sent += 1;
        self.voice
            .write_rtp(Packet { header, payload })
            .await
            .unwrap();
    }

    /// Sends this as RTCP.
    pub(crate) async fn report(&self, packet: Box<dyn rtcp::Packet>) {
        self.voice.write_rtcp(vec![packet]).await.unwrap();
    }

    // ----- what comes

    pub(crate) async fn next(&mut self) -> Event {
        let event = soon(self.events.recv()).await.expect("a client");
        match &event {
            Event::Message(message) => self.messages.push(message.clone()),
            Event::Voice(packet) => {
                let samples = self.ear.decode(&packet.payload);
                self.heard.push(Heard {
                    header: packet.header.clone(),
                    samples,
                    has_copy: self.ear.has_copy(&packet.payload),
                });
            }
            _ => {}
        }
        event
    }

    /// The next message of this type.
    pub(crate) async fn message(&mut self, kind: &str) -> Value {
        loop {
            if let Event::Message(message) = self.next().await
                && message["type"] == kind
            {
                return message;
            }
        }
    }

    /// Waits for so many packets of the AI's voice more.
    pub(crate) async fn hear(&mut self, packets: usize) -> &[Heard] {
        let wanted = self.heard.len() + packets;
        while self.heard.len() < wanted {
            self.next().await;
        }
        &self.heard[wanted - packets..]
    }

    /// Waits for the label of a channel that opens.
    pub(crate) async fn opened(&mut self) -> String {
        loop {
            if let Event::Open(label) = self.next().await {
                return label;
            }
        }
    }

    /// Waits until the server has ended the connection.
    pub(crate) async fn sent_away(&mut self) {
        use RTCPeerConnectionState::{Closed, Disconnected, Failed};

        loop {
            match self.next().await {
                Event::ChannelClosed | Event::State(Closed | Disconnected | Failed) => return,
                _ => {}
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.pc.close().await.unwrap();
    }
}
