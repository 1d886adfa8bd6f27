//! A kit with one voice channel in the room `lobby`, and the vendor behind a proxy.

use std::sync::Arc;

use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    event::{
        HandOverPhase, RealtimeErrorEvent, RealtimeHandOverEvent, RealtimeResponseEvent,
        ResponsePhase,
    },
    mock::{
        MockRealtimeTransport,
        fake_gemini::{self, FakeGemini, FakeGeminiBuilder},
        fake_openai::FakeOpenAiBuilder,
        fault_proxy::FaultProxy,
    },
    registry::Registry,
    voice::RealtimeVoiceChannelBuilder,
};
use serde_json::{Map, Value};

use super::{
    Call, Log, Vendor, soon,
    vendor::{Builder, Fake},
};

pub(crate) const ROOM: &str = "lobby";

type Adjust = Box<dyn FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder + Send>;

/// A house that is still to be opened.
pub(crate) struct Setup {
    vendor: Vendor,
    fake: Builder,
    provider: Map<String, Value>,
    channel: Vec<Adjust>,
}

impl Setup {
    pub(crate) fn new(vendor: Vendor) -> Self {
        Self {
            vendor,
            fake: Builder::new(vendor),
            provider: Map::new(),
            channel: Vec::new(),
        }
    }

    /// The fake is to be like this, if it is OpenAI's.
    pub(crate) fn openai(
        mut self,
        adjust: impl FnOnce(FakeOpenAiBuilder) -> FakeOpenAiBuilder,
    ) -> Self {
        if let Builder::OpenAi(fake) = self.fake {
            self.fake = Builder::OpenAi(adjust(fake));
        }
        self
    }

    /// The fake is to be like this, if it is Gemini's.
    pub(crate) fn gemini(
        mut self,
        adjust: impl FnOnce(FakeGeminiBuilder) -> FakeGeminiBuilder,
    ) -> Self {
        if let Builder::Gemini(fake) = self.fake {
            self.fake = Builder::Gemini(adjust(fake));
        }
        self
    }

    /// A field of the provider's configuration.
    pub(crate) fn provider(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.provider.insert(field.into(), value.into());
        self
    }

    pub(crate) fn channel(
        mut self,
        adjust: impl FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder + Send + 'static,
    ) -> Self {
        self.channel.push(Box::new(adjust));
        self
    }

    pub(crate) async fn open(self) -> House {
        let fake = self.fake.start().await;
        let proxy = FaultProxy::start(fake.address()).await.unwrap();
        let mut config = fake.config(proxy.address());
        for (field, value) in self.provider {
            config[&field] = value;
        }
        let registry = Registry::linked().unwrap();
        let provider = registry.provider(self.vendor.provider(), config).unwrap();
        let transport = MockRealtimeTransport::new();
        let clients = Arc::new(transport.clone());
        let mut builder = RealtimeVoiceChannel::builder("voice", provider, clients);
        builder = builder.provider_config(self.vendor.quick());
        for adjust in self.channel {
            builder = adjust(builder);
        }
        let voice = builder.build().unwrap();
        let kit = RoomKit::new();
        kit.register_channel(voice.clone()).unwrap();
        kit.create_room(ROOM).await.unwrap();
        kit.attach_channel(ROOM, "voice").await.unwrap();
        let (hand_overs, responses, errors) = (Log::new(), Log::new(), Log::new());
        let log = hand_overs.clone();
        voice.on_hand_over(move |event: RealtimeHandOverEvent| {
            if let HandOverPhase::Finished {
                reason,
                outcome,
                attempts,
                ..
            } = event.phase
            {
                log.add((reason.as_str(), outcome.as_str(), attempts));
            }
            async {}
        });
        let log = responses.clone();
        voice.on_response_end(move |event: RealtimeResponseEvent| {
            log.add(event.phase);
            async {}
        });
        let log = errors.clone();
        voice.on_error(move |event: RealtimeErrorEvent| {
            log.add(event.code);
            async {}
        });
        House {
            vendor: self.vendor,
            kit,
            voice,
            fake,
            proxy,
            transport,
            hand_overs,
            responses,
            errors,
        }
    }
}

/// Kit, channel, fake vendor, and the proxy between them.
pub(crate) struct House {
    pub(crate) vendor: Vendor,
    pub(crate) kit: RoomKit,
    pub(crate) voice: RealtimeVoiceChannel,
    pub(crate) fake: Fake,
    pub(crate) proxy: FaultProxy,
    transport: MockRealtimeTransport,
    /// Reason, outcome and attempts of each finished hand-over.
    pub(crate) hand_overs: Log<(&'static str, &'static str, u32)>,
    /// How each response ended.
    pub(crate) responses: Log<ResponsePhase>,
    /// The codes of the errors that the host was told.
    pub(crate) errors: Log<String>,
}

impl House {
    pub(crate) async fn new(vendor: Vendor) -> Self {
        Setup::new(vendor).open().await
    }

    pub(crate) async fn call(&self) -> Call {
        Call::start(self).await
    }

    pub(crate) async fn wait_for_hand_overs(&self, count: usize) {
        let what = format!("{count} hand-overs");
        self.hand_overs.wait_for_count(&what, count).await;
    }

    pub(crate) async fn wait_for_responses(&self, count: usize) {
        let what = format!("{count} responses");
        self.responses.wait_for_count(&what, count).await;
    }

    /// The fake, where the test knows that it is Gemini's.
    pub(crate) fn gemini(&self) -> &FakeGemini {
        match &self.fake {
            Fake::Gemini(fake) => fake,
            Fake::OpenAi(_) => panic!("this is OpenAI"),
        }
    }

    pub(crate) async fn gemini_peer(&self, index: usize) -> fake_gemini::FakeConnection {
        self.gemini().wait_for_connection(index).await.unwrap()
    }

    /// What was said in the room, in order.
    pub(crate) async fn texts(&self) -> Vec<String> {
        let query = roomkit::room::TimelineQuery::new().limit(1000);
        let events = self.kit.timeline(ROOM, query).await.unwrap();
        let messages = events
            .iter()
            .filter(|event| event.kind == roomkit::room::EventKind::Message);
        let texts = messages.filter_map(|event| event.content.as_text());
        texts.map(str::to_owned).collect()
    }

    /// Nothing of any session is left on any side, and the vendor had nothing to object to.
    pub(crate) async fn close(self) {
        assert_eq!(self.fake.violations(), []);
        self.close_refused().await;
    }

    /// The same, but the vendor had something to object to.
    pub(crate) async fn close_refused(self) {
        soon("the end of the kit", self.kit.close()).await;
        assert_eq!(self.voice.sessions(), []);
        assert_eq!(self.transport.open_links(), 0);
        for connection in self.proxy.connections() {
            connection.wait_for_end().await;
        }
        self.fake.shutdown().await;
    }
}
