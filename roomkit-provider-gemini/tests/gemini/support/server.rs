//! A provider and the fake of the vendor, over real sockets.

use std::time::Duration;

use futures_util::StreamExt;
use roomkit_core::provider::{
    ProviderCommand, ProviderConnection, ProviderError, ProviderEvent, RealtimeVoiceProvider,
    SessionSetup,
};
use roomkit_mock::fake_gemini::{Closure, FakeConnection, FakeGemini, FakeGeminiBuilder};
use roomkit_provider_gemini::{GeminiConfig, GeminiLiveProvider};
use serde_json::Value;

use super::told;

pub(crate) const KEY: &str = "AIzaTest0123456789";

pub(crate) fn config(server: &FakeGemini, model: &str) -> GeminiConfig {
    GeminiConfig {
        api_key: Some(KEY.into()),
        base_url: Some(server.base_url()),
        model: model.into(),
        ..GeminiConfig::default()
    }
}

pub(crate) fn provider(server: &FakeGemini, model: &str) -> GeminiLiveProvider {
    GeminiLiveProvider::new(config(server, model)).unwrap()
}

pub(crate) fn setup(provider_config: Value) -> SessionSetup {
    let mut setup = SessionSetup::new("session".into());
    setup.provider_config = serde_json::from_value(provider_config).unwrap();
    setup
}

/// The next event; fails rather than waiting for ever.
pub(crate) async fn next(connection: &mut ProviderConnection) -> ProviderEvent {
    tokio::time::timeout(Duration::from_secs(60), connection.events.next())
        .await
        .expect("an event")
        .expect("the stream goes on")
}

/// A connection whose session is set up, from both ends.
pub(crate) struct Call {
    pub(crate) server: FakeGemini,
    pub(crate) peer: FakeConnection,
    pub(crate) connection: ProviderConnection,
}

impl Call {
    pub(crate) async fn start(server: FakeGeminiBuilder, model: &str, setup: SessionSetup) -> Self {
        let server = server.api_key(KEY).start().await.unwrap();
        Self::on(server, model, setup).await
    }

    pub(crate) async fn on(server: FakeGemini, model: &str, setup: SessionSetup) -> Self {
        let index = server.connections().len();
        let connection = provider(&server, model).connect(setup).await.unwrap();
        let peer = server.wait_for_connection(index).await.unwrap();
        Self {
            server,
            peer,
            connection,
        }
    }

    pub(crate) async fn send(&mut self, command: ProviderCommand) {
        self.connection.sink.send(command).await.unwrap();
    }

    /// As much voice as this, in frames of 20 ms.
    pub(crate) async fn voice(&mut self, milliseconds: usize) {
        for _ in 0..milliseconds / 20 {
            let pcm: Vec<u8> = (0..320_i16)
                .flat_map(|at| (if at % 40 < 20 { 8_000_i16 } else { -8_000 }).to_le_bytes())
                .collect();
            self.send(ProviderCommand::Audio(pcm.into())).await;
        }
    }

    pub(crate) async fn silence(&mut self, milliseconds: usize) {
        for _ in 0..milliseconds / 20 {
            self.send(ProviderCommand::Audio(vec![0; 640].into())).await;
        }
    }

    /// Half a second of voice, and silence that ends the turn.
    pub(crate) async fn speak(&mut self) {
        self.voice(500).await;
        self.silence(1_000).await;
    }

    /// All events up to the first one wanted, it included.
    pub(crate) async fn until(
        &mut self,
        wanted: impl Fn(&ProviderEvent) -> bool,
    ) -> Vec<ProviderEvent> {
        let mut events = Vec::new();
        loop {
            let event = next(&mut self.connection).await;
            assert!(
                !matches!(event, ProviderEvent::Closed(_)),
                "{event:?} after {events:?}"
            );
            events.push(event);
            if events.last().is_some_and(&wanted) {
                return events;
            }
        }
    }

    /// All events of a turn, without the audio and the usage.
    pub(crate) async fn turn(&mut self) -> Vec<String> {
        let ended = |event: &ProviderEvent| matches!(event, ProviderEvent::ResponseEnded { .. });
        let events = self.until(ended).await;
        let is_of_interest = |word: &String| {
            !["audio", "usage", "resumable"]
                .iter()
                .any(|start| word.starts_with(start))
        };
        let words = events
            .iter()
            .map(told)
            .map(|word| match word.split_once(" for ") {
                Some((status, _)) if !status.contains('"') => status.to_owned(),
                _ => word,
            });
        words.filter(is_of_interest).collect()
    }

    /// Why the connection ended.
    pub(crate) async fn closed(&mut self) -> ProviderError {
        loop {
            if let ProviderEvent::Closed(error) = next(&mut self.connection).await {
                return error.expect("not as asked");
            }
        }
    }

    /// Hangs up; nothing that was sent may have displeased the vendor.
    pub(crate) async fn end(mut self) {
        assert_eq!(self.peer.violations(), []);
        self.connection.sink.close().await;
        let closure = self.peer.wait_for_close().await.unwrap();
        assert_eq!(closure, Closure::ByClient(Some(1000)));
        self.server.shutdown().await;
    }
}
