//! The rules of `docs/write-a-plugin.md` that no compiler sees.
#![allow(clippy::unwrap_used)] // Also in what the test needs.

use std::net::SocketAddr;

use roomkit_mock::conformance::ProviderChecks;
use serde_json::json;
use third_party_provider::{FromVendor, PLUGIN, ToVendor};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A vendor that is ready for everybody and answers pings, until they hang up.
async fn vendor() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

async fn serve(socket: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            ToVendor::Hello { .. } => FromVendor::Ready,
            ToVendor::Ping => FromVendor::Pong,
            _ => continue,
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        write.write_all(&line).await?;
    }
    Ok(())
}

#[tokio::test]
async fn it_keeps_the_rules_of_the_guide() {
    ProviderChecks::with_vendor(
        PLUGIN,
        vendor().await,
        |address| json!({ "address": address.to_string(), "connect_timeout_ms": 1000 }),
    )
    .assert_kept()
    .await;
}
