//! A server of this process on a free port, and clients that speak to it over real sockets.

#[cfg(unix)]
pub(crate) mod program;
#[cfg(unix)]
pub(crate) mod tls;

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use roomkit_server::{Reload, Reloaded, Server, ServerError, config::Config};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
    },
};

/// Only there to fail: nothing here takes nearly as long.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it did not happen")
}

// ----- the server

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    reload: Reload,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl TestServer {
    /// Starts a server with these settings, laid over a free port.
    pub(crate) async fn start(settings: &str) -> Self {
        let server = Server::bind(config(settings)).await.unwrap();
        let (address, reload) = (server.address(), server.reload(None));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            reload,
            stop: Some(stop),
            running,
        }
    }

    /// Gives it other settings while it runs.
    pub(crate) async fn reload(&self, settings: &str) -> Reloaded {
        self.try_reload(settings).await.unwrap()
    }

    /// The same, of settings that may be refused.
    pub(crate) async fn try_reload(&self, settings: &str) -> Result<Reloaded, ServerError> {
        self.reload.take_over(&config(settings)).await
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        drop(self.stop);
        soon(self.running).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        request(self.address, "DELETE", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let json = [("content-type", "application/json")];
        request(self.address, "POST", path, &json, &body.to_string()).await
    }

    pub(crate) async fn call(&self, query: &str) -> Socket {
        Socket::open(self.address, &format!("/ws{query}"), &[])
            .await
            .unwrap()
    }

    /// A call that has begun, and its room.
    pub(crate) async fn session(&self, query: &str) -> (Socket, String) {
        let mut caller = self.call(query).await;
        let started = caller.until("session_started").await;
        let room = started["room_id"].as_str().unwrap().to_owned();
        (caller, room)
    }

    pub(crate) async fn dashboard(&self, room: &str, query: &str) -> Socket {
        let path = format!("/rooms/{room}/events{query}");
        Socket::open(self.address, &path, &[]).await.unwrap()
    }
}

fn config(settings: &str) -> Config {
    let mut config: Config = toml::from_str(settings).unwrap();
    config.listen = "127.0.0.1:0".into();
    // A test may keep its one thread as busy as it likes.
    config.limits.max_load = 1.0;
    config.limits.max_timer_lateness_ms = 0;
    config
}

// ----- HTTP

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Checks an error: its status, its code, and that the message is for people.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(!message.is_empty());
        message.to_owned()
    }
}

pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let text = request_text(&address.to_string(), method, path, &lines.concat(), body);
    raw_request(address, text.as_bytes()).await
}

/// `headers` are whole lines.
pub(crate) fn request_text(
    host: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

pub(crate) async fn raw_request(address: SocketAddr, bytes: &[u8]) -> Answer {
    soon(async {
        let socket = TcpStream::connect(address).await.unwrap();
        exchange(socket, bytes).await
    })
    .await
}

/// Sends a request that ends the connection, and reads the answer.
pub(crate) async fn exchange<S>(mut socket: S, bytes: &[u8]) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    soon(async {
        // A server that has heard enough may close before it has read everything.
        let _ = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    })
    .await
}

// ----- WebSockets

/// A client of either socket: text frames are JSON with `type`, binary ones are audio.
pub(crate) struct Socket {
    frames: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Everything that came and was not asked for.
    pub(crate) passed: VecDeque<Value>,
    /// Bytes of PCM16.
    pub(crate) audio: Vec<u8>,
    /// The code of the close frame, once one has come.
    pub(crate) close_code: Option<u16>,
}

impl Socket {
    pub(crate) async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
        let (socket, _) = soon(Box::pin(connect_async(request))).await?;
        Ok(Self {
            frames: socket,
            passed: VecDeque::new(),
            audio: Vec::new(),
            close_code: None,
        })
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        soon(self.frames.send(Message::text(text))).await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) {
        soon(self.frames.send(Message::binary(bytes)))
            .await
            .unwrap();
    }

    /// Sends more than the server takes: it may close before it has read everything.
    pub(crate) async fn overdo(&mut self, bytes: Vec<u8>) {
        let _ = soon(self.frames.send(Message::binary(bytes))).await;
    }

    /// Closes it, as a page does that is left.
    pub(crate) async fn close(&mut self) {
        soon(self.frames.close(None)).await.unwrap();
    }

    /// Whether the other side closes as well before the connection ends.
    pub(crate) async fn ends_cleanly(&mut self) -> bool {
        loop {
            match soon(self.frames.next()).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    }

    /// Speaks for 600 ms and is silent for 700, in frames of 20 ms.
    pub(crate) async fn speak(&mut self) {
        for frame in 0..65 {
            self.send_bytes(if frame < 30 { tone() } else { vec![0; 960] })
                .await;
        }
    }

    /// The next JSON message, or `None` at the end; audio on the way is kept.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match soon(self.frames.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Some(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Binary(pcm))) => self.audio.extend_from_slice(&pcm),
                Some(Ok(Message::Close(frame))) => {
                    self.close_code = frame.map(|frame| frame.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next message that is meant; what comes before is put aside.
    pub(crate) async fn find(&mut self, meant: impl Fn(&Value) -> bool) -> Value {
        loop {
            let Some(message) = self.next().await else {
                panic!("the socket ended after {:#?}", self.passed);
            };
            if meant(&message) {
                return message;
            }
            self.passed.push_back(message);
        }
    }

    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        self.find(|message| message["type"] == kind).await
    }

    /// The next final words of this role that contain `part`.
    pub(crate) async fn words(&mut self, role: &str, part: &str) -> String {
        let message = self
            .find(|message| {
                message["type"] == "transcription"
                    && message["role"] == role
                    && message["is_final"] == true
                    && message["text"].as_str().unwrap().contains(part)
            })
            .await;
        message["text"].as_str().unwrap().to_owned()
    }

    /// On a dashboard: the next stored message that contains `part`.
    pub(crate) async fn stored(&mut self, part: &str) -> Value {
        let message = self
            .find(|message| {
                let body = message["event"]["content"]["body"].as_str();
                message["type"] == "event" && body.is_some_and(|body| body.contains(part))
            })
            .await;
        message["event"].clone()
    }

    /// Whether the session still answers.
    pub(crate) async fn ping(&mut self) {
        let id = json!("still there?");
        self.send(json!({"type": "ping", "id": id})).await;
        self.find(|message| message["type"] == "pong" && message["id"] == id)
            .await;
    }

    pub(crate) async fn hang_up(mut self) {
        self.send(json!({"type": "end"})).await;
        self.until("session_ended").await;
    }
}

/// 20 ms of a tone at 24 kHz.
fn tone() -> Vec<u8> {
    (0..480_i32)
        .flat_map(|sample| {
            let phase = sample % 60;
            let level = if phase < 30 { 8000_i16 } else { -8000 };
            level.to_le_bytes()
        })
        .collect()
}

/// What an upgrade was refused with.
pub(crate) fn refusal(opened: Result<Socket, Error>) -> (u16, Value, Option<String>) {
    match opened {
        Err(Error::Http(answer)) => {
            let retry = answer.headers().get("retry-after");
            let retry = retry.map(|value| value.to_str().unwrap().to_owned());
            let body = answer.body().clone().unwrap_or_default();
            (
                answer.status().as_u16(),
                serde_json::from_slice(&body).unwrap(),
                retry,
            )
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}
