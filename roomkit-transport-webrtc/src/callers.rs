//! All callers of a transport by their ids, and what is kept of those who are not there yet or any
//! more.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    peer::{Owner, Peer},
    protocol::{Candidate, Candidates, Unusable, WebRtcId},
};

/// How long candidates wait for their offer. Clients send both at once, and either may come first.
const EARLY_TIME: Duration = Duration::from_secs(10);

/// Of how many callers candidates may come before their offers.
const MAX_EARLY_CALLERS: usize = 1_000;

/// How many candidates of one caller may.
const MAX_EARLY: usize = 32;

/// How many ids are remembered that must not be used again.
const MAX_ENDED: usize = 10_000;

/// The callers.
#[derive(Default)]
pub(crate) struct Callers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    live: HashMap<WebRtcId, Caller>,
    early: HashMap<WebRtcId, Early>,
    ended: HashSet<WebRtcId>,
    ended_in_order: VecDeque<WebRtcId>,
}

enum Caller {
    /// Its offer is being answered.
    Opening {
        #[cfg_attr(
            not(feature = "axum"),
            expect(dead_code, reason = "only requests over HTTP are compared with it")
        )]
        owner: Arc<Owner>,
        has_hung_up: bool,
    },
    There(Arc<Peer>),
}

struct Early {
    since: Instant,
    left: Candidates,
    /// Those of use, as they were read: what a client writes behind one may be long.
    candidates: Vec<Candidate>,
}

/// Why there is no caller of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    /// Nobody has come by this id.
    #[error("no client has come by this webrtc_id")]
    Unknown,
    /// It was one's who has left.
    #[error("the client of this webrtc_id is gone")]
    Ended,
}

/// Whose a candidate is.
pub(crate) enum OfCandidate {
    Caller(Arc<Peer>),
    /// Who is not there yet.
    Nobody(EarlyCandidate),
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
    /// Candidates of so many callers wait.
    TooManyCallers {
        limit: usize,
    },
}

impl Callers {
    /// Takes the id for a caller that is about to be answered. None: it is taken, or was.
    pub(crate) fn open(self: &Arc<Self>, id: &WebRtcId, owner: Arc<Owner>) -> Option<Opening> {
        let mut inner = self.inner();
        if inner.live.contains_key(id) || inner.ended.contains(id) {
            return None;
        }
        let has_hung_up = false;
        let opening = Caller::Opening { owner, has_hung_up };
        inner.live.insert(id.clone(), opening);
        Some(Opening {
            callers: Arc::clone(self),
            id: id.clone(),
            is_done: false,
        })
    }

    /// The caller of this id.
    pub(crate) fn get(&self, id: &WebRtcId) -> Result<Arc<Peer>, Missing> {
        let inner = self.inner();
        match inner.live.get(id) {
            Some(Caller::There(peer)) => Ok(Arc::clone(peer)),
            None if inner.ended.contains(id) => Err(Missing::Ended),
            Some(Caller::Opening { .. }) | None => Err(Missing::Unknown),
        }
    }

    /// Whose the caller of this id is, which may still be on its way in.
    #[cfg(feature = "axum")]
    pub(crate) fn owner(&self, id: &WebRtcId) -> Option<Arc<Owner>> {
        match self.inner().live.get(id)? {
            Caller::Opening { owner, .. } => Some(Arc::clone(owner)),
            Caller::There(peer) => Some(Arc::clone(&peer.owner)),
        }
    }

    /// The caller of this id, to be sent away. None: it was on its way in, and will not come.
    pub(crate) fn hang_up(&self, id: &WebRtcId) -> Result<Option<Arc<Peer>>, Missing> {
        if let Some(Caller::Opening { has_hung_up, .. }) = self.inner().live.get_mut(id) {
            *has_hung_up = true;
            return Ok(None);
        }
        self.get(id).map(Some)
    }

