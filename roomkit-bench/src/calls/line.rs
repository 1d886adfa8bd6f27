//! A peer connection as the server makes them, for the floor and for callers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rcgen::CertificateParams;
use rtc::{
    crypto::{self, RTCCryptoProvider, SignatureScheme},
    ice::mdns::MulticastDnsMode,
    media_stream::MediaStreamTrack,
    peer_connection::{configuration::media_engine::MIME_TYPE_OPUS, transport::RTCDtlsRole},
    rtp::{Packet, header::Header},
    rtp_transceiver::rtp_sender::{
        RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
        RtpCodecKind,
    },
};
use tokio::sync::watch;
use webrtc::{
    data_channel::DataChannel,
    media_stream::{
        track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
        track_remote::TrackRemote,
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
        RTCCertificate, RTCConfigurationBuilder, RTCIceGatheringState, RTCPeerConnectionState,
        RTCSessionDescription, Registry, SettingEngineBuilder, configure_rtcp_reports,
    },
};

use crate::Outcome;

/// Of Opus, on both sides.
const PAYLOAD_TYPE: u8 = 111;

/// How soon the library looks again whether it has found a way. Its own 200 ms would be in every
/// time to join, where browsers take some 10 ms.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// What all lines of a program share.
pub(super) struct Lines {
    crypto: Arc<dyn RTCCryptoProvider>,
    certificate: RTCCertificate,
}

/// One peer connection. To be closed, or the library keeps its tasks.
pub(super) struct Line {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) watched: Watched,
    voice: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

/// What is known of a peer connection.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) connected: watch::Sender<bool>,
    pub(super) track: watch::Sender<Option<Arc<dyn TrackRemote>>>,
    pub(super) channel: watch::Sender<Option<Arc<dyn DataChannel>>>,
    gathered: watch::Sender<bool>,
}

impl Lines {
    pub(super) fn new() -> Outcome<Self> {
        let crypto = crypto::default_provider()?;
        let params = CertificateParams::new(vec!["bench".to_owned()])?;
        let scheme = SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(crypto.crypto(), scheme, params)?;
        Ok(Self {
            crypto,
            certificate,
        })
    }

    /// A line with a voice of its own, and with the settings of the server's.
    pub(super) async fn open(&self) -> Outcome<Line> {
        let codec = RTCRtpCodec {
            mime_type: MIME_TYPE_OPUS.into(),
            clock_rate: 48_000,
            channels: 2,
            sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
            rtcp_feedback: Vec::new(),
        };
        let mut media = MediaEngine::default();
        let parameters = RTCRtpCodecParameters {
            rtp_codec: codec.clone(),
            payload_type: PAYLOAD_TYPE,
        };
        media.register_codec(parameters, RtpCodecKind::Audio)?;
        let settings = SettingEngineBuilder::new()
            .with_crypto_provider(Arc::clone(&self.crypto))
            .with_answering_dtls_role(RTCDtlsRole::Server)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), None)
            .build();
        let configuration = RTCConfigurationBuilder::new()
            .with_certificates(vec![self.certificate.clone()])
            .build();
        let watched = Watched {
            connected: watch::Sender::new(false),
            track: watch::Sender::new(None),
            channel: watch::Sender::new(None),
            gathered: watch::Sender::new(false),
        };
        // Boxed: it holds all of a connection's state while it is built.
        let connection = Box::pin(
            PeerConnectionBuilder::new()
                .with_configuration(configuration)
                .with_media_engine(media)
                .with_interceptor_registry(configure_rtcp_reports(Registry::new()))
                .with_setting_engine(settings)
                .with_handler(Arc::new(watched.clone()))
                .with_udp_addrs(vec!["127.0.0.1:0"])
                .build(),
        )
        .await?;
        let connection: Arc<dyn PeerConnection> = Arc::new(connection);
        let ssrc = next_ssrc();
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..RTCRtpCodingParameters::default()
            },
            codec,
            ..RTCRtpEncodingParameters::default()
        };
        let track = MediaStreamTrack::new(
            "bench".into(),
            "voice".into(),
            "voice".into(),
            RtpCodecKind::Audio,
            vec![encoding],
        );
        let voice = Arc::new(TrackLocalStaticRTP::new(track));
        let line = Line {
            connection,
            watched,
            voice: Arc::clone(&voice),
            ssrc,
        };
        let added = line
            .connection
            .add_track(voice as Arc<dyn TrackLocal>)
            .await;
        line.or_close(added).await?;
        Ok(line)
    }
}

impl Line {
    /// Makes a description ours, and gives it back with our addresses.
    pub(super) async fn describe(&self, ours: RTCSessionDescription) -> Outcome<String> {
        let mut gathered = self.watched.gathered.subscribe();
        self.connection.set_local_description(ours).await?;
        gathered.wait_for(|complete| *complete).await?;
        let ours = self.connection.local_description().await;
        Ok(ours.ok_or("no local description")?.sdp)
    }

    /// Sends a packet, whoever made it, as one of this line's voice.
    pub(super) async fn send(&self, mut packet: Packet) {
        packet.header.ssrc = self.ssrc;
        packet.header.payload_type = PAYLOAD_TYPE;
        // It fails only after the end.
        let _ = self.voice.write_rtp(packet).await;
    }

    /// Sends the frame of that number since the beginning.
    pub(super) async fn say(&self, number: u32, payload: Bytes) {
        let header = Header {
            version: 2,
            marker: number == 0,
            sequence_number: number as u16,
            timestamp: number.wrapping_mul(960),
            ..Header::default()
        };
        self.send(Packet { header, payload }).await;
    }

    pub(super) async fn close(&self) {
        let _ = self.connection.close().await;
        // They own the connection, which owns them.
        self.watched.track.send_replace(None);
        self.watched.channel.send_replace(None);
    }

    async fn or_close<T>(&self, done: webrtc::error::Result<T>) -> Outcome<T> {
        if done.is_err() {
            self.close().await;
        }
        Ok(done?)
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Watched {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered
            .send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.connected
            .send_replace(state == RTCPeerConnectionState::Connected);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.channel.send_replace(Some(channel));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.track.send_replace(Some(track));
    }
}

/// Waits until a slot holds something.
pub(super) async fn filled<T: Clone>(slot: &watch::Sender<Option<T>>) -> Outcome<T> {
    let mut slot = slot.subscribe();
    let value = slot.wait_for(Option::is_some).await?.clone();
    Ok(value.ok_or("it is empty again")?)
}

/// Different for each line of a program, which is all that is asked of it here.
fn next_ssrc() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1_000_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
