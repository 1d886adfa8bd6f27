//! The rules of a transport.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use roomkit_core::{
    RealtimeSession,
    audio::bytes_for,
    registry::TransportPlugin,
    transport::{
        AudioOffer, ClientEvent, ClientLink, ClientSink, Connection, DropReason, LinkInfo,
        RealtimeAudioTransport, TransportError,
    },
};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{
    Broken, Findings, PATIENCE, Rule, assert_none,
    listening::{Heard, Listening},
};

/// The provider's rates in the checks.
const OFFER: AudioOffer = AudioOffer {
    input_rate: 16_000,
    output_rate: 24_000,
};

/// How much audio a client sends that sends too much, in frames of 100 ms.
const FLOOD: usize = 300;

/// A client of a transport, as its author's tests have one. Dropping it hangs up.
#[async_trait]
pub trait Client: Send {
    /// Sends PCM16 in one frame, whether or not it ends in half a sample.
    async fn send_audio(&mut self, pcm: &[u8]);

    /// Returns when the server has closed the connection, or has said that it does.
    async fn wait_for_end(&mut self);
}

type Connected = (Connection, Box<dyn Client>);

/// Checks of a transport; see the [module](super).
#[must_use]
pub struct TransportChecks {
    plugin: TransportPlugin,
    config: Value,
    connect: Box<dyn Fn() -> BoxFuture<'static, Connected> + Send + Sync>,
    patience: Duration,
}

impl TransportChecks {
    /// Of a transport with this configuration. `connect` makes a connection as a host hands it to
    /// `start_session`, and the client at its other end, which asks for no rates.
    pub fn new<F>(
        plugin: TransportPlugin,
        config: Value,
        connect: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = (Connection, Box<dyn Client>)> + Send + 'static,
    {
        Self {
            plugin,
            config,
            connect: Box::new(move || connect().boxed()),
            patience: PATIENCE,
        }
    }

    /// How long something may take that has to come; 10 s unless set.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs the checks.
    ///
    /// # Panics
    /// If the plugin breaks a rule; it says which, where each stands and what was seen.
    pub async fn assert_kept(&self) {
        assert_none(self.plugin.name, &self.run().await);
    }

    /// Runs the checks and returns what was found, in their order.
    pub async fn run(&self) -> Vec<Broken> {
        let mut findings = Findings {
            of_transport: true,
            ..Findings::default()
        };
        findings.config(self.config.clone(), self.plugin.build);
        match (self.plugin.build)(self.config.clone()) {
            Ok(transport) => {
                findings.name(self.plugin.name, transport.name());
                let run = Run {
                    checks: self,
                    transport,
                    findings,
                };
                run.all().await.broken
            }
            Err(error) => {
                let what = format!("refuses the configuration given to the checks: {error}");
                findings.broke(Rule::Config, what);
                findings.broken
            }
        }
    }
}

impl fmt::Debug for TransportChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportChecks")
            .field("plugin", &self.plugin.name)
            .finish_non_exhaustive()
    }
}

struct Run<'a> {
    checks: &'a TransportChecks,
    transport: Arc<dyn RealtimeAudioTransport>,
    findings: Findings,
}

/// An accepted client, from both ends.
struct Open {
    info: LinkInfo,
    sink: Box<dyn ClientSink>,
    events: Listening<ClientEvent>,
    client: Box<dyn Client>,
}

