//! What goes over the wires beside the media: offers, answers, candidates and the messages of the
//! signalling, without any I/O.

mod answer;
mod candidate;
mod offer;
mod signalling;

pub(crate) use answer::{credentials, for_callers};
pub(crate) use candidate::{Candidate, Candidates, Unusable};
pub(crate) use offer::{BadOffer, Offer, OfferLimits};
pub use signalling::WebRtcId;
pub(crate) use signalling::{BadRequest, Request, candidates_of_fragment};