    /// The caller that a candidate is of, or what becomes of it until there is one. In one step: the
    /// caller may come at any time, and takes what is kept for it then.
    pub(crate) fn get_or_keep(
        &self,
        id: &WebRtcId,
        candidate: &str,
    ) -> Result<OfCandidate, Missing> {
        let mut inner = self.inner();
        if let Some(Caller::There(peer)) = inner.live.get(id) {
            return Ok(OfCandidate::Caller(Arc::clone(peer)));
        }
        if !inner.live.contains_key(id) && inner.ended.contains(id) {
            return Err(Missing::Ended);
        }
        Ok(OfCandidate::Nobody(inner.keep_early(id, candidate)))
    }

    /// The caller has left; its id is not given to another.
    pub(crate) fn remove(&self, id: &WebRtcId) {
        self.inner().remove(id);
    }

    /// Everyone who is there.
    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        let inner = self.inner();
        let there = inner.live.values().filter_map(|caller| match caller {
            Caller::Opening { .. } => None,
            Caller::There(peer) => Some(Arc::clone(peer)),
        });
        there.collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Keeps a candidate until its offer comes.
    fn keep_early(&mut self, id: &WebRtcId, candidate: &str) -> EarlyCandidate {
        // The empty one says that there are no more, which is of no use either.
        let candidate = match Candidate::read(candidate) {
            Ok(candidate) => Some(candidate),
            Err(Unusable::Malformed) if !candidate.is_empty() => return EarlyCandidate::Malformed,
            Err(_) => None,
        };
        let now = Instant::now();
        self.early
            .retain(|_, early| now.duration_since(early.since) < EARLY_TIME);
        if !self.early.contains_key(id) && self.early.len() >= MAX_EARLY_CALLERS {
            return EarlyCandidate::TooManyCallers {
                limit: MAX_EARLY_CALLERS,
            };
        }
        let early = self.early.entry(id.clone()).or_insert_with(|| Early {
            since: now,
            left: Candidates::new(MAX_EARLY),
            candidates: Vec::new(),
        });
        if !early.left.take() {
            return EarlyCandidate::TooMany { limit: MAX_EARLY };
        }
        early.candidates.extend(candidate);
        EarlyCandidate::Kept
    }

    fn remove(&mut self, id: &WebRtcId) {
        if self.live.remove(id).is_some() && self.ended.insert(id.clone()) {
            self.ended_in_order.push_back(id.clone());
            if self.ended_in_order.len() > MAX_ENDED
                && let Some(oldest) = self.ended_in_order.pop_front()
            {
                self.ended.remove(&oldest);
            }
        }
    }
}

/// An id that is taken for a caller that is not there yet. Dropped, it is free again.
pub(crate) struct Opening {
    callers: Arc<Callers>,
    id: WebRtcId,
    is_done: bool,
}

