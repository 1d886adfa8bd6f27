//! `roomkit-fake-openai`: the fake `OpenAI` Realtime server as a program, for trying a client by
//! hand and as the far end of a load measurement.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use roomkit_mock::fake_openai::{FakeOpenAi, Reply, TranscriptTiming, UserTranscript};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "A fake OpenAI Realtime server. Without --relay it hears turns and echoes them."
)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8765")]
    listen: SocketAddr,
    /// The only key accepted; any if not given.
    #[arg(long, env = "FAKE_OPENAI_KEY")]
    api_key: Option<String>,
    /// Accept one more model name. Can be given several times.
    #[arg(long)]
    model: Vec<String>,
    /// Send every appended chunk straight back, without turns.
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
    tool_call: Vec<(String, String)>,
    /// What every user turn is transcribed to.
    #[arg(long, default_value = "hello from the caller")]
    transcript: String,
    /// When user transcripts arrive.
    #[arg(long, value_enum, default_value_t = When::Delayed)]
    transcript_when: When,
    /// Delay after the commit for `--transcript-when delayed`, in milliseconds.
    #[arg(long, default_value_t = 100)]
    transcript_delay_ms: u64,
    /// Leave out the unknown fields and events that are mixed in by default.
    #[arg(long)]
    no_noise: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    BeforeResponse,
    DuringResponse,
    AfterResponse,
    Delayed,
    Never,
    /// A `.failed` event in place of a transcript.
    Failed,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut builder = FakeOpenAi::builder()
        .listen(arguments.listen)
        .relay(arguments.relay)
        .speed(arguments.speed)
        .speech_level(arguments.speech_level)
        // Noise would only cost time where time is measured.
        .noise(!arguments.no_noise && !arguments.relay)
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
    let server = builder.start().await?;
    writeln!(io::stdout(), "{}", server.url())?;
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}

fn transcript(arguments: &Arguments) -> UserTranscript {
    let completed = UserTranscript::completed(arguments.transcript.as_str());
    match arguments.transcript_when {
        When::BeforeResponse => completed.at(TranscriptTiming::BeforeResponse),
        When::DuringResponse => completed.at(TranscriptTiming::DuringResponse),
        When::AfterResponse => completed.at(TranscriptTiming::AfterResponse),
        When::Delayed => {
            let delay = Duration::from_millis(arguments.transcript_delay_ms);
            completed.at(TranscriptTiming::After(delay))
        }
        When::Never => UserTranscript::never(),
        When::Failed => UserTranscript::failed("audio_unintelligible"),
    }
}

fn parse_tool_call(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, json)| (name.to_owned(), json.to_owned()))
        .ok_or_else(|| {
            format!("'{text}' is not NAME=JSON, such as get_weather={{\"city\":\"Oslo\"}}")
        })
}
