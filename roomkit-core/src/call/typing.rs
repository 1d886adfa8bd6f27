//! How much a client may type (contract C5), and tell the host. Room, conversation and vendor keep all that is
//! typed, so that without a limit one client could fill the memory of the process; and who is told is the
//! host's code.

use std::time::Duration;

use super::io::Moment;

/// What it may write at once, in bytes: its longest message, and as much again.
const AT_ONCE: usize = 128 * 1024;
/// What it may write in the long run, in bytes per second: a page of text.
const PER_SECOND: u64 = 2048;
/// What a text costs, however short it is, in bytes: about what there is of it beside its words.
const EACH: usize = 128;
/// Texts that are dropped within this time of each other are one burst, of which the client is told once: what
/// answers a flood must not be one.
const BURST: Duration = Duration::from_secs(10);

/// What a client writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For the AI.
    Text,
    /// For the host.
    Message,
}

impl Kind {
    /// The type of it in the client protocol.
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Message => "message",
        }
    }
}

/// The allowance of one client for one kind. It has no clock: the time is that of the call.
#[derive(Debug)]
pub(super) struct Typing {
    kind: Kind,
    left: usize,
    /// When that was so.
    at: Moment,
    dropped: Burst,
    /// Of messages longer than the transport takes.
    too_long: Burst,
    /// Of what its writer may not say.
    muted: Burst,
}

/// What is dropped one after another.
#[derive(Debug, Default)]
struct Burst {
    last: Option<Moment>,
}

impl Burst {
    /// Whether what is dropped now is the first of a burst.
    fn begins(&mut self, now: Moment) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.saturating_sub(last) >= BURST)
    }
}

/// A text that must be dropped, and counts for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// What the client is to be told, unless it has been.
    pub(super) tell: Option<Refused>,
}

/// Why a text is not given to the AI, and what its writer can do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "`{}` was dropped: its {bytes} bytes are more than may be sent now, of {} KiB at once and {} KiB a second in the \
         long run; send it again in {} s, and what follows more slowly",
        kind.name(),
        AT_ONCE / 1024,
        PER_SECOND / 1024,
        wait.as_secs()
    )]
    TooFast {
        kind: Kind,
        bytes: usize,
        wait: Duration,
    },
    #[error(
        "`{}` was dropped: it has {bytes} bytes, and at most {} are taken; send it in parts",
        kind.name(),
        AT_ONCE - EACH
    )]
    TooLong { kind: Kind, bytes: usize },
    #[error("a message was dropped: at most {limit} bytes are taken; send a long text in parts")]
    Message { limit: usize },
    #[error(
        "`text` was not given to the AI: the host has muted you, or lets you only listen; send it again once \
         the host lets you speak"
    )]
    Muted,
}

impl Refused {
    /// For programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::TooFast { kind, .. } => match kind {
                Kind::Text => "text_too_fast",
                Kind::Message => "data_too_fast",
            },
            Self::TooLong { kind, .. } => match kind {
                Kind::Text => "text_too_long",
                Kind::Message => "data_too_long",
            },
            Self::Message { .. } => "message_too_long",
            Self::Muted => "text_muted",
        }
    }
}

