//! Callers: each sends 20 ms of audio every 20 ms and times its way there and back.

use std::{ops::Range, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use futures_util::{SinkExt, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{
    Outcome,
    crowd::Crowd,
    figures::{percentile, println_now},
};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) const FRAME_TIME: Duration = Duration::from_millis(20);
/// Not measured: the first frames after all are there.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long after the last frame one may come back: what comes later, or never, is lost.
pub(crate) const COMES_WITHIN: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// Where the callers connect.
    #[arg(long)]
    url: String,
    /// The rate of their audio, in Hz.
    #[arg(long, default_value_t = 24_000)]
    rate: u32,
    /// How many callers.
    #[arg(long)]
    sessions: usize,
    /// How long they talk once all are there, in seconds, after two seconds of warming up.
    #[arg(long)]
    seconds: u64,
    /// Connect and say nothing.
    #[arg(long)]
    silent: bool,
}

/// What the callers measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    pub(crate) p999_us: u32,
}

impl Report {
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let epoch = Instant::now();
    let measured = watch::Sender::new(None);
    let mut crowd = Crowd::new();
    for number in 0..options.sessions {
        let (url, silent) = (options.url.clone(), options.silent);
        let frame = Frame::new(options.rate);
        // Spread over a frame's time, as callers are.
        let offset = FRAME_TIME * number as u32 / options.sessions as u32;
        let (ticket, measured) = (crowd.ticket(), measured.subscribe());
        crowd.spawn(async move {
            let socket = connect(&url).await?;
            ticket.joined();
            if silent {
                return stay(measured, epoch).await;
            }
            sleep(offset).await;
            talk(socket, frame, epoch, measured).await
        });
        sleep(Duration::from_millis(5)).await;
    }
    crowd.all_joined().await?;
    let begins = epoch.elapsed() + WARM_UP;
    measured.send_replace(Some(begins..begins + Duration::from_secs(options.seconds)));
    let mut times = Vec::new();
    let (mut sent, mut received) = (0, 0);
    for call in crowd.left().await? {
        sent += call.sent;
        received += call.times.len() as u64;
        times.extend(call.times);
    }
    times.sort_unstable();
    let report = Report {
        sent,
        received,
        p50_us: percentile(&times, 0.5),
        p99_us: percentile(&times, 0.99),
        p999_us: percentile(&times, 0.999),
    };
    println_now(&serde_json::to_string(&report)?)
}

/// When frames are measured, since the epoch, which is the same for all callers: none before all of
/// them are there.
type Measured = watch::Receiver<Option<Range<Duration>>>;

#[derive(Default)]
struct Call {
    sent: u64,
    times: Vec<u32>,
}

/// A connection whose session has begun.
pub(crate) async fn connect(url: &str) -> Outcome<Socket> {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0);
    let request = url.into_client_request()?;
    let (mut socket, _) = connect_async_with_config(request, Some(config), true).await?;
    loop {
        let message = socket.next().await.ok_or("the server closed at once")??;
        let text = message.to_text();
        if text.is_ok_and(|text| text.contains("session_started")) {
            return Ok(socket);
        }
    }
}

/// 20 ms of audio as a message. It is made once: callers share a core with the fake vendor, and what
/// they need of it is missing where many of them are measured.
pub(crate) struct Frame {
    text: String,
}

/// What stands before the audio, in a frame that is sent and in one that comes back.
const HEAD: &str = r#"{"type":"audio","data":""#;
/// The time of sending travels in the audio itself; a mark tells ours from others'.
const MARK: &[u8; 4] = b"mark";
/// Time and mark are 12 bytes, which are 16 characters of base64 without a remainder.
const MARK_CHARACTERS: usize = 16;

#[derive(Deserialize)]
struct Audio<'a> {
    data: &'a str,
}

impl Frame {
    pub(crate) fn new(rate: u32) -> Self {
        let pcm = vec![0; rate as usize / 50 * 2];
        Self {
            text: format!("{HEAD}{}\"}}", STANDARD.encode(pcm)),
        }
    }

