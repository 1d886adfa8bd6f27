//! Changes of live sessions, as a host makes them (contract S5).

use tokio::sync::oneshot;

use super::{agent::AgentRef, channel::RealtimeVoiceChannel};
use crate::{
    call::{Change, Command, Entry},
    error::{ConfigError, UpdateError},
    provider::{RealtimeVoiceProvider, SessionSetup, SessionUpdate},
    session::RealtimeSession,
    tool::Tool,
};

/// How a change of a live session is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Updated {
    /// It was sent on the connection there is, or goes out with the one that is being made.
    Live,
    /// The provider cannot change this on a live connection: the conversation is handed over to
    /// another one in the next quiet moment, at the latest after 20 s (contract H1).
    OnHandOver,
}

impl RealtimeVoiceChannel {
    /// Changes this session, and no other (contract S5): at once where the provider allows it, by a
    /// hand-over to a changed connection where it does not. New tools replace the old ones; a tool
    /// of a known name keeps its handler, the others are answered by the channel's.
    ///
    /// A change that the vendor refuses later than this returns is told to observers of
    /// [`on_error`](Self::on_error) with the code `update_refused`; the session, and every later
    /// connection of it, stays as it was.
    ///
    /// # Errors
    /// When the session is over or busy, a value cannot be used, or the provider cannot change it.
    pub async fn update_session(
        &self,
        session: &RealtimeSession,
        update: SessionUpdate,
    ) -> Result<Updated, UpdateError> {
        check(&update)?;
        if let Some(tools) = &update.tools {
            let tools = tools.iter().cloned().map(Tool::from).collect();
            self.inner().toolbox(Entry::all(tools)?)?;
        }
        let support = self.provider().capabilities().updates;
        self.change(session, Change::new(update, support)).await
    }

    /// Hands the caller to another agent: one of the channel's by its name, or any by value. What
    /// was said so far it knows. It speaks first if it has a greeting.
    ///
    /// # Errors
    /// As [`update_session`](Self::update_session), and when there is no such agent.
    pub async fn hand_off(
        &self,
        session: &RealtimeSession,
        agent: impl Into<AgentRef>,
    ) -> Result<Updated, UpdateError> {
        let inner = self.inner();
        let agent = inner.agent(&agent.into())?;
        if agent.shares_tools() {
            inner.list_tools().await?;
        }
        let change = inner.shared.agents.change(&agent)?;
        self.change(session, change).await
    }

    async fn change(
        &self,
        session: &RealtimeSession,
        mut change: Change,
    ) -> Result<Updated, UpdateError> {
        let (reply, answer) = oneshot::channel();
        change.reply = Some(reply);
        self.command(session, Command::Update(Box::new(change)))?;
        let ended = |_| UpdateError::Ended(session.id().clone());
        answer.await.map_err(ended)?
    }
}

/// What can be seen to be wrong with what a session of this provider is to be.
pub(super) fn check_setup(
    setup: &SessionSetup,
    provider: &dyn RealtimeVoiceProvider,
) -> Result<(), ConfigError> {
    check_values(setup.voice.as_deref(), setup.temperature)?;
    if !setup.interruptions {
        check_nothing_interrupts(provider)?;
    }
    provider.check_update(setup, &SessionUpdate::default())?;
    Ok(())
}

/// Whether the vendor can be kept from what the caller is not to do either.
fn check_nothing_interrupts(provider: &dyn RealtimeVoiceProvider) -> Result<(), ConfigError> {
    let capabilities = provider.capabilities();
    if capabilities.interrupts_itself && !capabilities.heeds_interruptions {
        let name = provider.name();
        let problem = format!(
            "is false, but the provider `{name}` stops an answer by itself when the user speaks, and cannot be told otherwise; leave it out, or use another provider"
        );
        return Err(ConfigError::field("interruptions", problem));
    }
    Ok(())
}

/// What can be seen to be wrong without knowing the provider, but for the tools.
pub(super) fn check(update: &SessionUpdate) -> Result<(), ConfigError> {
    check_values(update.voice.as_deref(), update.temperature)
}

fn check_values(voice: Option<&str>, temperature: Option<f32>) -> Result<(), ConfigError> {
    if voice.is_some_and(|voice| voice.trim().is_empty()) {
        return Err(ConfigError::field(
            "voice",
            "is empty; name one, or leave it out",
        ));
    }
    if let Some(temperature) = temperature
        && !(0.0..=2.0).contains(&temperature)
    {
        let problem = format!("is {temperature}; use 0 to 2");
        return Err(ConfigError::field("temperature", problem));
    }
    Ok(())
}
