//! The transport: a caller's peer connection becomes a session's link.

use std::{
    fmt,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use roomkit_core::{
    RealtimeSession,
    client_protocol::MessageLimits,
    error::ConfigError,
    registry::{self, TransportPlugin, inventory},
    transport::{
        AudioOffer, ClientLink, Connection, LinkInfo, RealtimeAudioTransport, TransportError,
    },
};
use tokio::time::{Instant, timeout};

use crate::{
    audio::{First, Inbound, Outbound, pcm_rate},
    callers::{Callers, Speaker},
    config::WebRtcTransportConfig,
    connected::ClientConnected,
    life::Patience,
    link::{Commands, Events, Link},
    peer::{Engine, Peer, State, random},
    protocol::{OfferLimits, WebRtcId},
};

/// The name it is registered by.
pub(crate) const NAME: &str = "webrtc";

/// What it is, in one line.
pub(crate) const ABOUT: &str = "Opus and a data channel over WebRTC, for browsers and gateways";

/// Told of each caller that is connected.
pub(crate) type Observer = Arc<dyn Fn(ClientConnected) -> BoxFuture<'static, ()> + Send + Sync>;

/// Clients over WebRTC. Takes connections of type [`WebRtcId`].
///
/// A cheap handle: clones are the same transport, with the same port and the same clients.
#[derive(Clone)]
#[doc(alias = "FastRTCRealtimeTransport")]
pub struct WebRtcRealtimeTransport {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: WebRtcTransportConfig,
    pub(crate) engine: Engine,
    pub(crate) callers: Arc<Callers>,
    observer: Mutex<Option<Observer>>,
}

impl WebRtcRealtimeTransport {
    /// A transport with these settings. Binds the UDP port on all addresses it may use.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used, or the port is taken; the error names the field.
    pub fn new(config: WebRtcTransportConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let engine = Engine::new(&config)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                engine,
                callers: Arc::default(),
                observer: Mutex::default(),
            }),
        })
    }

    /// Calls this for each client that has connected by [`router`](Self::router) or
    /// [`answer`](Self::answer), so that a host can start a session for it:
    /// `channel.start_session(room, participant, client.id)`. Which room and which participant its
    /// credentials hold it to, or it asks for, is [told](ClientConnected) with it, and nobody else looks
    /// at that. A client nobody makes a session of is sent away after `session_timeout_ms`. Replaces the
    /// one before.
    ///
    /// A channel that the observer owns owns this transport in turn: they live until
    /// [`close`](Self::close).
    pub fn on_client_connected<F, Done>(&self, observer: F)
    where
        F: Fn(ClientConnected) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        let observer: Observer = Arc::new(move |client| observer(client).boxed());
        *self.observer() = Some(observer);
    }

    /// The addresses at which clients are listened to; empty when each has a port of its own.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        let hub = self.shared.engine.hub();
        hub.map(|hub| hub.addresses().collect()).unwrap_or_default()
    }

    /// How many clients there are, connected or about to be.
    pub fn clients(&self) -> usize {
        self.shared.callers.all().len()
    }

    /// Ends the connections of all clients, and drops the observer.
    pub async fn close(&self) {
        drop(self.observer().take());
        let all = self.shared.callers.all();
        join_all(all.iter().map(Peer::close)).await;
    }

    pub(crate) fn current_observer(&self) -> Option<Observer> {
        self.observer().clone()
    }

    fn observer(&self) -> std::sync::MutexGuard<'_, Option<Observer>> {
        let observer = &self.shared.observer;
        observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, peer: &Arc<Peer>, offer: AudioOffer) -> Result<ClientLink, ConfigError> {
        let config = &self.shared.config;
        let codec = peer.negotiated.codec;
        let input_rate = pcm_rate(codec, config.input_sample_rate.unwrap_or(offer.input_rate));
        let output_rate = pcm_rate(
            codec,
            config.output_sample_rate.unwrap_or(offer.output_rate),
        );
        let now = Instant::now();
        let inbound = Inbound::new(codec, input_rate)
            .map_err(|error| ConfigError::field("input_sample_rate", error.to_string()))?;
        let first = First {
            sequence: random() as u16,
            timestamp: random(),
        };
        let outbound = Outbound::new(codec, output_rate, config.bitrate, first, now)
            .map_err(|error| ConfigError::field("output_sample_rate", error.to_string()))?;

        let mut info = LinkInfo::new(input_rate, output_rate);
        info.input_encoding = codec.name().into();
        info.output_encoding = codec.name().into();
        info.lead = config.lead();
        info.jitter_buffer = JITTER_BUFFER;
        info.metadata.clone_from(&peer.owner.metadata);

        let limits = MessageLimits {
            max_message_bytes: config.max_message_bytes,
            max_json_depth: config.max_json_depth,
        };
        let link = Link::new(Arc::clone(peer), outbound);
        Ok(ClientLink {
            info,
            events: Events::new(Arc::clone(&link), (inbound, input_rate), limits).stream(),
            sink: Box::new(Commands::new(link)),
        })
    }
}

