//! What the host does with an admitted connection.

use std::net::IpAddr;

use async_trait::async_trait;
use metrics::counter;
use roomkit_core::{
    RealtimeSession,
    error::{RoomError, StartError, TransportError},
    id::{ParticipantId, RoomId},
    transport::Connection,
};

use crate::{
    auth::{AuthRequest, Identity},
    rejection::Rejection,
};

/// Starts sessions for admitted connections. Any closure from [`StartRequest`] that returns a future
/// of `Result<RealtimeSession, StartError>` is one; an `async` closure only if it captures nothing,
/// as its future borrows from it.
///
/// ```
/// use roomkit_core::RealtimeVoiceChannel;
/// use roomkit_http::{SessionHost, StartRequest};
///
/// fn host(channel: RealtimeVoiceChannel) -> impl SessionHost {
///     move |request: StartRequest| {
///         let channel = channel.clone();
///         async move { channel.start_session("lobby", "ann", request.connection).await }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot start sessions",
    note = "implement `SessionHost`, or pass a closure that is `Fn(StartRequest) -> impl Future<Output = Result<RealtimeSession, StartError>>`, `Send`, `Sync` and `'static`"
)]
#[async_trait]
pub trait SessionHost: Send + Sync + 'static {
    /// Whether there would be room for such a client, asked while it can still be told over HTTP.
    /// The answer is no promise: by the time the client is connected, another may have taken it. What
    /// [`start`](Self::start) would refuse for ever, such as an unfit id, belongs here too: nothing has
    /// used up the client's credential yet. `request` is [bound](Identity::bind) to the identity.
    async fn check(&self, request: &AuthRequest, identity: &Identity) -> Result<(), Rejection> {
        let _ = (request, identity);
        Ok(())
    }

    /// Starts the session; the connection goes into `start_session`.
    async fn start(&self, request: StartRequest) -> Result<RealtimeSession, StartError>;
}

#[async_trait]
impl<F, Started> SessionHost for F
where
    F: Fn(StartRequest) -> Started + Send + Sync + 'static,
    Started: Future<Output = Result<RealtimeSession, StartError>> + Send,
{
    async fn start(&self, request: StartRequest) -> Result<RealtimeSession, StartError> {
        self(request).await
    }
}

/// An admitted connection.
#[non_exhaustive]
pub struct StartRequest {
    /// The room the client asks for. Its word only: whether it may is the host's to decide.
    pub room: Option<RoomId>,
    /// Who the client says it is. Its word only; the identity is what was proven.
    pub participant: Option<ParticipantId>,
    /// What authentication said; the transport also puts it into the session's metadata.
    pub identity: Identity,
    /// The address by which the client is known, if it is; see
    /// [`Admission::client_address`](crate::Admission::client_address).
    pub address: Option<IpAddr>,
    /// The connection.
    pub connection: Connection,
}

impl StartRequest {
    /// A request that names neither room nor participant, nor an address.
    pub fn new(identity: Identity, connection: Connection) -> Self {
        Self {
            room: None,
            participant: None,
            identity,
            address: None,
            connection,
        }
    }
}

/// A failed start in words that a client may read. What happened inside is the log's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartFailure {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Whose fault it is.
    pub kind: StartFailureKind,
}

/// Whose fault a failed start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailureKind {
    /// The client's: the same request will be refused again.
    Refused,
    /// Nobody's: later it may work.
    Busy,
    /// The server's.
    Failed,
}

impl StartFailure {
    /// Counts it among those that were refused (`roomkit_admission_refused_total`), if it was for lack
    /// of room.
    #[must_use]
    pub fn counted(self) -> Self {
        if self.kind == StartFailureKind::Busy {
            counter!("roomkit_admission_refused_total", "reason" => self.code).increment(1);
        }
        self
    }
}

