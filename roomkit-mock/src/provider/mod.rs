//! A speech-to-speech service that does what the test says.

mod connection;
mod script;
mod simulate;

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use roomkit_core::{
    id::SessionId,
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderConnection, ProviderError,
        RealtimeVoiceProvider, SessionSetup, SessionUpdate, UpdateSupport, UpdateWay,
    },
    registry::ConfigError,
    tool::ToolDefinition,
};

pub use connection::{InjectedText, MockProviderConnection, ToolResult, Truncation};
pub use script::{Script, answer, question};

use crate::{Gate, watched::Watched};

/// A provider that records what it is told and says what the test wants. Clones are the same one.
///
/// Unless [set otherwise](Self::with_capabilities) it takes and gives 24 kHz, is asked for each
/// response, interrupts itself, truncates, and takes updates, images and manual turns. It does not promise
/// transcripts of the user, so nothing waits for them.
#[derive(Clone)]
pub struct MockRealtimeProvider {
    model: Option<String>,
    capabilities: ProviderCapabilities,
    /// Those of its connections, where they are others.
    of_connections: Option<ProviderCapabilities>,
    expires_in: Option<Duration>,
    refuses_images: Option<ProviderError>,
    refuses_tool: Option<String>,
    script: Script,
    state: Arc<Watched<State>>,
}

/// What the next attempt to connect comes to.
#[derive(Debug, Clone)]
pub enum ConnectOutcome {
    /// The connection opens.
    Succeed,
    /// The vendor refuses.
    Fail(ProviderError),
    /// It opens as soon as the gate does.
    Hold(Gate),
}

#[derive(Default)]
struct State {
    outcomes: VecDeque<ConnectOutcome>,
    attempts: Vec<SessionSetup>,
    pending: usize,
    connections: Vec<MockProviderConnection>,
    /// How many connections [`MockRealtimeProvider::wait_for_connect`] has handed out.
    seen: usize,
}

impl Default for MockRealtimeProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl MockRealtimeProvider {
    /// A provider every connection to which succeeds.
    pub fn new() -> Self {
        let mut capabilities = ProviderCapabilities::new(24_000, 24_000);
        capabilities.interrupts_itself = true;
        capabilities.heeds_interruptions = true;
        capabilities.truncates = true;
        capabilities.manual_turns = true;
        capabilities.updates = UpdateSupport::all(UpdateWay::Live);
        capabilities.images = true;
        Self {
            model: None,
            capabilities,
            of_connections: None,
            expires_in: None,
            refuses_images: None,
            refuses_tool: None,
            script: Script::new(),
            state: Arc::default(),
        }
    }

    /// Sets what connections take, give and can do.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: ProviderCapabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sets what connections can do, where that is other than what the provider says before there is one.
    #[must_use]
    pub fn with_connection_capabilities(mut self, capabilities: ProviderCapabilities) -> Self {
        self.of_connections = Some(capabilities);
        self
    }

    /// Lets every connection say that it will live so long.
    #[must_use]
    pub fn with_expiry(mut self, life: Duration) -> Self {
        self.expires_in = Some(life);
        self
    }

    /// Lets it refuse every image, for this reason.
    #[must_use]
    pub fn refusing_images(mut self, error: ProviderError) -> Self {
        self.refuses_images = Some(error);
        self
    }

    /// Lets it refuse every tool of this name.
    #[must_use]
    pub fn refusing_tool(mut self, name: impl Into<String>) -> Self {
        self.refuses_tool = Some(name.into());
        self
    }

    /// Sets the model's name.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets what each connection says by itself.
    #[must_use]
    pub fn with_script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Queues what an attempt to connect comes to; without one it succeeds.
    pub fn next_connect(&self, outcome: ConnectOutcome) {
        self.state.change(|state| state.outcomes.push_back(outcome));
    }

    /// What every attempt to connect asked for, those that failed included.
    pub fn connects(&self) -> Vec<SessionSetup> {
        self.state.read(|state| state.attempts.clone())
    }

    /// How many attempts are being held.
    pub fn pending_connects(&self) -> usize {
        self.state.read(|state| state.pending)
    }

