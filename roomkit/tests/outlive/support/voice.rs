//! A microphone in real time whose every 20 ms say which they are.

use std::{sync::Arc, time::Duration};

use roomkit::mock::MockClient;
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

use super::soon;

const FRAME: Duration = Duration::from_millis(20);

/// Says silence until it is told to speak. Dropping it switches it off.
#[derive(Debug)]
pub(crate) struct Voice {
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next frame.
    next: u16,
    /// Frames of speech still to come.
    to_speak: u32,
    stopped: bool,
}

impl Voice {
    /// Begins, with silence, at this rate in Hz.
    pub(crate) fn start(client: MockClient, rate: u32) -> Self {
        let state = Arc::new(watch::Sender::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut clock = tokio::time::interval(FRAME);
            // On a busy machine frames come late, and all of them come.
            clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                clock.tick().await;
                shared.send_modify(|state| {
                    if !state.stopped {
                        client.send_audio(frame(state.next, state.to_speak > 0, rate));
                        state.next += 1;
                        state.to_speak = state.to_speak.saturating_sub(1);
                    }
                });
            }
        });
        Self { state, task }
    }

    /// Begins to speak, and goes on for this long. Gives the number of the first frame.
    pub(crate) fn begin(&self, length: Duration) -> u16 {
        let frames = length.as_millis() / FRAME.as_millis();
        let mut first = 0;
        self.state.send_modify(|state| {
            state.to_speak = frames as u32;
            first = state.next;
        });
        first
    }

    /// Speaks for so long. Gives the number of the first frame once all is said.
    pub(crate) async fn say(&self, length: Duration) -> u16 {
        let first = self.begin(length);
        self.finished().await;
        first
    }

    /// Returns when it has finished speaking.
    pub(crate) async fn finished(&self) {
        self.wait("the end of the speech", |state| state.to_speak == 0)
            .await;
    }

    /// Returns when it has gone on for so much longer, be it speech or silence.
    pub(crate) async fn go_on(&self, length: Duration) {
        let frames = (length.as_millis() / FRAME.as_millis()) as u16;
        let until = self.state.borrow().next + frames;
        self.wait("more of the voice", |state| state.next >= until)
            .await;
    }

    /// Stops, and gives how many frames there were.
    pub(crate) fn stop(&self) -> u16 {
        let mut frames = 0;
        self.state.send_modify(|state| {
            state.stopped = true;
            frames = state.next;
        });
        frames
    }

    async fn wait(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let mut state = self.state.subscribe();
        let waits = state.wait_for(|state| is_so(state));
        soon(what, waits).await.unwrap();
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The number, then a loud square wave or silence. The number alone is far too quiet for speech.
fn frame(number: u16, is_speech: bool, rate: u32) -> Vec<u8> {
    let samples = (rate / 50) as i16;
    let wave = |at: i16| if at % 40 < 20 { 8_000 } else { -8_000 };
    let sample = |at: i16| match (at, is_speech) {
        (0, _) => number.cast_signed(),
        (at, true) => wave(at),
        (_, false) => 0_i16,
    };
    (0..samples)
        .flat_map(|at| sample(at).to_le_bytes())
        .collect()
}

/// The numbers of the frames in this audio.
pub(crate) fn numbers(pcm: &[u8], rate: u32) -> Vec<u16> {
    let frames = pcm.chunks_exact(rate as usize / 50 * 2);
    assert!(frames.remainder().is_empty(), "only whole frames");
    frames
        .map(|frame| u16::from_le_bytes([frame[0], frame[1]]))
        .collect()
}