impl From<&StartError> for StartFailure {
    fn from(error: &StartError) -> Self {
        use StartFailureKind::{Busy, Failed, Refused};

        let (code, kind, message) = match error {
            StartError::Room(RoomError::TooManyRooms(most)) => (
                "too_many_rooms",
                Busy,
                format!(
                    "`max_rooms`: all {most} rooms that may be open are; name one of them as `room`, or try again later"
                ),
            ),
            StartError::Room(error @ (RoomError::NotFound(_) | RoomError::Closed(_))) => {
                ("room", Refused, error.to_string())
            }
            StartError::Room(RoomError::KitClosed) | StartError::Closed => (
                "closed",
                Busy,
                "the server takes no new sessions at the moment; try again later".into(),
            ),
            // The host's affair, or its database's, in words of their own.
            StartError::Room(_) => ("room", Failed, "the room cannot be used".into()),
            StartError::TooManySessions(most) => (
                "too_many_sessions",
                Busy,
                format!("`max_sessions`: the channel has all its {most} sessions; try again later"),
            ),
            StartError::Busy { code, message } => (*code, Busy, message.clone()),
            StartError::Transport(error @ TransportError::Refused(_)) => {
                ("refused", Refused, error.to_string())
            }
            StartError::Transport(_) | StartError::Announce(_) => {
                ("transport", Failed, "the connection cannot be used".into())
            }
            StartError::Provider(error) => ("provider", Failed, error.public_message().into()),
            StartError::Ended(_) => ("ended", Failed, error.to_string()),
            _ => ("failed", Failed, "the session could not be started".into()),
        };
        Self {
            code,
            message,
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use roomkit_core::error::{ConfigError, ProviderError, ProviderErrorKind};

    use super::*;

    #[test]
    fn s1_a_failed_start_is_told_without_the_providers_words() {
        let error = ProviderError::new(ProviderErrorKind::Quota, "account 4711 is out of money");
        let failure = StartFailure::from(&StartError::Provider(error));
        assert_eq!(
            (failure.code, failure.kind),
            ("provider", StartFailureKind::Failed)
        );
        assert!(!failure.message.contains("4711"), "{}", failure.message);

        let failure = StartFailure::from(&StartError::Room(RoomError::NotFound("lobby".into())));
        assert_eq!(
            (failure.code, failure.kind),
            ("room", StartFailureKind::Refused)
        );
        assert!(failure.message.contains("lobby"), "{}", failure.message);
    }

    #[test]
    fn c1_the_page_on_the_protocol_lists_the_codes_of_a_failed_start() {
        let protocol = include_str!("../../docs/client-protocol.md");
        let (_, table) = protocol.split_once("### Error codes").unwrap();
        let (table, _) = table.split_once("## Limits").unwrap();
        for error in [
            StartError::Room(RoomError::TooManyRooms(7)),
            StartError::Room(RoomError::NotFound("lobby".into())),
            StartError::Room(RoomError::KitClosed),
            StartError::TooManySessions(7),
            StartError::Transport(TransportError::Refused("no".into())),
            StartError::Announce(TransportError::Disconnected("it hung up".into())),
            StartError::Provider(ProviderError::new(ProviderErrorKind::Quota, "")),
            StartError::Ended("by its host".into()),
            StartError::Config(ConfigError::field("voice", "none")),
        ] {
            let code = format!("`{}`", StartFailure::from(&error).code);
            assert!(table.contains(&code), "{code} is not in the table");
        }
    }

    #[test]
    fn x4_who_comes_while_the_kit_is_closed_may_try_again() {
        for error in [StartError::Room(RoomError::KitClosed), StartError::Closed] {
            let failure = StartFailure::from(&error);
            assert_eq!(
                (failure.code, failure.kind),
                ("closed", StartFailureKind::Busy)
            );
        }
    }

    #[test]
    fn x1_what_is_wrong_with_the_hosts_rooms_is_not_told_to_clients() {
        for error in [
            RoomError::Store("db-7.internal: password of `roomkit` is wrong".into()),
            RoomError::ChannelNotRegistered("db-7".into()),
            RoomError::NotAttached {
                room: "lobby".into(),
                channel: "db-7".into(),
            },
            RoomError::Refused {
                channel: "voice".into(),
                reason: "db-7 is full".into(),
            },
        ] {
            let failure = StartFailure::from(&StartError::Room(error));
            assert_eq!(
                (failure.code, failure.kind),
                ("room", StartFailureKind::Failed)
            );
            assert!(!failure.message.contains("db-7"), "{}", failure.message);
        }
    }

    #[test]
    fn c5_who_finds_no_room_is_told_of_the_limit_and_what_to_do() {
        for (error, code, parts) in [
            (
                StartError::Room(RoomError::TooManyRooms(7)),
                "too_many_rooms",
                ["`max_rooms`", "7 rooms", "name one of them as `room`"],
            ),
            (
                StartError::TooManySessions(7),
                "too_many_sessions",
                ["`max_sessions`", "7 sessions", "again later"],
            ),
        ] {
            let failure = StartFailure::from(&error);
            assert_eq!((failure.code, failure.kind), (code, StartFailureKind::Busy));
            for part in parts {
                assert!(failure.message.contains(part), "{}", failure.message);
            }
        }
    }
}
