//! The vendor's wire, without a socket: commands to client events, server events to core events.
//!
//! Every message is one text frame with one JSON object. Source: the types of the vendor's SDKs
//! for the Realtime API, and captures of the live service where those are silent.

mod calls;
mod decode;
mod encode;
mod history;
mod message;
mod notes;
mod session;

use std::collections::VecDeque;

pub use decode::Decoder;
pub use encode::Encoder;
pub use history::replay;
pub(crate) use message::{Handshake, kind_of};

/// How many calls and responses a connection remembers.
const MEMORY: usize = 256;

/// Adds to a memory; the oldest entry of a full one goes.
fn remember<T>(memory: &mut VecDeque<T>, item: T) {
    if memory.len() == MEMORY {
        memory.pop_front();
    }
    memory.push_back(item);
}
