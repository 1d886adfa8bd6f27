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

mod audio;
mod builder;
mod connection;
mod conversation;
mod engine;
mod fault;
mod fields;
mod handle;
mod input;
mod items;
mod plan;
mod record;
mod responses;
mod schema;
mod script;
mod server;
mod session;
mod stream;
mod vad;
mod vendor;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::builder::FakeOpenAiBuilder;
pub use self::fault::{Fault, FaultAction, FaultPoint};
pub use self::handle::{FakeConnection, UpgradeRequest};
pub use self::record::{ClientEvent, Closure, Violation, WaitError};
pub use self::script::{Reply, TranscriptTiming, UserTranscript};

use self::builder::Options;

/// A running fake server. Dropping it ends every connection.
#[derive(Debug)]
pub struct FakeOpenAi {
    address: SocketAddr,
    hub: Arc<Hub>,
    accept: JoinHandle<()>,
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
        format!("ws://{}{}", self.address, self.hub.options.vendor.path())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every connection so far, in the order of the upgrades. Refused keys and models are among
    /// them, HTTP refusals are not.
    pub fn connections(&self) -> Vec<FakeConnection> {
        self.hub.lock().connections.clone()
    }

    /// The connection with this index, counted from 0, once it exists.
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`] if there are not that many in time.
    pub async fn wait_for_connection(&self, index: usize) -> Result<FakeConnection, WaitError> {
        let timeout = self.hub.options.wait_timeout;
        let search = async {
            loop {
                let connected = self.hub.connected.notified();
                tokio::pin!(connected);
                connected.as_mut().enable();
                if let Some(found) = self.hub.find(index) {
                    return found;
                }
                connected.await;
            }
        };
        tokio::time::timeout(timeout, search)
            .await
            .map_err(|_| WaitError::TimedOut(timeout))
    }

    /// The violations of all connections.
    pub fn violations(&self) -> Vec<Violation> {
        self.connections()
            .iter()
            .flat_map(FakeConnection::violations)
            .collect()
    }

    /// Upgrades answered with a scripted HTTP status so far.
    pub fn refused_upgrades(&self) -> usize {
        self.hub.lock().refused
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
        self.hub.lock().refusals.push_back(status);
    }

    /// Stops and returns once every task has ended.
    pub async fn shutdown(mut self) {
        self.accept.abort();
        // The only error is the cancellation just asked for.
        let _ = (&mut self.accept).await;
    }

    async fn bind(
        listen: SocketAddr,
        options: Options,
        replies: VecDeque<Reply>,
        transcripts: VecDeque<UserTranscript>,
        refusals: VecDeque<u16>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let hub = Arc::new(Hub {
            options,
            connected: Notify::new(),
            shared: Mutex::new(Shared {
                replies,
                transcripts,
                refusals,
                ..Shared::default()
            }),
        });
        let accept = tokio::spawn(server::accept_loop(listener, Arc::clone(&hub)));
        Ok(Self {
            address,
            hub,
            accept,
        })
    }
}

impl Drop for FakeOpenAi {
    fn drop(&mut self) {
        // The connections' tasks belong to the accept loop and are aborted with it.
        self.accept.abort();
    }
}

/// What connections share.
#[derive(Debug)]
struct Hub {
    options: Options,
    connected: Notify,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: VecDeque<Reply>,
    transcripts: VecDeque<UserTranscript>,
    refusals: VecDeque<u16>,
    refused: usize,
    next_connection: usize,
    connections: Vec<FakeConnection>,
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

    fn take_refusal(&self) -> Option<u16> {
        let mut shared = self.lock();
        let status = shared.refusals.pop_front()?;
        shared.refused += 1;
        Some(status)
    }

    fn find(&self, index: usize) -> Option<FakeConnection> {
        let shared = self.lock();
        shared
            .connections
            .iter()
            .find(|connection| connection.index == index)
            .cloned()
    }

    /// Gives the connection its index and lists it.
    fn admit(&self, build: impl FnOnce(usize) -> FakeConnection) -> FakeConnection {
        let connection = {
            let mut shared = self.lock();
            let connection = build(shared.next_connection);
            shared.next_connection += 1;
            shared.connections.push(connection.clone());
            connection
        };
        self.connected.notify_waiters();
        connection
    }

    /// Forgets an ended connection of a server that keeps no events.
    fn retire(&self, index: usize) {
        if !self.options.record_events {
            self.lock()
                .connections
                .retain(|connection| connection.index != index);
        }
    }
}
