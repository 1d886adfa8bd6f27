//! The floor: the least a relay between WebRTC callers and the vendor can do. It decodes and encodes,
//! and says at 20 ms each what comes faster than that; it knows neither sessions nor loss.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use bytes::Bytes;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use roomkit_bench::opus;
use ropus::{Channels, DecodeMode, Decoder, Encoder};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent},
    media_stream::track_remote::TrackRemoteEvent,
    peer_connection::RTCSessionDescription,
};

use super::{
    caller::FRAME_TIME,
    http::OFFER_PATH,
    line::{Line, Lines, filled},
};
use crate::{
    Outcome,
    floor::{Upstream, Wire, around, dial, text},
};

/// The rate of the AI's audio, in Hz.
const RATE: u32 = 24_000;
const BYTES_OF_FRAME: usize = 2 * RATE as usize / 50;
/// By how much a frame may be late without delaying those after it.
const LATE: Duration = FRAME_TIME;
/// Samples of the longest packet, 120 ms.
const LONGEST: usize = RATE as usize * 120 / 1000;

#[derive(Args)]
pub(crate) struct Options {
    /// Where offers are posted.
    #[arg(long)]
    listen: SocketAddr,
    /// The fake OpenAI.
    #[arg(long)]
    upstream: String,
}

struct Floor {
    lines: Lines,
    upstream: String,
}

#[derive(Deserialize)]
struct Offer {
    sdp: String,
}

#[derive(Serialize)]
struct Answer {
    sdp: String,
    r#type: &'static str,
}

/// Relays until it is killed.
pub(crate) async fn run(options: Options) -> Outcome<()> {
    let floor = Floor {
        lines: Lines::new()?,
        upstream: format!("{}{}", options.upstream, Wire::OPENAI.path),
    };
    let router = Router::new()
        .route(OFFER_PATH, post(offered))
        .with_state(Arc::new(floor));
    let listener = TcpListener::bind(options.listen).await?;
    Ok(axum::serve(listener, router).await?)
}

async fn offered(
    State(floor): State<Arc<Floor>>,
    Json(offer): Json<Offer>,
) -> Result<Json<Answer>, (StatusCode, String)> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    };
    let line = floor.lines.open().await.map_err(failed)?;
    // At once, as the server does: the caller's connection takes its time.
    let vendor = tokio::spawn(async move { dial(&floor.upstream, Wire::OPENAI).await });
    match answer(&line, offer.sdp).await {
        Ok(sdp) => {
            tokio::spawn(async move {
                // A caller who leaves ends the relay; that is no failure.
                let _ = accompany(&line, vendor).await;
                line.close().await;
            });
            Ok(Json(Answer {
                sdp,
                r#type: "answer",
            }))
        }
        Err(error) => {
            vendor.abort();
            line.close().await;
            Err(failed(error))
        }
    }
}

async fn answer(line: &Line, offer: String) -> Outcome<String> {
    let offer = RTCSessionDescription::offer(offer)?;
    line.connection.set_remote_description(offer).await?;
    let answer = line.connection.create_answer(None).await?;
    line.describe(answer).await
}

async fn accompany(line: &Line, vendor: JoinHandle<Outcome<Upstream>>) -> Outcome<()> {
    let channel = filled(&line.watched.channel).await?;
    let vendor = vendor.await??;
    // Callers wait for this of the server, and speak after it.
    channel.send_text(r#"{"type":"session_started"}"#).await?;
    tokio::select! {
        () = hung_up(&*channel) => Ok(()),
        // Boxed: it holds the codecs.
        ended = Box::pin(relay(line, vendor)) => ended,
    }
}

/// Until the caller has closed its data channel.
async fn hung_up(channel: &dyn DataChannel) {
    while let Some(event) = channel.poll().await {
        if let DataChannelEvent::OnClosing | DataChannelEvent::OnClose = event {
            break;
        }
    }
}

async fn relay(line: &Line, mut vendor: Upstream) -> Outcome<()> {
    let wire = Wire::OPENAI;
    let track = filled(&line.watched.track).await?;
    let mut decoder = Decoder::new(RATE, Channels::Mono)?;
    let mut pcm = [0; LONGEST];
    let mut voice = Voice::new()?;
    loop {
        tokio::select! {
            event = track.poll() => match event {
                Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                    let samples = decoder.decode(&packet.payload, &mut pcm, DecodeMode::Normal)?;
                    let pcm = bytes_of(&pcm[..samples]);
                    vendor.send(around(wire.head, &pcm, wire.tail)).await?;
                }
                Some(_) => {}
                None => return Ok(()),
            },
            message = vendor.next() => {
                let Some(message) = message.transpose()? else { return Ok(()) };
                let Some(text) = text(message) else { continue };
                match wire.audio(&text)? {
                    Some(pcm) => voice.waits.extend(pcm),
                    None if text.contains("input_audio_buffer.speech_started") => voice.waits.clear(),
                    None => {}
                }
            }
            () = sleep_until(voice.due), if voice.has_frame() => voice.say(line).await?,
        }
    }
}

/// The AI's, on its way to a caller.
struct Voice {
    encoder: Encoder,
    /// Without a bound: whole answers, where they come faster than they are said.
    waits: VecDeque<u8>,
    /// When the next frame may go.
    due: Instant,
    said: u32,
}

impl Voice {
    fn new() -> Outcome<Self> {
        Ok(Self {
            encoder: opus::encoder(RATE, opus::SERVER)?,
            waits: VecDeque::new(),
            due: Instant::now(),
            said: 0,
        })
    }

    fn has_frame(&self) -> bool {
        self.waits.len() >= BYTES_OF_FRAME
    }

    async fn say(&mut self, line: &Line) -> Outcome<()> {
        let frame: Vec<u8> = self.waits.drain(..BYTES_OF_FRAME).collect();
        let samples = frame.chunks_exact(2);
        let samples: Vec<i16> = samples
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let mut payload = [0; opus::PACKET];
        let length = self.encoder.encode(&samples, &mut payload)?;
        line.say(self.said, Bytes::copy_from_slice(&payload[..length]))
            .await;
        self.said += 1;
        self.due = self.due.max(Instant::now() - LATE) + FRAME_TIME;
        Ok(())
    }
}

fn bytes_of(pcm: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; 2 * pcm.len()];
    for (pair, sample) in bytes.chunks_exact_mut(2).zip(pcm) {
        pair.copy_from_slice(&sample.to_le_bytes());
    }
    bytes
}
