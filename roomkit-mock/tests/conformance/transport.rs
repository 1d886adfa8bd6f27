//! A transport over pipes in memory, with one fault at a time. A frame is its length, then PCM16.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use roomkit_core::{
    RealtimeSession,
    audio::{Allowance, duration_of},
    registry::{TransportPlugin, read_config},
    transport::{
        AudioOffer, ClientCommand, ClientEvent, ClientLink, ClientSink, Connection, DropReason,
        LinkInfo, RealtimeAudioTransport, TransportError,
    },
};
use roomkit_mock::conformance::{Client, Rule, TransportChecks};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    time::Instant,
};

use super::rules;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Faulty {
    fault: String,
}

const PLUGIN: TransportPlugin = TransportPlugin {
    name: "faulty",
    about: "has one fault at a time",
    build: |config| Ok(Arc::new(read_config::<Faulty>(config)?)),
};

impl Faulty {
    fn has(&self, fault: &str) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl RealtimeAudioTransport for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn accept(
        &self,
        _: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let pipe = match connection.downcast::<DuplexStream>() {
            Ok(pipe) => pipe,
            Err(_) if self.has("vague") => return Err(TransportError::Refused("no".into())),
            Err(error) => return Err(error),
        };
        let (read, write) = tokio::io::split(pipe);
        let rate = if self.has("own rates") {
            48_000
        } else {
            offer.input_rate
        };
        let began = Instant::now();
        let state = (read, Allowance::new(), self.clone());
        let heard = stream::unfold(state, move |(mut read, mut allowance, faulty)| async move {
            let Some(pcm) = frame(&mut read).await else {
                if faulty.has("waits") {
                    future::pending::<()>().await;
                }
                return None;
            };
            let length = duration_of(pcm.len(), offer.input_rate);
            if pcm.len() % 2 == 1 && faulty.has("halves") {
                return None;
            }
            let event = if pcm.len() % 2 == 1 {
                ClientEvent::Dropped(DropReason::OddLength)
            } else if allowance.take(length, began.elapsed()) || faulty.has("floods") {
                ClientEvent::Audio(pcm.into())
            } else {
                ClientEvent::Dropped(DropReason::TooFast)
            };
            Some((event, (read, allowance, faulty)))
        });
        let write = Arc::new(tokio::sync::Mutex::new(write));
        if self.has("keeps") {
            let kept = Arc::clone(&write);
            tokio::spawn(async move {
                let _kept = kept;
                future::pending::<()>().await;
            });
        }
        Ok(ClientLink {
            info: LinkInfo::new(rate, offer.output_rate),
            sink: Box::new(Sink(write)),
            events: heard.boxed(),
        })
    }
}

async fn frame(read: &mut ReadHalf<DuplexStream>) -> Option<Vec<u8>> {
    let length = read.read_u32().await.ok()?;
    let mut pcm = vec![0; length as usize];
    read.read_exact(&mut pcm).await.ok()?;
    Some(pcm)
}

struct Sink(Arc<tokio::sync::Mutex<WriteHalf<DuplexStream>>>);

#[async_trait]
impl ClientSink for Sink {
    async fn send(&mut self, _: ClientCommand) -> Result<(), TransportError> {
        Ok(())
    }

    async fn close(&mut self, _: &str) {
        let _ = self.0.lock().await.shutdown().await;
    }
}

struct Caller(DuplexStream);

#[async_trait]
impl Client for Caller {
    async fn send_audio(&mut self, pcm: &[u8]) {
        let length = u32::try_from(pcm.len()).unwrap();
        self.0.write_u32(length).await.unwrap();
        self.0.write_all(pcm).await.unwrap();
    }

    async fn wait_for_end(&mut self) {
        while self.0.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

fn checks(fault: &str) -> TransportChecks {
    TransportChecks::new(PLUGIN, json!({ "fault": fault }), || async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let client: Box<dyn Client> = Box::new(Caller(theirs));
        (Connection::new(ours), client)
    })
    .patience(Duration::from_secs(5))
}

#[tokio::test(start_paused = true)]
async fn each_fault_breaks_its_rule_and_no_other() {
    checks("none").assert_kept().await;
    for (fault, rule) in [
        ("vague", Rule::Connection),
        ("own rates", Rule::Rates),
        ("halves", Rule::HalfSamples),
        ("floods", Rule::TooFast),
        ("waits", Rule::Closed),
        ("keeps", Rule::LeavesNothing),
    ] {
        let broken = checks(fault).run().await;
        assert_eq!(rules(&broken), [rule], "{fault}: {broken:?}");
    }
}
