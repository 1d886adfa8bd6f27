//! Mocks, an echo provider and fake vendor servers for roomkit.
//!
//! - `fake_openai` (feature `fake-openai`, on by default): a server on a real socket that speaks
//!   and enforces `OpenAI`'s Realtime wire, with scripts and faults.

#[cfg(feature = "fake-openai")]
pub mod fake_openai;
