//! A host with its rooms and a transport whose routes are served.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use roomkit_core::{RealtimeVoiceChannel, RoomKit, provider::RealtimeVoiceProvider};
use roomkit_http::{Admission, AdmissionConfig, MountContext, SessionHost, StartRequest};
use roomkit_mock::MockRealtimeProvider;
use roomkit_transport_webrtc::{WebRtcRealtimeTransport, WebRtcTransportConfig};
use tokio::{net::TcpListener, task::AbortHandle};

use super::Http;

/// The room of calls that ask for none.
pub(crate) const LOBBY: &str = "lobby";

/// Loopback alone, with all else as it is.
pub(crate) fn config() -> WebRtcTransportConfig {
    WebRtcTransportConfig {
        interfaces: vec!["127.0.0.1".into()],
        ..WebRtcTransportConfig::default()
    }
}

/// A door for everyone.
pub(crate) fn open_door() -> Admission {
    Admission::new(&AdmissionConfig::default()).unwrap()
}

pub(crate) struct Server {
    pub(crate) transport: WebRtcRealtimeTransport,
    pub(crate) admission: Admission,
    pub(crate) voice: RealtimeVoiceChannel,
    pub(crate) kit: RoomKit,
    /// How clients reach it.
    pub(crate) http: Http,
    serving: AbortHandle,
}

impl Server {
    /// Serves calls to this AI under `/rtc`.
    pub(crate) async fn start(ai: &MockRealtimeProvider) -> Self {
        Self::with(config(), open_door(), Arc::new(ai.clone())).await
    }

    /// The same with a transport and a door of the test's.
    pub(crate) async fn with(
        config: WebRtcTransportConfig,
        admission: Admission,
        provider: Arc<dyn RealtimeVoiceProvider>,
    ) -> Self {
        let transport = WebRtcRealtimeTransport::new(config).unwrap();
        let built = host(&transport, provider).await;
        Self::with_host(transport, admission, built).await
    }

    /// The same with a channel of the test's.
    pub(crate) async fn with_host(
        transport: WebRtcRealtimeTransport,
        admission: Admission,
        (kit, voice): (RoomKit, RealtimeVoiceChannel),
    ) -> Self {
        let answering = voice.clone();
        let host = move |request: StartRequest| start(answering.clone(), request);
        let host: Arc<dyn SessionHost> = Arc::new(host);
        let context = MountContext::new("/rtc", admission.clone(), host).unwrap();
        let (address, serving) = serve(transport.routes(context)).await;
        Self {
            transport,
            admission,
            voice,
            kit,
            http: Http::new(address, "/rtc"),
            serving,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A kit with a room and a voice channel in it.
pub(crate) async fn host(
    transport: &WebRtcRealtimeTransport,
    provider: Arc<dyn RealtimeVoiceProvider>,
) -> (RoomKit, RealtimeVoiceChannel) {
    let voice = RealtimeVoiceChannel::builder("voice", provider, Arc::new(transport.clone()));
    kit_with(voice.build().unwrap()).await
}

pub(crate) async fn kit_with(voice: RealtimeVoiceChannel) -> (RoomKit, RealtimeVoiceChannel) {
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room(LOBBY).await.unwrap();
    kit.attach_channel(LOBBY, "voice").await.unwrap();
    (kit, voice)
}

async fn start(
    voice: RealtimeVoiceChannel,
    request: StartRequest,
) -> Result<roomkit_core::RealtimeSession, roomkit_core::error::StartError> {
    assert!(request.address.is_some_and(|address| address.is_loopback()));
    let room = request.room.unwrap_or_else(|| LOBBY.into());
    match room.as_str() {
        "panic" => panic!("host code"),
        "slow" => std::future::pending().await,
        _ => {}
    }
    let participant = request.participant.unwrap_or_else(|| "ann".into());
    voice
        .start_session(room, participant, request.connection)
        .await
}

/// Serves routes on a port of their own.
pub(crate) async fn serve(app: Router) -> (SocketAddr, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async { axum::serve(listener, app).await });
    (address, serving.abort_handle())
}
