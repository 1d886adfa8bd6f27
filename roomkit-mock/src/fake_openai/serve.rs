//! One connection of the fake: the vendor's verdict on it, then its engine with its faults.

use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::Hub;
use super::engine::{Engine, violation};
use super::fault::{FaultAction, FaultWatch};
use super::server::{check_request, check_upgrade};
use super::wire::EventWriter;
use crate::fake::handle::UpgradeRequest;
use crate::fake::serve::{self, Act, Frame};
use crate::fake::server::Registry;

const EXPIRY: &str = "Your session hit the maximum duration of 60 minutes.";

/// Serves one TCP connection to its end.
pub(crate) async fn serve(stream: TcpStream, hub: Arc<Hub>, registry: Arc<Registry>) {
    let common = &hub.options.common;
    let check = |request: &UpgradeRequest| check_upgrade(request, &hub.options);
    let Ok(accepted) = serve::accept(stream, &registry, common, check).await else {
        return;
    };
    let handle = &accepted.handle;
    match check_request(&handle.request, &hub.options) {
        Err(refusal) => {
            let fields = json!({"error": refusal.error.to_json(None)});
            let frame = EventWriter::new(handle.index, false).event("error", &fields);
            let error = violation(&refusal.error, None);
            handle.record.change(|state| state.violations.push(error));
            let reason = refusal.error.close_reason();
            accepted
                .refuse(Some(frame), refusal.close_code, &reason, &registry)
                .await;
        }
        Ok(kind) => {
            let record = Arc::clone(&handle.record);
            let faults = FaultWatch::for_connection(&hub.options.faults, handle.index);
            let engine = Engine::new(Arc::clone(&hub), record, handle.index, kind);
            let served = Served {
                engine,
                faults,
                start: None,
                aged: Vec::new(),
            };
            accepted.serve(served, &registry).await;
        }
    }
}

#[derive(Debug)]
struct Served {
    engine: Engine,
    faults: FaultWatch,
    /// When the session began.
    start: Option<Instant>,
    /// Faults by time that have struck and are still to be done.
    aged: Vec<FaultAction>,
}

impl Served {
    fn acts(&mut self, actions: Vec<FaultAction>) -> Vec<Act> {
        let mut acts = Vec::new();
        for action in actions {
            match action {
                FaultAction::Close { code, reason } => acts.push(Act::Close { code, reason }),
                FaultAction::Drop => acts.push(Act::Drop),
                FaultAction::StopReading => acts.push(Act::StopReading),
                FaultAction::IgnoreSessionUpdates => self.engine.ignore_session_updates(),
                FaultAction::ExpireSession => {
                    self.engine.announce_expiry(EXPIRY);
                    let announced = self.engine.take_outbox().into_iter();
                    acts.extend(announced.map(|frame| Act::Send(Message::text(frame.text))));
                    acts.push(Act::Close {
                        code: 1001,
                        reason: EXPIRY.to_owned(),
                    });
                }
                FaultAction::SendEvent(event) => {
                    acts.push(Act::Send(Message::text(event.to_string())));
                }
                FaultAction::SendText(text) => acts.push(Act::Send(Message::text(text))),
            }
        }
        acts
    }
}

impl serve::Engine for Served {
    fn open(&mut self, now: Instant) {
        self.start = Some(now);
        self.engine.open();
    }

    fn handle_text(&mut self, text: &str, now: Instant) {
        self.engine.handle_text(text, now);
    }

    fn handle_binary(&mut self, _bytes: &[u8], _now: Instant) {
        self.engine.handle_binary();
    }

    fn next_due(&self) -> Option<Instant> {
        let fault_due = self.start.zip(self.faults.next_age());
        let fault_due = fault_due.map(|(start, age)| start + age);
        self.engine.next_due().into_iter().chain(fault_due).min()
    }

    fn advance(&mut self, now: Instant) {
        self.engine.advance(now);
        if let Some(start) = self.start {
            self.aged.extend(self.faults.aged(now - start));
        }
    }

    fn take_acts(&mut self) -> Vec<Act> {
        let aged = std::mem::take(&mut self.aged);
        self.acts(aged)
    }

    fn take_outbox(&mut self) -> Vec<Frame> {
        self.engine.take_outbox()
    }

    fn faults_at_start(&mut self) -> Vec<Act> {
        let actions = self.faults.connected();
        self.acts(actions)
    }

    fn faults_after_receiving(&mut self) -> Vec<Act> {
        let actions = self.faults.received(self.engine.audio_ms());
        self.acts(actions)
    }

    fn faults_after_sending(&mut self, frame: &Frame) -> Vec<Act> {
        let actions = self.faults.sent(&frame.kind);
        self.acts(actions)
    }
}
