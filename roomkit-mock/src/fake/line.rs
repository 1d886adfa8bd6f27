//! The socket of one connection: what it sends, holds back and closes with.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::record::{Closure, Record};
use super::serve::{Act, Frame};

/// How long the client may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// What goes on after a step: the connection, or its end.
pub(super) type Step = ControlFlow<Closure>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Nothing,
    Until(Instant),
    Forever,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) socket: WebSocketStream<TcpStream>,
    pub(super) record: Arc<Record>,
    pub(super) fragment_bytes: Option<usize>,
    pub(super) binary: bool,
    pub(super) record_events: bool,
    pub(super) reading: bool,
    pub(super) hold: Hold,
    pub(super) held: VecDeque<Frame>,
}

impl Line {
    pub(super) fn note_sent(&self, kinds: &[Cow<'static, str>]) {
        if !self.record_events {
            return;
        }
        self.record.change(|state| {
            for kind in kinds.iter().flat_map(|kind| kind.split('+')) {
                if let Some(count) = state.sent.get_mut(kind) {
                    *count += 1;
                } else {
                    state.sent.insert(kind.to_owned(), 1);
                }
            }
        });
    }

    pub(super) async fn perform(&mut self, acts: Vec<Act>) -> Step {
        for act in acts {
            match act {
                Act::Close { code, reason } => self.close(code, &reason).await?,
                Act::Drop => return ControlFlow::Break(Closure::Dropped),
                Act::StopReading => self.reading = false,
                Act::Send(message) => self.send(message).await?,
                Act::Hold(None) => self.hold = Hold::Forever,
                Act::Hold(Some(time)) => self.hold = Hold::Until(Instant::now() + time),
            }
        }
        ControlFlow::Continue(())
    }

    /// Closes and waits a moment for the client's answer, as a closing server does.
    pub(super) async fn close(&mut self, code: u16, reason: &str) -> Step {
        // A close frame has room for 123 bytes of reason.
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = &reason[..end];
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        if self.socket.close(Some(frame)).await.is_err() {
            return ControlFlow::Break(Closure::Dropped);
        }
        let goodbye = async { while let Some(Ok(_)) = self.socket.next().await {} };
        // A client that never answers is cut off.
        let _ = tokio::time::timeout(CLOSE_WAIT, goodbye).await;
        ControlFlow::Break(Closure::ByServer {
            code,
            reason: reason.to_owned(),
        })
    }

    /// Ends the TCP connection and says how it ended.
    pub(super) fn end(self, closure: Closure) {
        let record = Arc::clone(&self.record);
        drop(self);
        record.change(|state| state.closure = Some(closure));
    }

    /// In a frame of the kind this vendor uses.
    pub(super) fn message(&self, text: String) -> Message {
        if self.binary {
            Message::binary(text.into_bytes())
        } else {
            Message::text(text)
        }
    }

    pub(super) async fn feed(&mut self, text: String) -> Step {
        let Some(size) = self.fragment_bytes else {
            let message = self.message(text);
            return step(&self.socket.feed(message).await);
        };
        let first = if self.binary {
            Data::Binary
        } else {
            Data::Text
        };
        let bytes = text.into_bytes();
        let pieces = bytes.len().div_ceil(size);
        for (index, piece) in bytes.chunks(size).enumerate() {
            let kind = if index == 0 { first } else { Data::Continue };
            let frame = RawFrame::message(piece.to_vec(), OpCode::Data(kind), index + 1 == pieces);
            step(&self.socket.feed(Message::Frame(frame)).await)?;
        }
        ControlFlow::Continue(())
    }

    pub(super) async fn send(&mut self, message: Message) -> Step {
        step(&self.socket.send(message).await)
    }

    pub(super) async fn flush_socket(&mut self) -> Step {
        step(&self.socket.flush().await)
    }
}

fn step(outcome: &Result<(), SocketError>) -> Step {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(Closure::Dropped),
    }
}
