//! What a hand-over costs the user, over real sockets: audio lost, audio out of order, and how
//! long the vendor hears nothing.
//!
//! The user speaks all the time, in frames of 20 ms that carry their number, so that no quiet moment
//! comes and what each connection of the fake vendor received can be told frame by frame.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Args;
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    event::{HandOverPhase, RealtimeHandOverEvent},
    mock::{
        MockConnection, MockRealtimeTransport,
        fake_gemini::FakeGemini,
        fake_openai::FakeOpenAi,
        fault_proxy::{Cut, Direction, FaultProxy},
    },
    registry::Registry,
    transport::LinkInfo,
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    Outcome,
    arguments::one_or_more,
    figures::ms,
    table::{Cell, Table},
    ws::Vendor,
};

const FRAME: Duration = Duration::from_millis(20);
/// Behind this many bytes from a frame's beginning another frame has begun and not ended: with their
/// JSON they take some 1350 bytes of OpenAI's wire and 950 of Gemini's.
const WITHIN_A_FRAME: u64 = 2_111;

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of each case.
    #[arg(long, default_value_t = 3, value_parser = one_or_more::<usize>())]
    pub(crate) rounds: usize,
}

#[derive(Debug, Clone, Copy)]
enum Case {
    /// The vendor announces the end of the connection.
    Planned,
    /// The connection is cut in the middle of a frame, and the next one takes 500 ms to open.
    Cut,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Cut => "cut",
        }
    }
}

/// What one round showed.
struct Round {
    /// Frames that no connection received.
    lost: usize,
    /// Frames that did not follow the one before them on their connection.
    reordered: usize,
    /// Frames that two connections received.
    repeated: usize,
    /// The longest time in which the vendor received nothing.
    gap: Duration,
    /// From the beginning of the hand-over to the new connection.
    hand_over: Duration,
    held: Duration,
}

pub(crate) async fn run(options: &Options) -> Outcome<Table> {
    let command = format!("roomkit-bench handover --rounds {}", options.rounds);
    let mut table = Table::new("Hand-overs: a user who never stops speaking", command)
        .columns([
            "vendor",
            "case",
            "lost ms",
            "reordered ms",
            "repeated ms",
            "gap ms",
            "hand-over ms",
            "beyond ms",
            "held ms",
        ])
        .note(
            "`planned`: the vendor announces the end of the connection. `cut`: it is cut in the middle of a frame, and the next one takes 500 ms to open. `lost` and \
             `reordered`: audio of the user that no connection received, or out of order. `repeated`: heard by both connections, the sentence that was being spoken. \
             `gap`: the longest time in which the vendor received nothing; `beyond`: what of it is not the hand-over itself.",
        );
    for vendor in [Vendor::OpenAi, Vendor::Gemini] {
        for case in [Case::Planned, Case::Cut] {
            for _ in 0..options.rounds {
                let round = measure(vendor, case).await?;
                let frames = |count: usize| Cell::figure(ms(FRAME) * count as f64, 0);
                let time = |time: Duration| Cell::figure(ms(time), 0);
                table.row([
                    Cell::word(vendor.name()),
                    Cell::word(case.name()),
                    frames(round.lost),
                    frames(round.reordered),
                    frames(round.repeated),
                    time(round.gap),
                    time(round.hand_over),
                    time(round.gap.saturating_sub(round.hand_over)),
                    time(round.held),
                ]);
            }
        }
    }
    Ok(table)
}

