//! A caller: joins, says what its conduct says, counts what it hears, and leaves.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, interval_at, timeout},
};
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent},
    media_stream::track_remote::{TrackRemote, TrackRemoteEvent},
    peer_connection::RTCSessionDescription,
};

use super::{
    conduct::{Conduct, Measured},
    http,
    line::{Line, Lines, filled},
    speech::SPEECH_BYTES,
};
use crate::{Outcome, figures::ms};

pub(super) const FRAME_TIME: Duration = Duration::from_millis(20);
/// 20 ms of silence in Opus.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// How long anything may take until it counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller whose session has begun.
pub(super) struct Caller {
    line: Line,
    channel: Arc<dyn DataChannel>,
    offered: Instant,
    call: Call,
}

/// What a call was like.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Call {
    /// From the offer on, in ms: to the connection, to the session, to the first packet that has
    /// something to say.
    pub(super) connected: f64,
    pub(super) started: f64,
    pub(super) first_audio: Option<f64>,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Those of them that have something to say.
    pub(super) speech: u64,
    /// Packets that never came, by their numbers.
    pub(super) lost: u64,
    pub(super) measured: Measured,
}

impl Caller {
    /// Calls, and waits until the session has begun.
    pub(super) async fn join(lines: &Lines, server: SocketAddr, id: &str) -> Outcome<Self> {
        let line = lines.open().await?;
        match timeout(PATIENCE, joined(&line, server, id)).await {
            Ok(Ok((channel, offered, call))) => Ok(Self {
                line,
                channel,
                offered,
                call,
            }),
            failed => {
                line.close().await;
                Err(match failed {
                    Ok(Err(error)) => error,
                    _ => "joining takes too long".into(),
                })
            }
        }
    }

    /// Talks until it is told to stop, beginning after `offset`.
    pub(super) async fn talk(
        &mut self,
        conduct: &mut dyn Conduct,
        offset: Duration,
        mut stop: watch::Receiver<bool>,
    ) -> Outcome<()> {
        let begin = tokio::time::Instant::now() + offset;
        let mut ticks = interval_at(begin, FRAME_TIME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut track: Option<Arc<dyn TrackRemote>> = None;
        let mut last = None;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return Ok(()),
                _ = ticks.tick() => {
                    if let Some(payload) = conduct.next(Instant::now()) {
                        self.line.say(self.call.sent as u32, payload).await;
                        self.call.sent += 1;
                    }
                }
                found = filled(&self.line.watched.track), if track.is_none() => {
                    track = Some(found?);
                }
                event = heard(track.as_ref()) => {
                    let event = event.ok_or("the server ended the track")?;
                    if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                        let now = Instant::now();
                        let sequence = packet.header.sequence_number;
                        self.count(&packet.payload, sequence, &mut last, now);
                        conduct.heard(&packet.payload, now);
                    }
                }
                event = self.channel.poll() => match event {
                    Some(DataChannelEvent::OnMessage(message)) => {
                        if contains(&message.data, b"\"clear_audio\"") {
                            conduct.cleared(Instant::now());
                        }
                    }
                    Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) | None => {
                        return Err("the server closed the channel".into());
                    }
                    Some(_) => {}
                },
            }
        }
    }

    /// Hangs up.
    pub(super) async fn leave(mut self, conduct: Box<dyn Conduct>) -> Call {
        let _ = self.channel.close().await;
        // The goodbye has to be sent before the line is cut.
        tokio::time::sleep(FRAME_TIME).await;
        self.line.close().await;
        self.call.measured = conduct.measured();
        self.call
    }

    fn count(&mut self, payload: &[u8], sequence: u16, last: &mut Option<u16>, now: Instant) {
        self.call.received += 1;
        let missing = last.map_or(0, |last| sequence.wrapping_sub(last).wrapping_sub(1));
        if missing < u16::MAX / 2 {
            self.call.lost += u64::from(missing);
            *last = Some(sequence);
        }
        if payload.len() > SPEECH_BYTES {
            self.call.speech += 1;
            let offered = self.offered;
            self.call
                .first_audio
                .get_or_insert_with(|| ms(now - offered));
        }
    }
}

async fn joined(
    line: &Line,
    server: SocketAddr,
    id: &str,
) -> Outcome<(Arc<dyn DataChannel>, Instant, Call)> {
    let connection = &line.connection;
    let channel = connection.create_data_channel("text", None).await?;
    let offer = connection.create_offer(None).await?;
    let offer = line.describe(offer).await?;
    let offered = Instant::now();
    let answer = http::offer(server, id, &offer).await?;
    let answer = RTCSessionDescription::answer(answer)?;
    connection.set_remote_description(answer).await?;
    let mut connected = line.watched.connected.subscribe();
    connected.wait_for(|connected| *connected).await?;
    let mut call = Call {
        connected: ms(offered.elapsed()),
        ..Call::default()
    };
    // The microphone is open from the beginning, as a browser's.
    let mut ticks = interval(FRAME_TIME);
    let mut said = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                line.say(said, Bytes::from_static(&SILENCE)).await;
                said += 1;
            }
            event = channel.poll() => {
                let event = event.ok_or("the server hung up at once")?;
                if let DataChannelEvent::OnMessage(message) = event
                    && contains(&message.data, b"\"session_started\"")
                {
                    break;
                }
            }
        }
    }
    call.started = ms(offered.elapsed());
    call.sent = u64::from(said);
    Ok((channel, offered, call))
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without anybody who could say so, it is time as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn heard(track: Option<&Arc<dyn TrackRemote>>) -> Option<TrackRemoteEvent> {
    match track {
        Some(track) => track.poll().await,
        None => std::future::pending().await,
    }
}

fn contains(message: &[u8], word: &[u8]) -> bool {
    message.windows(word.len()).any(|part| part == word)
}
