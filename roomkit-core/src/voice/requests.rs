//! What a host can ask of a live session.

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::channel::RealtimeVoiceChannel;
use crate::{
    call::Command,
    client_protocol,
    error::{ConfigError, ProviderError, ProviderErrorKind, SessionError},
    provider::Role,
    session::{RealtimeSession, RealtimeSessionState},
};

impl RealtimeVoiceChannel {
    /// Gives text to the AI. Unless `silent`, it is asked to answer: at once, or after the
    /// response that is running.
    ///
    /// # Errors
    /// When the text is empty or only blanks, or the session is over or busy.
    pub fn inject_text(
        &self,
        session: &RealtimeSession,
        text: impl Into<String>,
        role: Role,
        silent: bool,
    ) -> Result<(), SessionError> {
        let text = text.into();
        if text.trim().is_empty() {
            let problem = "is empty; give it words";
            return Err(ConfigError::field("text", problem).into());
        }
        self.command(
            session,
            Command::Text {
                text,
                role,
                silent,
                chain_depth: 0,
            },
        )
    }

    /// Shows the AI an image, with a question or without.
    ///
    /// # Errors
    /// [`SessionError::Provider`] where the provider takes no images or not this one, such as one that
    /// is neither JPEG nor PNG.
    pub fn inject_image(
        &self,
        session: &RealtimeSession,
        mime_type: impl Into<String>,
        data: impl Into<Bytes>,
        prompt: Option<String>,
        silent: bool,
    ) -> Result<(), SessionError> {
        let provider = &self.inner().shared.provider;
        self.needs("images", provider.capabilities().images)?;
        let (mime_type, data) = (mime_type.into(), data.into());
        provider.check_image(&mime_type, &data)?;
        self.command(
            session,
            Command::Image {
                mime_type,
                data,
                prompt,
                silent,
            },
        )
    }

    /// Stops the AI's present answer, as if the user had interrupted it; where nothing is audible, also the
    /// one that is about to begin (contract A3).
    pub fn interrupt(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        self.command(session, Command::Interrupt)
    }

    /// With manual turns: the user begins to speak.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Unsupported`] where the session's provider finds out by itself when the user
    /// speaks.
    pub fn activity_start(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        self.needs_manual_turns(session)?;
        self.command(session, Command::ActivityStart)
    }

    /// With manual turns: the user has finished, and an answer is wanted.
    ///
    /// # Errors
    /// As those of [`activity_start`](Self::activity_start).
    pub fn activity_end(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        self.needs_manual_turns(session)?;
        self.command(session, Command::ActivityEnd)
    }

    /// Gives the conversation a new provider connection, in the next quiet moment and at the latest
    /// after 20 s (contract H1). The caller hears nothing of it; observers of
    /// [`on_hand_over`](Self::on_hand_over) do.
    pub fn hand_over(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        self.command(session, Command::HandOver)
    }

    /// Sends the vendor a message in its own form. If it is refused, observers of
    /// [`on_error`](Self::on_error) are told, with any provider that can tell.
    pub fn send_raw(&self, session: &RealtimeSession, message: Value) -> Result<(), SessionError> {
        self.command(session, Command::Raw(message))
    }

    /// Sends the client a message of the host's own, such as `{"type": "card", "title": "Oslo"}`. It
    /// comes after everything that hooks and observers had been told of when it was sent, and in a
    /// call over WebRTC needs its data channel.
    ///
    /// # Errors
    /// [`SessionError::Message`] where `type` is missing, no string, or one of the
    /// [client protocol](crate::client_protocol)'s own, and where the message has more than 64 KiB.
    pub fn send_message(
        &self,
        session: &RealtimeSession,
        message: Map<String, Value>,
    ) -> Result<(), SessionError> {
        client_protocol::check_custom(&message)?;
        self.command(session, Command::Message(message))
    }

    fn needs(&self, what: &str, is_there: bool) -> Result<(), SessionError> {
        if is_there {
            return Ok(());
        }
        let provider = self.inner().shared.provider.name();
        let problem = format!("the provider `{provider}` does not take {what}");
        Err(ProviderError::new(ProviderErrorKind::Unsupported, problem).into())
    }

    /// Before there is a connection nobody knows; the call passes over what it cannot use then.
    fn needs_manual_turns(&self, session: &RealtimeSession) -> Result<(), SessionError> {
        if session.manual_turns() != Some(false) {
            return Ok(());
        }
        let provider = self.inner().shared.provider.name();
        let problem = format!(
            "the provider `{provider}` finds out by itself when the user of this session speaks; turn its \
             detection off in `provider_config` to say so yourself"
        );
        Err(ProviderError::new(ProviderErrorKind::Unsupported, problem).into())
    }

    pub(super) fn command(
        &self,
        session: &RealtimeSession,
        command: Command,
    ) -> Result<(), SessionError> {
        let ended = || SessionError::Ended(session.id().clone());
        if session.state() == RealtimeSessionState::Ended {
            return Err(ended());
        }
        let sessions = self.inner().sessions();
        let live = sessions.get(session.id()).ok_or_else(ended)?;
        live.mailbox
            .try_send(Box::new(command))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SessionError::Busy(session.id().clone()),
                mpsc::error::TrySendError::Closed(_) => ended(),
            })
    }
}