impl Opening {
    /// The caller is there. Gives the candidates that came before; none if it has hung up since, and
    /// is not there.
    pub(crate) fn done(mut self, peer: &Arc<Peer>) -> Option<Vec<Candidate>> {
        self.is_done = true;
        let mut inner = self.callers.inner();
        let early = inner.early.remove(&self.id);
        if let Some(Caller::Opening {
            has_hung_up: true, ..
        }) = inner.live.get(&self.id)
        {
            inner.remove(&self.id);
            return None;
        }
        let caller = Caller::There(Arc::clone(peer));
        inner.live.insert(self.id.clone(), caller);
        Some(early.map(|early| early.candidates).unwrap_or_default())
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if !self.is_done {
            self.callers.inner().live.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer;

    impl Callers {
        fn keep_early(&self, id: &WebRtcId, candidate: &str) -> EarlyCandidate {
            self.inner().keep_early(id, candidate)
        }

        fn opened(self: &Arc<Self>, id: &WebRtcId) -> Option<Opening> {
            self.open(id, Arc::default())
        }
    }

    const CANDIDATE: &str = "candidate:1 1 udp 1 192.0.2.1 5000 typ host";

    #[test]
    fn c4_an_id_is_one_callers() {
        let callers = Arc::<Callers>::default();
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        assert!(callers.opened(&id).is_none());
        drop(opening);
        assert!(
            callers.opened(&id).is_some(),
            "a failed offer may be repeated"
        );
        assert_eq!(callers.get(&id).unwrap_err(), Missing::Unknown);
    }

    #[test]
    fn c4_an_id_is_used_once() {
        let callers = Arc::<Callers>::default();
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        callers.remove(&id);
        drop(opening);
        assert!(callers.opened(&id).is_none());
        assert_eq!(callers.get(&id).unwrap_err(), Missing::Ended);
    }

    #[tokio::test]
    async fn s3_who_hangs_up_while_its_offer_is_answered_is_not_there() {
        let callers = Arc::<Callers>::default();
        let peer = peer::tests::caller().await;
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        assert!(callers.hang_up(&id).unwrap().is_none());
        assert!(opening.done(&peer).is_none());
        assert!(callers.all().is_empty());
        assert_eq!(callers.get(&id).unwrap_err(), Missing::Ended);
        assert_eq!(callers.hang_up(&id).unwrap_err(), Missing::Ended);
        assert!(callers.opened(&id).is_none(), "an id is used once");
        peer.close().await;
    }

    #[tokio::test]
    async fn c4_no_candidate_falls_between_the_offer_and_the_caller() {
        let callers = Arc::<Callers>::default();
        let peer = peer::tests::caller().await;
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        let whose = callers.get_or_keep(&id, CANDIDATE).unwrap();
        assert!(matches!(whose, OfCandidate::Nobody(EarlyCandidate::Kept)));
        assert_eq!(opening.done(&peer).unwrap().len(), 1);
        let whose = callers.get_or_keep(&id, CANDIDATE).unwrap();
        assert!(matches!(whose, OfCandidate::Caller(_)));
        callers.remove(&id);
        let ended = callers.get_or_keep(&id, CANDIDATE).err();
        assert_eq!(ended, Some(Missing::Ended));
        assert!(callers.inner().early.is_empty());
        peer.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn c5_candidates_that_come_early_are_bounded() {
        let callers = Callers::default();
        let id = WebRtcId::from("a");
        for _ in 0..MAX_EARLY {
            assert_eq!(callers.keep_early(&id, CANDIDATE), EarlyCandidate::Kept);
        }
        assert_eq!(
            callers.keep_early(&id, CANDIDATE),
            EarlyCandidate::TooMany { limit: MAX_EARLY }
        );
        assert_eq!(
            callers.keep_early(&id, "nonsense"),
            EarlyCandidate::Malformed
        );
        for other in 1..MAX_EARLY_CALLERS {
            let other = WebRtcId::from(other.to_string());
            assert_eq!(callers.keep_early(&other, ""), EarlyCandidate::Kept);
        }
        let last = WebRtcId::from("last");
        assert_eq!(
            callers.keep_early(&last, ""),
            EarlyCandidate::TooManyCallers {
                limit: MAX_EARLY_CALLERS
            }
        );
        tokio::time::advance(EARLY_TIME).await;
        assert_eq!(callers.keep_early(&last, ""), EarlyCandidate::Kept);
        assert_eq!(callers.inner().early.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn x5_of_what_comes_early_only_what_is_of_use_is_kept() {
        let callers = Callers::default();
        let id = WebRtcId::from("a");
        let long = format!("{CANDIDATE} generation {}", "x".repeat(100_000));
        let elsewhere = long.replace("192.0.2.1", "hidden.local");
        for candidate in [&long, &elsewhere, ""] {
            assert_eq!(callers.keep_early(&id, candidate), EarlyCandidate::Kept);
        }
        let inner = callers.inner();
        let kept: Vec<&str> = inner.early[&id]
            .candidates
            .iter()
            .map(Candidate::as_str)
            .collect();
        assert_eq!(kept, [CANDIDATE]);
    }
}
