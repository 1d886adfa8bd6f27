//! One connection to the mock, and what it was told.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use roomkit_core::{
    id::{CallId, ItemId, SessionId},
    provider::{ProviderCommand, ProviderError, ProviderEvent, ProviderSink, Role},
};
use tokio::{sync::mpsc, time::Instant};

use super::script::{Runner, Script};
use crate::{Gate, watched::Watched};

/// The test's side of one provider connection, alive or gone. Clones are the same connection.
///
/// What is said on a connection that is closed goes nowhere.
#[derive(Clone)]
pub struct MockProviderConnection(Arc<Inner>);

struct Inner {
    session_id: SessionId,
    state: Watched<State>,
    /// Closed while the sink is to stall.
    sending: Gate,
    closing: Gate,
}

struct State {
    commands: Vec<(Instant, ProviderCommand)>,
    send_error: Option<ProviderError>,
    /// Taken when the connection is over.
    events: Option<mpsc::UnboundedSender<ProviderEvent>>,
    script: Runner,
    closes: usize,
    dropped: bool,
}

/// Text that was given to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectedText {
    /// In whose name.
    pub role: Role,
    /// The text.
    pub text: String,
    /// It asked for an answer by itself (automatic continuation only).
    pub respond: bool,
}

/// A tool's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// The call.
    pub call_id: CallId,
    /// The tool.
    pub name: String,
    /// What the model reads.
    pub output: String,
    /// It failed or was refused.
    pub is_error: bool,
}

/// An answer that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// The item.
    pub item_id: ItemId,
    /// Its content part.
    pub content_index: u32,
    /// What of it was heard.
    pub heard: Duration,
}

impl MockProviderConnection {
    pub(super) fn open(
        session_id: SessionId,
        script: Script,
    ) -> (
        Self,
        Box<dyn ProviderSink>,
        BoxStream<'static, ProviderEvent>,
    ) {
        let (events, mut said) = mpsc::unbounded_channel();
        let (script, greeting) = script.start();
        for event in greeting {
            let _ = events.send(event);
        }
        let connection = Self(Arc::new(Inner {
            session_id,
            state: Watched::new(State {
                commands: Vec::new(),
                send_error: None,
                events: Some(events),
                script,
                closes: 0,
                dropped: false,
            }),
            sending: Gate::opened(),
            closing: Gate::opened(),
        }));
        let sink = Box::new(MockSink(connection.clone()));
        let events = futures_util::stream::poll_fn(move |context| said.poll_recv(context)).boxed();
        (connection, sink, events)
    }

    /// Whose connection it is.
    pub fn session_id(&self) -> &SessionId {
        &self.0.session_id
    }

    // ----- what it was told

    /// Everything it was told, in order.
    pub fn commands(&self) -> Vec<ProviderCommand> {
        self.0.state.read(|state| {
            let commands = state.commands.iter();
            commands.map(|(_, command)| command.clone()).collect()
        })
    }

    /// Everything it was told, in order, and when.
    pub fn timed_commands(&self) -> Vec<(Instant, ProviderCommand)> {
        self.0.state.read(|state| state.commands.clone())
    }

    /// The microphone audio, frame by frame.
    pub fn sent_audio(&self) -> Vec<Bytes> {
        self.pick(|command| match command {
            ProviderCommand::Audio(pcm) => Some(pcm.clone()),
            _ => None,
        })
    }

    /// The texts.
    pub fn injected_texts(&self) -> Vec<InjectedText> {
        self.pick(|command| match command {
            ProviderCommand::Text {
                role,
                text,
                respond,
            } => Some(InjectedText {
                role: *role,
                text: text.clone(),
                respond: *respond,
            }),
            _ => None,
        })
    }

