//! Errors. Each says what was wrong and what to do; [`ProviderError::kind`] and friends say what a
//! program can decide by.

mod live;

use std::fmt;

pub use live::{DeliverError, MessageError, UpdateError};

use crate::id::{ChannelId, RoomId, SessionId};

/// What kind of provider failure it is; decides whether trying again can help (contract H3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// The key is missing, wrong or not allowed.
    Authentication,
    /// Money or quota has run out.
    Quota,
    /// The vendor refuses the content or the account.
    Policy,
    /// The configuration is wrong; the same will be refused again.
    InvalidConfig,
    /// One request was wrong or came at the wrong moment; the connection goes on.
    InvalidRequest,
    /// This provider cannot do what was asked.
    Unsupported,
    /// Too fast; later it will work.
    RateLimited,
    /// The vendor's own limit on a connection's life was reached.
    SessionExpired,
    /// Could not be reached, or the connection broke.
    Network,
    /// No answer in time.
    Timeout,
    /// What came is not this vendor's protocol.
    Protocol,
    /// The vendor's fault.
    Server,
}

impl ProviderErrorKind {
    /// The kind as it appears in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Quota => "quota",
            Self::Policy => "policy",
            Self::InvalidConfig => "invalid_config",
            Self::InvalidRequest => "invalid_request",
            Self::Unsupported => "unsupported",
            Self::RateLimited => "rate_limited",
            Self::SessionExpired => "session_expired",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Server => "server",
        }
    }
}

/// A failure of a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderError(Box<Failure>);

/// In a box: every send and every event may hold one, and hardly any does.
#[derive(Clone, PartialEq, Eq)]
struct Failure {
    kind: ProviderErrorKind,
    code: Option<String>,
    message: String,
}

impl ProviderError {
    /// A failure of the given kind. The message must hold no key, token or audio (contract X1).
    pub fn new(kind: ProviderErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            kind,
            code: None,
            message: message.into(),
        }))
    }

    /// Adds the vendor's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ProviderErrorKind {
        self.0.kind
    }

    /// The vendor's code, or the kind's name.
    pub fn code(&self) -> &str {
        self.0.code.as_deref().unwrap_or(match self.0.kind {
            ProviderErrorKind::Authentication => "authentication",
            ProviderErrorKind::Quota => "quota",
            ProviderErrorKind::Policy => "policy",
            ProviderErrorKind::InvalidConfig => "invalid_config",
            ProviderErrorKind::InvalidRequest => "invalid_request",
            ProviderErrorKind::Unsupported => "unsupported",
            ProviderErrorKind::RateLimited => "rate_limited",
            ProviderErrorKind::SessionExpired => "session_expired",
            ProviderErrorKind::Network => "network",
            ProviderErrorKind::Timeout => "timeout",
            ProviderErrorKind::Protocol => "protocol",
            ProviderErrorKind::Server => "server_error",
        })
    }

    /// What happened, for the host's people: it may tell of accounts, limits and addresses. Clients
    /// read [`public_message`](Self::public_message).
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What a client may read: by the kind alone, and nothing of the vendor's words.
    pub fn public_message(&self) -> &'static str {
        match self.0.kind {
            ProviderErrorKind::Authentication
            | ProviderErrorKind::Quota
            | ProviderErrorKind::Policy
            | ProviderErrorKind::InvalidConfig
            | ProviderErrorKind::Unsupported => "the AI service is not available",
            ProviderErrorKind::RateLimited
            | ProviderErrorKind::SessionExpired
            | ProviderErrorKind::Network
            | ProviderErrorKind::Timeout
            | ProviderErrorKind::Protocol
            | ProviderErrorKind::Server => "the AI service has a problem; try again",
            ProviderErrorKind::InvalidRequest => "the AI service could not do this",
        }
    }

    /// Whether a new connection may do better.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ProviderErrorKind::RateLimited
                | ProviderErrorKind::SessionExpired
                | ProviderErrorKind::Network
                | ProviderErrorKind::Timeout
                | ProviderErrorKind::Protocol
                | ProviderErrorKind::Server
        )
    }
}

impl fmt::Debug for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderError")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .finish()
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.code())
    }
}

impl std::error::Error for ProviderError {}

/// A failure of a client leg.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// `accept` was given something that is not a connection of this transport.
    #[error("a connection of type `{expected}` is needed, `{given}` was given")]
    WrongConnection {
        /// The type the transport takes.
        expected: &'static str,
        /// The type that came.
        given: &'static str,
    },
    /// The connection was refused.
    #[error("the connection was refused: {0}")]
    Refused(String),
    /// The client is gone.
    #[error("the client is gone: {0}")]
    Disconnected(String),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A setting that cannot be used: which, what it held, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No plugin of that name is linked.
    #[error(
        "unknown {what} `{name}`; linked here: {linked}. A plugin is linked by its Cargo feature \
         of the facade crate, or for a crate of your own by a line `use your_crate as _;`"
    )]
    Unknown {
        /// Provider, transport, tool source or recording sink.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        linked: String,
    },
    /// Two plugins claim one name.
    #[error("two plugins register the {what} name `{name}`; link only one of them")]
    Duplicate {
        /// Provider, transport, tool source or recording sink.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A field holds something it must not, or has no business there.
    #[error("{field}: {problem}")]
    Field {
        /// The field's path, such as `provider.config.voice`.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl ConfigError {
    /// A field with a problem.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The same error for who holds these settings as a section of others: `voice` in `session` is
    /// `session.voice`, and what is wrong with all of `config` is wrong with the section.
    #[must_use]
    pub fn in_section(self, section: &str) -> Self {
        self.rename_field(|field| match field {
            "config" => section.to_owned(),
            field => format!("{section}.{field}"),
        })
    }

    /// The same error for who knows the field by another name; errors about no field stay as they
    /// are.
    #[must_use]
    pub fn rename_field(self, rename: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Field { field, problem } => Self::Field {
                field: rename(&field),
                problem,
            },
            other => other,
        }
    }
}

