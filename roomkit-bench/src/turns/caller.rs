//! One who speaks in turns, and plays what comes as a client without a jitter buffer would.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    Outcome,
    figures::ms,
    load::{self, FRAME_TIME, Socket},
};

const RATE: usize = 24_000;
const SAYS_FOR: Duration = Duration::from_millis(1_200);
/// When an answer is interrupted, this long after it began.
const INTERRUPTS_AFTER: Duration = Duration::from_millis(700);
/// One answer in so many is interrupted.
const INTERRUPTS_EVERY: usize = 5;
/// Between the end of an answer and what is said to it.
const PAUSE: Duration = Duration::from_millis(400);
const REPORTS_EVERY: Duration = Duration::from_millis(200);
/// How long an answer may take to begin until the call counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of them; times in ms.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Turns {
    /// From the last frame of speech to the first of the answer.
    pub(super) first_audio: Vec<f64>,
    /// The same where the AI needed a tool.
    pub(super) after_tool: Vec<f64>,
    /// From the first frame of an interruption to the end of what was played.
    pub(super) heard: Vec<f64>,
    /// Interruptions of which the client was told nothing while they were spoken.
    pub(super) not_cleared: usize,
    /// Audio that came though it was not to be heard any more.
    pub(super) after_clear: f64,
    /// How much of its answer was played when the client was told to stop.
    pub(super) played_at_clear: Vec<f64>,
}

impl Turns {
    pub(super) fn add(&mut self, other: Self) {
        self.first_audio.extend(other.first_audio);
        self.after_tool.extend(other.after_tool);
        self.heard.extend(other.heard);
        self.not_cleared += other.not_cleared;
        self.after_clear += other.after_clear;
        self.played_at_clear.extend(other.played_at_clear);
    }
}

pub(super) struct Caller {
    socket: Socket,
    speaker: Speaker,
    phase: Phase,
    /// A tool was needed for the answer that is awaited.
    with_tool: bool,
    /// The answer that comes is to be interrupted.
    will_interrupt: bool,
    turns: Turns,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The user speaks until then.
    Speaks { until: Instant, interrupts: bool },
    /// The user has finished.
    Waits { since: Instant },
    /// The AI speaks.
    Listens { since: Instant },
}

/// What is played, and when.
struct Speaker {
    /// All that came since the last clear.
    taken: Duration,
    /// When that will have been played.
    ends: Instant,
    /// How much of it belongs to earlier answers.
    earlier: Duration,
}

impl Speaker {
    fn play(&mut self, length: Duration, now: Instant) {
        self.ends = self.ends.max(now) + length;
        self.taken += length;
    }

    fn played(&self, now: Instant) -> Duration {
        self.taken
            .saturating_sub(self.ends.saturating_duration_since(now))
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.ends <= now
    }
}

#[derive(Deserialize)]
struct FromServer<'a> {
    #[serde(borrow)]
    r#type: &'a str,
    #[serde(borrow, default)]
    data: Option<&'a str>,
}

impl Caller {
    pub(super) async fn join(url: &str) -> Outcome<Self> {
        let now = Instant::now();
        Ok(Self {
            socket: load::connect(url).await?,
            speaker: Speaker {
                taken: Duration::ZERO,
                ends: now,
                earlier: Duration::ZERO,
            },
            phase: Phase::Waits { since: now },
            with_tool: false,
            will_interrupt: false,
            turns: Turns::default(),
        })
    }

    /// Hangs up.
    pub(super) fn leave(self) -> Turns {
        self.turns
    }

