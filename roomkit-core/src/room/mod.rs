//! Rooms: the shared timeline of a conversation and who may see and write it.

mod binding;
mod event;

pub use binding::{Access, ChannelBinding};
pub use event::{Content, EventKind, EventSource, EventStatus, RoomEvent, Visibility};
