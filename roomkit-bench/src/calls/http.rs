//! Signalling: an offer for an answer. One request per connection, so that a client of some lines
//! will do.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Outcome;

/// Where offers go: the server's own path, and the floor's.
pub(super) const OFFER_PATH: &str = "/rtc/webrtc/offer";

#[derive(Deserialize)]
struct Answer {
    sdp: String,
}

/// Posts an offer and gives the answer, both as SDP.
pub(super) async fn offer(server: SocketAddr, id: &str, sdp: &str) -> Outcome<String> {
    let body = json!({"sdp": sdp, "type": "offer", "webrtc_id": id}).to_string();
    let head = format!(
        "POST {OFFER_PATH} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    socket.write_all((head + &body).as_bytes()).await?;
    let mut response = String::new();
    socket.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no HTTP response")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the offer was refused: {response}").into());
    }
    Ok(serde_json::from_str::<Answer>(body)?.sdp)
}