impl Run<'_> {
    async fn all(mut self) -> Findings {
        self.is_given_another_connection().await;
        self.hears().await;
        self.is_flooded().await;
        self.is_left().await;
        self.hangs_up(true, "after `close`").await;
        self.hangs_up(false, "after both its halves were dropped")
            .await;
        self.findings
    }

    async fn accept(&self, connection: Connection) -> Result<ClientLink, TransportError> {
        let session = RealtimeSession::new("room", "participant", "channel", Map::new());
        let accepting = self.transport.accept(&session, connection, OFFER);
        let patience = self.checks.patience;
        timeout(patience, accepting).await.unwrap_or_else(|_| {
            let problem = format!("it did not accept within {patience:?}");
            Err(TransportError::Refused(problem))
        })
    }

    async fn open(&mut self) -> Option<Open> {
        let (connection, client) = (self.checks.connect)().await;
        match self.accept(connection).await {
            Ok(ClientLink { info, sink, events }) => Some(Open {
                info,
                sink,
                events: Listening::to(events),
                client,
            }),
            Err(error) => {
                let what = format!("refuses a connection of its own: {error}");
                self.findings.broke(Rule::Connection, what);
                None
            }
        }
    }

    /// Whether it came, by a stream that told so.
    async fn comes<R>(
        &mut self,
        events: &Listening<ClientEvent>,
        look: impl FnMut(&mut Heard<ClientEvent>) -> Option<R>,
    ) -> bool {
        let waited = events.until(self.checks.patience, look).await;
        if waited.slept {
            let what = "its stream had an event and did not wake the waker of its last poll";
            self.findings.broke(Rule::Wakers, what);
        }
        waited.found.is_some()
    }

    async fn is_given_another_connection(&mut self) {
        struct Another;
        let what = match self.accept(Connection::new(Another)).await {
            Err(TransportError::WrongConnection { .. }) => return,
            Err(error) => format!("answers a connection of another type with: {error}"),
            Ok(_) => "accepts a connection of a type that it does not know".into(),
        };
        self.findings.broke(Rule::Connection, what);
    }

    async fn hears(&mut self) {
        let Some(mut open) = self.open().await else {
            return;
        };
        for (field, rate, offered) in [
            ("input_rate", open.info.input_rate, OFFER.input_rate),
            ("output_rate", open.info.output_rate, OFFER.output_rate),
        ] {
            if rate != offered {
                let what =
                    format!("`{field}` of a client without a wish is {rate}, not {offered} Hz");
                self.findings.broke(Rule::Rates, what);
            }
        }
        // The engine drops it where the transport has not (contract A1).
        open.client.send_audio(&[7; 641]).await;
        open.client.send_audio(&[9; 640]).await;
        let whole = ClientEvent::Audio(vec![9; 640].into());
        let heard = self.comes(&open.events, |heard| {
            heard.events.contains(&whole).then_some(())
        });
        if !heard.await {
            let what = "a frame after one with half a sample does not come as it was sent";
            self.findings.broke(Rule::HalfSamples, what);
        }
    }

    async fn is_flooded(&mut self) {
        let Some(mut open) = self.open().await else {
            return;
        };
        let frame = vec![7; bytes_for(Duration::from_millis(100), open.info.input_rate)];
        for _ in 0..FLOOD {
            open.client.send_audio(&frame).await;
        }
        let held = |heard: &mut Heard<ClientEvent>| {
            let is_bounded = |event: &ClientEvent| {
                matches!(
                    event,
                    ClientEvent::Dropped(DropReason::TooFast) | ClientEvent::Violation(_)
                )
            };
            let bounded = heard.events.iter().any(is_bounded);
            let all = heard.events.iter().filter(|event| is_audio(event)).count() >= FLOOD;
            (bounded || all).then_some(bounded)
        };
        let waited = open.events.until(self.checks.patience, held).await;
        if waited.found != Some(true) {
            let what = "half a minute of audio at once is passed on whole";
            self.findings.broke(Rule::TooFast, what);
        }
    }

    async fn is_left(&mut self) {
        let Some(open) = self.open().await else {
            return;
        };
        // The sink stays: the engine learns of it by the stream.
        drop(open.client);
        let ended = self.comes(&open.events, |heard| heard.ended.then_some(()));
        if !ended.await {
            let what = "its stream goes on although the client is gone";
            self.findings.broke(Rule::Closed, what);
        }
    }

    async fn hangs_up(&mut self, says_so: bool, when: &str) {
        let Some(mut open) = self.open().await else {
            return;
        };
        let patience = self.checks.patience;
        if says_so && timeout(patience, open.sink.close("host")).await.is_err() {
            self.findings
                .broke(Rule::LeavesNothing, "`close` does not return");
        }
        drop((open.sink, open.events));
        if timeout(patience, open.client.wait_for_end()).await.is_err() {
            let what = format!("its client is still connected {when}");
            self.findings.broke(Rule::LeavesNothing, what);
        }
    }
}

fn is_audio(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Audio(_))
}
