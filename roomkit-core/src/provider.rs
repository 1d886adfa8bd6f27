//! What a speech-to-speech vendor's crate implements.
//!
//! A provider translates, no more: [`ProviderCommand`]s into its vendor's wire and the vendor's
//! frames into [`ProviderEvent`]s. Barge-in, deferred responses, tool contracts, transcript order,
//! pacing, hand-over and reconnecting are decided once, by the call engine, so a provider must
//! *not* do any of them. It says what it can ([`ProviderCapabilities`]) and does as it is told.

mod capabilities;
mod command;
mod event;
mod setup;
mod update;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use capabilities::{Continuation, HistorySupport, ProviderCapabilities};
pub use command::{ProviderCommand, Role};
pub use event::{ProviderEvent, ResponseStatus, TranscriptionUsage, Usage};
pub use setup::{HistoryItem, ResumeToken, SessionSetup};
pub use update::{SessionUpdate, UpdateSupport, UpdateWay};

pub use crate::error::{ProviderError, ProviderErrorKind};
use crate::{error::ConfigError, tool::ToolDefinition};

/// A speech-to-speech service. One value serves many sessions.
#[async_trait]
pub trait RealtimeVoiceProvider: Send + Sync + 'static {
    /// The name it is registered by, such as `openai`.
    fn name(&self) -> &str;

    /// The vendor as OpenTelemetry's conventions for generative AI name it, such as `gcp.gemini`; for
    /// traces. Unless implemented it is the [`name`](Self::name).
    fn telemetry_name(&self) -> &str {
        self.name()
    }

    /// The model it talks to, where that is known.
    fn model(&self) -> Option<&str> {
        None
    }

    /// What a connection can do when a session overrides nothing.
    fn capabilities(&self) -> ProviderCapabilities;

    /// Checks what a session is set up with and a change of that, without sending anything, and says
    /// how the change can be made. When a channel is built or a session starts, it changes nothing.
    /// Unless implemented every value is taken, in the ways of [`ProviderCapabilities::updates`].
    ///
    /// # Errors
    /// A value that can be seen to be wrong; the error names the field.
    fn check_update(
        &self,
        setup: &SessionSetup,
        update: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        let _ = (setup, update);
        Ok(self.capabilities().updates)
    }

    /// Checks a tool by itself, before it is offered beside others: one of a tool source that the vendor
    /// does not take is left out, rather than refuse the session with all the others. What
    /// [`check_update`](Self::check_update) refuses in a single tool is refused here too. Unless implemented every
    /// tool is taken.
    ///
    /// # Errors
    /// Why the vendor does not take it, such as for its name.
    fn check_tool(&self, tool: &ToolDefinition) -> Result<(), ConfigError> {
        let _ = tool;
        Ok(())
    }

    /// Checks an image that a host wants to show to the model, before anything is sent. Unless
    /// implemented every image is taken.
    ///
    /// # Errors
    /// [`InvalidRequest`](ProviderErrorKind::InvalidRequest) for one that can be seen to be of no use to
    /// the vendor: of a kind that its models do not see, or empty.
    fn check_image(&self, mime_type: &str, data: &[u8]) -> Result<(), ProviderError> {
        let _ = (mime_type, data);
        Ok(())
    }

    /// Opens one connection and returns when the vendor is ready for audio, not merely when the
    /// socket is open. Dropping the future abandons the attempt and leaves nothing behind.
    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError>;
}

/// An open connection to the vendor.
pub struct ProviderConnection {
    /// What this connection really is, after the session's overrides.
    pub info: ConnectionInfo,
    /// Where commands go.
    pub sink: Box<dyn ProviderSink>,
    /// What the vendor says. Ends with the connection; its last item is [`ProviderEvent::Closed`].
    /// It is polled when the waker of its last [`Pending`](std::task::Poll::Pending) was woken, and
    /// not otherwise.
    pub events: BoxStream<'static, ProviderEvent>,
}

/// Facts of one open connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The vendor's name for the session.
    pub provider_session_id: Option<String>,
    /// What this connection takes, gives and can do.
    pub capabilities: ProviderCapabilities,
    /// How long the vendor will let it live, if that is known. The engine hands the conversation
    /// over to another connection before that.
    pub expires_in: Option<Duration>,
}

impl ConnectionInfo {
    /// A connection with the given capabilities and no vendor's session name.
    pub fn new(capabilities: ProviderCapabilities) -> Self {
        Self {
            provider_session_id: None,
            capabilities,
            expires_in: None,
        }
    }
}

/// The sending half of a connection. Dropping it closes the connection without ceremony.
#[async_trait]
pub trait ProviderSink: Send + 'static {
    /// Sends one command. Waiting here is back-pressure: the engine queues, bounded, behind it.
    ///
    /// The future may be dropped before it is done only together with the sink.
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError>;

    /// Says goodbye and closes. Called once, last; the engine bounds the time it may take.
    async fn close(&mut self) {}
}
