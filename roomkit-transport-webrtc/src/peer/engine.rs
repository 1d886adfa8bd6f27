//! Makes callers of offers: everything that is said to the WebRTC library is said here.

use std::{
    any::Any,
    net::IpAddr,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rcgen::CertificateParams;
use roomkit_core::error::ConfigError;
use rtc::{
    crypto::{self, RTCCryptoProvider, SignatureScheme},
    ice::mdns::MulticastDnsMode,
    interceptor::Slot,
    media_stream::MediaStreamTrack,
    peer_connection::{
        configuration::{
            media_engine::{MIME_TYPE_OPUS, MIME_TYPE_PCMA, MIME_TYPE_PCMU},
            setting_engine::SctpMaxMessageSize,
        },
        transport::RTCDtlsRole,
    },
    rtp_transceiver::rtp_sender::{
        RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
        RtpCodecKind,
    },
};
use webrtc::{
    media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, RTCCertificate,
        RTCConfigurationBuilder, RTCIceServer, Registry, SettingEngineBuilder,
        configure_rtcp_reports,
    },
};

use super::{
    Negotiated, Owner, Peer,
    early::Early,
    events::Watched,
    exchange::{Ice, negotiate},
    microphone::Microphone,
    reports::{LatestReport, ReportReader},
    tap::Tap,
};
use crate::{
    audio::Codec,
    config::{IceServer, WebRtcTransportConfig},
    net::{Announced, Hub, PeerNetwork, local_addresses},
    protocol::{Offer, WebRtcId, for_callers},
};

/// How long nothing may come from a caller until its connection counts as interrupted.
pub(crate) const DISCONNECTED_AFTER: Duration = Duration::from_secs(4);

/// When the library gives an interrupted connection up. Ours to decide, so later than we do.
const FAILED_AFTER: Duration = Duration::from_secs(3600);

/// How often the library looks whether the caller still consents.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// How many packets may come late and still be told from a replay.
const REPLAY_WINDOW: usize = 128;

/// The largest message that is taken from a caller, to be judged here: one that is too large for
/// the library is lost there uncounted, and what came behind it waits until the caller says more.
const LARGEST_MESSAGE: u32 = SctpMaxMessageSize::MAX_MESSAGE_SIZE;

/// What may wait unread on a data channel; a caller is asked to send no more.
pub(super) const MAX_UNREAD_BYTES: u32 = LARGEST_MESSAGE;

/// What may wait for a caller to take it; beyond that it is too slow for a session.
const MAX_UNSENT_BYTES: usize = 1024 * 1024;

/// Where packets are looked at: behind what reports to the caller, which knows its microphone by the id
/// that it sends.
const TAP_SLOT: Slot = Slot::Custom(10_600);

/// Makes callers, with what all of them share.
pub(crate) struct Engine {
    crypto: Arc<dyn RTCCryptoProvider>,
    certificate: RTCCertificate,
    addresses: Vec<IpAddr>,
    /// None: each caller has sockets of its own.
    hub: Option<Arc<Hub>>,
    announced: Vec<Announced>,
    ice_servers: Vec<RTCIceServer>,
    max_candidates: usize,
    max_message_bytes: usize,
}

/// The library at work on a peer connection.
type Building = BoxFuture<'static, Result<Arc<dyn PeerConnection>, PeerError>>;

/// Why an offer that looked well was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The library found something in it that it does not take.
    #[error("sdp: {0}")]
    Offer(String),
    /// Something is wrong here.
    #[error("{0}")]
    Here(String),
}

impl Engine {
    /// Binds the sockets.
    pub(crate) fn new(config: &WebRtcTransportConfig) -> Result<Self, ConfigError> {
        let cannot =
            |what: &str, error: &dyn std::fmt::Display| ConfigError::field(what, error.to_string());
        let crypto = crypto::default_provider().map_err(|error| cannot("crypto", &error))?;
        let certificate = certificate(&*crypto).map_err(|error| cannot("certificate", &error))?;
        let addresses = local_addresses(config)?;
        let hub = if config.uses_relays() {
            None
        } else {
            Some(Hub::bind(&addresses, config.udp_port, Arc::clone(&crypto))?)
        };
        Ok(Self {
            crypto,
            certificate,
            addresses,
            hub,
            announced: config.announced()?,
            ice_servers: config.ice_servers.iter().map(library_server).collect(),
            max_candidates: config.max_candidates,
            max_message_bytes: config.max_message_bytes.min(LARGEST_MESSAGE as usize),
        })
    }

