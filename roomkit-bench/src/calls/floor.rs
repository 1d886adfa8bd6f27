//! The floor: the least a server of WebRTC callers can do. It sends each packet back as it is, and
//! knows no codec.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use webrtc::{
    data_channel::DataChannelEvent, media_stream::track_remote::TrackRemoteEvent,
    peer_connection::RTCSessionDescription,
};

use super::{
    http::OFFER_PATH,
    line::{Line, Lines, filled},
};
use crate::Outcome;

#[derive(Deserialize)]
struct Offer {
    sdp: String,
}

#[derive(Serialize)]
struct Answer {
    sdp: String,
    r#type: &'static str,
}

/// Reflects until it is killed.
pub(crate) async fn run(listen: SocketAddr) -> Outcome<()> {
    let router = Router::new()
        .route(OFFER_PATH, post(offered))
        .with_state(Arc::new(Lines::new()?));
    let listener = TcpListener::bind(listen).await?;
    Ok(axum::serve(listener, router).await?)
}

async fn offered(
    State(lines): State<Arc<Lines>>,
    Json(offer): Json<Offer>,
) -> Result<Json<Answer>, (StatusCode, String)> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    };
    let line = Arc::new(lines.open().await.map_err(failed)?);
    match answer(&line, offer.sdp).await {
        Ok(sdp) => {
            tokio::spawn(hang_up_with(Arc::clone(&line)));
            tokio::spawn(async move { reflect(&line).await });
            Ok(Json(Answer {
                sdp,
                r#type: "answer",
            }))
        }
        Err(error) => {
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

async fn reflect(line: &Line) -> Outcome<()> {
    let track = filled(&line.watched.track).await?;
    while let Some(event) = track.poll().await {
        if let TrackRemoteEvent::OnRtpPacket(packet) = event {
            line.send(packet).await;
        }
    }
    Ok(())
}

/// Closes the line when the caller has closed its data channel.
async fn hang_up_with(line: Arc<Line>) -> Outcome<()> {
    let channel = filled(&line.watched.channel).await?;
    // Callers wait for this of the server, and speak after it.
    channel.send_text(r#"{"type":"session_started"}"#).await?;
    while let Some(event) = channel.poll().await {
        if let DataChannelEvent::OnClosing | DataChannelEvent::OnClose = event {
            break;
        }
    }
    line.close().await;
    Ok(())
}
