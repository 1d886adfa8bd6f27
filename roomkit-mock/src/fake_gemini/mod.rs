//! A fake Gemini Live server: `BidiGenerateContent` over real sockets, as strict as the real one.
//!
//! It serves the paths of the Gemini API (`v1beta`, `v1alpha`, with keys and ephemeral tokens) and
//! of Vertex AI, refuses what the vendor refuses with the vendor's close codes and reasons, hears
//! turns in the audio it is sent, remembers sessions and resumes them from their handles, and
//! records everything. Scripted [`Reply`]s say what it answers, [`Fault`]s what goes wrong, and a
//! [`FakeConnection`] lets a test look, wait and interfere.
//!
//! ```
//! use roomkit_mock::fake_gemini::{FakeGemini, Reply};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = FakeGemini::builder()
//!     .reply(Reply::tool_call("get_weather", json!({"city": "Oslo"})))
//!     .start()
//!     .await?;
//! // Point a client at `server.url()`, talk, then:
//! let connection = server.wait_for_connection(0).await?;
//! let result = connection
//!     .wait_for_event(|event| event.get("toolResponse").is_some())
//!     .await?;
//! assert!(result.json["toolResponse"]["functionResponses"][0]["response"].is_object());
//! assert_eq!(connection.violations(), []);
//! # Ok(())
//! # }
//! ```
//!
//! With no script it echoes the user's audio, and answers text and tool results with a tone whose
//! transcript repeats them. Waits use real time, so do not pause tokio's clock around it.

mod access;
mod answer;
mod builder;
mod check;
mod content;
mod engine;
mod fault;
mod handle;
mod hub;
mod life;
mod memory;
mod models;
mod plan;
mod realtime;
mod refusal;
mod schema;
mod script;
mod serve;
mod setup;
mod start;
mod tools;
mod transcripts;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

pub use self::builder::{ConnectionLife, FakeGeminiBuilder, HandleRefusal};
pub use self::fault::{Fault, FaultAction, FaultPoint};
pub use self::handle::FakeConnection;
pub use self::memory::{Speaker, Turn};
pub use self::script::{Reply, TranscriptTiming, UserTranscript};
pub use crate::fake::handle::UpgradeRequest;
pub use crate::fake::record::{
    AudioChunk, ClientEvent, Closure, ReceivedAudio, Violation, WaitError,
};

use self::builder::Options;
use self::hub::Hub;
use crate::fake::server::{Registry, Server};

/// A running fake server. Dropping it ends every connection.
#[derive(Debug)]
pub struct FakeGemini {
    server: Server,
    hub: Arc<Hub>,
}

impl FakeGemini {
    /// Configures a server.
    pub fn builder() -> FakeGeminiBuilder {
        FakeGeminiBuilder::default()
    }

    /// Starts a server with the defaults on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// What binding the port returns.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// `ws://127.0.0.1:PORT`, to be used in place of `wss://generativelanguage.googleapis.com`.
    pub fn base_url(&self) -> String {
        format!("ws://{}", self.server.address())
    }

    /// The Gemini API, `v1beta`.
    pub fn url(&self) -> String {
        self.url_of("google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent")
    }

    /// The Gemini API, `v1alpha`, with fields that `v1beta` does not have.
    pub fn alpha_url(&self) -> String {
        self.url_of("google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent")
    }

    /// The Gemini API for ephemeral tokens.
    pub fn constrained_url(&self) -> String {
        self.url_of(
            "google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained",
        )
    }

    /// Vertex AI, `v1beta1`.
    pub fn vertex_url(&self) -> String {
        self.url_of("google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent")
    }

    fn url_of(&self, method: &str) -> String {
        format!("{}/ws/{method}", self.base_url())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every connection so far, in the order of the upgrades. Refused keys and models are among
    /// them, HTTP refusals are not.
    pub fn connections(&self) -> Vec<FakeConnection> {
        let all = self.server.registry().connections().into_iter();
        all.map(|common| FakeConnection {
            common,
            hub: Arc::clone(&self.hub),
        })
        .collect()
    }

    /// The connection with this index, counted from 0, once it exists.
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`] if there are not that many in time.
    pub async fn wait_for_connection(&self, index: usize) -> Result<FakeConnection, WaitError> {
        let common = self.server.registry().wait_for_connection(index).await?;
        let hub = Arc::clone(&self.hub);
        Ok(FakeConnection { common, hub })
    }

    /// The violations of all connections.
    pub fn violations(&self) -> Vec<Violation> {
        self.server.registry().violations()
    }

    /// Upgrades answered with a scripted HTTP status so far.
    pub fn refused_upgrades(&self) -> usize {
        self.server.registry().refused_upgrades()
    }

    /// Queues a reply behind those that wait.
    pub fn queue_reply(&self, reply: Reply) {
        self.hub.queue_reply(reply);
    }

    /// Queues the transcript of a spoken turn.
    pub fn queue_transcript(&self, transcript: UserTranscript) {
        self.hub.queue_transcript(transcript);
    }

    /// Answers the next upgrade with this HTTP status. Queues up.
    pub fn refuse_upgrade(&self, status: u16) {
        self.server.registry().refuse_upgrade(status);
    }

    /// Forgets every session: handles given out so far are refused from here on.
    pub fn expire_handles(&self) {
        self.hub.expire_handles();
    }

    /// Stops and returns once every task has ended.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }

    async fn bind(
        listen: SocketAddr,
        options: Options,
        replies: VecDeque<Reply>,
        transcripts: VecDeque<UserTranscript>,
        refusals: VecDeque<u16>,
    ) -> io::Result<Self> {
        let common = &options.common;
        let registry = Registry::new(common.record_events, common.wait_timeout, refusals);
        let registry = Arc::new(registry);
        let hub = Hub::new(options, Arc::clone(&registry), replies, transcripts);
        let hub = Arc::new(hub);
        let shared = Arc::clone(&hub);
        let answer = move |stream| serve::serve(stream, Arc::clone(&shared));
        let server = Server::bind(listen, registry, answer).await?;
        Ok(Self { server, hub })
    }
}
