//! All callers of a transport by their ids, and what is kept of those who are not there yet or any
//! more.

mod early;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use self::early::EarlyCandidate;
use self::early::EarlyCandidates;
use crate::{
    peer::{Owner, Peer},
    protocol::{Candidate, WebRtcId},
};

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
    early: EarlyCandidates,
    ended: HashSet<WebRtcId>,
    ended_in_order: VecDeque<WebRtcId>,
}

enum Caller {
    /// Its offer is being answered.
    Opening {
        owner: Arc<Owner>,
        has_hung_up: bool,
    },
    There(Arc<Peer>),
}

impl Caller {
    fn owner(&self) -> &Owner {
        match self {
            Self::Opening { owner, .. } => owner,
            Self::There(peer) => &peer.owner,
        }
    }
}

/// Who says something of a caller. The default is the host itself, which may speak of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Speaker {
    /// As whom a client has shown itself.
    pub(crate) owner: Option<Arc<Owner>>,
    /// The network it is in, by which clients are counted.
    pub(crate) network: Option<IpAddr>,
}

impl Speaker {
    fn may_speak_of(&self, owner: &Owner) -> bool {
        self.owner.as_deref().is_none_or(|own| own == owner)
    }
}

/// Why there is no caller of an id for who speaks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    /// Nobody has come by this id.
    #[error("no client has come by this webrtc_id")]
    Unknown,
    /// It was one's who has left.
    #[error("the client of this webrtc_id is gone")]
    Ended,
    /// It is one's who shows itself as another.
    #[error("the client of this webrtc_id is another's")]
    Foreign,
}

/// Whose a candidate is.
pub(crate) enum OfCandidate {
    Caller(Arc<Peer>),
    /// Who is not there yet.
    Nobody(EarlyCandidate),
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
    pub(crate) fn get(&self, id: &WebRtcId, by: &Speaker) -> Result<Arc<Peer>, Missing> {
        self.inner().get(id, by)
    }

    /// Whether there is a caller of this id, or one on its way in.
    #[cfg(feature = "axum")]
    pub(crate) fn has(&self, id: &WebRtcId) -> bool {
        self.inner().live.contains_key(id)
    }

    /// The caller of this id, to be sent away. None: it was on its way in, and will not come.
    pub(crate) fn hang_up(
        &self,
        id: &WebRtcId,
        by: &Speaker,
    ) -> Result<Option<Arc<Peer>>, Missing> {
        let mut inner = self.inner();
        if let Some(Caller::Opening { owner, has_hung_up }) = inner.live.get_mut(id)
            && by.may_speak_of(owner)
        {
            *has_hung_up = true;
            return Ok(None);
        }
        inner.get(id, by).map(Some)
    }

    /// The caller that a candidate is of, or what becomes of it until there is one. In one step: the
    /// caller may come at any time, and takes what is kept for it then.
    pub(crate) fn get_or_keep(
        &self,
        id: &WebRtcId,
        by: &Speaker,
        candidate: &str,
    ) -> Result<OfCandidate, Missing> {
        let mut inner = self.inner();
        match inner.get(id, by) {
            Ok(peer) => Ok(OfCandidate::Caller(peer)),
            Err(Missing::Unknown) => Ok(OfCandidate::Nobody(inner.early.keep(id, by, candidate))),
            Err(missing) => Err(missing),
        }
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
    fn get(&self, id: &WebRtcId, by: &Speaker) -> Result<Arc<Peer>, Missing> {
        match self.live.get(id) {
            Some(caller) if !by.may_speak_of(caller.owner()) => Err(Missing::Foreign),
            Some(Caller::There(peer)) => Ok(Arc::clone(peer)),
            None if self.ended.contains(id) => Err(Missing::Ended),
            Some(Caller::Opening { .. }) | None => Err(Missing::Unknown),
        }
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
        let early = inner.early.take(&self.id, &peer.owner);
        if let Some(Caller::Opening {
            has_hung_up: true, ..
        }) = inner.live.get(&self.id)
        {
            inner.remove(&self.id);
            return None;
        }
        let caller = Caller::There(Arc::clone(peer));
        inner.live.insert(self.id.clone(), caller);
        Some(early)
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
        fn opened(self: &Arc<Self>, id: &WebRtcId) -> Option<Opening> {
            self.open(id, Arc::default())
        }
    }

    const CANDIDATE: &str = "candidate:1 1 udp 1 192.0.2.1 5000 typ host";

    const HOST: Speaker = Speaker {
        owner: None,
        network: None,
    };

    fn named(name: &str) -> (Arc<Owner>, Speaker) {
        let mut owner = Owner::default();
        owner.metadata.insert("user".into(), name.into());
        let owner = Arc::new(owner);
        let speaker = Speaker {
            owner: Some(Arc::clone(&owner)),
            network: None,
        };
        (owner, speaker)
    }

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
        assert_eq!(callers.get(&id, &HOST).unwrap_err(), Missing::Unknown);
    }

