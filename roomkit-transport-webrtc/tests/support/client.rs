//! A client as a browser is one: a peer connection on real sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use rtc::{
    media_stream::MediaStreamTrack,
    rtp::{Packet, header::Header},
    rtp_transceiver::rtp_sender::{
        RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
        RtpCodecKind,
    },
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit},
    media_stream::{
        track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
        RTCConfigurationBuilder, RTCIceGatheringState, RTCPeerConnectionState,
        RTCSessionDescription, Registry, SettingEngineBuilder, configure_rtcp_reports,
    },
};

use super::{
    Answer, Http, Server,
    codec::{Codec, Ear, Mouth},
    soon,
};

/// What a client has of a data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Made,
    /// In the offer, and nobody makes it.
    Agreed,
    Absent,
}

/// What a client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) codec: Codec,
    pub(crate) channel: Channel,
    pub(crate) address: &'static str,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            codec: Codec::Opus,
            channel: Channel::Made,
            address: "127.0.0.1:0",
        }
    }
}

/// What a client notices.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A channel is open, by this label.
    Open(String),
    Message(Value),
    ChannelClosed,
    Voice(Packet),
    State(RTCPeerConnectionState),
}

/// A packet of the AI's voice, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) header: Header,
    pub(crate) samples: Vec<i16>,
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
        pc.add_track(track).await.unwrap();
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

    // ----- what comes

    pub(crate) async fn next(&mut self) -> Event {
        let event = soon(self.events.recv()).await.expect("a client");
        match &event {
            Event::Message(message) => self.messages.push(message.clone()),
            Event::Voice(packet) => {
                let samples = self.ear.decode(&packet.payload);
                let header = packet.header.clone();
                self.heard.push(Heard { header, samples });
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

/// The id of the client's voice in RTP.
const SSRC: u32 = 0x5eed;

/// What the library says, passed on.
#[derive(Clone)]
struct Watched {
    tell: mpsc::UnboundedSender<Event>,
    channel: watch::Sender<Option<Arc<dyn DataChannel>>>,
    gathered: watch::Sender<bool>,
}

impl Watched {
    /// Wakes the library until the channel is open: where a browser goes on at once, it sleeps up
    /// to 200 ms before each of its handshakes.
    fn hurry(&self, channel: Weak<dyn DataChannel>) {
        let open = self.channel.subscribe();
        tokio::spawn(async move {
            while let Some(channel) = channel.upgrade()
                && open.borrow().is_none()
                && channel.set_buffered_amount_low_threshold(0).await.is_ok()
            {
                drop(channel);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    /// Passes on what comes on this channel.
    fn hear(&self, channel: Arc<dyn DataChannel>) {
        let (tell, open) = (self.tell.clone(), self.channel.clone());
        tokio::spawn(async move {
            while let Some(event) = channel.poll().await {
                let event = match event {
                    DataChannelEvent::OnOpen => {
                        open.send_replace(Some(Arc::clone(&channel)));
                        Event::Open(channel.label().await.unwrap_or_default())
                    }
                    DataChannelEvent::OnMessage(message) => {
                        Event::Message(serde_json::from_slice(&message.data).unwrap())
                    }
                    DataChannelEvent::OnClose => Event::ChannelClosed,
                    _ => continue,
                };
                let _ = tell.send(event);
            }
            open.send_replace(None);
        });
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Watched {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered
            .send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.tell.send(Event::State(state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.hear(channel);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let tell = self.tell.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let _ = tell.send(Event::Voice(packet));
                }
            }
        });
    }
}

async fn connection(kind: Kind, watched: &Watched) -> Arc<dyn PeerConnection> {
    let mut media = MediaEngine::default();
    let codec = RTCRtpCodecParameters {
        rtp_codec: codec(kind.codec),
        payload_type: kind.codec.payload_type(),
    };
    media.register_codec(codec, RtpCodecKind::Audio).unwrap();
    let settings = SettingEngineBuilder::new()
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .build();
    let address: SocketAddr = kind.address.parse().unwrap();
    let built = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(media)
        .with_interceptor_registry(configure_rtcp_reports(Registry::new()))
        .with_setting_engine(settings)
        .with_handler(Arc::new(watched.clone()))
        .with_udp_addrs(vec![address])
        .build();
    Arc::new(Box::pin(built).await.unwrap())
}

fn voice(kind: Codec) -> Arc<TrackLocalStaticRTP> {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(SSRC),
            ..RTCRtpCodingParameters::default()
        },
        codec: codec(kind),
        ..RTCRtpEncodingParameters::default()
    };
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        "client".into(),
        "microphone".into(),
        "microphone".into(),
        RtpCodecKind::Audio,
        vec![encoding],
    )))
}

fn codec(codec: Codec) -> RTCRtpCodec {
    let is_opus = codec == Codec::Opus;
    RTCRtpCodec {
        mime_type: codec.mime().into(),
        clock_rate: codec.clock_rate(),
        channels: if is_opus { 2 } else { 0 },
        sdp_fmtp_line: if is_opus {
            "minptime=10;useinbandfec=1".into()
        } else {
            String::new()
        },
        rtcp_feedback: Vec::new(),
    }
}
