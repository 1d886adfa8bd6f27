//! What a frame of audio needs done on its way, each piece by itself.

use std::{collections::VecDeque, error::Error, hint::black_box, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use roomkit::{
    audio::Resampler,
    gemini::{self, GeminiSessionConfig, Target},
    openai::{self, AudioCodec, Dialect, OpenAISessionConfig, Redactor},
    provider::{ProviderCommand, SessionSetup},
    transport::ClientCommand,
    websocket::{AudioEncoding, WebSocketTransportConfig, protocol},
};
use roomkit_core::fuzzing;
use ropus::{Channels, DecodeMode, Decoder};
use tokio::time::Instant;

use crate::opus;

/// 20 ms, the time of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// The rate of what the AI says and, with one vendor, hears, in Hz.
const RATE: u32 = 24_000;

/// A piece of work, to be done again and again.
pub struct Piece {
    name: &'static str,
    work: Box<dyn FnMut()>,
}

impl Piece {
    fn new<T>(name: &'static str, mut work: impl FnMut() -> T + 'static) -> Self {
        let work = Box::new(move || drop(black_box(work())));
        Self { name, work }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Does it once.
    pub fn run(&mut self) {
        (self.work)();
    }
}

/// All of them.
///
/// # Errors
///
/// When a codec cannot be had.
pub fn pieces() -> Result<Vec<Piece>, Box<dyn Error + Send + Sync>> {
    let mut pieces = vec![decode_client(), encode_client()];
    pieces.push(Piece::new(
        "call machine, a frame each way",
        fuzzing::frames(),
    ));
    pieces.extend(with_openai()?);
    pieces.extend(with_gemini()?);
    pieces.extend([
        resample("resampler, 24 to 16 kHz", RATE, 16_000),
        resample("resampler, 48 to 24 kHz", 48_000, RATE),
    ]);
    pieces.extend(codec()?);
    Ok(pieces)
}

/// 20 ms of a tone, in PCM16.
fn pcm(rate: u32) -> Bytes {
    samples(rate).iter().flat_map(|s| s.to_le_bytes()).collect()
}

fn samples(rate: u32) -> Vec<i16> {
    let count = rate as usize / 50;
    let tone = (0..count).map(|n| f64::from(n as u32) / f64::from(rate) * 440.0);
    tone.map(|turns| ((turns * std::f64::consts::TAU).sin() * 8_000.0) as i16)
        .collect()
}

fn decode_client() -> Piece {
    let text = format!(
        r#"{{"type":"audio","data":"{}"}}"#,
        STANDARD.encode(pcm(RATE))
    );
    let mut now = Instant::now();
    let config = WebSocketTransportConfig::default();
    let mut decoder = protocol::Decoder::new(&config, RATE, now);
    Piece::new("client frame, decode", move || {
        // As fast as it is spoken, or the limit on that would be measured.
        now += FRAME;
        decoder.text(&text, now)
    })
}

fn encode_client() -> Piece {
    let pcm = pcm(RATE);
    Piece::new("client frame, encode", move || {
        protocol::encode(ClientCommand::Audio(pcm.clone()), AudioEncoding::Base64)
    })
}

fn with_openai() -> Result<[Piece; 2], Box<dyn Error + Send + Sync>> {
    let setup = SessionSetup::new("bench".into());
    let defaults = OpenAISessionConfig::default();
    let mut encoder = openai::protocol::Encoder::new(Dialect::OpenAI, &defaults, &setup)?;
    let command = ProviderCommand::Audio(pcm(RATE));
    let frame = format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"{}"}}"#,
        STANDARD.encode(pcm(RATE))
    );
    let mut decoder =
        openai::protocol::Decoder::new(Dialect::OpenAI, AudioCodec::Pcm, Redactor::default());
    let mut events = VecDeque::new();
    Ok([
        Piece::new("OpenAI frame, encode", move || encoder.encode(&command)),
        Piece::new("OpenAI frame, decode", move || {
            decoder.decode(&frame, &mut events);
            events.pop_front()
        }),
    ])
}

fn with_gemini() -> Result<[Piece; 2], Box<dyn Error + Send + Sync>> {
    let setup = SessionSetup::new("bench".into());
    let session = GeminiSessionConfig::default();
    let target = Target::gemini_api("gemini-3.8-live");
    let mut encoder = gemini::protocol::Encoder::new(&target, &session, &setup)?;
    let command = ProviderCommand::Audio(pcm(16_000));
    let mut frames = VecDeque::new();
    let frame = format!(
        r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm;rate=24000","data":"{}"}}}}]}}}}}}"#,
        STANDARD.encode(pcm(RATE))
    );
    let mut decoder = gemini::protocol::Decoder::new(&session, Redactor::default());
    let mut events = VecDeque::new();
    Ok([
        Piece::new("Gemini frame, encode", move || {
            let outcome = encoder.encode(&command, &mut frames);
            (outcome, frames.pop_front())
        }),
        Piece::new("Gemini frame, decode", move || {
            decoder.decode(frame.as_bytes(), &mut events);
            events.drain(..).count()
        }),
    ])
}

fn resample(name: &'static str, from: u32, to: u32) -> Piece {
    let pcm = pcm(from);
    let mut resampler = Resampler::new(from, to);
    Piece::new(name, move || {
        resampler.as_mut().map(|resampler| resampler.process(&pcm))
    })
}

/// As the WebRTC transport has it.
fn codec() -> Result<[Piece; 2], Box<dyn Error + Send + Sync>> {
    let mut encoder = opus::encoder(RATE, opus::SERVER)?;
    let samples = samples(RATE);
    let mut payload = [0; opus::PACKET];
    let length = encoder.encode(&samples, &mut payload)?;
    let packet = payload.get(..length).unwrap_or_default().to_vec();
    let mut decoder = Decoder::new(RATE, Channels::Mono)?;
    let mut heard = vec![0; samples.len()];
    Ok([
        Piece::new("Opus, encode", move || {
            encoder.encode(&samples, &mut payload)
        }),
        Piece::new("Opus, decode", move || {
            decoder.decode(&packet, &mut heard, DecodeMode::Normal)
        }),
    ])
}