    #[test]
    fn c4_an_id_is_used_once() {
        let callers = Arc::<Callers>::default();
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        callers.remove(&id);
        drop(opening);
        assert!(callers.opened(&id).is_none());
        assert_eq!(callers.get(&id, &HOST).unwrap_err(), Missing::Ended);
    }

    #[tokio::test]
    async fn s3_who_hangs_up_while_its_offer_is_answered_is_not_there() {
        let callers = Arc::<Callers>::default();
        let peer = peer::tests::caller().await;
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        assert!(callers.hang_up(&id, &HOST).unwrap().is_none());
        assert!(opening.done(&peer).is_none());
        assert!(callers.all().is_empty());
        assert_eq!(callers.get(&id, &HOST).unwrap_err(), Missing::Ended);
        assert_eq!(callers.hang_up(&id, &HOST).unwrap_err(), Missing::Ended);
        assert!(callers.opened(&id).is_none(), "an id is used once");
        peer.close().await;
    }

    #[tokio::test]
    async fn c4_no_candidate_falls_between_the_offer_and_the_caller() {
        let callers = Arc::<Callers>::default();
        let peer = peer::tests::caller().await;
        let id = WebRtcId::from("a");
        let opening = callers.opened(&id).unwrap();
        let whose = callers.get_or_keep(&id, &HOST, CANDIDATE).unwrap();
        assert!(matches!(whose, OfCandidate::Nobody(EarlyCandidate::Kept)));
        assert_eq!(opening.done(&peer).unwrap().len(), 1);
        let whose = callers.get_or_keep(&id, &HOST, CANDIDATE).unwrap();
        assert!(matches!(whose, OfCandidate::Caller(_)));
        callers.remove(&id);
        let ended = callers.get_or_keep(&id, &HOST, CANDIDATE).err();
        assert_eq!(ended, Some(Missing::Ended));
        assert!(callers.inner().early.len() == 0);
        peer.close().await;
    }

    #[tokio::test]
    async fn x2_who_spoke_of_an_id_before_it_was_anothers_does_not_speak_of_it_after() {
        let callers = Arc::<Callers>::default();
        let id = WebRtcId::from("a");
        let ((ann, as_ann), (_, as_bob)) = (named("ann"), named("bob"));
        let candidate_of_bob = CANDIDATE.replace("192.0.2.1", "192.0.2.66");
        for (speaker, candidate) in [(&as_bob, &*candidate_of_bob), (&as_ann, CANDIDATE)] {
            let whose = callers.get_or_keep(&id, speaker, candidate).unwrap();
            assert!(matches!(whose, OfCandidate::Nobody(EarlyCandidate::Kept)));
        }
        let opening = callers.open(&id, Arc::clone(&ann)).unwrap();
        let foreign = Err(Missing::Foreign);
        assert_eq!(callers.hang_up(&id, &as_bob).map(drop), foreign);
        assert_eq!(
            callers.get_or_keep(&id, &as_bob, CANDIDATE).map(drop),
            foreign
        );
        let peer = peer::tests::caller_of(ann).await;
        let early = opening.done(&peer).expect("nobody has sent her away");
        let early: Vec<&str> = early.iter().map(Candidate::as_str).collect();
        assert_eq!(early, [CANDIDATE]);
        assert_eq!(callers.hang_up(&id, &as_bob).map(drop), foreign);
        assert_eq!(
            callers.get_or_keep(&id, &as_bob, CANDIDATE).map(drop),
            foreign
        );
        assert_eq!(callers.get(&id, &as_bob).map(drop), foreign);
        for speaker in [&as_ann, &HOST] {
            assert!(callers.get(&id, speaker).is_ok());
        }
        peer.close().await;
    }
}
