//! One connection's server: client messages in, frames out. It owns no socket; the connection's
//! task feeds it, asks when it wants to be woken, and sends what it has written.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::access::Service;
use super::answer::{Cause, Generation, Heard};
use super::check;
use super::fault::{FaultAction, FaultWatch};
use super::hub::{Hub, Memory};
use super::life::Life;
use super::memory::Turn;
use super::refusal::Refusal;
use super::schema::CLIENT_MESSAGE;
use super::setup::Setup;
use super::start::Phase;
use super::tools::Calls;
use super::transcripts::PendingTranscript;
use super::writer::Writer;
use crate::fake::audio::AudioFormat;
use crate::fake::record::{Record, Violation};
use crate::fake::serve::{Act, Frame};
use crate::fake::vad::InputBuffer;

/// What audio is taken for before anything else is said.
const NATIVE: AudioFormat = AudioFormat::Pcm(16_000);

#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) hub: Arc<Hub>,
    pub(super) record: Arc<Record>,
    pub(super) connection: usize,
    pub(super) service: Service,
    pub(super) writer: Writer,
    pub(super) faults: FaultWatch,
    pub(super) phase: Phase,
    pub(super) setup: Option<Setup>,
    pub(super) session: String,
    pub(super) memory: Memory,
    pub(super) input: InputBuffer,
    /// The rate of the audio that comes in now, in Hz.
    pub(super) rate: u32,
    /// Between `activityStart` and `activityEnd`, or while the detector hears speech.
    pub(super) user_active: bool,
    pub(super) seeding: bool,
    pub(super) heard: Heard,
    pub(super) generation: Option<Generation>,
    /// What waits for the running generation to end.
    pub(super) queued: VecDeque<Cause>,
    pub(super) calls: Calls,
    pub(super) transcripts: Vec<PendingTranscript>,
    pub(super) speech: Option<super::script::UserTranscript>,
    pub(super) life: Life,
    pub(super) client_messages: u64,
    pub(super) now: Instant,
    acts: Vec<Act>,
    received: String,
    over: bool,
}

impl Engine {
    pub(crate) fn new(
        hub: Arc<Hub>,
        record: Arc<Record>,
        connection: usize,
        service: Service,
    ) -> Self {
        let options = &hub.options;
        let now = Instant::now();
        Self {
            writer: Writer::new(connection, options),
            faults: FaultWatch::for_connection(&options.faults, connection),
            input: InputBuffer::new(NATIVE, None, options.common.speech_level),
            life: Life::new(options.life.as_ref(), now),
            record,
            connection,
            service,
            phase: Phase::AwaitingSetup,
            setup: None,
            session: format!("s{connection}"),
            memory: Memory::default(),
            rate: 16_000,
            user_active: false,
            seeding: false,
            heard: Heard::default(),
            generation: None,
            queued: VecDeque::new(),
            calls: Calls::default(),
            transcripts: Vec::new(),
            speech: None,
            client_messages: 0,
            now,
            acts: Vec::new(),
            received: String::new(),
            over: false,
            hub,
        }
    }

    /// The user's audio so far, in milliseconds.
    fn audio_ms(&self) -> u64 {
        self.input.position_ms()
    }

    fn handle(&mut self, text: &str, now: Instant) {
        self.now = now;
        self.received.clear();
        if self.over {
            return;
        }
        if let Err(refusal) = self.dispatch(text) {
            self.refuse(&refusal);
        }
    }

    fn dispatch(&mut self, text: &str) -> Result<(), Refusal> {
        let raw: Value =
            serde_json::from_str(text).map_err(|error| Refusal::invalid_json(&error))?;
        self.client_messages += 1;
        let message = check::read(&CLIENT_MESSAGE, &raw, "");
        self.received = kind_of(message.as_ref().unwrap_or(&raw));
        if self.received != AUDIO && self.hub.options.common.record_events {
            let (kind, json) = (self.received.clone(), message.clone().unwrap_or(raw));
            self.record.change(|state| state.event(kind, json));
        }
        let message = message?;
        let fields = message.as_object().map_or(0, serde_json::Map::len);
        if fields != 1 {
            let detail = format!("a message has exactly one field, this one has {fields}");
            return Err(Refusal::invalid_argument(detail));
        }
        if let Some(setup) = message.get("setup") {
            return self.set_up(setup.clone());
        }
        if self.phase != Phase::Ready {
            let detail = "nothing but setup comes before setupComplete";
            return Err(Refusal::invalid_argument(detail));
        }
        if let Some(input) = message.get("realtimeInput") {
            self.realtime_input(input)
        } else if let Some(content) = message.get("clientContent") {
            self.client_content(content)
        } else if let Some(response) = message.get("toolResponse") {
            self.tool_response(response)
        } else {
            self.context_update(&message["contextUpdate"])
        }
    }

