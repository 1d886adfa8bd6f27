//! Proactive delivery: words for the caller that nobody asked for.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::channel::RealtimeVoiceChannel;
use crate::{
    call::Command,
    error::{DeliverError, RoomError, SessionError},
    id::RoomId,
    room::RoomStatus,
    session::{RealtimeSession, RealtimeSessionState},
};

/// When a text is given to the AI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryStrategy {
    /// Now. An answer that runs is not cut short: this one follows it. Nor is the user talked over:
    /// what is said about it waits until he has finished (contract K7).
    Immediate,
    /// When nobody speaks and nothing is owed (contract A8); and all the same when that has not
    /// come after this time.
    WaitForIdle(Duration),
    /// When nobody speaks and nothing is owed, together with all others that wait, with a blank
    /// line between them.
    Queued,
}

impl DeliveryStrategy {
    /// Waits for a quiet moment, for 15 s at most.
    pub const WAIT_FOR_IDLE: Self = Self::WaitForIdle(Duration::from_secs(15));
}

impl Default for DeliveryStrategy {
    fn default() -> Self {
        Self::WAIT_FOR_IDLE
    }
}

/// Who a text was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// How many sessions took it. Each delivers it when its own moment has come, and one that is still
    /// starting when it has started. One in which 256 texts wait already takes no further one that would
    /// have to wait.
    pub sessions: usize,
}

impl RealtimeVoiceChannel {
    /// Has the AI bring something up in every session of the room: it is given the text as the
    /// user's and answers it. It is up to each call when: nobody is talked over, however short the
    /// silence was. A text that waits is gone when its session ends.
    ///
    /// # Errors
    /// When the room is not there or closed, nobody is on the line in it, or no session could take
    /// the text: it is over, or [busy](SessionError::Busy).
    pub async fn deliver(
        &self,
        room: impl Into<RoomId>,
        text: impl Into<String>,
        strategy: DeliveryStrategy,
    ) -> Result<Delivered, DeliverError> {
        let (room, text) = (room.into(), text.into());
        if text.trim().is_empty() {
            return Err(DeliverError::Empty);
        }
        let inner = self.inner();
        let registered = inner.kit.get().and_then(crate::WeakRoomKit::upgrade);
        let kit = registered
            .filter(|_| !inner.closed.load(Ordering::Acquire))
            .ok_or_else(|| RoomError::ChannelNotRegistered(inner.id.clone()))?;
        if kit.room(&room).await?.status != RoomStatus::Active {
            return Err(RoomError::Closed(room).into());
        }
        kit.binding(&room, &inner.id).await?;
        let asked = self.room_sessions(&room);
        let asked = asked
            .iter()
            .map(|session| self.deliver_to(session, text.clone(), strategy));
        let (mut sessions, mut failure) = (0, None);
        for taken in join_all(asked).await {
            match taken {
                Ok(()) => sessions += 1,
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if sessions == 0 => Err(error.into()),
            _ if sessions == 0 => Err(DeliverError::NoSession(room)),
            _ => Ok(Delivered { sessions }),
        }
    }

    async fn deliver_to(
        &self,
        session: &RealtimeSession,
        text: String,
        strategy: DeliveryStrategy,
    ) -> Result<(), SessionError> {
        let deliver = |taken| Command::Deliver {
            text,
            strategy,
            taken,
        };
        if session.state() == RealtimeSessionState::Connecting {
            // It reads this when its client is accepted, for which nobody waits here.
            return self.command(session, deliver(None));
        }
        let (taken, is_taken) = oneshot::channel();
        self.command(session, deliver(Some(taken)))?;
        match is_taken.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SessionError::Busy(session.id().clone())),
            Err(_) => Err(SessionError::Ended(session.id().clone())),
        }
    }
}