    /// Speaks so many times, and hears so many answers. `plain`: sends audio and nothing else, and
    /// interrupts nobody.
    pub(super) async fn talk(&mut self, turns: usize, plain: bool) -> Outcome<()> {
        let (speech, silence) = (frame(3_000), frame(0));
        let mut ticks = interval(FRAME_TIME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut reported = Instant::now();
        let mut begun = 1;
        self.speak(false);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let now = Instant::now();
                    if self.has_heard(now) {
                        if begun == turns {
                            return Ok(());
                        }
                        begun += 1;
                        self.will_interrupt = !plain && begun.is_multiple_of(INTERRUPTS_EVERY);
                        self.speak(false);
                    }
                    self.interrupt(now);
                    let frame = if self.speaks(now)? { &speech } else { &silence };
                    self.socket.send(Message::text(frame.as_str())).await?;
                    if !plain && now - reported >= REPORTS_EVERY && !self.speaker.is_silent(now) {
                        reported = now;
                        let played = self.speaker.played(now).as_millis();
                        let report = format!(r#"{{"type":"playback","played_ms":{played}}}"#);
                        self.socket.send(Message::text(report)).await?;
                    }
                }
                message = self.socket.next() => {
                    let message = message.ok_or("the server hung up")??;
                    if let Message::Text(text) = &message {
                        self.hear(text, Instant::now())?;
                    }
                }
            }
        }
    }

    fn speak(&mut self, interrupts: bool) {
        let until = Instant::now() + SAYS_FOR;
        self.phase = Phase::Speaks { until, interrupts };
    }

    /// Whether what is sent now is speech.
    fn speaks(&mut self, now: Instant) -> Outcome<bool> {
        match self.phase {
            Phase::Speaks { until, .. } if now < until => Ok(true),
            Phase::Speaks { interrupts, .. } => {
                self.turns.not_cleared += usize::from(interrupts);
                self.phase = Phase::Waits { since: now };
                Ok(false)
            }
            Phase::Waits { since } if now - since > PATIENCE => Err("no answer".into()),
            Phase::Waits { .. } | Phase::Listens { .. } => Ok(false),
        }
    }

    /// An answer is over, and what it left to think about.
    fn has_heard(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Listens { .. }) && now >= self.speaker.ends + PAUSE
    }

    /// Speaks into an answer that has gone on for some time, if it is one of those.
    fn interrupt(&mut self, now: Instant) {
        if let Phase::Listens { since } = self.phase
            && self.will_interrupt
            && now >= since + INTERRUPTS_AFTER
            && !self.speaker.is_silent(now)
        {
            self.will_interrupt = false;
            self.speak(true);
        }
    }

    fn hear(&mut self, text: &str, now: Instant) -> Outcome<()> {
        let message: FromServer<'_> = serde_json::from_str(text)?;
        match (message.r#type, message.data) {
            ("audio", Some(data)) => {
                let samples = STANDARD.decode(data)?.len() / 2;
                let length = Duration::from_secs_f64(samples as f64 / RATE as f64);
                self.hear_audio(length, now);
            }
            ("clear_audio", _) => self.clear(now),
            ("tool_call", _) => self.with_tool = true,
            _ => {}
        }
        Ok(())
    }

    fn hear_audio(&mut self, length: Duration, now: Instant) {
        match self.phase {
            Phase::Waits { since } => {
                let waited = ms(now - since);
                if std::mem::take(&mut self.with_tool) {
                    self.turns.after_tool.push(waited);
                } else {
                    self.turns.first_audio.push(waited);
                }
                self.speaker.earlier = self.speaker.taken;
                self.phase = Phase::Listens { since: now };
            }
            // An answer cannot begin before the question ends: this is of the last one.
            Phase::Speaks {
                interrupts: false, ..
            } => self.turns.after_clear += ms(length),
            Phase::Speaks {
                interrupts: true, ..
            }
            | Phase::Listens { .. } => {}
        }
        self.speaker.play(length, now);
    }

    fn clear(&mut self, now: Instant) {
        if let Phase::Speaks {
            until,
            interrupts: true,
        } = self.phase
        {
            let began = until.checked_sub(SAYS_FOR).unwrap_or(now);
            let end = self.speaker.ends.min(now);
            self.turns
                .heard
                .push(ms(end.saturating_duration_since(began)));
            let played = self
                .speaker
                .played(now)
                .saturating_sub(self.speaker.earlier);
            self.turns.played_at_clear.push(ms(played));
            self.phase = Phase::Speaks {
                until,
                interrupts: false,
            };
        }
        self.speaker = Speaker {
            taken: Duration::ZERO,
            ends: now,
            earlier: Duration::ZERO,
        };
    }
}

/// 20 ms of a tone of that height, or of silence.
fn frame(level: i16) -> String {
    let samples = RATE / 50;
    let tone = (0..samples).map(|sample| if sample / 20 % 2 == 0 { level } else { -level });
    let pcm: Vec<u8> = tone.flat_map(i16::to_le_bytes).collect();
    format!(r#"{{"type":"audio","data":"{}"}}"#, STANDARD.encode(pcm))
}
