//! The decoders, each as a function of bytes that must not panic.

use std::collections::VecDeque;

use bytes::Bytes;
use roomkit_core::{
    audio::{Resampler, duration_of, g711, level_dbfs},
    client_protocol::{ClientMessage, MessageLimits},
};
use roomkit_provider_gemini::{
    GeminiSessionConfig,
    protocol::{Decoder as GeminiDecoder, tool_parameters},
};
use roomkit_provider_openai::{AudioCodec, Dialect, Redactor, protocol::Decoder as OpenAiDecoder};
use roomkit_transport_webrtc::fuzzing;
use roomkit_transport_ws::{WebSocketTransportConfig, protocol::Decoder as WebSocketDecoder};
use tokio::time::Instant;

/// A decoder, by name.
pub(crate) type Target = (&'static str, fn(&[u8]));

pub(crate) const TARGETS: &[Target] = &[
    ("the client protocol", client_protocol),
    ("the WebSocket transport", websocket),
    ("the WebRTC transport's signalling", fuzzing::signalling),
    ("the WebRTC transport's datagrams", fuzzing::datagrams),
    ("the WebRTC transport's audio", fuzzing::audio),
    ("the Gemini provider", gemini),
    ("the Gemini provider's tool schemas", gemini_schemas),
    ("the OpenAI provider", openai),
    ("the resampler", resampler),
    ("G.711 and the meters", g711_and_meters),
];

fn client_protocol(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = ClientMessage::parse(&text);
    let _ = MessageLimits::default().read(&text);
}

fn websocket(input: &[u8]) {
    let now = Instant::now();
    let mut decoder = WebSocketDecoder::new(&WebSocketTransportConfig::default(), 24_000, now);
    let _ = decoder.text(&String::from_utf8_lossy(input), now);
    let _ = decoder.binary(Bytes::copy_from_slice(input), now);
}

/// The input whole and line by line: a connection's state depends on the frames before.
fn gemini(input: &[u8]) {
    let manual = GeminiSessionConfig {
        server_vad: false,
        ..GeminiSessionConfig::default()
    };
    for session in [GeminiSessionConfig::default(), manual] {
        let mut decoder = GeminiDecoder::new(&session, Redactor::default());
        let mut events = VecDeque::new();
        decoder.decode(input, &mut events);
        for frame in input.split(|byte| *byte == b'\n') {
            decoder.decode(frame, &mut events);
        }
        decoder.finish(&mut events);
    }
}

fn gemini_schemas(input: &[u8]) {
    if let Ok(schema) = serde_json::from_slice(input) {
        tool_parameters(&schema);
    }
}

fn openai(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for (dialect, codec) in [
        (Dialect::OpenAI, AudioCodec::Pcm),
        (Dialect::XAi, AudioCodec::Pcmu),
    ] {
        let mut decoder = OpenAiDecoder::new(dialect, codec, Redactor::default());
        let mut events = VecDeque::new();
        decoder.decode(&text, &mut events);
        decoder.decode(&text, &mut events);
    }
}

fn resampler(input: &[u8]) {
    if let Some(mut resampler) = Resampler::new(24_000, 16_000) {
        resampler.process(input);
        resampler.flush();
    }
}

fn g711_and_meters(input: &[u8]) {
    for law in [g711::Law::Mu, g711::Law::A] {
        g711::encode(law, &g711::decode(law, input));
        g711::encode(law, input);
    }
    level_dbfs(input);
    duration_of(input.len(), 0);
}