    /// Where callers are listened to; empty when each has sockets of its own.
    pub(crate) fn hub(&self) -> Option<&Arc<Hub>> {
        self.hub.as_ref()
    }

    /// Answers an offer. The caller is there from now on, and must be closed.
    pub(crate) async fn answer(
        &self,
        id: WebRtcId,
        offer: Offer,
        owner: Arc<Owner>,
        kept: Box<dyn Any + Send>,
    ) -> Result<(Arc<Peer>, String), PeerError> {
        let network = match &self.hub {
            Some(hub) => PeerNetwork::shared(Arc::clone(hub)),
            None => PeerNetwork::own(),
        };
        let watched = Watched::new();
        let voice = Voice::new(&offer);
        let report = LatestReport::default();
        let reports = ReportReader::new(voice.ssrc, report.clone());
        let connection = self.connection(&offer, &network, &watched, reports)?;
        let track: Arc<dyn TrackLocal> = voice.track.clone();
        let (sdp, max_candidates) = (offer.sdp, self.max_candidates);
        // On a task of its own: a build that is dropped half-way leaves the library's tasks.
        let building = tokio::spawn(async move {
            let peer = Peer {
                id,
                negotiated: Negotiated {
                    codec: offer.codec,
                    payload_type: offer.payload_type,
                    ssrc: voice.ssrc,
                    hears: offer.hears,
                    has_data_channel: offer.has_data_channel,
                },
                owner,
                connection: connection.await?,
                network,
                voice: voice.track,
                report,
                watched,
                early: Early::new(),
                audio: offer.audio,
                fingerprint: offer.fingerprint,
                ice: Mutex::new(Ice::new(offer.ufrag, max_candidates)),
                negotiating: Arc::default(),
                claimed: AtomicBool::new(false),
                farewell_due: AtomicBool::new(false),
                has_farewell: AtomicBool::new(false),
                released: AtomicBool::new(false),
                kept: Mutex::new(Some(kept)),
            };
            Ok(CloseOnDrop {
                peer: Arc::new(peer),
                is_answered: false,
            })
        });
        // Whatever happens from here on, and be it that nobody waits any more: dropped without a
        // close, the library would keep its tasks.
        let mut guard = building
            .await
            .map_err(|error| PeerError::Here(error.to_string()))??;
        let peer = Arc::clone(&guard.peer);
        let added = peer.connection.add_track(track).await;
        added.map_err(|error| PeerError::Here(error.to_string()))?;
        let ufrag = peer.ice().theirs.clone();
        let answer = negotiate(&peer, sdp, ufrag).await?;
        guard.is_answered = true;
        let answer = self.for_caller(&peer, &answer);
        Ok((peer, answer))
    }

    /// Answers another offer of a caller: it has lost its way, and looks for a new one.
    pub(crate) async fn restart(
        &self,
        peer: &Arc<Peer>,
        mut offer: Offer,
    ) -> Result<String, PeerError> {
        if offer.fingerprint != peer.fingerprint {
            let problem = "`a=fingerprint` is not that of the first offer";
            return Err(PeerError::Offer(problem.into()));
        }
        if let Some(change) = peer.media_change(&offer) {
            let problem = format!("{change}; a restart keeps the media, make a new offer");
            return Err(PeerError::Offer(problem));
        }
        let one_at_a_time = Arc::clone(&peer.negotiating).lock_owned().await;
        if peer.ice().theirs == offer.ufrag {
            // No restart. The library would add its candidates to those it has, each time.
            offer.forget_candidates();
        }
        // On a task of its own: who has lost its way may lose this request as well, and an offer that
        // is answered by half would be in the way of all that follow.
        let restarting = tokio::spawn({
            let peer = Arc::clone(peer);
            async move {
                let _one_at_a_time = one_at_a_time;
                negotiate(&peer, offer.sdp, offer.ufrag).await
            }
        });
        let answer = restarting
            .await
            .map_err(|error| PeerError::Here(error.to_string()))??;
        Ok(self.for_caller(peer, &answer))
    }

    fn for_caller(&self, peer: &Peer, answer: &str) -> String {
        let real = |local| peer.network.real_address(local);
        for_callers(answer, real, &self.announced, self.max_message_bytes)
    }

