//! The task of one connection: socket, timers, commands and faults around one [`Engine`].

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::Hub;
use super::engine::{Engine, violation};
use super::fault::{FaultAction, FaultWatch};
use super::handle::{Command, FakeConnection};
use super::record::{Closure, Record};
use super::server::{Refusal, check_request, upgrade};
use super::wire::{EventWriter, Frame};

const EXPIRY: &str = "Your session hit the maximum duration of 60 minutes.";
/// How long the client may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Serves one TCP connection to its end.
pub(crate) async fn serve(stream: TcpStream, hub: Arc<Hub>) {
    let Ok((socket, request)) = upgrade(stream, &hub).await else {
        return;
    };
    let record = Arc::new(Record::new(hub.options.wait_timeout));
    let kill = Arc::new(Notify::new());
    let (commands, received_commands) = mpsc::unbounded_channel();
    let verdict = check_request(&request, &hub.options);
    let handle = hub.admit(|index| FakeConnection {
        index,
        request: Arc::new(request),
        record: Arc::clone(&record),
        commands,
        kill: Arc::clone(&kill),
    });
    let mut line = Line {
        socket,
        record: Arc::clone(&record),
        faults: FaultWatch::for_connection(&hub.options.faults, handle.index),
        fragment_bytes: hub.options.fragment_bytes,
        record_events: hub.options.record_events,
        reading: true,
    };
    let serving = async {
        match verdict {
            Err(refusal) => line.refuse(&refusal, handle.index).await,
            Ok(kind) => {
                let engine = Engine::new(Arc::clone(&hub), Arc::clone(&record), handle.index, kind);
                line.run(engine, received_commands, hub.options.ping_interval)
                    .await
            }
        }
    };
    // The kill switch stands outside, so that it also works while a write is stuck.
    let closure = tokio::select! {
        closure = serving => closure,
        () = kill.notified() => Closure::Dropped,
    };
    drop(line);
    record.change(|state| state.closure = Some(closure));
    hub.retire(handle.index);
}

/// What goes on after a step: the connection, or its end.
type Step = ControlFlow<Closure>;

#[derive(Debug)]
struct Line {
    socket: WebSocketStream<TcpStream>,
    record: Arc<Record>,
    faults: FaultWatch,
    fragment_bytes: Option<usize>,
    record_events: bool,
    reading: bool,
}

impl Line {
    async fn run(
        &mut self,
        mut engine: Engine,
        mut commands: mpsc::UnboundedReceiver<Command>,
        ping_every: Duration,
    ) -> Closure {
        match self
            .serve_session(&mut engine, &mut commands, ping_every)
            .await
        {
            ControlFlow::Break(closure) => closure,
            ControlFlow::Continue(()) => Closure::Dropped,
        }
    }

    async fn serve_session(
        &mut self,
        engine: &mut Engine,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        ping_every: Duration,
    ) -> Step {
        let actions = self.faults.connected();
        self.perform(actions, engine).await?;
        engine.open();
        self.flush(engine).await?;
        let start = Instant::now();
        let mut pings = ping_timer(ping_every);
        let mut ping_count: u32 = 0;
        let mut timer = std::pin::pin!(sleep_until(start));
        loop {
            let fault_due = self.faults.next_age().map(|age| start + age);
            let due = engine.next_due().into_iter().chain(fault_due).min();
            rearm(timer.as_mut(), due);
            tokio::select! {
                message = self.socket.next(), if self.reading => {
                    self.receive(message, engine).await?;
                }
                () = timer.as_mut(), if due.is_some() => {
                    engine.advance(Instant::now());
                    self.flush(engine).await?;
                    let actions = self.faults.aged(start.elapsed());
                    self.perform(actions, engine).await?;
                }
                Some(command) = commands.recv() => self.obey(command).await?,
                _ = pings.tick() => {
                    ping_count = ping_count.wrapping_add(1);
                    let payload = ping_count.to_be_bytes().to_vec();
                    self.send(Message::Ping(payload.into())).await?;
                }
            }
            self.flush(engine).await?;
        }
    }

