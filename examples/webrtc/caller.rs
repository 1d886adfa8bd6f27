//! A caller, where there is no browser: says something in writing, listens, and leaves.

use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use webrtc::{
    data_channel::DataChannelEvent,
    media_stream::track_remote::{TrackRemote, TrackRemoteEvent},
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
        RTCIceGatheringState, RTCSessionDescription,
    },
};

/// Hands on what the library tells.
struct Events {
    gathered: mpsc::Sender<()>,
    tracks: mpsc::Sender<Arc<dyn TrackRemote>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.tracks.try_send(track);
    }
}

pub(crate) async fn call(server: SocketAddr, path: &str) -> Result<(), Box<dyn Error>> {
    let (gathered, mut is_gathered) = mpsc::channel(1);
    let (tracks, mut track) = mpsc::channel(1);
    let mut media = MediaEngine::default();
    media.register_default_codecs()?;
    let building = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_handler(Arc::new(Events { gathered, tracks }))
        .with_udp_addrs(vec!["0.0.0.0:0"])
        .build();
    let peer = Box::pin(building).await?;
    peer.add_transceiver_from_kind(rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Audio, None)
        .await?;
    let messages = peer.create_data_channel("messages", None).await?;

    let offer = peer.create_offer(None).await?;
    peer.set_local_description(offer).await?;
    is_gathered.recv().await;
    let offer = peer.local_description().await.ok_or("no offer")?;
    let request = json!({"type": "offer", "sdp": offer.sdp, "webrtc_id": "caller-1"});
    let path = path.to_owned();
    let answer = tokio::task::spawn_blocking(move || post(server, &path, &request)).await??;
    let sdp = answer["sdp"].as_str().ok_or("refused")?.to_owned();
    peer.set_remote_description(RTCSessionDescription::answer(sdp)?)
        .await?;

    while let Some(event) = messages.poll().await {
        let DataChannelEvent::OnMessage(message) = event else {
            continue;
        };
        let message: Value = serde_json::from_slice(&message.data)?;
        if message["type"] == "session_started" {
            println!("the session has begun, in {}", message["output_encoding"]);
            let hello = json!({"type": "text", "text": "Do you hear me?"});
            messages.send_text(&hello.to_string()).await?;
        } else if message["type"] == "transcription" && message["is_final"] == true {
            println!("{}: {}", message["role"], message["text"]);
            if message["role"] == "assistant" {
                break;
            }
        }
    }
    let track = track.recv().await.ok_or("no track")?;
    println!("{} packets of the voice have come", packets(&*track).await);
    peer.close().await?;
    Ok(())
}

/// Counts what has come so far.
async fn packets(track: &dyn TrackRemote) -> usize {
    let mut count = 0;
    let all = async {
        while let Some(event) = track.poll().await {
            count += usize::from(matches!(event, TrackRemoteEvent::OnRtpPacket(_)));
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(50), all).await;
    count
}

/// One request, by hand: the example needs no client library for it.
fn post(server: SocketAddr, path: &str, body: &Value) -> Result<Value, std::io::Error> {
    let body = body.to_string();
    let mut socket = TcpStream::connect(server)?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    let (_, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    Ok(serde_json::from_str(body)?)
}
