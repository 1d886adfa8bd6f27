//! What goes over the wires beside the media: offers, answers, candidates and the messages of the
//! signalling, without any I/O.

mod answer;
mod candidate;
mod id;
mod offer;
#[cfg(feature = "axum")]
mod signalling;

pub(crate) use answer::{credentials, for_callers};
pub(crate) use candidate::{Candidate, Candidates, Unusable};
pub use id::WebRtcId;
pub(crate) use offer::{AudioSections, BadOffer, Offer, OfferLimits};
#[cfg(feature = "axum")]
pub(crate) use signalling::{BadRequest, Request, candidates_of_fragment, ufrag_of_fragment};
