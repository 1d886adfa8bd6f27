//! What a caller says before its session listens.

use std::{collections::VecDeque, convert::Infallible, mem};

use tokio::sync::{Mutex, watch};
use webrtc::data_channel::DataChannelEvent;

use super::{Peer, engine::MAX_UNREAD_BYTES, filled};

/// How many messages wait; the clients we know say one or two.
const MAX_EVENTS: usize = 256;

/// What is told of a caller that has said more.
const TOO_MUCH: &str = "the client sent too much before its session began";

/// What was said, in order. Whoever holds it is the one that reads the channel.
pub(super) struct Early {
    said: Mutex<Said>,
    session_listens: watch::Sender<bool>,
}

#[derive(Default)]
struct Said {
    events: VecDeque<DataChannelEvent>,
    bytes: usize,
}

impl Early {
    pub(super) fn new() -> Self {
        Self {
            said: Mutex::default(),
            session_listens: watch::Sender::new(false),
        }
    }
}

impl Said {
    /// False: it is too much.
    fn keep(&mut self, event: DataChannelEvent) -> bool {
        if let DataChannelEvent::OnMessage(message) = &event {
            self.bytes += message.data.len();
        }
        self.events.push_back(event);
        self.bytes <= MAX_UNREAD_BYTES as usize && self.events.len() <= MAX_EVENTS
    }
}

impl Peer {
    /// Reads what the caller says until its session does. The library would keep it, too: so many
    /// messages that they fill the memory if they are large (contract X5), and the audio of five
    /// seconds, which would come as a burst long after it was said.
    pub(crate) async fn listen_until_session(&self) -> Infallible {
        let mut listens = self.early.session_listens.subscribe();
        let mut said = self.early.said.lock().await;
        let reading = async {
            let channel = filled(&mut self.channels()).await;
            while let Some(channel) = &channel
                && let Some(event) = channel.poll().await
            {
                if !said.keep(event) {
                    self.watched.expel(TOO_MUCH);
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        // Nobody listens: messages are kept, audio is not.
        let discarding = async {
            let track = filled(&mut self.tracks()).await;
            while let Some(track) = &track
                && track.poll().await.is_some()
            {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            _ = listens.wait_for(|listens| *listens) => {}
            () = reading => {}
            () = discarding => {}
        }
        drop(said);
        std::future::pending().await
    }

    /// The session listens from now on, and gets what was said before.
    pub(crate) async fn said_early(&self) -> VecDeque<DataChannelEvent> {
        self.early.session_listens.send_replace(true);
        mem::take(&mut *self.early.said.lock().await).events
    }
}
