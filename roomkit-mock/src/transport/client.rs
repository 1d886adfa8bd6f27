//! One client: what reached it, and what it says.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use roomkit_core::{
    client_protocol::ServerMessage,
    transport::{ClientCommand, ClientEvent, ClientSink, Connection, TransportError},
};
use tokio::{sync::mpsc, time::Instant};

use crate::{Gate, watched::Watched};

/// What a host gives to `start_session` for a mock client.
///
/// ```
/// use roomkit_mock::MockConnection;
///
/// let connection = MockConnection::new();
/// let client = connection.client();
/// client.send_audio(vec![0; 960]); // Heard as soon as the connection is accepted.
/// # let connection: roomkit_core::transport::Connection = connection.into();
/// ```
pub struct MockConnection {
    client: MockClient,
    events: mpsc::UnboundedReceiver<ClientEvent>,
}

/// The test's side of a client, connected or gone. Clones are the same client.
///
/// What a client says after it is gone goes nowhere.
#[derive(Clone)]
pub struct MockClient(Arc<Inner>);

struct Inner {
    state: Watched<State>,
    /// Closed while the client is to read nothing.
    reading: Gate,
    closing: Gate,
}

struct State {
    commands: Vec<(Instant, ClientCommand)>,
    send_error: Option<TransportError>,
    /// Taken when the client leaves.
    events: Option<mpsc::UnboundedSender<ClientEvent>>,
    close_reasons: Vec<String>,
    dropped: bool,
}

impl Default for MockConnection {
    fn default() -> Self {
        Self::new()
    }
}

impl MockConnection {
    /// A client that waits to be accepted.
    pub fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let client = MockClient(Arc::new(Inner {
            state: Watched::new(State {
                commands: Vec::new(),
                send_error: None,
                events: Some(sender),
                close_reasons: Vec::new(),
                dropped: false,
            }),
            reading: Gate::opened(),
            closing: Gate::opened(),
        }));
        Self { client, events }
    }

    /// The client behind it.
    pub fn client(&self) -> MockClient {
        self.client.clone()
    }

    pub(super) fn open(self) -> (Box<dyn ClientSink>, BoxStream<'static, ClientEvent>) {
        let mut events = self.events;
        let sink = Box::new(MockSink(self.client));
        let events =
            futures_util::stream::poll_fn(move |context| events.poll_recv(context)).boxed();
        (sink, events)
    }
}

impl From<MockConnection> for Connection {
    fn from(connection: MockConnection) -> Self {
        Self::new(connection)
    }
}

impl fmt::Debug for MockConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockConnection").finish_non_exhaustive()
    }
}

impl MockClient {
    // ----- what it says

    /// Speaks: PCM16 mono at the link's input rate.
    pub fn send_audio(&self, pcm: impl Into<Bytes>) {
        self.send(ClientEvent::Audio(pcm.into()));
    }

    /// Says anything.
    pub fn send(&self, event: ClientEvent) {
        self.0.state.read(|state| {
            if let Some(events) = &state.events {
                let _ = events.send(event);
            }
        });
    }

    /// Leaves without a word.
    pub fn disconnect(&self) {
        self.0.state.change(|state| state.events = None);
    }

    // ----- what it does wrong

    /// Reads nothing more until [`resume`](Self::resume): a send to it waits.
    pub fn stall(&self) {
        self.0.reading.close();
    }

    /// Reads again.
    pub fn resume(&self) {
        self.0.reading.open();
    }

    /// Every send to it from now on fails like this.
    pub fn fail_sends(&self, error: TransportError) {
        self.0.state.change(|state| state.send_error = Some(error));
    }

    /// Closing the link takes for ever.
    pub fn stall_close(&self) {
        self.0.closing.close();
    }

    // ----- what reached it

    /// Everything that reached it, in order.
    pub fn commands(&self) -> Vec<ClientCommand> {
        self.pick(|_, command| Some(command.clone()))
    }

    /// Everything that reached it, in order, and when.
    pub fn timed_commands(&self) -> Vec<(Instant, ClientCommand)> {
        self.0.state.read(|state| state.commands.clone())
    }

    /// The audio, frame by frame.
    pub fn audio(&self) -> Vec<Bytes> {
        self.pick(|_, command| match command {
            ClientCommand::Audio(pcm) => Some(pcm.clone()),
            _ => None,
        })
    }

    /// The audio, frame by frame, and when it came.
    pub fn timed_audio(&self) -> Vec<(Instant, Bytes)> {
        self.pick(|at, command| match command {
            ClientCommand::Audio(pcm) => Some((at, pcm.clone())),
            _ => None,
        })
    }

