//! A provider with a wire: a byte each way, then whatever comes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use roomkit_core::{
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderCommand, ProviderConnection, ProviderError,
        ProviderErrorKind, ProviderEvent, ProviderSink, RealtimeVoiceProvider, SessionSetup,
        SessionUpdate, UpdateSupport,
    },
    registry::{ConfigError, ProviderPlugin, read_config},
};
use roomkit_mock::conformance::{ProviderChecks, Rule};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::rules;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wired {
    fault: String,
    address: SocketAddr,
}

const PLUGIN: ProviderPlugin = ProviderPlugin {
    name: "wired",
    about: "has one fault at a time",
    build: |config| Ok(Arc::new(read_config::<Wired>(config)?)),
};

impl Wired {
    fn has(&self, fault: &str) -> bool {
        self.fault == fault
    }

    async fn ready(&self) -> std::io::Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address).await?;
        if self.has("keeps attempts") {
            socket = keep(socket);
        }
        socket.write_all(b"h").await?;
        if !self.has("hasty") {
            socket.read_exact(&mut [0]).await?;
        }
        Ok(socket)
    }
}

/// The same socket, of which a task keeps another handle for as long as it lives.
fn keep(socket: TcpStream) -> TcpStream {
    let (socket, kept) = twice(socket);
    tokio::spawn(async move {
        let _kept = kept;
        std::future::pending::<()>().await;
    });
    socket
}

fn twice(socket: TcpStream) -> (TcpStream, TcpStream) {
    let socket = socket.into_std().unwrap();
    let other = socket.try_clone().unwrap();
    let again = |socket| TcpStream::from_std(socket).unwrap();
    (again(socket), again(other))
}

#[async_trait]
impl RealtimeVoiceProvider for Wired {
    fn name(&self) -> &'static str {
        "wired"
    }

    fn capabilities(&self) -> ProviderCapabilities {
        ProviderCapabilities::new(24_000, 24_000)
    }

    fn check_update(
        &self,
        setup: &SessionSetup,
        _: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        match setup.provider_config.keys().next() {
            Some(key) => Err(ConfigError::field(key, "is not known")),
            None => Ok(self.capabilities().updates),
        }
    }

    async fn connect(&self, _: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        let limit = if self.has("patient") { 3600 } else { 1 };
        let gone = |problem| ProviderError::new(ProviderErrorKind::Network, problem);
        let ready = timeout(Duration::from_secs(limit), self.ready()).await;
        let mut socket = ready
            .map_err(|_| gone("not ready in time"))?
            .map_err(|_| gone("gone"))?;
        if self.has("keeps connections") {
            socket = keep(socket);
        }
        let (write, mut read) = twice(socket);
        let error = (!self.has("silent")).then(|| gone("the vendor hung up"));
        let closed = stream::once(async move {
            while read.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
            ProviderEvent::Closed(error)
        });
        Ok(ProviderConnection {
            info: ConnectionInfo::new(self.capabilities()),
            sink: Box::new(Sink(write)),
            events: closed.boxed(),
        })
    }
}

struct Sink(TcpStream);

#[async_trait]
impl ProviderSink for Sink {
    async fn send(&mut self, _: ProviderCommand) -> Result<(), ProviderError> {
        let problem = "it is not understood";
        let sent = self.0.write_all(b"x").await;
        sent.map_err(|_| ProviderError::new(ProviderErrorKind::Network, problem))
    }

    async fn close(&mut self) {
        let _ = self.0.shutdown().await;
    }
}

/// A vendor that is ready for whoever says a word, until they hang up.
async fn vendor() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = client.read_exact(&mut [0]).await;
                let _ = client.write_all(b"r").await;
                while client.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
            });
        }
    });
    address
}

fn checks(fault: &'static str, vendor: SocketAddr) -> ProviderChecks {
    ProviderChecks::with_vendor(
        PLUGIN,
        vendor,
        move |address| json!({ "fault": fault, "address": address }),
    )
}

#[tokio::test]
async fn a_provider_without_a_fault_keeps_every_rule() {
    let vendor = vendor().await;
    checks("none", vendor).assert_kept().await;
}

#[tokio::test]
async fn each_fault_breaks_its_rule() {
    let vendor = vendor().await;
    for (fault, rule) in [
        ("hasty", Rule::Ready),
        ("patient", Rule::GivesUp),
        ("silent", Rule::Why),
        ("keeps attempts", Rule::LeavesNothing),
        ("keeps connections", Rule::LeavesNothing),
    ] {
        // Longer than a sound connection takes: what is broken is waited for in vain.
        let checks = checks(fault, vendor).patience(Duration::from_secs(3));
        let broken = checks.run().await;
        let rules = rules(&broken);
        // Of one that is ready too early nobody can say which connection is cut.
        let only = fault == "hasty" || rules.iter().all(|broken| *broken == rule);
        assert!(only && rules.contains(&rule), "{fault}: {broken:?}");
    }
}