/// What the jitter buffers of browsers hide.
const JITTER_BUFFER: std::time::Duration = std::time::Duration::from_millis(60);

impl Shared {
    pub(crate) fn offer_limits(&self) -> OfferLimits {
        OfferLimits {
            bytes: self.config.max_sdp_bytes,
            candidates: self.config.max_candidates,
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            connect: self.config.connect_timeout(),
            session: self.config.session_timeout(),
            disconnect: self.config.disconnect_timeout(),
        }
    }
}

/// Tells the host's code; its panic is not ours (contract S8).
pub(crate) async fn tell(observer: Observer, client: ClientConnected) {
    let told = AssertUnwindSafe(async { observer(client).await }).catch_unwind();
    if told.await.is_err() {
        tracing::error!("the observer of connected clients panicked");
    }
}

#[async_trait]
impl RealtimeAudioTransport for WebRtcRealtimeTransport {
    fn name(&self) -> &str {
        NAME
    }

    async fn accept(
        &self,
        _session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let id = connection.downcast::<WebRtcId>()?;
        let peer = self.shared.callers.get(&id, &Speaker::default());
        let peer = peer.map_err(|missing| TransportError::Refused(missing.to_string()))?;
        if matches!(
            peer.state(),
            State::Leaving | State::Expelled | State::Closed
        ) {
            return Err(TransportError::Disconnected("it has hung up".into()));
        }
        if !peer.claim() {
            let problem = "the client of this webrtc_id has a session already";
            return Err(TransportError::Refused(problem.into()));
        }
        let claimed = Claimed(Some(Arc::clone(&peer)));
        // What is said to a caller that is not there yet is lost, and would count as heard (A4).
        let limit = self.shared.config.connect_timeout();
        if !timeout(limit, peer.is_there()).await.unwrap_or_default() {
            let problem = "it has hung up, or did not connect in time";
            return Err(TransportError::Disconnected(problem.into()));
        }
        let link = self.link(&peer, offer)?;
        claimed.keep();
        Ok(link)
    }
}

/// A caller that is to become a session's: released when nothing comes of that, and be it that nobody
/// waits for it any more.
struct Claimed(Option<Arc<Peer>>);

impl Claimed {
    /// It is the link's to release from now on.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(peer) = &self.0 {
            peer.release_soon();
        }
    }
}

impl fmt::Debug for WebRtcRealtimeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtcRealtimeTransport")
            .field("config", &self.shared.config)
            .field("addresses", &self.local_addresses())
            .finish_non_exhaustive()
    }
}

inventory::submit! {
    TransportPlugin {
        name: NAME,
        about: ABOUT,
        build: |config| {
            let config = registry::read_config(config)?;
            Ok(Arc::new(WebRtcRealtimeTransport::new(config)?))
        },
    }
}
