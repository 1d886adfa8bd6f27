//! The floor: the least a relay between a caller and the vendor can do.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config, client_async_with_config,
    tungstenite::{
        Message, Utf8Bytes, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig,
    },
};

use crate::{Outcome, ws::Vendor};

#[derive(Args)]
pub(crate) struct Options {
    /// Where callers connect.
    #[arg(long)]
    listen: SocketAddr,
    /// The fake vendor.
    #[arg(long)]
    upstream: String,
    /// Whose wire it speaks.
    #[arg(long, value_enum)]
    vendor: Vendor,
}

pub(crate) type Upstream = WebSocketStream<BufReader<TcpStream>>;

/// What a vendor's wire looks like, no more of it than audio needs.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    vendor: Vendor,
    pub(crate) path: &'static str,
    key_header: &'static str,
    key: &'static str,
    setup: &'static str,
    /// A message with this in it says that the vendor is ready.
    ready: &'static str,
    /// What stands before and after a caller's audio.
    pub(crate) head: &'static str,
    pub(crate) tail: &'static str,
}

impl Wire {
    pub(crate) const OPENAI: Self = Self {
        vendor: Vendor::OpenAi,
        path: "?model=gpt-realtime-2.1",
        key_header: "authorization",
        key: "Bearer sk-bench",
        // The detector that the server asks for, or answers would begin at another time.
        setup: r#"{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":{"type":"semantic_vad"}}}}}"#,
        ready: "session.updated",
        head: r#"{"type":"input_audio_buffer.append","audio":""#,
        tail: "\"}",
    };
    const GEMINI: Self = Self {
        vendor: Vendor::Gemini,
        path: "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        key_header: "x-goog-api-key",
        key: "AIza-bench",
        setup: r#"{"setup":{"model":"models/gemini-3.8-live","generationConfig":{"responseModalities":["AUDIO"]}}}"#,
        ready: "setupComplete",
        head: r#"{"realtimeInput":{"audio":{"data":""#,
        tail: r#"","mimeType":"audio/pcm;rate=16000"}}}"#,
    };

    fn of(vendor: Vendor) -> Self {
        match vendor {
            Vendor::OpenAi => Self::OPENAI,
            Vendor::Gemini => Self::GEMINI,
        }
    }

    /// The AI's audio in a message, if that is what it is.
    pub(crate) fn audio(self, text: &str) -> Outcome<Option<Vec<u8>>> {
        let audio = match self.vendor {
            Vendor::OpenAi => {
                let event = serde_json::from_str::<OpenAiEvent<'_>>(text)?;
                event
                    .delta
                    .filter(|_| event.r#type == "response.output_audio.delta")
            }
            Vendor::Gemini => serde_json::from_str::<GeminiMessage<'_>>(text)?
                .server_content
                .and_then(|content| content.model_turn?.parts.into_iter().next())
                .and_then(|part| Some(part.inline_data?.data)),
        };
        Ok(audio.map(|audio| STANDARD.decode(audio)).transpose()?)
    }
}

#[derive(Deserialize)]
struct FromCaller<'a> {
    #[serde(borrow)]
    data: &'a str,
}

#[derive(Deserialize)]
struct OpenAiEvent<'a> {
    #[serde(borrow)]
    r#type: &'a str,
    #[serde(borrow, default)]
    delta: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiMessage<'a> {
    #[serde(borrow, default)]
    server_content: Option<ServerContent<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerContent<'a> {
    #[serde(borrow, default)]
    model_turn: Option<ModelTurn<'a>>,
}

#[derive(Deserialize)]
struct ModelTurn<'a> {
    #[serde(borrow)]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    inline_data: Option<InlineData<'a>>,
}

#[derive(Deserialize)]
struct InlineData<'a> {
    data: &'a str,
}

/// Relays until it is killed.
pub(crate) async fn run(options: Options) -> Outcome<()> {
    let listener = TcpListener::bind(options.listen).await?;
    let wire = Wire::of(options.vendor);
    loop {
        let (socket, _) = listener.accept().await?;
        let upstream = format!("{}{}", options.upstream, wire.path);
        tokio::spawn(async move {
            // A caller who leaves ends the relay; that is no failure.
            let _ = relay(socket, &upstream, wire).await;
        });
    }
}

async fn relay(socket: TcpStream, upstream: &str, wire: Wire) -> Outcome<()> {
    socket.set_nodelay(true)?;
    let mut caller = accept_async_with_config(buffered(socket), Some(config())).await?;
    let mut vendor = dial(upstream, wire).await?;
    let started = r#"{"type":"session_started","output_encoding":"base64"}"#;
    caller.send(Message::text(started)).await?;
    loop {
        tokio::select! {
            message = caller.next() => {
                let Some(Message::Text(text)) = message.transpose()? else { return Ok(()) };
                let pcm = STANDARD.decode(serde_json::from_str::<FromCaller<'_>>(&text)?.data)?;
                vendor.send(around(wire.head, &pcm, wire.tail)).await?;
            }
            message = vendor.next() => {
                let Some(message) = message.transpose()? else { return Ok(()) };
                if let Some(text) = text(message)
                    && let Some(pcm) = wire.audio(&text)?
                {
                    let audio = around(r#"{"type":"audio","data":""#, &pcm, "\"}");
                    caller.send(audio).await?;
                }
            }
        }
    }
}

/// A connection to the vendor that is ready for audio.
pub(crate) async fn dial(upstream: &str, wire: Wire) -> Outcome<Upstream> {
    let mut request = upstream.into_client_request()?;
    let key = HeaderValue::from_static(wire.key);
    request.headers_mut().insert(wire.key_header, key);
    let address = request.uri().authority().ok_or("no address to dial")?;
    let socket = TcpStream::connect(address.as_str()).await?;
    socket.set_nodelay(true)?;
    let (mut vendor, _) =
        client_async_with_config(request, buffered(socket), Some(config())).await?;
    vendor.send(Message::text(wire.setup)).await?;
    while let Some(message) = vendor.next().await.transpose()? {
        if text(message).is_some_and(|text| text.contains(wire.ready)) {
            return Ok(vendor);
        }
    }
    Err("the vendor left at once".into())
}

/// What is read at once: more than a frame.
fn buffered(socket: TcpStream) -> BufReader<TcpStream> {
    BufReader::with_capacity(2 * 1024, socket)
}

/// The library clears all the memory it may read into at each attempt: little of it, and frames are
/// taken from the buffer above, which nobody clears.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
}

/// Vendors send text in frames of either kind.
pub(crate) fn text(message: Message) -> Option<Utf8Bytes> {
    match message {
        Message::Text(text) => Some(text),
        Message::Binary(bytes) => Utf8Bytes::try_from(bytes).ok(),
        _ => None,
    }
}

pub(crate) fn around(head: &str, pcm: &[u8], tail: &str) -> Message {
    let mut text = String::with_capacity(head.len() + pcm.len().div_ceil(3) * 4 + tail.len());
    text.push_str(head);
    STANDARD.encode_string(pcm, &mut text);
    text.push_str(tail);
    Message::text(text)
}