    async fn receive(
        &mut self,
        message: Option<Result<Message, SocketError>>,
        engine: &mut Engine,
    ) -> Step {
        match message {
            Some(Ok(Message::Text(text))) => {
                engine.handle_text(&text, Instant::now());
                let actions = self.faults.received(engine.audio_ms());
                if !actions.is_empty() {
                    self.flush(engine).await?;
                    self.perform(actions, engine).await?;
                }
            }
            Some(Ok(Message::Binary(_))) => engine.handle_binary(),
            Some(Ok(Message::Close(frame))) => {
                // Reading on sends the answering close frame.
                while let Some(Ok(_)) = self.socket.next().await {}
                let code = frame.map(|frame| u16::from(frame.code));
                return ControlFlow::Break(Closure::ByClient(code));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return ControlFlow::Break(Closure::Dropped),
        }
        ControlFlow::Continue(())
    }

    async fn obey(&mut self, command: Command) -> Step {
        match command {
            Command::SendText(text) => self.send(Message::text(text)).await,
            Command::Close { code, reason } => self.close(code, &reason).await,
            Command::StopReading => {
                self.reading = false;
                ControlFlow::Continue(())
            }
        }
    }

    /// Sends the engine's outbox, stopping where a fault strikes.
    async fn flush(&mut self, engine: &mut Engine) -> Step {
        let frames = engine.take_outbox();
        if frames.is_empty() {
            return ControlFlow::Continue(());
        }
        let mut sent = Vec::with_capacity(frames.len());
        for Frame { kind, text } in frames {
            self.feed(text).await?;
            let actions = self.faults.sent(&kind);
            sent.push(kind);
            if !actions.is_empty() {
                self.flush_socket().await?;
                self.note_sent(std::mem::take(&mut sent));
                self.perform(actions, engine).await?;
            }
        }
        self.flush_socket().await?;
        self.note_sent(sent);
        ControlFlow::Continue(())
    }

    fn note_sent(&self, kinds: Vec<std::borrow::Cow<'static, str>>) {
        if !self.record_events {
            return;
        }
        self.record.change(|state| {
            for kind in kinds {
                if let Some(count) = state.sent.get_mut(kind.as_ref()) {
                    *count += 1;
                } else {
                    state.sent.insert(kind.into_owned(), 1);
                }
            }
        });
    }

    async fn perform(&mut self, actions: Vec<FaultAction>, engine: &mut Engine) -> Step {
        for action in actions {
            match action {
                FaultAction::Close { code, reason } => self.close(code, &reason).await?,
                FaultAction::Drop => return ControlFlow::Break(Closure::Dropped),
                FaultAction::StopReading => self.reading = false,
                FaultAction::IgnoreSessionUpdates => engine.ignore_session_updates(),
                FaultAction::ExpireSession => {
                    engine.announce_expiry(EXPIRY);
                    for frame in engine.take_outbox() {
                        self.feed(frame.text).await?;
                    }
                    self.close(1001, EXPIRY).await?;
                }
                FaultAction::SendEvent(event) => {
                    self.send(Message::text(event.to_string())).await?;
                }
                FaultAction::SendText(text) => self.send(Message::text(text)).await?,
            }
        }
        ControlFlow::Continue(())
    }

    async fn refuse(&mut self, refusal: &Refusal, index: usize) -> Closure {
        let fields = json!({"error": refusal.error.to_json(None)});
        let frame = EventWriter::new(index, false).event("error", &fields);
        let error = violation(&refusal.error, None);
        self.record.change(|state| state.violations.push(error));
        let reason = refusal.error.close_reason();
        let mut step = self.feed(frame.text).await;
        if step.is_continue() {
            step = self.close(refusal.close_code, &reason).await;
        }
        step.break_value().unwrap_or(Closure::Dropped)
    }

    /// Closes and waits a moment for the client's answer, as a closing server does.
    async fn close(&mut self, code: u16, reason: &str) -> Step {
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

    async fn feed(&mut self, text: String) -> Step {
        let Some(size) = self.fragment_bytes else {
            return step(&self.socket.feed(Message::text(text)).await);
        };
        let bytes = text.into_bytes();
        let pieces = bytes.len().div_ceil(size);
        for (index, piece) in bytes.chunks(size).enumerate() {
            let kind = if index == 0 {
                Data::Text
            } else {
                Data::Continue
            };
            let frame = RawFrame::message(piece.to_vec(), OpCode::Data(kind), index + 1 == pieces);
            step(&self.socket.feed(Message::Frame(frame)).await)?;
        }
        ControlFlow::Continue(())
    }

    async fn send(&mut self, message: Message) -> Step {
        step(&self.socket.send(message).await)
    }

    async fn flush_socket(&mut self) -> Step {
        step(&self.socket.flush().await)
    }
}

fn step(outcome: &Result<(), SocketError>) -> Step {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(Closure::Dropped),
    }
}

fn rearm(timer: std::pin::Pin<&mut Sleep>, due: Option<Instant>) {
    if let Some(due) = due
        && timer.deadline() != due
    {
        timer.reset(due);
    }
}

fn ping_timer(every: Duration) -> Interval {
    let mut pings = interval_at(Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}
