//! Both vendors behind one face.

use roomkit::mock::{fake_gemini, fake_gemini::FakeGemini, fake_openai, fake_openai::FakeOpenAi};
use serde_json::{Map, Value, json};

use super::QUESTION;

pub(crate) const KEY: &str = "test-key-0123456789";

/// What a fake recorded of one connection.
pub(crate) type Peer = fake_openai::FakeConnection;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    OpenAi,
    Gemini,
}

impl Vendor {
    /// The rate it hears, in Hz; its voice has 24 kHz with both.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Self::OpenAi => 24_000,
            Self::Gemini => 16_000,
        }
    }

    /// The name of the provider.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// A session in which 300 ms of silence end a sentence.
    pub(crate) fn quick(self) -> Map<String, Value> {
        let quick = match self {
            Self::OpenAi => json!({"turn_detection":
                {"type": "server_vad", "silence_duration_ms": 300}}),
            Self::Gemini => json!({"silence_duration_ms": 300}),
        };
        quick.as_object().unwrap().clone()
    }

    /// A session in which the host says when the user speaks.
    pub(crate) fn manual(self) -> Map<String, Value> {
        let manual = match self {
            Self::OpenAi => json!({"turn_detection": null}),
            Self::Gemini => json!({"server_vad": false}),
        };
        manual.as_object().unwrap().clone()
    }

    /// What it calls the end of an answer.
    pub(crate) fn end_of_answer(self) -> &'static str {
        match self {
            Self::OpenAi => "response.done",
            Self::Gemini => "turnComplete",
        }
    }

    /// How a planned hand-over takes the conversation along, once the first turn is over.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::OpenAi => "replayed",
            Self::Gemini => "resumed",
        }
    }
}

/// A fake vendor that is still to be started.
pub(crate) enum Builder {
    OpenAi(fake_openai::FakeOpenAiBuilder),
    Gemini(fake_gemini::FakeGeminiBuilder),
}

impl Builder {
    pub(crate) fn new(vendor: Vendor) -> Self {
        match vendor {
            Vendor::OpenAi => Self::OpenAi(
                FakeOpenAi::builder()
                    .api_key(KEY)
                    .default_transcript(fake_openai::UserTranscript::completed(QUESTION)),
            ),
            Vendor::Gemini => Self::Gemini(
                FakeGemini::builder()
                    .api_key(KEY)
                    .default_transcript(fake_gemini::UserTranscript::completed(QUESTION)),
            ),
        }
    }

    pub(crate) async fn start(self) -> Fake {
        match self {
            Self::OpenAi(builder) => Fake::OpenAi(builder.start().await.unwrap()),
            Self::Gemini(builder) => Fake::Gemini(builder.start().await.unwrap()),
        }
    }
}

/// A fake vendor.
pub(crate) enum Fake {
    OpenAi(FakeOpenAi),
    Gemini(FakeGemini),
}

impl Fake {
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        match self {
            Self::OpenAi(fake) => fake.address(),
            Self::Gemini(fake) => fake.address(),
        }
    }

    /// The provider's configuration to reach it through a proxy.
    pub(crate) fn config(&self, proxy: std::net::SocketAddr) -> Value {
        let url = match self {
            Self::OpenAi(_) => format!("ws://{proxy}/v1/realtime"),
            Self::Gemini(_) => format!("ws://{proxy}"),
        };
        json!({"api_key": KEY, "base_url": url, "connect_timeout_ms": 5000})
    }

    /// Every connection so far.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        match self {
            Self::OpenAi(fake) => fake.connections(),
            Self::Gemini(fake) => {
                let all = fake.connections().into_iter();
                all.map(|one| (*one).clone()).collect()
            }
        }
    }

    /// The connection with this index, once it exists.
    pub(crate) async fn peer(&self, index: usize) -> Peer {
        match self {
            Self::OpenAi(fake) => fake.wait_for_connection(index).await.unwrap(),
            Self::Gemini(fake) => (*fake.wait_for_connection(index).await.unwrap()).clone(),
        }
    }

    pub(crate) fn violations(&self) -> Vec<fake_openai::Violation> {
        match self {
            Self::OpenAi(fake) => fake.violations(),
            Self::Gemini(fake) => fake.violations(),
        }
    }

    /// The next answer is this, and so long.
    pub(crate) fn will_say(&self, text: &str, milliseconds: u64) {
        match self {
            Self::OpenAi(fake) => fake.queue_reply(fake_openai::Reply::speech(text, milliseconds)),
            Self::Gemini(fake) => fake.queue_reply(fake_gemini::Reply::speech(text, milliseconds)),
        }
    }

    /// The next answer is this, of which so much comes and then nothing more.
    pub(crate) fn will_stop_saying(&self, text: &str, milliseconds: u64, after: u64) {
        match self {
            Self::OpenAi(fake) => {
                let reply = fake_openai::Reply::speech(text, milliseconds);
                fake.queue_reply(reply.stalling_after_ms(after));
            }
            Self::Gemini(fake) => {
                let reply = fake_gemini::Reply::speech(text, milliseconds);
                fake.queue_reply(reply.stalling_after_ms(after));
            }
        }
    }

    /// The next answer is a call of this tool.
    pub(crate) fn will_call(&self, tool: &str, arguments: &Value) {
        match self {
            Self::OpenAi(fake) => {
                fake.queue_reply(fake_openai::Reply::tool_call(tool, arguments.to_string()));
            }
            Self::Gemini(fake) => {
                fake.queue_reply(fake_gemini::Reply::tool_call(tool, arguments.clone()));
            }
        }
    }

    pub(crate) async fn shutdown(self) {
        match self {
            Self::OpenAi(fake) => fake.shutdown().await,
            Self::Gemini(fake) => fake.shutdown().await,
        }
    }
}
