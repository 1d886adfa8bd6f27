//! `roomkit-fake-gemini`: the fake Gemini Live server as a program, for trying a client by hand
//! and as the far end of a load measurement.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use roomkit_mock::fake_gemini::{
    ConnectionLife, FakeGemini, Reply, TranscriptTiming, UserTranscript,
};
use serde_json::Value;

#[derive(Debug, Parser)]
#[command(
    version,
    about = "A fake Gemini Live server. Without --relay it hears turns and echoes them."
)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8766")]
    listen: SocketAddr,
    /// The only key accepted; any if not given.
    #[arg(long, env = "FAKE_GEMINI_KEY")]
    api_key: Option<String>,
    /// Accept one more model id. Can be given several times.
    #[arg(long)]
    model: Vec<String>,
    /// Send every chunk of audio straight back, without turns.
    #[arg(long)]
    relay: bool,
    /// How many times faster than real time audio is sent; 0 sends it at once.
    #[arg(long, default_value_t = 8.0)]
    speed: f64,
    /// Loudness that counts as speech: root mean square of 16 bit samples.
    #[arg(long, default_value_t = 500.0)]
    speech_level: f64,
    /// A reply to speak before the echoes begin. Can be given several times, used in order.
    #[arg(long)]
    reply: Vec<String>,
    /// A tool call to answer the first turn with, as NAME=JSON. Can be given several times, used
    /// in order, before --reply.
    #[arg(long, value_parser = parse_tool_call)]
    tool_call: Vec<(String, Value)>,
    /// What every user turn is transcribed to.
    #[arg(long, default_value = "hello from the caller")]
    transcript: String,
    /// When user transcripts arrive.
    #[arg(long, value_enum, default_value_t = When::BeforeResponse)]
    transcript_when: When,
    /// Delay after the turn for `--transcript-when delayed`, in milliseconds.
    #[arg(long, default_value_t = 100)]
    transcript_delay_ms: u64,
    /// How long a connection lasts, in seconds; for ever if not given.
    #[arg(long)]
    life_seconds: Option<u64>,
    /// How long before its end a connection is sent `goAway`, in seconds.
    #[arg(long, default_value_t = 50)]
    notice_seconds: u64,
    /// Answer in text frames in place of binary ones.
    #[arg(long)]
    text_frames: bool,
    /// Leave out the unknown fields and odd frames that are mixed in by default.
    #[arg(long)]
    no_noise: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    DuringSpeech,
    BeforeResponse,
    DuringResponse,
    AfterResponse,
    Delayed,
    Never,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut builder = FakeGemini::builder()
        .listen(arguments.listen)
        .relay(arguments.relay)
        .speed(arguments.speed)
        .speech_level(arguments.speech_level)
        // Noise and line breaks would only cost time where time is measured.
        .noise(!arguments.no_noise && !arguments.relay)
        .pretty(!arguments.relay)
        .default_transcript(transcript(&arguments))
        .record_audio(false)
        .record_events(false);
    if let Some(key) = arguments.api_key {
        builder = builder.api_key(key);
    }
    for name in arguments.model {
        builder = builder.model(name);
    }
    for (name, json) in arguments.tool_call {
        builder = builder.reply(Reply::tool_call(name, json));
    }
    for text in arguments.reply {
        let duration_ms = (text.chars().count() as u64 * 60).max(400);
        builder = builder.reply(Reply::speech(text, duration_ms));
    }
    if let Some(seconds) = arguments.life_seconds {
        let lasts = Duration::from_secs(seconds);
        let notice = Duration::from_secs(arguments.notice_seconds);
        builder = builder.connection_life(ConnectionLife::with_notice(lasts, notice));
    }
    if arguments.text_frames {
        builder = builder.text_frames();
    }
    let server = builder.start().await?;
    writeln!(io::stdout(), "{}", server.url())?;
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}

fn transcript(arguments: &Arguments) -> UserTranscript {
    let completed = UserTranscript::completed(arguments.transcript.as_str());
    match arguments.transcript_when {
        When::DuringSpeech => completed.at(TranscriptTiming::DuringSpeech),
        When::BeforeResponse => completed,
        When::DuringResponse => completed.at(TranscriptTiming::DuringResponse),
        When::AfterResponse => completed.at(TranscriptTiming::AfterResponse),
        When::Delayed => {
            let delay = Duration::from_millis(arguments.transcript_delay_ms);
            completed.at(TranscriptTiming::After(delay))
        }
        When::Never => UserTranscript::never(),
    }
}

fn parse_tool_call(text: &str) -> Result<(String, Value), String> {
    text.split_once('=')
        .and_then(|(name, json)| Some((name.to_owned(), serde_json::from_str(json).ok()?)))
        .ok_or_else(|| {
            format!("'{text}' is not NAME=JSON, such as get_weather={{\"city\":\"Oslo\"}}")
        })
}
