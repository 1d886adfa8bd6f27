//! The decoders and the call machine, each as a function of bytes that must not panic.

use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use roomkit_core::{
    audio::{Resampler, duration_of, g711, level_dbfs},
    client_protocol::{ClientMessage, MessageLimits},
    fuzzing,
    provider::ProviderErrorKind,
};
use roomkit_dial::{ErrorTable, Redactor};
use roomkit_http::{Admission, AdmissionConfig, AuthRequest};
use roomkit_provider_gemini::{
    GeminiSessionConfig, Modality,
    protocol::{Decoder as GeminiDecoder, tool_parameters},
};
use roomkit_provider_openai::{AudioCodec, Dialect, protocol::Decoder as OpenAiDecoder};
use roomkit_transport_ws::{WebSocketTransportConfig, protocol::Decoder as WebSocketDecoder};
use tokio::time::Instant;

/// What takes bytes that others send, by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("call", fuzzing::call),
    ("client_protocol", client_protocol),
    ("websocket", websocket),
    (
        "webrtc_signalling",
        roomkit_transport_webrtc::fuzzing::signalling,
    ),
    (
        "webrtc_datagrams",
        roomkit_transport_webrtc::fuzzing::datagrams,
    ),
    ("webrtc_audio", roomkit_transport_webrtc::fuzzing::audio),
    ("webrtc_reports", roomkit_transport_webrtc::fuzzing::reports),
    ("gemini", gemini),
    ("gemini_schemas", gemini_schemas),
    ("openai", openai),
    ("refusals", refusals),
    ("request_heads", request_heads),
    ("mcp", roomkit_mcp::fuzzing::messages),
    ("minted_tokens", roomkit_server::fuzzing::tokens),
    ("jwt", roomkit_server::fuzzing::jwt),
    ("config", roomkit_server::fuzzing::config),
    ("recording", roomkit_recording::fuzzing::pages),
    ("resampler", resampler),
    ("g711_and_meters", g711_and_meters),
];

/// Runs the target of this name; what a libFuzzer target consists of.
///
/// # Panics
///
/// When the target does, which is what one looks for, or when there is none of this name.
pub fn run(name: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("no target is called `{name}`"));
    target(input);
}

fn client_protocol(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = ClientMessage::parse(&text);
    let _ = MessageLimits::default().read(&text);
}

/// The input whole and line by line: what a client may still send depends on what it has sent.
fn websocket(input: &[u8]) {
    let now = Instant::now();
    let mut decoder = WebSocketDecoder::new(&WebSocketTransportConfig::default(), 24_000, now);
    let text = String::from_utf8_lossy(input);
    let _ = decoder.text(&text, now);
    for frame in text.lines() {
        let _ = decoder.text(frame, now);
    }
    let _ = decoder.binary(Bytes::copy_from_slice(input), now);
}

/// The input whole and line by line: a connection's state depends on the frames before.
fn gemini(input: &[u8]) {
    let manual = GeminiSessionConfig {
        server_vad: false,
        ..GeminiSessionConfig::default()
    };
    let written = GeminiSessionConfig {
        response_modalities: vec![Modality::Text],
        ..GeminiSessionConfig::default()
    };
    for session in [GeminiSessionConfig::default(), manual, written] {
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

/// The input whole, twice, and line by line, for the same reason as with Gemini.
fn openai(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for (dialect, codec) in [
        (Dialect::OpenAI, AudioCodec::Pcm),
        (Dialect::OpenAI, AudioCodec::Pcma),
        (Dialect::XAi, AudioCodec::Pcm),
        (Dialect::XAi, AudioCodec::Pcmu),
    ] {
        let mut decoder = OpenAiDecoder::new(dialect, codec, Redactor::default());
        let mut events = VecDeque::new();
        decoder.decode(&text, &mut events);
        decoder.decode(&text, &mut events);
        for frame in text.lines() {
            decoder.decode(frame, &mut events);
        }
    }
}

/// What vendors say as they close a socket or refuse to open one.
fn refusals(input: &[u8]) {
    const ERRORS: ErrorTable = ErrorTable::new()
        .codes(&[("rate_limit_exceeded", ProviderErrorKind::RateLimited)])
        .wording(&[("quota", ProviderErrorKind::Quota)]);
    let redactor = Redactor::new(vec!["a-secret-of-some-length".to_owned().into()]);
    let code = input.first_chunk().map(|code| u16::from_be_bytes(*code));
    let _ = ERRORS.closed(code, &String::from_utf8_lossy(input), &redactor);
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY] {
        let _ = ERRORS.refused(status, input, "base_url", &redactor);
    }
}

/// The target in the first line, a header in each other: who asks, from where, and for what.
fn request_heads(input: &[u8]) {
    let config = AdmissionConfig {
        trusted_proxies: 1,
        ..AdmissionConfig::default()
    };
    let Ok(admission) = Admission::new(&config) else {
        return;
    };
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut request = Request::builder().uri(lines.next().unwrap_or_default());
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let peer = Some(SocketAddr::from(([203, 0, 113, 7], 443)));
    // Nothing in it waits without a hook of a host's.
    let _ = admission.admit(&parts, peer).now_or_never();
    let request = AuthRequest::new(&parts, peer);
    let _ = (request.bearer_token(), request.id("room"));
}

/// Pairs of rates that transports and vendors make, in pieces as long as the first byte says.
fn resampler(input: &[u8]) {
    let Some((length, pcm)) = input.split_first() else {
        return;
    };
    for (from, to) in [
        (24_000, 16_000),
        (16_000, 24_000),
        (48_000, 24_000),
        (8_000, 24_000),
        (24_000, 8_000),
    ] {
        let Some(mut resampler) = Resampler::new(from, to) else {
            continue;
        };
        for piece in pcm.chunks(1 + usize::from(*length)) {
            resampler.process(piece);
        }
        resampler.flush();
        resampler.reset();
        resampler.process(pcm);
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::input;

    fn names() -> BTreeSet<String> {
        TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    #[test]
    fn x5_cargo_fuzz_has_each_target() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let mut files = BTreeSet::new();
        for file in fs::read_dir(folder.join("fuzz_targets")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(&format!("run(\"{name}\", input)")), "{text}");
            files.insert(name);
        }
        assert_eq!(files, names());
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for name in names() {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        }
        let readme = include_str!("../README.md");
        assert!(
            names()
                .iter()
                .all(|name| readme.contains(&format!("`{name}`")))
        );
    }

    #[test]
    fn x5_the_first_inputs_of_all() {
        for seed in 0..300 {
            let input = input(seed);
            for (_, target) in TARGETS {
                target(&input);
            }
        }
    }
}
