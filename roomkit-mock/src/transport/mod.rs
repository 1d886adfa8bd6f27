//! Callers without a network.

mod client;

use std::{collections::VecDeque, fmt, sync::Arc};

use async_trait::async_trait;
use roomkit_core::{
    RealtimeSession,
    id::SessionId,
    transport::{
        AudioOffer, ClientLink, Connection, LinkInfo, RealtimeAudioTransport, TransportError,
    },
};

pub use client::{MockClient, MockConnection};

use crate::{Gate, watched::Watched};

/// A transport whose clients are [`MockClient`]s. Clones are the same transport.
///
/// Unless [set otherwise](Self::with_link) its clients take the rates they are offered.
#[derive(Clone, Default)]
pub struct MockRealtimeTransport {
    link: Option<LinkInfo>,
    state: Arc<Watched<State>>,
}

/// What the next accept comes to.
#[derive(Debug, Clone)]
pub enum AcceptOutcome {
    /// The client is accepted.
    Accept,
    /// It is refused.
    Fail(TransportError),
    /// It is accepted as soon as the gate opens.
    Hold(Gate),
}

#[derive(Default)]
struct State {
    outcomes: VecDeque<AcceptOutcome>,
    attempts: usize,
    clients: Vec<(SessionId, MockClient)>,
    /// How many clients [`MockRealtimeTransport::wait_for_accept`] has handed out.
    seen: usize,
}

impl MockRealtimeTransport {
    /// A transport that accepts every [`MockConnection`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is said of every link: its rates, its lead, its metadata.
    #[must_use]
    pub fn with_link(mut self, link: LinkInfo) -> Self {
        self.link = Some(link);
        self
    }

    /// Queues what an accept comes to; without one it succeeds.
    pub fn next_accept(&self, outcome: AcceptOutcome) {
        self.state.change(|state| state.outcomes.push_back(outcome));
    }

    /// Every client that was accepted, oldest first.
    pub fn clients(&self) -> Vec<MockClient> {
        self.state.read(|state| {
            let clients = state.clients.iter();
            clients.map(|(_, client)| client.clone()).collect()
        })
    }

    /// How many links are open: neither closed nor dropped by roomkit.
    pub fn open_links(&self) -> usize {
        self.clients()
            .iter()
            .filter(|client| client.is_open())
            .count()
    }

    /// The newest client.
    ///
    /// # Panics
    ///
    /// If none was accepted yet.
    pub fn last(&self) -> MockClient {
        match self.clients().pop() {
            Some(client) => client,
            None => panic!("nobody was accepted yet; use `wait_for_accept`"),
        }
    }

    /// The client of this session.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn client(&self, session_id: &SessionId) -> MockClient {
        let found = self.state.read(|state| {
            let mut clients = state.clients.iter();
            clients
                .find(|(id, _)| id == session_id)
                .map(|(_, client)| client.clone())
        });
        match found {
            Some(client) => client,
            None => panic!("session {session_id} has no client"),
        }
    }

    /// The next client to be accepted; those accepted before the call count, each one once.
    pub async fn wait_for_accept(&self) -> MockClient {
        self.state
            .expect(
                "client",
                |state| {
                    let (_, next) = state.clients.get(state.seen)?;
                    state.seen += 1;
                    Some(next.clone())
                },
                |state| format!("{} attempts", state.attempts),
            )
            .await
    }

    /// Returns once so many connections have been offered, whatever that came to.
    pub async fn wait_for_attempts(&self, attempts: usize) {
        self.state
            .expect(
                "connection to accept",
                |state| (state.attempts >= attempts).then_some(()),
                |state| format!("{} attempts", state.attempts),
            )
            .await;
    }
}

#[async_trait]
impl RealtimeAudioTransport for MockRealtimeTransport {
    fn name(&self) -> &'static str {
        "mock"
    }

    async fn accept(
        &self,
        session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let outcome = self.state.change(|state| {
            state.attempts += 1;
            state.outcomes.pop_front()
        });
        match outcome {
            None | Some(AcceptOutcome::Accept) => {}
            Some(AcceptOutcome::Fail(error)) => return Err(error),
            Some(AcceptOutcome::Hold(gate)) => gate.wait().await,
        }
        let connection: MockConnection = connection.downcast()?;
        let client = connection.client();
        let (sink, events) = connection.open();
        self.state
            .change(|state| state.clients.push((session.id().clone(), client)));
        let info = self
            .link
            .clone()
            .unwrap_or_else(|| LinkInfo::new(offer.input_rate, offer.output_rate));
        Ok(ClientLink { info, sink, events })
    }
}

impl fmt::Debug for MockRealtimeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockRealtimeTransport")
            .field("clients", &self.clients().len())
            .finish_non_exhaustive()
    }
}
