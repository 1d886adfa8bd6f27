//! The front door.

/// A kit that may be gone; see [`RoomKit`].
#[derive(Debug, Clone)]
pub struct WeakRoomKit(());

/// Rooms and channels.
#[derive(Debug, Clone)]
pub struct RoomKit(());
