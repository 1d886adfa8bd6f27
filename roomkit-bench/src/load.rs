//! Callers: each sends 20 ms of audio every 20 ms and times its way there and back.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{
    Outcome,
    figures::{percentile, println_now},
};

/// 20 ms of PCM16 at 24 kHz.
const FRAME_BYTES: usize = 960;
const FRAME_TIME: Duration = Duration::from_millis(20);
/// Not measured: the first frames of each caller.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Options {
    /// Where the callers connect.
    #[arg(long)]
    url: String,
    /// How many callers.
    #[arg(long)]
    sessions: usize,
    /// How long they talk, in seconds, after two seconds of warming up.
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

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let mut callers = Vec::new();
    for number in 0..options.sessions {
        let (url, seconds, silent) = (options.url.clone(), options.seconds, options.silent);
        // Spread over a frame's time, as callers are.
        let offset = FRAME_TIME * number as u32 / options.sessions as u32;
        callers.push(tokio::spawn(async move {
            call(&url, started, offset, seconds, silent).await
        }));
        sleep(Duration::from_millis(5)).await;
    }
    // Whoever measures the server waits for this line before it looks.
    println_now("connected")?;
    let mut times = Vec::new();
    let (mut sent, mut received) = (0, 0);
    for caller in callers {
        let call = caller.await??;
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

struct Call {
    sent: u64,
    times: Vec<u32>,
}

async fn call(
    url: &str,
    epoch: Instant,
    offset: Duration,
    seconds: u64,
    silent: bool,
) -> Outcome<Call> {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0);
    let request = url.into_client_request()?;
    let (socket, _) = connect_async_with_config(request, Some(config), true).await?;
    let (mut send, mut receive) = socket.split();
    loop {
        let message = receive.next().await.ok_or("the server closed at once")??;
        if message
            .to_text()
            .is_ok_and(|text| text.contains("session_started"))
        {
            break;
        }
    }
    let mut call = Call {
        sent: 0,
        times: Vec::new(),
    };
    let begins = Instant::now() + WARM_UP;
    let ends = begins + Duration::from_secs(seconds);
    if silent {
        tokio::time::sleep_until(ends).await;
        return Ok(call);
    }
    sleep(offset).await;
    let mut ticks = interval(FRAME_TIME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut pcm = vec![0_u8; FRAME_BYTES];
    loop {
        tokio::select! {
            at = ticks.tick() => {
                if at >= ends {
                    break;
                }
                // The time of sending travels in the audio itself; a mark tells ours from others'.
                let now = epoch.elapsed().as_micros() as u64;
                pcm[..8].copy_from_slice(&now.to_le_bytes());
                pcm[8..12].copy_from_slice(b"mark");
                let mut text = String::with_capacity(FRAME_BYTES * 4 / 3 + 64);
                text.push_str(r#"{"type":"audio","data":""#);
                STANDARD.encode_string(&pcm, &mut text);
                text.push_str("\"}");
                send.send(Message::text(text)).await?;
                call.sent += u64::from(at >= begins);
            }
            message = receive.next() => {
                let message = message.ok_or("the server closed in mid-call")??;
                note(&mut call, &message, epoch, begins);
            }
        }
    }
    // What is still on its way.
    let rest = async {
        while let Some(Ok(message)) = receive.next().await {
            note(&mut call, &message, epoch, begins);
        }
    };
    let _ = timeout(Duration::from_millis(500), rest).await;
    Ok(call)
}

fn note(call: &mut Call, message: &Message, epoch: Instant, begins: Instant) {
    #[derive(Deserialize)]
    struct Audio<'a> {
        r#type: &'a str,
        data: Option<&'a str>,
    }
    let Ok(text) = message.to_text() else { return };
    let Ok(Audio {
        r#type: "audio",
        data: Some(data),
    }) = serde_json::from_str(text)
    else {
        return;
    };
    let Ok(pcm) = STANDARD.decode(data) else {
        return;
    };
    if let (Some(time), Some(b"mark")) = (pcm.first_chunk::<8>(), pcm.get(8..12)) {
        let sent = Duration::from_micros(u64::from_le_bytes(*time));
        if epoch + sent >= begins {
            call.times
                .push(epoch.elapsed().saturating_sub(sent).as_micros() as u32);
        }
    }
}
