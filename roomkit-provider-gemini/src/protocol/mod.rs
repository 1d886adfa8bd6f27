//! The vendor's wire, without a socket: commands to client messages, server messages to core
//! events.
//!
//! Every message is one frame with one JSON object. The vendor sends its own as binary frames.
//! It has neither ids of responses and items nor words for the beginning of a response or, mostly,
//! of speech; [`Decoder`] derives them from what does come. Source: the types of the vendor's SDKs
//! for the Live API, and reports of the live service where those are silent.

mod alternatives;
mod calls;
mod client_message;
mod decode;
mod encode;
mod message;
mod ours;
mod reason;
mod schema;
mod setup;
mod text;
mod turn;
mod usage;
mod words;

pub use decode::Decoder;
pub use encode::Encoder;
pub(crate) use schema::check_name as check_tool_name;
pub use schema::parameters as tool_parameters;
