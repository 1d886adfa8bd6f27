//! A call over the strict fake of the vendor, over real sockets: whatever it would not accept from
//! us is a violation.

use roomkit_core::provider::{
    ProviderCommand, ProviderConnection, ProviderError, ProviderEvent, RealtimeVoiceProvider,
    ResponseStatus, Role, SessionSetup,
};
use roomkit_mock::fake_openai::{Closure, FakeConnection, FakeOpenAi, FakeOpenAiBuilder};
use roomkit_provider_openai::{OpenAIConfig, OpenAIRealtimeProvider};
use serde_json::Value;

use super::{KEY, next, setup};

pub(crate) fn provider(server: &FakeOpenAi) -> OpenAIRealtimeProvider {
    OpenAIRealtimeProvider::new(OpenAIConfig {
        api_key: Some(KEY.into()),
        base_url: server.url(),
        ..OpenAIConfig::default()
    })
    .unwrap()
}

pub(crate) fn with_config(config: Value) -> SessionSetup {
    let mut setup = setup();
    setup.provider_config = serde_json::from_value(config).unwrap();
    setup
}

pub(crate) struct Call {
    pub(crate) server: FakeOpenAi,
    pub(crate) peer: FakeConnection,
    pub(crate) connection: ProviderConnection,
}

impl Call {
    pub(crate) async fn start(server: FakeOpenAiBuilder, setup: SessionSetup) -> Self {
        let server = server.api_key(KEY).start().await.unwrap();
        let connection = provider(&server).connect(setup).await.unwrap();
        let peer = server.wait_for_connection(0).await.unwrap();
        Self {
            server,
            peer,
            connection,
        }
    }

    pub(crate) async fn send(&mut self, command: ProviderCommand) {
        self.connection.sink.send(command).await.unwrap();
    }

    /// Half a second of voice and a second of silence, at the connection's rate.
    pub(crate) async fn speak(&mut self) {
        let rate = self.connection.info.capabilities.input_rate as usize;
        for sample in 0..rate * 3 / 2 / 160 {
            let is_voice = sample * 160 < rate / 2;
            let pcm: Vec<u8> = (0..160_i16)
                .flat_map(|at| {
                    let level = if at % 40 < 20 { 8_000_i16 } else { -8_000 };
                    (if is_voice { level } else { 0 }).to_le_bytes()
                })
                .collect();
            self.send(ProviderCommand::Audio(pcm.into())).await;
        }
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

    pub(crate) async fn until_ended(&mut self) -> Vec<ProviderEvent> {
        self.until(|event| matches!(event, ProviderEvent::ResponseEnded { .. }))
            .await
    }

    pub(crate) async fn closed(&mut self) -> ProviderError {
        loop {
            if let ProviderEvent::Closed(error) = next(&mut self.connection).await {
                return error.expect("not as asked");
            }
        }
    }

    pub(crate) async fn end(mut self) {
        assert_eq!(self.peer.violations(), []);
        self.connection.sink.close().await;
        let closure = self.peer.wait_for_close().await.unwrap();
        assert_eq!(closure, Closure::ByClient(Some(1000)));
        self.server.shutdown().await;
    }
}

pub(crate) fn audio_bytes(events: &[ProviderEvent]) -> usize {
    events
        .iter()
        .map(|event| match event {
            ProviderEvent::Audio { pcm, .. } => pcm.len(),
            _ => 0,
        })
        .sum()
}

pub(crate) fn finals(events: &[ProviderEvent], wanted: Role) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            ProviderEvent::Transcript {
                role,
                text,
                is_final: true,
                ..
            } if *role == wanted => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

pub(crate) fn status(events: &[ProviderEvent]) -> &ResponseStatus {
    match events.last() {
        Some(ProviderEvent::ResponseEnded { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn text(text: &str) -> ProviderCommand {
    ProviderCommand::Text {
        role: Role::User,
        text: text.into(),
        respond: false,
    }
}