async fn measure(vendor: Vendor, case: Case) -> Outcome<Round> {
    let fake = Fake::start(vendor).await?;
    let proxy = FaultProxy::start(fake.address()).await?;
    let provider = Registry::linked()?.provider(
        fake.name(),
        fake.config(&format!("ws://{}", proxy.address())),
    )?;
    let rate = provider.capabilities().input_rate;
    let transport = MockRealtimeTransport::new().with_link(LinkInfo::new(rate, 24_000));
    let voice = RealtimeVoiceChannel::builder("voice", provider, Arc::new(transport)).build()?;
    let (phases, mut handed_over) = mpsc::unbounded_channel();
    voice.on_hand_over(move |event: RealtimeHandOverEvent| {
        let _ = phases.send(event.phase);
        async {}
    });
    let kit = RoomKit::new();
    kit.register_channel(voice.clone())?;
    kit.create_room("bench").await?;
    kit.attach_channel("bench", "voice").await?;
    let connection = MockConnection::new();
    let client = connection.client();
    let session = voice.start_session("bench", "ann", connection).await?;

    let spoken = Arc::new(Mutex::new(0_u16));
    let count = Arc::clone(&spoken);
    let speaking = tokio::spawn(async move {
        let mut clock = interval(FRAME);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            clock.tick().await;
            let Ok(mut next) = count.lock() else { return };
            client.send_audio(frame(*next, rate));
            *next = next.wrapping_add(1);
        }
    });
    sleep(Duration::from_secs(3)).await;
    match case {
        Case::Planned => fake.announces_its_end(),
        Case::Cut => {
            proxy.delay_connect(Duration::from_millis(500));
            let connection = proxy.wait_for_connection(0).await;
            connection.cut_after(Direction::ToServer, WITHIN_A_FRAME, Cut::Reset);
        }
    }
    let (hand_over, held) = loop {
        let phase = handed_over.recv().await.ok_or("the channel is gone")?;
        if let HandOverPhase::Finished { duration, held, .. } = phase {
            break (duration, held);
        }
    };
    // Long enough to catch up and be live again.
    sleep(Duration::from_secs(4)).await;
    speaking.abort();
    sleep(Duration::from_millis(300)).await;
    voice.end_session(&session).await;
    kit.close().await;

    let spoken = *spoken.lock().map_err(|_| "the user panicked")?;
    let mut heard = BTreeSet::new();
    let (mut reordered, mut repeated) = (0, 0);
    let mut arrivals: Vec<Instant> = Vec::new();
    for (numbers, times) in fake.received(rate) {
        reordered += numbers
            .windows(2)
            .filter(|pair| pair[0].wrapping_add(1) != pair[1])
            .count();
        repeated += numbers.iter().filter(|n| !heard.insert(**n)).count();
        arrivals.extend(times);
    }
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(Round {
        lost: (0..spoken).filter(|n| !heard.contains(n)).count(),
        reordered,
        repeated,
        gap: gaps.max().unwrap_or_default(),
        hand_over,
        held,
    })
}

/// 20 ms of noise that begin with their number.
fn frame(number: u16, rate: u32) -> Vec<u8> {
    let samples = rate as usize / 50;
    let noise = (1..samples).map(|n| {
        let wave = (n as u32 ^ u32::from(number)).wrapping_mul(2_654_435_761) >> 17;
        wave as i16 - 16_384
    });
    let number = number.cast_signed();
    std::iter::once(number)
        .chain(noise)
        .flat_map(i16::to_le_bytes)
        .collect()
}

enum Fake {
    OpenAi(FakeOpenAi),
    Gemini(FakeGemini),
}

impl Fake {
    async fn start(vendor: Vendor) -> Outcome<Self> {
        Ok(match vendor {
            // It says when it ends, seven seconds ahead.
            Vendor::OpenAi => Self::OpenAi(
                FakeOpenAi::builder()
                    .announced_lifetime(Some(Duration::from_secs(7)))
                    .start()
                    .await?,
            ),
            Vendor::Gemini => Self::Gemini(FakeGemini::builder().start().await?),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "openai",
            Self::Gemini(_) => "gemini",
        }
    }

    fn address(&self) -> std::net::SocketAddr {
        match self {
            Self::OpenAi(fake) => fake.address(),
            Self::Gemini(fake) => fake.address(),
        }
    }

    fn config(&self, base: &str) -> serde_json::Value {
        match self {
            Self::OpenAi(_) => json!({
                "api_key": "sk-bench",
                "base_url": format!("{base}/v1/realtime"),
            }),
            Self::Gemini(_) => json!({ "api_key": "AIza-bench", "base_url": base }),
        }
    }

    fn announces_its_end(&self) {
        match self {
            // It has, in the beginning.
            Self::OpenAi(_) => {}
            Self::Gemini(fake) => {
                if let Some(connection) = fake.connections().first() {
                    connection.go_away(Duration::from_secs(4));
                }
            }
        }
    }

    /// For each connection the numbers of its frames, and when they came.
    fn received(&self, rate: u32) -> Vec<(Vec<u16>, Vec<Instant>)> {
        let frame_bytes = rate as usize / 50 * 2;
        let read = |audio: roomkit::mock::fake_openai::ReceivedAudio| {
            let numbers = audio.pcm.chunks_exact(frame_bytes);
            let numbers = numbers.map(|frame| u16::from_le_bytes([frame[0], frame[1]]));
            let times = audio.chunks.iter().map(|chunk| chunk.at.into());
            (numbers.collect(), times.collect())
        };
        match self {
            Self::OpenAi(fake) => fake
                .connections()
                .iter()
                .map(|connection| read(connection.received_audio()))
                .collect(),
            Self::Gemini(fake) => fake
                .connections()
                .iter()
                .map(|connection| read(connection.received_audio()))
                .collect(),
        }
    }
}
