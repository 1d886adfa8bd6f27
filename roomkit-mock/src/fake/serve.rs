//! The task of one connection: socket, timers, commands and faults around one [`Engine`].

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep_until};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::handle::{Command, FakeConnection, Order, UpgradeRequest};
use super::line::{Hold, Line, Step};
use super::options::CommonOptions;
use super::record::{Closure, Record};
use super::server::{HttpRefusal, Registry, upgrade};

/// One message to be sent, with what it is called kept aside for faults and the record.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Several names are joined by `+`.
    pub(crate) kind: Cow<'static, str>,
    pub(crate) text: String,
    /// Bytes of an answer's audio in it, where faults go by them.
    pub(crate) audio_bytes: usize,
}

impl Frame {
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kind.split('+')
    }
}

/// What happens to the connection besides its frames.
#[derive(Debug)]
pub(crate) enum Act {
    Close {
        code: u16,
        reason: String,
    },
    Drop,
    StopReading,
    Send(Message),
    /// Frames are held back from here on, for this long or for good.
    Hold(Option<Duration>),
}

/// A vendor's server behind one connection. It owns no socket and no clock.
pub(crate) trait Engine: Send {
    /// The connection is open.
    fn open(&mut self, now: Instant);
    /// A text frame came.
    fn handle_text(&mut self, text: &str, now: Instant);
    /// A binary frame came.
    fn handle_binary(&mut self, bytes: &[u8], now: Instant);
    /// When [`Self::advance`] has something to do.
    fn next_due(&self) -> Option<Instant>;
    /// Does everything that is due.
    fn advance(&mut self, now: Instant);
    /// Frames to be sent, in order.
    fn take_outbox(&mut self) -> Vec<Frame>;
    /// What is to happen once the outbox is sent.
    fn take_acts(&mut self) -> Vec<Act> {
        Vec::new()
    }
    /// The engine is asked for something from outside.
    fn obey(&mut self, _order: Order, _now: Instant) {}

    /// Faults that strike before [`Self::open`].
    fn faults_at_start(&mut self) -> Vec<Act>;
    /// Faults that strike now that a frame was received and before it is answered.
    fn faults_before_answering(&mut self) -> Vec<Act> {
        Vec::new()
    }
    /// Faults that strike now that a frame was received and answered.
    fn faults_after_receiving(&mut self) -> Vec<Act>;
    /// Faults that strike now that `frame` was sent.
    fn faults_after_sending(&mut self, frame: &Frame) -> Vec<Act>;
}

/// A connection that is open and listed, and waits for its engine.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) handle: FakeConnection,
    line: Line,
    commands: mpsc::UnboundedReceiver<Command>,
    ping_interval: Option<Duration>,
    /// Behind the line, so that the socket is closed by then.
    ended: Ended,
}

/// Whose task is aborted is dropped as well, and whoever waits for its end hears of it.
#[derive(Debug)]
struct Ended(Arc<Record>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.closure.get_or_insert(Closure::Dropped);
        });
    }
}

/// Upgrades and lists a connection; on an error the client has its answer.
pub(crate) async fn accept(
    stream: TcpStream,
    registry: &Registry,
    options: &CommonOptions,
    check: impl Fn(&UpgradeRequest) -> Result<(), HttpRefusal>,
) -> io::Result<Accepted> {
    let (socket, request) = upgrade(stream, registry, check).await?;
    let record = Arc::new(Record::new(options.wait_timeout));
    let (sender, commands) = mpsc::unbounded_channel();
    let handle = registry.admit(|index| FakeConnection {
        index,
        request: Arc::new(request),
        record: Arc::clone(&record),
        commands: sender,
        kill: Arc::new(Notify::new()),
    });
    Ok(Accepted {
        handle,
        ended: Ended(Arc::clone(&record)),
        line: Line {
            socket,
            record,
            fragment_bytes: options.fragment_bytes,
            binary: options.binary_frames,
            record_events: options.record_events,
            reading: true,
            hold: Hold::Nothing,
            held: VecDeque::new(),
        },
        commands,
        ping_interval: options.ping_interval,
    })
}

impl Accepted {
    /// Serves the connection to its end.
    pub(crate) async fn serve(self, mut engine: impl Engine, registry: &Registry) {
        let Self {
            ended: _ended,
            handle,
            mut line,
            mut commands,
            ping_interval,
        } = self;
        // The kill switch stands outside, so that it also works while a write is stuck.
        let closure = tokio::select! {
            step = line.run(&mut engine, &mut commands, ping_interval) => {
                step.break_value().unwrap_or(Closure::Dropped)
            }
            () = handle.kill.notified() => Closure::Dropped,
        };
        line.end(closure);
        registry.retire(handle.index);
    }