    /// The messages.
    pub fn messages(&self) -> Vec<ServerMessage> {
        self.pick(|_, command| match command {
            ClientCommand::Message(message) => Some(message.clone()),
            _ => None,
        })
    }

    /// The first message of this kind, come already or still to come.
    pub async fn wait_for_message(&self, wanted: impl Fn(&ServerMessage) -> bool) -> ServerMessage {
        self.wait(|command| match command {
            ClientCommand::Message(message) if wanted(message) => Some(message.clone()),
            _ => None,
        })
        .await
    }

    /// The first command of this kind, come already or still to come.
    pub async fn wait_for_command(&self, wanted: impl Fn(&ClientCommand) -> bool) -> ClientCommand {
        self.wait(|command| wanted(command).then(|| command.clone()))
            .await
    }

    /// Returns once at least so many bytes of audio have come.
    pub async fn wait_for_audio(&self, bytes: usize) {
        self.0
            .state
            .expect(
                "audio of that length",
                |state| {
                    let come: usize = state.commands.iter().map(|(_, c)| audio_of(c)).sum();
                    (come >= bytes).then_some(())
                },
                State::describe,
            )
            .await;
    }

    /// The reasons it was closed with; more than one is a defect.
    pub fn close_reasons(&self) -> Vec<String> {
        self.0.state.read(|state| state.close_reasons.clone())
    }

    /// The reason it is closed with, once it is.
    pub async fn wait_for_close(&self) -> String {
        self.0
            .state
            .expect(
                "close of the link",
                |state| state.close_reasons.first().cloned(),
                State::describe,
            )
            .await
    }

    /// Returns once the link is gone: the reason it was closed with, or `None` if it was dropped
    /// without one.
    pub async fn wait_for_close_or_drop(&self) -> Option<String> {
        self.0
            .state
            .expect(
                "end of the link",
                |state| {
                    let reason = state.close_reasons.first().cloned();
                    (state.dropped || reason.is_some()).then_some(reason)
                },
                State::describe,
            )
            .await
    }

    /// Whether roomkit still holds the link: not closed, not dropped.
    pub fn is_open(&self) -> bool {
        self.0
            .state
            .read(|state| state.close_reasons.is_empty() && !state.dropped)
    }

    // ----- inside

    async fn wait<R>(&self, find: impl Fn(&ClientCommand) -> Option<R>) -> R {
        self.0
            .state
            .expect(
                "such command to the client",
                |state| state.commands.iter().find_map(|(_, command)| find(command)),
                State::describe,
            )
            .await
    }

    fn pick<R>(&self, pick: impl Fn(Instant, &ClientCommand) -> Option<R>) -> Vec<R> {
        self.0.state.read(|state| {
            let commands = state.commands.iter();
            commands
                .filter_map(|(at, command)| pick(*at, command))
                .collect()
        })
    }
}

impl fmt::Debug for MockClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockClient")
            .field("got", &self.0.state.read(State::describe))
            .finish_non_exhaustive()
    }
}

fn audio_of(command: &ClientCommand) -> usize {
    match command {
        ClientCommand::Audio(pcm) => pcm.len(),
        _ => 0,
    }
}

impl State {
    /// The commands without the audio's bytes, runs of audio as one.
    fn describe(&self) -> String {
        let mut parts = Vec::new();
        let mut audio = 0;
        for (_, command) in &self.commands {
            audio += audio_of(command);
            if matches!(command, ClientCommand::Audio(_)) {
                continue;
            }
            if audio > 0 {
                parts.push(format!("Audio({} bytes)", std::mem::take(&mut audio)));
            }
            parts.push(format!("{command:?}"));
        }
        if audio > 0 {
            parts.push(format!("Audio({audio} bytes)"));
        }
        format!("[{}], closed: {:?}", parts.join(", "), self.close_reasons)
    }
}

/// Roomkit's side.
struct MockSink(MockClient);

#[async_trait]
impl ClientSink for MockSink {
    async fn send(&mut self, command: ClientCommand) -> Result<(), TransportError> {
        let inner = &self.0.0;
        inner.reading.wait().await;
        inner.state.change(|state| {
            if let Some(error) = &state.send_error {
                return Err(error.clone());
            }
            state.commands.push((Instant::now(), command));
            Ok(())
        })
    }

    async fn close(&mut self, reason: &str) {
        let inner = &self.0.0;
        inner.state.change(|state| {
            state.close_reasons.push(reason.into());
            state.events = None;
        });
        inner.closing.wait().await;
    }
}

impl Drop for MockSink {
    fn drop(&mut self) {
        self.0.0.state.change(|state| {
            state.dropped = true;
            state.events = None;
        });
    }
}
