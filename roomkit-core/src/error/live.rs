//! Failures of what a host asks of a live session.

use super::{ConfigError, RoomError, SessionError};
use crate::id::{RoomId, SessionId};

/// Why a live session cannot be changed as asked. It goes on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The session is over (or was never one of this channel).
    #[error("session {0} has ended")]
    Ended(SessionId),
    /// The session does not keep up; its mailbox is full.
    #[error("session {0} does not keep up with its commands; try again later")]
    Busy(SessionId),
    /// The provider changes this neither on a live connection nor by a new one.
    #[error(
        "the provider cannot change `{field}` of a live session; set it when the session starts, or leave it out"
    )]
    Unsupported {
        /// The setting.
        field: &'static str,
    },
    /// A value that cannot be used; nothing was sent.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// There is no agent of this name.
    #[error("there is no agent `{name}`; the channel has {known}")]
    UnknownAgent {
        /// The name asked for.
        name: String,
        /// The agents there are, for reading.
        known: String,
    },
}

impl From<SessionError> for UpdateError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Ended(session) => Self::Ended(session),
            SessionError::Busy(session) => Self::Busy(session),
            SessionError::Config(error) => Self::Invalid(error),
            error => Self::Invalid(ConfigError::field("update", error.to_string())),
        }
    }
}

/// Why a message of the host's own cannot be sent to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Clients know a message by its type.
    #[error("the message has no `type` that is a string; give it one")]
    NoType,
    /// A client would take it for what it is not.
    #[error("`type` is `{0}`, which the client protocol has itself; choose another")]
    Reserved(String),
    /// More than every client takes.
    #[error(
        "the message has {bytes} bytes of JSON, at most {max} are sent; split it, or send a link to the rest"
    )]
    TooLong {
        /// Its length as JSON.
        bytes: usize,
        /// The most it may be.
        max: usize,
    },
}

/// Why a text could not be delivered to any session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The room is not there, is closed, or the channel is not attached to it.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// Nobody is on the line in this room.
    #[error("room `{0}` has no live session of this channel; start one first")]
    NoSession(RoomId),
    /// The text holds no words.
    #[error("the text is empty; there is nothing to deliver")]
    Empty,
    /// No session could take it: the last one's error.
    #[error(transparent)]
    Session(#[from] SessionError),
}
