//! The rules of `docs/write-a-plugin.md` that no compiler sees.
#![allow(clippy::unwrap_used)] // Also in what the test needs.

use async_trait::async_trait;
use roomkit_mock::conformance::{Client, TransportChecks};
use serde_json::json;
use third_party_transport::{PLUGIN, Pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

struct Caller(DuplexStream);

#[async_trait]
impl Client for Caller {
    async fn send_audio(&mut self, pcm: &[u8]) {
        let length = u32::try_from(pcm.len()).unwrap();
        self.0.write_u8(b'a').await.unwrap();
        self.0.write_u32(length).await.unwrap();
        self.0.write_all(pcm).await.unwrap();
    }

    async fn wait_for_end(&mut self) {
        while self.0.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_rules_of_the_guide() {
    TransportChecks::new(PLUGIN, json!({}), || async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (read, write) = tokio::io::split(ours);
        let client: Box<dyn Client> = Box::new(Caller(theirs));
        (Pipe::new(read, write).into(), client)
    })
    .assert_kept()
    .await;
}