    /// The answers of tools.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        self.pick(|command| match command {
            ProviderCommand::ToolResult {
                call_id,
                name,
                output,
                is_error,
            } => Some(ToolResult {
                call_id: call_id.clone(),
                name: name.clone(),
                output: output.clone(),
                is_error: *is_error,
            }),
            _ => None,
        })
    }

    /// The answers that were cut.
    pub fn truncations(&self) -> Vec<Truncation> {
        self.pick(|command| match command {
            ProviderCommand::Truncate {
                item_id,
                content_index,
                heard,
            } => Some(Truncation {
                item_id: item_id.clone(),
                content_index: *content_index,
                heard: *heard,
            }),
            _ => None,
        })
    }

    /// How many responses were asked for.
    pub fn responds(&self) -> usize {
        self.count(|command| matches!(command, ProviderCommand::Respond))
    }

    /// How many responses were to be stopped.
    pub fn cancels(&self) -> usize {
        self.count(|command| matches!(command, ProviderCommand::CancelResponse))
    }

    /// How often it was closed; more than once is a defect.
    pub fn closes(&self) -> usize {
        self.0.state.read(|state| state.closes)
    }

    /// Whether roomkit still holds it: not closed, not dropped.
    pub fn is_open(&self) -> bool {
        self.0
            .state
            .read(|state| state.closes == 0 && !state.dropped)
    }

    /// The first command of this kind, told already or still to come.
    pub async fn wait_for_command(
        &self,
        wanted: impl Fn(&ProviderCommand) -> bool,
    ) -> ProviderCommand {
        self.wait_for_commands(1, wanted).await.swap_remove(0)
    }

    /// The commands of this kind, as soon as there are `count` of them.
    pub async fn wait_for_commands(
        &self,
        count: usize,
        wanted: impl Fn(&ProviderCommand) -> bool,
    ) -> Vec<ProviderCommand> {
        self.0
            .state
            .expect(
                "such command",
                |state| {
                    let commands = state.commands.iter().map(|(_, command)| command);
                    let found: Vec<_> = commands.filter(|c| wanted(c)).cloned().collect();
                    (found.len() >= count).then_some(found)
                },
                State::describe,
            )
            .await
    }

    /// Returns once roomkit has closed or dropped it.
    pub async fn wait_for_close(&self) {
        self.0
            .state
            .expect(
                "close of the provider connection",
                |state| (state.closes > 0 || state.dropped).then_some(()),
                State::describe,
            )
            .await;
    }

    // ----- what it does wrong

    /// Takes nothing more until [`resume`](Self::resume): a send waits.
    pub fn stall(&self) {
        self.0.sending.close();
    }

    /// Takes commands again.
    pub fn resume(&self) {
        self.0.sending.open();
    }

    /// Every send from now on fails like this.
    pub fn fail_sends(&self, error: ProviderError) {
        self.0.state.change(|state| state.send_error = Some(error));
    }

    /// The goodbye takes for ever.
    pub fn stall_close(&self) {
        self.0.closing.close();
    }

    // ----- inside

    /// Says something; nothing follows a [`ProviderEvent::Closed`].
    pub(super) fn say(&self, event: ProviderEvent) {
        self.0.state.change(|state| state.say(event));
    }

    fn pick<R>(&self, pick: impl Fn(&ProviderCommand) -> Option<R>) -> Vec<R> {
        self.0.state.read(|state| {
            let commands = state.commands.iter();
            commands.filter_map(|(_, command)| pick(command)).collect()
        })
    }

    fn count(&self, wanted: impl Fn(&ProviderCommand) -> bool) -> usize {
        self.pick(|command| wanted(command).then_some(())).len()
    }
}

impl fmt::Debug for MockProviderConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockProviderConnection")
            .field("session_id", &self.0.session_id)
            .field("told", &self.0.state.read(State::describe))
            .finish_non_exhaustive()
    }
}

impl State {
    fn say(&mut self, event: ProviderEvent) {
        let is_over = matches!(event, ProviderEvent::Closed(_));
        if let Some(events) = &self.events {
            // Who does not listen any more has dropped the connection.
            let _ = events.send(event);
        }
        if is_over {
            self.events = None;
        }
    }

    /// The commands without the audio's bytes, which nobody wants to read.
    fn describe(&self) -> String {
        let commands = self.commands.iter().map(|(_, command)| match command {
            ProviderCommand::Audio(pcm) => format!("Audio({} bytes)", pcm.len()),
            other => format!("{other:?}"),
        });
        let commands = commands.collect::<Vec<_>>().join(", ");
        let (closes, dropped) = (self.closes, self.dropped);
        format!("[{commands}], closes: {closes}, dropped: {dropped}")
    }
}

/// Roomkit's side.
struct MockSink(MockProviderConnection);

#[async_trait]
impl ProviderSink for MockSink {
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError> {
        let inner = &self.0.0;
        inner.sending.wait().await;
        inner.state.change(|state| {
            if let Some(error) = &state.send_error {
                return Err(error.clone());
            }
            let reaction = state.script.react(&command);
            state.commands.push((Instant::now(), command));
            for event in reaction {
                state.say(event);
            }
            Ok(())
        })
    }

    async fn close(&mut self) {
        let inner = &self.0.0;
        inner.state.change(|state| {
            state.closes += 1;
            if let Some(events) = state.events.take() {
                let _ = events.send(ProviderEvent::Closed(None));
            }
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