    /// Every connection that was opened, oldest first.
    pub fn connections(&self) -> Vec<MockProviderConnection> {
        self.state.read(|state| state.connections.clone())
    }

    /// How many connections are open: neither closed nor dropped by roomkit.
    pub fn open_connections(&self) -> usize {
        self.connections()
            .iter()
            .filter(|connection| connection.is_open())
            .count()
    }

    /// The newest connection.
    ///
    /// # Panics
    ///
    /// If none was opened yet.
    pub fn last(&self) -> MockProviderConnection {
        match self.state.read(|state| state.connections.last().cloned()) {
            Some(connection) => connection,
            None => panic!("nobody has connected yet; use `wait_for_connect`"),
        }
    }

    /// The newest connection of this session.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn session(&self, session_id: &SessionId) -> MockProviderConnection {
        let connections = self.connections();
        let found = connections
            .into_iter()
            .rfind(|connection| connection.session_id() == session_id);
        match found {
            Some(connection) => connection,
            None => panic!("session {session_id} has no connection"),
        }
    }

    /// The next connection to be opened; those opened before the call count, each one once.
    pub async fn wait_for_connect(&self) -> MockProviderConnection {
        self.state
            .expect(
                "connection",
                |state| {
                    let next = state.connections.get(state.seen).cloned()?;
                    state.seen += 1;
                    Some(next)
                },
                |state| format!("{} attempts, {} held", state.attempts.len(), state.pending),
            )
            .await
    }

    /// Returns once so many attempts to connect have been made, whatever they came to.
    pub async fn wait_for_attempts(&self, attempts: usize) {
        self.state
            .expect(
                "attempt to connect",
                |state| (state.attempts.len() >= attempts).then_some(()),
                |state| format!("{} attempts", state.attempts.len()),
            )
            .await;
    }
}

#[async_trait]
impl RealtimeVoiceProvider for MockRealtimeProvider {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn capabilities(&self) -> ProviderCapabilities {
        self.capabilities.clone()
    }

    fn check_update(
        &self,
        setup: &SessionSetup,
        update: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        let tools = update.tools.as_ref().unwrap_or(&setup.tools);
        tools.iter().try_for_each(|tool| self.check_tool(tool))?;
        Ok(self.capabilities.updates)
    }

    fn check_tool(&self, tool: &ToolDefinition) -> Result<(), ConfigError> {
        if self.refuses_tool.as_deref() == Some(&tool.name) {
            let problem = format!("hold the name `{}`, which is refused", tool.name);
            return Err(ConfigError::field("tools", problem));
        }
        Ok(())
    }

    fn check_image(&self, _: &str, _: &[u8]) -> Result<(), ProviderError> {
        self.refuses_images.clone().map_or(Ok(()), Err)
    }

    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        let session_id = setup.session_id.clone();
        let outcome = self.state.change(|state| {
            state.attempts.push(setup);
            state.outcomes.pop_front()
        });
        match outcome {
            None | Some(ConnectOutcome::Succeed) => {}
            Some(ConnectOutcome::Fail(error)) => return Err(error),
            Some(ConnectOutcome::Hold(gate)) => {
                let _pending = Pending::count(&self.state);
                gate.wait().await;
            }
        }
        let (connection, sink, events) =
            MockProviderConnection::open(session_id.clone(), self.script.clone());
        self.state
            .change(|state| state.connections.push(connection));
        let capabilities = self.of_connections.as_ref().unwrap_or(&self.capabilities);
        let mut info = ConnectionInfo::new(capabilities.clone());
        info.provider_session_id = Some(format!("mock-{session_id}"));
        info.expires_in = self.expires_in;
        Ok(ProviderConnection { info, sink, events })
    }
}

impl fmt::Debug for MockRealtimeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockRealtimeProvider")
            .field("attempts", &self.connects().len())
            .field("connections", &self.connections().len())
            .finish_non_exhaustive()
    }
}

/// An attempt that is held; not any more when it is dropped.
struct Pending(Arc<Watched<State>>);

impl Pending {
    fn count(state: &Arc<Watched<State>>) -> Self {
        state.change(|state| state.pending += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.change(|state| state.pending -= 1);
    }
}