impl Typing {
    /// An allowance of which nothing is used.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            left: AT_ONCE,
            at: Moment::ZERO,
            dropped: Burst::default(),
            too_long: Burst::default(),
            muted: Burst::default(),
        }
    }

    /// The transport dropped a message that is longer than it takes.
    pub(super) fn dropped_message(&mut self, now: Moment, limit: usize) -> Option<Refused> {
        let tell = self.too_long.begins(now);
        tell.then_some(Refused::Message { limit })
    }

    /// Its writer may not say what was taken.
    pub(super) fn is_muted(&mut self, now: Moment) -> Option<Refused> {
        self.muted.begins(now).then_some(Refused::Muted)
    }

    /// Takes a text, unless that is too much.
    pub(super) fn take(&mut self, now: Moment, text: &str) -> Result<(), Dropped> {
        let earned = now.saturating_sub(self.at).as_millis() * u128::from(PER_SECOND) / 1000;
        if earned > 0 {
            let earned = usize::try_from(earned).unwrap_or(AT_ONCE);
            self.left = self.left.saturating_add(earned).min(AT_ONCE);
            self.at = now;
        }
        let cost = text.len().saturating_add(EACH);
        if let Some(left) = self.left.checked_sub(cost) {
            self.left = left;
            return Ok(());
        }
        let tell = self.dropped.begins(now);
        let tell = tell.then(|| self.too_much(text.len(), cost));
        Err(Dropped { tell })
    }

    fn too_much(&self, bytes: usize, cost: usize) -> Refused {
        if cost > AT_ONCE {
            let kind = self.kind;
            return Refused::TooLong { kind, bytes };
        }
        let missing = (cost - self.left) as u64;
        let wait = Duration::from_secs(missing.div_ceil(PER_SECOND));
        Refused::TooFast {
            kind: self.kind,
            bytes,
            wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_a_client_types_no_more_than_so_much() {
        let mut typing = Typing::new(Kind::Text);
        let longest = "x".repeat(64 * 1024 - EACH);
        let now = Duration::from_secs(1);
        assert!(typing.take(now, &longest).is_ok());
        assert!(typing.take(now, &longest).is_ok());
        assert!(typing.take(now, "one more").is_err());
        let later = now + Duration::from_secs(1);
        assert!(typing.take(later, &"x".repeat(2048 - EACH)).is_ok());
        assert!(typing.take(later, "").is_err());
        let much_later = later + Duration::from_secs(100_000);
        assert!(typing.take(much_later, &longest).is_ok());
        assert!(typing.take(much_later, &longest).is_ok());
        assert!(
            typing.take(much_later, "").is_err(),
            "no more than at the start"
        );
    }

    #[test]
    fn c5_small_steps_earn_what_large_ones_do() {
        let mut typing = Typing::new(Kind::Text);
        while typing.take(Moment::ZERO, "").is_ok() {}
        let mut granted = 0;
        for step in 1..=10_000 {
            granted += usize::from(typing.take(Duration::from_millis(step), "").is_ok());
        }
        // 10 s at 2048 bytes a second, in texts of 128.
        assert!((150..=160).contains(&granted), "{granted}");
    }

    #[test]
    fn nobody_who_types_notices() {
        let mut typing = Typing::new(Kind::Text);
        for second in 0..36_000 {
            let line = "a line as long as anybody says in one breath, each second for ten hours";
            assert!(typing.take(Duration::from_secs(second), line).is_ok());
        }
    }

    #[test]
    fn c5_who_writes_again_after_the_time_that_is_named_is_heard() {
        let mut typing = Typing::new(Kind::Text);
        let longest = "x".repeat(64 * 1024 - EACH);
        assert!(typing.take(Moment::ZERO, &longest).is_ok());
        assert!(typing.take(Moment::ZERO, "a word").is_ok());
        let Err(Dropped {
            tell: Some(Refused::TooFast { bytes, wait, .. }),
        }) = typing.take(Moment::ZERO, &longest)
        else {
            panic!("{typing:?}");
        };
        assert_eq!(bytes, longest.len());
        let early = wait.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(typing.take(early, &longest).is_err());
        assert!(typing.take(wait, &longest).is_ok());
    }

    #[test]
    fn c5_what_will_never_be_taken_is_to_come_in_parts() {
        let mut typing = Typing::new(Kind::Text);
        let (most, more) = ("x".repeat(AT_ONCE - EACH), "x".repeat(AT_ONCE - EACH + 1));
        let dropped = typing.take(Moment::ZERO, &more).unwrap_err();
        let (kind, bytes) = (Kind::Text, more.len());
        assert_eq!(dropped.tell, Some(Refused::TooLong { kind, bytes }));
        assert!(typing.take(Moment::ZERO, &most).is_ok());
    }

    #[test]
    fn c5_a_burst_is_told_once() {
        let mut typing = Typing::new(Kind::Text);
        while typing.take(Moment::ZERO, "").is_ok() {}
        // Some of it is taken again all the time, and the flood goes on.
        let told = |typing: &mut Typing, from: u64| {
            let texts = (from..from + 60_000).map(Duration::from_millis);
            let dropped = texts.filter_map(|now| typing.take(now, "").err());
            dropped.filter(|dropped| dropped.tell.is_some()).count()
        };
        assert_eq!(told(&mut typing, 1), 0, "the first was told");
        assert_eq!(told(&mut typing, 60_001), 0);
        assert_eq!(told(&mut typing, 240_000), 1, "another burst");
    }
}