    /// Closes with this code and reason, after `frame` if there is one.
    pub(crate) async fn refuse(
        self,
        frame: Option<Frame>,
        code: u16,
        reason: &str,
        registry: &Registry,
    ) {
        let Self {
            ended: _ended,
            handle,
            mut line,
            ..
        } = self;
        let farewell = async {
            if let Some(frame) = frame {
                line.feed(frame.text).await?;
            }
            line.close(code, reason).await
        };
        let closure = tokio::select! {
            step = farewell => step.break_value().unwrap_or(Closure::Dropped),
            () = handle.kill.notified() => Closure::Dropped,
        };
        line.end(closure);
        registry.retire(handle.index);
    }
}

impl Line {
    async fn run(
        &mut self,
        engine: &mut impl Engine,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        ping_every: Option<Duration>,
    ) -> Step {
        let acts = engine.faults_at_start();
        self.perform(acts).await?;
        engine.open(Instant::now());
        self.flush(engine).await?;
        let mut pings = ping_timer(ping_every.unwrap_or(Duration::from_secs(3600)));
        let mut ping_count: u32 = 0;
        let mut timer = std::pin::pin!(sleep_until(Instant::now()));
        loop {
            let due = self.next_due(engine);
            rearm(timer.as_mut(), due);
            tokio::select! {
                message = self.socket.next(), if self.reading => {
                    self.receive(message, engine).await?;
                }
                () = timer.as_mut(), if due.is_some() => engine.advance(Instant::now()),
                Some(command) = commands.recv() => self.obey(command, engine).await?,
                _ = pings.tick(), if ping_every.is_some() => {
                    ping_count = ping_count.wrapping_add(1);
                    let payload = ping_count.to_be_bytes().to_vec();
                    self.send(Message::Ping(payload.into())).await?;
                }
            }
            self.flush(engine).await?;
        }
    }

    fn next_due(&self, engine: &impl Engine) -> Option<Instant> {
        let release = match self.hold {
            Hold::Until(release) => Some(release),
            Hold::Nothing | Hold::Forever => None,
        };
        engine.next_due().into_iter().chain(release).min()
    }

    async fn receive(
        &mut self,
        message: Option<Result<Message, SocketError>>,
        engine: &mut impl Engine,
    ) -> Step {
        match message {
            Some(Ok(Message::Text(text))) => engine.handle_text(&text, Instant::now()),
            Some(Ok(Message::Binary(bytes))) => engine.handle_binary(&bytes, Instant::now()),
            Some(Ok(Message::Close(frame))) => {
                self.record.change(|state| state.closing = true);
                // Reading on sends the answering close frame.
                while let Some(Ok(_)) = self.socket.next().await {}
                let code = frame.map(|frame| u16::from(frame.code));
                return ControlFlow::Break(Closure::ByClient(code));
            }
            Some(Ok(_)) => return ControlFlow::Continue(()),
            Some(Err(_)) | None => return ControlFlow::Break(Closure::Dropped),
        }
        let acts = engine.faults_before_answering();
        self.perform(acts).await?;
        let acts = engine.faults_after_receiving();
        if !acts.is_empty() {
            self.flush(engine).await?;
            self.perform(acts).await?;
        }
        ControlFlow::Continue(())
    }

    async fn obey(&mut self, command: Command, engine: &mut impl Engine) -> Step {
        match command {
            Command::SendText(text) => {
                let message = self.message(text);
                self.send(message).await
            }
            Command::Close { code, reason } => self.close(code, &reason).await,
            Command::StopReading => {
                self.reading = false;
                ControlFlow::Continue(())
            }
            Command::Order(order) => {
                engine.obey(order, Instant::now());
                ControlFlow::Continue(())
            }
        }
    }

    /// Sends the engine's outbox, stopping where a fault strikes, then does what it asks for.
    async fn flush(&mut self, engine: &mut impl Engine) -> Step {
        loop {
            // Again and again, because a fault may have the engine say more.
            self.held.extend(engine.take_outbox());
            if matches!(self.hold, Hold::Until(release) if release <= Instant::now()) {
                self.hold = Hold::Nothing;
            }
            if self.held.is_empty() || self.hold != Hold::Nothing {
                break;
            }
            self.send_held(engine).await?;
        }
        let acts = engine.take_acts();
        self.perform(acts).await
    }

    async fn send_held(&mut self, engine: &mut impl Engine) -> Step {
        let mut sent = Vec::with_capacity(self.held.len());
        while self.hold == Hold::Nothing
            && let Some(frame) = self.held.pop_front()
        {
            let acts = engine.faults_after_sending(&frame);
            self.feed(frame.text).await?;
            sent.push(frame.kind);
            if !acts.is_empty() {
                self.flush_socket().await?;
                self.note_sent(&std::mem::take(&mut sent));
                self.perform(acts).await?;
            }
        }
        self.flush_socket().await?;
        self.note_sent(&sent);
        ControlFlow::Continue(())
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
