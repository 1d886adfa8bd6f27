//! A fake `OpenAI` Realtime server: the GA wire over real sockets, as strict as the real one.
//!
//! It refuses what the vendor refuses, with the vendor's codes and close codes, answers in the
//! vendor's order, hears turns in the audio it is sent, and records everything. Scripted
//! [`Reply`]s say what it answers, [`Fault`]s what goes wrong, and a [`FakeConnection`] lets a
//! test look, wait and interfere.
//!
//! ```
//! use roomkit_mock::fake_openai::{FakeOpenAi, Reply};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = FakeOpenAi::builder()
//!     .reply(Reply::tool_call("get_weather", r#"{"city":"Oslo"}"#))
//!     .start()
//!     .await?;
//! // Point a client at `server.url()`, talk, then:
//! let connection = server.wait_for_connection(0).await?;
//! let result = connection
//!     .wait_for_event(|event| event["item"]["type"] == "function_call_output")
//!     .await?;
//! assert!(result.json["item"]["output"].is_string());
//! assert_eq!(connection.violations(), []);
//! # Ok(())
//! # }
//! ```
//!
//! With no script it echoes the user's audio, and answers text and tool results with a tone whose
//! transcript repeats them. Waits use real time, so do not pause tokio's clock around it.

mod builder;
mod conversation;
mod engine;
mod fault;
mod fields;
mod input;
mod items;
mod plan;
mod responses;
mod schema;
mod script;
mod serve;
mod server;
mod session;
mod stream;
mod vendor;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::builder::FakeOpenAiBuilder;
pub use self::fault::{Fault, FaultAction, FaultPoint};
pub use self::script::{Reply, TranscriptTiming, UserTranscript};
pub use crate::fake::handle::{FakeConnection, UpgradeRequest};
pub use crate::fake::record::{
    AudioChunk, ClientEvent, Closure, ReceivedAudio, Violation, WaitError,
};

use self::builder::Options;
use crate::fake::server::{Registry, Server};

/// A running fake server. Dropping it ends every connection.
#[derive(Debug)]
pub struct FakeOpenAi {
    server: Server,
    hub: Arc<Hub>,
}

impl FakeOpenAi {
    /// Configures a server.
    pub fn builder() -> FakeOpenAiBuilder {
        FakeOpenAiBuilder::default()
    }

    /// Starts a server with the defaults on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// What binding the port returns.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// `ws://127.0.0.1:PORT/v1/realtime`, or Azure's path; the client adds `?model=`.
    pub fn url(&self) -> String {
        let path = self.hub.options.vendor.path();
        format!("ws://{}{path}", self.server.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every connection so far, in the order of the upgrades. Refused keys and models are among
    /// them, HTTP refusals are not.
    pub fn connections(&self) -> Vec<FakeConnection> {
        self.server.registry().connections()
    }

    /// The connection with this index, counted from 0, once it exists.
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`] if there are not that many in time.
    pub async fn wait_for_connection(&self, index: usize) -> Result<FakeConnection, WaitError> {
        self.server.registry().wait_for_connection(index).await
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
        self.hub.lock().replies.push_back(reply);
    }

    /// Queues the transcript of a user turn.
    pub fn queue_transcript(&self, transcript: UserTranscript) {
        self.hub.lock().transcripts.push_back(transcript);
    }

    /// Answers the next upgrade with this HTTP status. Queues up.
    pub fn refuse_upgrade(&self, status: u16) {
        self.server.registry().refuse_upgrade(status);
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
        let hub = Arc::new(Hub {
            options,
            shared: Mutex::new(Shared {
                replies,
                transcripts,
            }),
        });
        let shared = (Arc::clone(&hub), Arc::clone(&registry));
        let answer =
            move |stream| serve::serve(stream, Arc::clone(&shared.0), Arc::clone(&shared.1));
        let server = Server::bind(listen, registry, answer).await?;
        Ok(Self { server, hub })
    }
}

/// What connections share.
#[derive(Debug)]
struct Hub {
    options: Options,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: VecDeque<Reply>,
    transcripts: VecDeque<UserTranscript>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_reply(&self) -> Option<Reply> {
        self.lock().replies.pop_front()
    }

    fn next_transcript(&self) -> UserTranscript {
        let queued = self.lock().transcripts.pop_front();
        queued.unwrap_or_else(|| self.options.transcript.clone())
    }
}