    fn connection(
        &self,
        offer: &Offer,
        network: &Arc<PeerNetwork>,
        watched: &Watched,
        reports: ReportReader,
    ) -> Result<Building, PeerError> {
        let here = |error: webrtc::error::Error| PeerError::Here(error.to_string());
        let mut media = MediaEngine::default();
        media
            .register_codec(codec_parameters(offer), RtpCodecKind::Audio)
            .map_err(here)?;
        // Being passive in DTLS saves a round trip. Losses are reported, which is what makes a
        // caller's codec carry what is needed to conceal them; nothing is asked for again, because
        // speech cannot wait.
        let role = if offer.is_dtls_passive {
            RTCDtlsRole::Client
        } else {
            RTCDtlsRole::Server
        };
        let settings = SettingEngineBuilder::new()
            .with_crypto_provider(Arc::clone(&self.crypto))
            .with_answering_dtls_role(role)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_timeouts(
                Some(DISCONNECTED_AFTER),
                Some(FAILED_AFTER),
                Some(KEEPALIVE),
            )
            .with_srtp_replay_protection_window(REPLAY_WINDOW)
            .with_srtcp_replay_protection_window(REPLAY_WINDOW)
            .with_dtls_replay_protection_window(REPLAY_WINDOW)
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(LARGEST_MESSAGE))
            .with_sctp_max_receive_buffer_size(MAX_UNREAD_BYTES)
            .build();
        let configuration = RTCConfigurationBuilder::new()
            .with_certificates(vec![self.certificate.clone()])
            .with_ice_servers(self.ice_servers.clone())
            .build();
        let sockets: Vec<(IpAddr, u16)> = self.addresses.iter().map(|ip| (*ip, 0)).collect();
        let interceptors = configure_rtcp_reports(Registry::new()).with(
            TAP_SLOT,
            Tap::new(reports, Microphone::new(offer.payload_type)),
        );
        let building = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_interceptor_registry(interceptors)
            .with_setting_engine(settings)
            .with_runtime(Arc::clone(network) as Arc<dyn webrtc::runtime::Runtime>)
            .with_handler(Arc::new(watched.clone()))
            .with_udp_addrs(sockets)
            .with_data_channel_send_buffer_limit(MAX_UNSENT_BYTES)
            .build();
        // Boxed: it holds all of a connection's state while it is built.
        let built = building.map(move |built| {
            let connection = built.map_err(here)?;
            Ok(Arc::new(connection) as Arc<dyn PeerConnection>)
        });
        Ok(built.boxed())
    }
}

/// The AI's voice on its way to a caller.
struct Voice {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

impl Voice {
    fn new(offer: &Offer) -> Self {
        let ssrc = random();
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..RTCRtpCodingParameters::default()
            },
            codec: codec(offer.codec),
            ..RTCRtpEncodingParameters::default()
        };
        let track = MediaStreamTrack::new(
            "roomkit".into(),
            "voice".into(),
            "voice".into(),
            RtpCodecKind::Audio,
            vec![encoding],
        );
        Self {
            track: Arc::new(TrackLocalStaticRTP::new(track)),
            ssrc,
        }
    }
}

/// Closes a caller that was not answered.
struct CloseOnDrop {
    peer: Arc<Peer>,
    is_answered: bool,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if !self.is_answered {
            self.peer.close_soon();
        }
    }
}

/// A number nobody can guess.
pub(crate) fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

fn certificate(
    crypto: &dyn RTCCryptoProvider,
) -> Result<RTCCertificate, Box<dyn std::error::Error>> {
    let params = CertificateParams::new(vec!["roomkit".to_owned()])?;
    let scheme = SignatureScheme::EcdsaP256Sha256;
    Ok(RTCCertificate::generate(crypto.crypto(), scheme, params)?)
}

fn codec_parameters(offer: &Offer) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters {
        rtp_codec: codec(offer.codec),
        payload_type: offer.payload_type,
    }
}

fn codec(codec: Codec) -> RTCRtpCodec {
    // `useinbandfec`: the caller's voice may carry what is needed to conceal losses.
    let (mime_type, channels, fmtp) = match codec {
        Codec::Opus => (MIME_TYPE_OPUS, 2, "minptime=10;useinbandfec=1"),
        Codec::Pcmu => (MIME_TYPE_PCMU, 0, ""),
        Codec::Pcma => (MIME_TYPE_PCMA, 0, ""),
    };
    RTCRtpCodec {
        mime_type: mime_type.into(),
        clock_rate: codec.clock_rate(),
        channels,
        sdp_fmtp_line: fmtp.into(),
        rtcp_feedback: Vec::new(),
    }
}

fn library_server(server: &IceServer) -> RTCIceServer {
    RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.clone(),
    }
}
