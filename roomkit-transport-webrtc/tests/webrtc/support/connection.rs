//! The client's peer connection, and what the library says of it.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use rtc::{
    media_stream::MediaStreamTrack,
    rtp::Packet,
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{
            RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
            RtpCodecKind,
        },
    },
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent},
    media_stream::{
        track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
        RTCConfigurationBuilder, RTCIceGatheringState, RTCPeerConnectionState, Registry,
        SettingEngineBuilder, configure_rtcp_reports,
    },
};

use super::codec::Codec;

/// What a client has of a data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Made,
    /// In the offer, and nobody makes it.
    Agreed,
    Absent,
}

/// Which sections of its offer a client's microphone and loudspeaker have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audio {
    Together,
    MicrophoneFirst,
    LoudspeakerFirst,
}

/// What a client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) codec: Codec,
    pub(crate) channel: Channel,
    pub(crate) audio: Audio,
    pub(crate) address: &'static str,
    /// Whether it reports by itself what came of what it was sent.
    pub(crate) reports: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            codec: Codec::Opus,
            channel: Channel::Made,
            audio: Audio::Together,
            address: "127.0.0.1:0",
            reports: true,
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

/// The id of the client's voice in RTP.
pub(crate) const SSRC: u32 = 0x5eed;

/// What the library says, passed on.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) tell: mpsc::UnboundedSender<Event>,
    pub(super) channel: watch::Sender<Option<Arc<dyn DataChannel>>>,
    pub(super) gathered: watch::Sender<bool>,
}

impl Watched {
    /// Wakes the library until the channel is open: where a browser goes on at once, it sleeps up
    /// to 200 ms before each of its handshakes.
    pub(super) fn hurry(&self, channel: Weak<dyn DataChannel>) {
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
    pub(super) fn hear(&self, channel: Arc<dyn DataChannel>) {
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
            open.send_if_modified(|open| {
                open.take_if(|open| Arc::ptr_eq(open, &channel)).is_some()
            });
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

pub(super) async fn connection(kind: Kind, watched: &Watched) -> Arc<dyn PeerConnection> {
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
    let mut interceptors = Registry::new();
    if kind.reports {
        interceptors = configure_rtcp_reports(interceptors);
    }
    let built = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .with_setting_engine(settings)
        .with_handler(Arc::new(watched.clone()))
        .with_udp_addrs(vec![address])
        .build();
    Arc::new(Box::pin(built).await.unwrap())
}

/// Gives a connection the client's microphone and loudspeaker.
pub(super) async fn add_audio(
    connection: &Arc<dyn PeerConnection>,
    audio: Audio,
    voice: Arc<dyn TrackLocal>,
) {
    let sections = match audio {
        Audio::Together => {
            connection.add_track(voice).await.unwrap();
            return;
        }
        Audio::MicrophoneFirst => [Some(voice), None],
        Audio::LoudspeakerFirst => [None, Some(voice)],
    };
    for microphone in sections {
        let init = |direction| {
            Some(RTCRtpTransceiverInit {
                direction,
                ..RTCRtpTransceiverInit::default()
            })
        };
        let added = if let Some(voice) = microphone {
            let init = init(RTCRtpTransceiverDirection::Sendonly);
            connection.add_transceiver_from_track(voice, init).await
        } else {
            let init = init(RTCRtpTransceiverDirection::Recvonly);
            let kind = RtpCodecKind::Audio;
            connection.add_transceiver_from_kind(kind, init).await
        };
        added.unwrap();
    }
}

pub(super) fn voice(kind: Codec) -> Arc<TrackLocalStaticRTP> {
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