    /// Closes because of what the client did.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        let violation = violation(refusal);
        self.record.change(|state| state.violations.push(violation));
        self.close(refusal.code, &refusal.reason);
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.over = true;
        self.acts.push(Act::Close {
            code,
            reason: reason.to_owned(),
        });
    }

    /// Records what the vendor says nothing to, and a client should not do.
    pub(super) fn object(&self, message: impl Into<String>, param: Option<&str>) {
        let violation = Violation {
            code: None,
            message: message.into(),
            param: param.map(str::to_owned),
            event_id: None,
        };
        self.record.change(|state| state.violations.push(violation));
    }

    pub(super) fn remember(&mut self, turn: Turn) {
        self.memory.conversation.push(turn);
        // Rings the bell for those who wait for a turn.
        self.record.change(|_| ());
    }

    fn perform(&mut self, actions: Vec<FaultAction>) -> Vec<Act> {
        use tokio_tungstenite::tungstenite::Message;

        let binary = self.hub.options.common.binary_frames;
        let frame = |text: String| {
            if binary {
                Message::binary(text.into_bytes())
            } else {
                Message::text(text)
            }
        };
        let mut acts = Vec::new();
        for action in actions {
            match action {
                FaultAction::Close { code, reason } => acts.push(Act::Close { code, reason }),
                FaultAction::Drop => acts.push(Act::Drop),
                FaultAction::StopReading => acts.push(Act::StopReading),
                FaultAction::Stall => acts.push(Act::Hold(None)),
                FaultAction::Delay(time) => acts.push(Act::Hold(Some(time))),
                FaultAction::GoAway(time_left) => self.go_away(time_left),
                FaultAction::SendEvent(event) => acts.push(Act::Send(frame(event.to_string()))),
                FaultAction::SendText(text) => acts.push(Act::Send(frame(text))),
                FaultAction::SendBytes(bytes) => acts.push(Act::Send(Message::binary(bytes))),
            }
        }
        acts
    }
}

impl crate::fake::serve::Engine for Engine {
    fn open(&mut self, now: Instant) {
        self.now = now;
    }

    fn handle_text(&mut self, text: &str, now: Instant) {
        self.handle(text, now);
    }

    fn handle_binary(&mut self, bytes: &[u8], now: Instant) {
        // The service takes JSON in either kind of frame.
        self.handle(&String::from_utf8_lossy(bytes), now);
    }

    fn next_due(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let generation = self.generation.as_ref().and_then(Generation::due);
        let transcripts = self.transcripts.iter().filter_map(PendingTranscript::due);
        transcripts
            .chain(generation)
            .chain(self.phase.due())
            .chain(self.life.due())
            .min()
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        if self.over {
            return;
        }
        self.advance_start();
        self.send_due_transcripts();
        self.run_generation();
        self.advance_life();
    }

    fn take_outbox(&mut self) -> Vec<Frame> {
        self.writer.take()
    }

    fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    fn obey(&mut self, order: crate::fake::handle::Order, now: Instant) {
        self.now = now;
        match order {
            crate::fake::handle::Order::Look => self.advance_start(),
            crate::fake::handle::Order::GoAway(time_left) => self.go_away(time_left),
        }
    }

    fn faults_at_start(&mut self) -> Vec<Act> {
        let actions = self.faults.connected();
        self.perform(actions)
    }

    fn faults_before_answering(&mut self) -> Vec<Act> {
        let kind = std::mem::take(&mut self.received);
        let mut actions = self.faults.received(&kind, self.audio_ms());
        if kind == "setup" {
            actions.extend(self.faults.set_up());
        }
        self.perform(actions)
    }

    fn faults_after_receiving(&mut self) -> Vec<Act> {
        Vec::new()
    }

    fn faults_after_sending(&mut self, frame: &Frame) -> Vec<Act> {
        let actions = self.faults.sent(frame);
        self.perform(actions)
    }
}

const AUDIO: &str = "realtimeInput.audio";

/// What a client message is called: its field, and for `realtimeInput` the one inside too.
fn kind_of(message: &Value) -> String {
    let first = |value: &Value| value.as_object().and_then(|map| map.keys().next().cloned());
    match first(message) {
        Some(outer) if outer == "realtimeInput" => match first(&message["realtimeInput"]) {
            Some(inner) => format!("{outer}.{inner}"),
            None => outer,
        },
        Some(outer) => outer,
        None => String::new(),
    }
}

/// A refusal as the record keeps it.
pub(crate) fn violation(refusal: &Refusal) -> Violation {
    Violation {
        code: Some(refusal.code.to_string()),
        message: refusal.message(),
        param: refusal.path.clone(),
        event_id: None,
    }
}