/// Why a session did not start (contract S1): the step that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The room is missing, closed, or the channel is not bound to it.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The channel has as many sessions as it may have (contract S6).
    #[error("the channel has its {0} sessions; end one or raise `max_sessions`")]
    TooManySessions(usize),
    /// A limit of the host's own is reached; later it may work.
    #[error("{message}")]
    Busy {
        /// For programs and metrics.
        code: &'static str,
        /// For people, clients among them.
        message: String,
    },
    /// The channel is being closed.
    #[error("the channel is closed")]
    Closed,
    /// A setting of the channel or the session cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The transport did not take the connection.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The provider did not accept.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The client could not be told that the session has started.
    #[error("the client could not be told that the session started: {0}")]
    Announce(TransportError),
    /// The client left, or the session was ended, before it had started.
    #[error("the session was ended while it started: {0}")]
    Ended(String),
}

impl StartError {
    /// The step that failed, as clients and metrics read it.
    pub fn code(&self) -> &str {
        match self {
            Self::Room(RoomError::NotFound(_)) => "room_not_found",
            Self::Room(RoomError::Closed(_)) => "room_closed",
            Self::Room(RoomError::TooManyRooms(_)) => "too_many_rooms",
            Self::Room(_) => "room",
            Self::TooManySessions(_) => "too_many_sessions",
            Self::Busy { code, .. } => code,
            Self::Closed => "closed",
            Self::Config(_) => "invalid_config",
            Self::Transport(_) => "transport",
            Self::Provider(error) => error.code(),
            Self::Announce(_) => "client_gone",
            Self::Ended(_) => "ended",
        }
    }
}

/// A failure of a session operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over (or was never one of this channel).
    #[error("session {0} has ended")]
    Ended(SessionId),
    /// The session does not keep up: its mailbox is full, or too many texts wait in it to be delivered.
    #[error("session {0} does not keep up with its commands; try again later")]
    Busy(SessionId),
    /// The provider cannot do it.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// What was given cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is no message that can be sent to a client.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The session is not recorded, or its recording has failed.
    #[error(
        "session {0} is not recorded; give its channel a recording with `recording`, and leave \
         `record(false)` out of the session's options"
    )]
    NotRecorded(SessionId),
    /// Nobody has consented to a recording yet.
    #[error("nobody has consented to the recording of session {0}; call `grant_recording` first")]
    NoConsent(SessionId),
}

/// A failure of a room operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// There is no such room.
    #[error("there is no room `{0}`")]
    NotFound(RoomId),
    /// A room of this id exists (contract R10).
    #[error("room `{0}` exists already; choose another id, or use that room")]
    Exists(RoomId),
    /// The room is closed: it can be read, not written (contract R6).
    #[error("room `{0}` is closed")]
    Closed(RoomId),
    /// The room is open; only a closed one can be deleted.
    #[error("room `{0}` is open; close it first")]
    Open(RoomId),
    /// There are as many open rooms as there may be.
    #[error("there are {0} open rooms, as many as there may be; close one or raise `max_rooms`")]
    TooManyRooms(usize),
    /// No such channel is registered.
    #[error("channel `{0}` is not registered; call `register_channel` first")]
    ChannelNotRegistered(ChannelId),
    /// A channel of this id is registered.
    #[error("a channel `{0}` is registered already")]
    ChannelExists(ChannelId),
    /// The channel is not attached to the room.
    #[error("channel `{channel}` is not attached to room `{room}`; call `attach_channel` first")]
    NotAttached {
        /// The room.
        room: RoomId,
        /// The channel.
        channel: ChannelId,
    },
    /// The channel refused to be registered or attached.
    #[error("channel `{channel}` refused: {reason}")]
    Refused {
        /// The channel.
        channel: ChannelId,
        /// Its reason.
        reason: String,
    },
    /// The store failed; what was committed before is safe (contract R9).
    #[error("the store failed: {0}")]
    Store(String),
    /// The whole kit is closed.
    #[error("this RoomKit is closed")]
    KitClosed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_clients_read_the_kind_and_none_of_the_vendors_words() {
        for (kind, public) in [
            (ProviderErrorKind::Quota, "the AI service is not available"),
            (
                ProviderErrorKind::Timeout,
                "the AI service has a problem; try again",
            ),
            (
                ProviderErrorKind::InvalidRequest,
                "the AI service could not do this",
            ),
        ] {
            let error = ProviderError::new(kind, "organization org-4711 has spent its money");
            assert_eq!(error.public_message(), public);
            assert!(error.message().contains("org-4711"));
        }
    }

    #[test]
    fn a_setting_is_named_as_its_reader_knows_it() {
        let within = |field: &str| {
            let error = ConfigError::field(field, "is empty").in_section("provider.config");
            error.to_string()
        };
        assert_eq!(within("voice"), "provider.config.voice: is empty");
        assert_eq!(within("config"), "provider.config: is empty", "all of it");
        let duplicate = ConfigError::Duplicate {
            what: "provider",
            name: "echo".into(),
        };
        assert_eq!(duplicate.clone().in_section("provider"), duplicate);
    }
}
