//! The network beneath the callers: which addresses there are, and one UDP port for all of them.

mod address;
mod guarded;
mod hub;
mod port;
mod routes;
mod runtime;
mod streams;
mod way;

pub(crate) use address::{Announced, local_addresses};
pub(crate) use hub::Hub;
pub(crate) use routes::fuzz;
pub(crate) use runtime::PeerNetwork;
