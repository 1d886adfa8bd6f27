//! What a kind of error says: the one table that everything here decides by.

use std::time::Duration;

use crate::provider::ProviderErrorKind;

/// What a kind of error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) ends: Ends,
    pub(super) blames: Blames,
    /// A response that fails with it before anything was said may do better after so long.
    pub(super) ask_again_after: Option<Duration>,
}

/// What does not go on after it (contract H3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// At most the connection.
    Nothing,
    /// A connection that is refused or lost with it: another one would end the same way.
    Connections,
    /// The call, whatever it is told of.
    Call,
}

/// Whether what is new in a dial, such as a resume token or a changed setting, is why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blames {
    /// It is an outage, and what was asked for has perhaps not even been read.
    Nothing,
    /// It looks like an outage, but some refuse that way: not the first time.
    Repeated,
    /// It was refused.
    AtOnce,
}

impl Verdict {
    /// Another connection would end the same way.
    pub(super) fn is_permanent(self) -> bool {
        self.ends != Ends::Nothing
    }

    /// It says nothing against what has worked before it.
    pub(super) fn is_outage(self) -> bool {
        self.blames != Blames::AtOnce
    }

    /// What is new in the dial is to be left out of the next one.
    pub(super) fn is_suspect(self, is_repeated: bool) -> bool {
        match self.blames {
            Blames::Nothing => false,
            Blames::Repeated => is_repeated,
            Blames::AtOnce => true,
        }
    }
}

/// Soon: it was the vendor's fault.
const SOON: Option<Duration> = Some(Duration::from_millis(500));
/// It asks to be asked less often.
const LATER: Option<Duration> = Some(Duration::from_secs(4));

/// What this kind of error says.
pub(super) fn verdict(kind: ProviderErrorKind) -> Verdict {
    let (ends, blames, ask_again_after) = match kind {
        ProviderErrorKind::Authentication | ProviderErrorKind::Quota => {
            (Ends::Call, Blames::Nothing, None)
        }
        ProviderErrorKind::Policy => (Ends::Call, Blames::AtOnce, None),
        ProviderErrorKind::InvalidConfig | ProviderErrorKind::Unsupported => {
            (Ends::Connections, Blames::AtOnce, None)
        }
        // A request that was wrong is not made again by a new connection.
        ProviderErrorKind::InvalidRequest
        | ProviderErrorKind::SessionExpired
        | ProviderErrorKind::Protocol => (Ends::Nothing, Blames::AtOnce, None),
        ProviderErrorKind::RateLimited => (Ends::Nothing, Blames::Nothing, LATER),
        ProviderErrorKind::Network => (Ends::Nothing, Blames::Nothing, None),
        ProviderErrorKind::Timeout | ProviderErrorKind::Server => {
            (Ends::Nothing, Blames::Repeated, SOON)
        }
    };
    Verdict {
        ends,
        blames,
        ask_again_after,
    }
}
