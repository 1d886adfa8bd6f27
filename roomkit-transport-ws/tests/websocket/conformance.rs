//! The rules of `docs/write-a-plugin.md` that no compiler sees.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use roomkit_core::registry::Registry;
use roomkit_mock::conformance::{Client, TransportChecks};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::support::pair;

struct Caller(WebSocketStream<DuplexStream>);

#[async_trait]
impl Client for Caller {
    async fn send_audio(&mut self, pcm: &[u8]) {
        let pcm = Bytes::copy_from_slice(pcm);
        self.0.send(Message::Binary(pcm)).await.unwrap();
    }

    async fn wait_for_end(&mut self) {
        while self.0.next().await.is_some_and(|message| message.is_ok()) {}
    }
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_rules_of_the_guide() {
    let registry = Registry::linked().unwrap();
    let mut plugins = registry.transports();
    let plugin = plugins.find(|plugin| plugin.name == "websocket").unwrap();
    TransportChecks::new(*plugin, json!({}), || async {
        let (server, client) = pair(64 * 1024).await;
        let client: Box<dyn Client> = Box::new(Caller(client));
        (server.into(), client)
    })
    .assert_kept()
    .await;
}
