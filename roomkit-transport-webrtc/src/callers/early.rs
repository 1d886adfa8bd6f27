//! Candidates that have come before their offers.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::Speaker;
use crate::{
    peer::Owner,
    protocol::{Candidate, Candidates, Unusable, WebRtcId},
};

/// How long candidates wait for their offer. Clients send both at once, and either may come first.
const EARLY_TIME: Duration = Duration::from_secs(10);

/// Of how many callers candidates are kept before their offers. Beyond that the oldest of who has most
/// is forgotten, so that nobody takes the places of others.
const MAX_EARLY_CALLERS: usize = 1_000;

/// How many candidates of one caller may.
const MAX_EARLY: usize = 32;

/// Of all callers, in the order in which the first of each came.
#[derive(Default)]
pub(super) struct EarlyCandidates(Vec<Early>);

struct Early {
    id: WebRtcId,
    by: Speaker,
    since: Instant,
    left: Candidates,
    /// Those of use, as they were read: what a client writes behind one may be long.
    candidates: Vec<Candidate>,
}

/// What becomes of a candidate whose offer has not been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlyCandidate {
    /// It waits for the offer.
    Kept,
    Malformed,
    /// So many of this caller wait.
    TooMany {
        limit: usize,
    },
}

impl EarlyCandidates {
    /// Keeps a candidate until its offer comes.
    pub(super) fn keep(&mut self, id: &WebRtcId, by: &Speaker, candidate: &str) -> EarlyCandidate {
        // The empty one says that there are no more, which is of no use either.
        let candidate = match Candidate::read(candidate) {
            Ok(candidate) => Some(candidate),
            Err(Unusable::Malformed) if !candidate.is_empty() => return EarlyCandidate::Malformed,
            Err(_) => None,
        };
        let now = Instant::now();
        self.0
            .retain(|early| now.duration_since(early.since) < EARLY_TIME);
        let is_its = |early: &Early| early.id == *id && early.by.owner == by.owner;
        let place = self.0.iter().position(is_its).unwrap_or_else(|| {
            self.0.push(Early {
                id: id.clone(),
                by: by.clone(),
                since: now,
                left: Candidates::new(MAX_EARLY),
                candidates: Vec::new(),
            });
            self.make_room();
            self.0.len() - 1
        });
        let early = &mut self.0[place];
        if !early.left.take() {
            return EarlyCandidate::TooMany { limit: MAX_EARLY };
        }
        early.candidates.extend(candidate);
        EarlyCandidate::Kept
    }

    /// Where candidates of too many callers are kept, forgets the oldest of the network with most.
    fn make_room(&mut self) {
        if self.0.len() <= MAX_EARLY_CALLERS {
            return;
        }
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for early in &self.0 {
            *counts.entry(early.by.network).or_default() += 1;
        }
        // The oldest of all, of those with equally many.
        let most = counts.values().max().copied();
        let oldest = |early: &Early| counts.get(&early.by.network).copied() == most;
        if let Some(oldest) = self.0.iter().position(oldest) {
            self.0.remove(oldest);
        }
    }

    /// What came for a caller that is there now, of those who may speak of it.
    pub(super) fn take(&mut self, id: &WebRtcId, owner: &Owner) -> Vec<Candidate> {
        let of_id = self.0.extract_if(.., |early| early.id == *id);
        let own = of_id.filter(|early| early.by.may_speak_of(owner));
        own.flat_map(|early| early.candidates).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANDIDATE: &str = "candidate:1 1 udp 1 192.0.2.1 5000 typ host";

    const HOST: Speaker = Speaker {
        owner: None,
        network: None,
    };

    fn from_network(last: u8) -> Speaker {
        Speaker {
            owner: None,
            network: Some(IpAddr::from([192, 0, 2, last])),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c5_candidates_that_come_early_are_bounded() {
        let mut early = EarlyCandidates::default();
        let id = WebRtcId::from("a");
        let keep = |early: &mut EarlyCandidates, id: &WebRtcId, candidate| {
            early.keep(id, &HOST, candidate)
        };
        for _ in 0..MAX_EARLY {
            assert_eq!(keep(&mut early, &id, CANDIDATE), EarlyCandidate::Kept);
        }
        let too_many = EarlyCandidate::TooMany { limit: MAX_EARLY };
        assert_eq!(keep(&mut early, &id, CANDIDATE), too_many);
        assert_eq!(keep(&mut early, &id, "nonsense"), EarlyCandidate::Malformed);
        for other in 0..2 * MAX_EARLY_CALLERS {
            let other = WebRtcId::from(other.to_string());
            assert_eq!(keep(&mut early, &other, ""), EarlyCandidate::Kept);
        }
        assert_eq!(early.0.len(), MAX_EARLY_CALLERS);
        tokio::time::advance(EARLY_TIME).await;
        assert_eq!(keep(&mut early, &id, ""), EarlyCandidate::Kept);
        assert_eq!(early.0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn c5_nobody_takes_the_places_of_others_for_early_candidates() {
        let mut early = EarlyCandidates::default();
        let greedy = from_network(66);
        let fill = |early: &mut EarlyCandidates, name: &str| {
            for number in 0..MAX_EARLY_CALLERS {
                let id = WebRtcId::from(format!("{name}{number}"));
                assert_eq!(early.keep(&id, &greedy, ""), EarlyCandidate::Kept);
            }
        };
        fill(&mut early, "before");
        for number in 1..=3 {
            let id = WebRtcId::from(format!("ann{number}"));
            early.keep(&id, &from_network(number), CANDIDATE);
        }
        fill(&mut early, "after");
        assert_eq!(early.0.len(), MAX_EARLY_CALLERS);
        for number in 1..=3 {
            let id = WebRtcId::from(format!("ann{number}"));
            assert_eq!(early.take(&id, &Owner::default()).len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn x5_of_what_comes_early_only_what_is_of_use_is_kept() {
        let mut early = EarlyCandidates::default();
        let id = WebRtcId::from("a");
        let long = format!("{CANDIDATE} generation {}", "x".repeat(100_000));
        let elsewhere = long.replace("192.0.2.1", "hidden.local");
        for candidate in [&long, &elsewhere, ""] {
            assert_eq!(early.keep(&id, &HOST, candidate), EarlyCandidate::Kept);
        }
        let kept: Vec<&str> = early.0[0]
            .candidates
            .iter()
            .map(Candidate::as_str)
            .collect();
        assert_eq!(kept, [CANDIDATE]);
    }
}
