//! Rooms: the shared timeline of a conversation and who may see and write it.

mod binding;
pub(crate) mod chain;
mod event;
mod lane;
mod live;
mod new_event;
mod record;
mod timeline;

pub use binding::{Access, BindingOptions, ChannelBinding};
pub(crate) use binding::{SOURCE_MUTED, Speaker};
pub use event::{Content, EventKind, EventSource, EventStatus, RoomEvent, Visibility};
pub(crate) use lane::LaneContext;
pub(crate) use live::{LiveRoom, Phase, Place};
pub use new_event::NewEvent;
pub use record::{Room, RoomOptions, RoomStatus};
pub use timeline::TimelineQuery;
