//! The floor: the least a relay between a caller and the vendor can do.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_async_with_config, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::Outcome;

#[derive(Deserialize)]
struct FromCaller<'a> {
    #[serde(borrow)]
    data: &'a str,
}

#[derive(Deserialize)]
struct FromVendor<'a> {
    #[serde(borrow)]
    r#type: &'a str,
    #[serde(borrow, default)]
    delta: Option<&'a str>,
}

/// Relays until it is killed.
pub(crate) async fn run(listen: SocketAddr, upstream: &str) -> Outcome<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let upstream = upstream.to_owned();
        tokio::spawn(async move {
            // A caller who leaves ends the relay; that is no failure.
            let _ = relay(socket, &upstream).await;
        });
    }
}

async fn relay(socket: TcpStream, upstream: &str) -> Outcome<()> {
    socket.set_nodelay(true)?;
    // As small as the server's, or memory would compare buffers.
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0);
    let mut caller = accept_async_with_config(socket, Some(config)).await?;
    let mut request = upstream.into_client_request()?;
    request
        .headers_mut()
        .insert("authorization", "Bearer sk-bench".parse()?);
    let (mut vendor, _) = connect_async_with_config(request, Some(config), true).await?;
    let update = r#"{"type":"session.update","session":{"type":"realtime"}}"#;
    vendor.send(Message::text(update)).await?;
    let started = r#"{"type":"session_started","output_encoding":"base64"}"#;
    tokio::time::sleep(Duration::from_millis(1)).await;
    caller.send(Message::text(started)).await?;
    loop {
        tokio::select! {
            message = caller.next() => {
                let Some(Message::Text(text)) = message.transpose()? else { return Ok(()) };
                let pcm = STANDARD.decode(serde_json::from_str::<FromCaller<'_>>(&text)?.data)?;
                let mut append = String::with_capacity(pcm.len() * 4 / 3 + 64);
                append.push_str(r#"{"type":"input_audio_buffer.append","audio":""#);
                STANDARD.encode_string(&pcm, &mut append);
                append.push_str("\"}");
                vendor.send(Message::text(append)).await?;
            }
            message = vendor.next() => {
                let Some(message) = message.transpose()? else { return Ok(()) };
                let Message::Text(text) = message else { continue };
                let event = serde_json::from_str::<FromVendor<'_>>(&text)?;
                if let ("response.output_audio.delta", Some(delta)) = (event.r#type, event.delta) {
                    let pcm = STANDARD.decode(delta)?;
                    let mut audio = String::with_capacity(pcm.len() * 4 / 3 + 32);
                    audio.push_str(r#"{"type":"audio","data":""#);
                    STANDARD.encode_string(&pcm, &mut audio);
                    audio.push_str("\"}");
                    caller.send(Message::text(audio)).await?;
                }
            }
        }
    }
}
