//! The call engine.
//!
//! **A call is one state machine. Everything that happens goes through [`machine::Call::handle`],
//! and nothing is done that did not come out of [`machine::Call::poll`].** The machine has no
//! socket, no task and no clock, so a whole conversation is a test that takes a millisecond.
//!
//! The driver runs it, one task for each session:
//!
//! 1. Wait for the first of: the client, the provider, the host, a tool, the publisher, the clock.
//! 2. Hand it to the machine with the time since the call began.
//! 3. Take actions until there are none.
//! 4. Queue what goes to the client or the provider in that side's [`outbox`], which never blocks.
//! 5. Give what is to be told to the [`publisher`], a task of its own, because it runs host code.
//! 6. Ask the machine when it wants to be woken, and go to 1.
//!
//! The machine's parts: [`playout`] is the one place where the AI's voice waits, [`words`] the
//! one place where news wait, [`tools`] the ledger of tool calls.

mod change;
mod driver;
mod entry;
mod gate;
mod history;
mod io;
mod machine;
mod outbox;
mod playout;
mod publisher;
mod queue;
mod setup;
mod shared_tools;
mod spans;
mod tools;
mod typing;
mod uplink;
mod vendor_changes;
mod words;

pub(crate) use change::{Change, Resets, ToolsFrom};
pub(crate) use driver::{ENDING, NewCall, PermissionCell, Shared};
pub(crate) use entry::Entry;
pub(crate) use gate::Toolbox;
pub(crate) use io::{Command, Moment, Permissions, Sound};
pub(crate) use machine::{CallSettings, Opening, greeting_note};
#[cfg(feature = "fuzzing")]
pub(crate) use machine::{Frames, fuzz};
pub(crate) use publisher::{LAST_HOOKS, as_asked, telling};
pub(crate) use setup::{Setup, ToolsOf};
pub(crate) use shared_tools::{AgentTools, Listed, Redeclared};
