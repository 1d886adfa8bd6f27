//! Mocks, an echo provider, fake vendor servers and a fault proxy for roomkit.
//!
//! Feature `mock`, on by default; no sockets:
//!
//! - [`MockRealtimeProvider`] and [`MockRealtimeTransport`] stand in for the vendor and for the
//!   callers. They record everything, in order, and say whatever the test wants said.
//! - [`MockRecordingSink`] keeps recordings of calls in memory, or fails as it is told to.
//! - [`Counters`] sees what is counted (`metrics`) while a test runs.
//! - [`EchoProvider`] answers for itself: it hears speech by its energy, plays it back, answers
//!   text with tones and calls tools. A whole call without a key; registered as `echo`.
//!
//! On real sockets, each behind a feature of its name that is on by default:
//!
//! - `fake_openai` and `fake_gemini`: servers that speak and enforce `OpenAI`'s Realtime wire and
//!   Gemini's Live wire, with scripts and faults.
//! - `fault_proxy`: a TCP proxy that cuts, stalls and slows the connections through it.
//! - `conformance`: checks of a provider's or a transport's crate: whether it keeps the rules that no
//!   compiler sees.
//!
//! All waits end when the thing happens; nothing polls, and nothing depends on the wall clock, so
//! tests may pause tokio's. A wait that is in vain panics after a minute of tokio's time with what
//! there was instead.
//!
//! ```
//! # #[cfg(feature = "mock")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use roomkit_core::{
//!     RealtimeSession,
//!     client_protocol::ServerMessage,
//!     provider::{ProviderCommand, RealtimeVoiceProvider, Role, SessionSetup},
//!     transport::{AudioOffer, ClientCommand, RealtimeAudioTransport},
//! };
//! use roomkit_mock::{MockConnection, MockRealtimeProvider, MockRealtimeTransport};
//!
//! let provider = Arc::new(MockRealtimeProvider::new());
//! let transport = Arc::new(MockRealtimeTransport::new());
//!
//! // What a `RealtimeVoiceChannel` does with them, in short:
//! let session = RealtimeSession::new("lobby", "ann", "voice", Default::default());
//! let connection = MockConnection::new();
//! let caller = connection.client();
//! let offer = AudioOffer { input_rate: 24_000, output_rate: 24_000 };
//! let mut link = transport.accept(&session, connection.into(), offer).await?;
//! let mut vendor = provider.connect(SessionSetup::new(session.id().clone())).await?;
//! vendor.sink.send(ProviderCommand::Respond).await?;
//! link.sink.send(ClientCommand::Message(ServerMessage::ClearAudio)).await?;
//!
//! // What a test does with them:
//! let ai = provider.wait_for_connect().await;
//! assert_eq!(ai.responds(), 1);
//! ai.simulate_transcription("Hello!", Role::Assistant, true, None);
//! caller.wait_for_message(|message| *message == ServerMessage::ClearAudio).await;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "mock"))] fn main() {}
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "mock")]
mod counters;
#[cfg(feature = "mock")]
pub mod echo;
#[cfg(any(feature = "fake-openai", feature = "fake-gemini"))]
mod fake;
#[cfg(feature = "fake-gemini")]
pub mod fake_gemini;
#[cfg(feature = "fake-openai")]
pub mod fake_openai;
#[cfg(feature = "fault-proxy")]
pub mod fault_proxy;
#[cfg(feature = "mock")]
mod gate;
#[cfg(feature = "mock")]
pub mod provider;
#[cfg(feature = "mock")]
pub mod recording;
#[cfg(feature = "mock")]
pub mod transport;
#[cfg(any(feature = "mock", feature = "fault-proxy"))]
mod watched;

#[cfg(feature = "mock")]
pub use {
    counters::Counters,
    echo::{EchoConfig, EchoProvider},
    gate::Gate,
    provider::{MockProviderConnection, MockRealtimeProvider},
    recording::MockRecordingSink,
    transport::{MockClient, MockConnection, MockRealtimeTransport},
};

/// The README's examples compile.
#[cfg(all(
    doctest,
    feature = "mock",
    feature = "fake-openai",
    feature = "fake-gemini",
    feature = "fault-proxy"
))]
#[doc = include_str!("../README.md")]
struct Readme;