    pub(crate) fn at(&mut self, time: Duration) -> Message {
        let mut mark = [0; 12];
        mark[..8].copy_from_slice(&(time.as_micros() as u64).to_le_bytes());
        mark[8..].copy_from_slice(MARK);
        let place = HEAD.len()..HEAD.len() + MARK_CHARACTERS;
        self.text.replace_range(place, &STANDARD.encode(mark));
        Message::text(self.text.as_str())
    }

    /// When a frame that comes back was sent; nothing for anything else.
    pub(crate) fn read(message: &Message) -> Option<Duration> {
        let text = message.to_text().ok()?;
        // Relays of other makes write their JSON in another way.
        let data = match text.strip_prefix(HEAD) {
            Some(data) => data,
            None => serde_json::from_str::<Audio<'_>>(text).ok()?.data,
        };
        let mark = STANDARD.decode(data.get(..MARK_CHARACTERS)?).ok()?;
        let time = mark.strip_suffix(MARK)?.try_into().ok()?;
        Some(Duration::from_micros(u64::from_le_bytes(time)))
    }
}

/// Says nothing until it is over.
async fn stay(mut measured: Measured, epoch: Instant) -> Outcome<Call> {
    let ends = measured.wait_for(Option::is_some).await?.clone();
    if let Some(Range { end, .. }) = ends {
        sleep_until(epoch + end).await;
    }
    Ok(Call::default())
}

async fn talk(
    socket: Socket,
    mut frame: Frame,
    epoch: Instant,
    measured: Measured,
) -> Outcome<Call> {
    let (mut send, mut receive) = socket.split();
    let mut call = Call::default();
    let is_measured = |sent: Duration| {
        let measured = measured.borrow();
        measured.as_ref().is_some_and(|range| range.contains(&sent))
    };
    let is_over = |now: Duration| {
        let measured = measured.borrow();
        measured.as_ref().is_some_and(|range| now >= range.end)
    };
    let mut ticks = interval(FRAME_TIME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                // As exact as it travels, so that both ways agree on what is measured.
                let now = Duration::from_micros(epoch.elapsed().as_micros() as u64);
                if is_over(now) {
                    break;
                }
                send.send(frame.at(now)).await?;
                call.sent += u64::from(is_measured(now));
            }
            message = receive.next() => {
                let message = message.ok_or("the server closed in mid-call")??;
                call.note(&message, epoch, is_measured);
            }
        }
    }
    call.drain(&mut receive, epoch, is_measured).await;
    Ok(call)
}

impl Call {
    /// Waits for what is still on its way: frames that are late are not lost, and their times count.
    async fn drain<E>(
        &mut self,
        receive: &mut (impl Stream<Item = Result<Message, E>> + Unpin),
        epoch: Instant,
        is_measured: impl Fn(Duration) -> bool,
    ) {
        let rest = async {
            while (self.times.len() as u64) < self.sent
                && let Some(Ok(message)) = receive.next().await
            {
                self.note(&message, epoch, &is_measured);
            }
        };
        let _ = timeout(COMES_WITHIN, rest).await;
    }

    fn note(&mut self, message: &Message, epoch: Instant, is_measured: impl Fn(Duration) -> bool) {
        if let Some(sent) = Frame::read(message)
            && is_measured(sent)
        {
            let time = epoch.elapsed().saturating_sub(sent);
            self.times.push(time.as_micros() as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_is_late_is_waited_for_and_one_that_never_comes_is_lost() {
        let epoch = Instant::now();
        let frame = Frame::new(24_000).at(Duration::ZERO);
        let late = stream::iter([3, 5]).then(|seconds| {
            let frame = frame.clone();
            async move {
                sleep(Duration::from_secs(seconds)).await;
                Outcome::Ok(frame)
            }
        });
        let mut receive = Box::pin(late.chain(stream::pending()));
        let mut call = Call {
            sent: 3,
            times: Vec::new(),
        };
        call.drain(&mut receive, epoch, |_| true).await;
        let seconds: Vec<u32> = call.times.iter().map(|time| time / 1_000_000).collect();
        assert_eq!(seconds, [3, 8]);
        assert_eq!(epoch.elapsed().as_secs(), COMES_WITHIN.as_secs());

        // Nothing is waited for that has come.
        call.sent = 2;
        call.drain(&mut receive, epoch, |_| true).await;
        assert_eq!(epoch.elapsed().as_secs(), COMES_WITHIN.as_secs());
    }
}
