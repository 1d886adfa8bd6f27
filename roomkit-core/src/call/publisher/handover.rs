//! Tells of hand-overs and of changes of the agent: framework events, metrics, observers.

use std::sync::Arc;

use jiff::Timestamp;

use super::Publisher;
use crate::{
    event::{HandOverPhase, HandOverReason, RealtimeAgentEvent, RealtimeHandOverEvent},
    framework::{FrameworkEvent, FrameworkEventKind},
    kit::RoomKit,
};

impl Publisher {
    pub(super) async fn hand_over(&self, kit: &RoomKit, at: Timestamp, phase: HandOverPhase) {
        self.count(&phase);
        kit.emit(self.framework_event(&phase));
        let session = self.session.clone();
        let event = || RealtimeHandOverEvent {
            session,
            phase,
            timestamp: at,
        };
        self.shared.observers.hand_over.tell(event).await;
    }

    pub(super) async fn agent_changed(
        &self,
        kit: &RoomKit,
        at: Timestamp,
        from: Option<Arc<str>>,
        to: Option<Arc<str>>,
    ) {
        metrics::counter!("roomkit_agent_changes_total").increment(1);
        let event = FrameworkEvent::new(FrameworkEventKind::AgentChanged)
            .room(self.session.room_id())
            .channel(self.session.channel_id())
            .session(self.session.id())
            .data("from", from.as_deref())
            .data("to", to.as_deref());
        kit.emit(event);
        let session = self.session.clone();
        let event = || RealtimeAgentEvent {
            session,
            from,
            to,
            timestamp: at,
        };
        self.shared.observers.agent.tell(event).await;
    }

    fn count(&self, phase: &HandOverPhase) {
        if let HandOverPhase::Finished {
            reason,
            outcome,
            duration,
            held,
            ..
        } = phase
        {
            let labels = [
                ("provider", self.shared.provider.name().to_owned()),
                ("reason", reason.as_str().to_owned()),
                ("outcome", outcome.as_str().to_owned()),
            ];
            metrics::counter!("roomkit_hand_overs_total", &labels).increment(1);
            metrics::histogram!("roomkit_hand_over_seconds", &labels).record(*duration);
            metrics::histogram!("roomkit_hand_over_held_seconds", &labels).record(*held);
        }
    }

    fn framework_event(&self, phase: &HandOverPhase) -> FrameworkEvent {
        let event = |kind, reason: &HandOverReason| {
            FrameworkEvent::new(kind)
                .room(self.session.room_id())
                .channel(self.session.channel_id())
                .session(self.session.id())
                .data("provider", self.shared.provider.name())
                .data("reason", reason.as_str())
        };
        match phase {
            HandOverPhase::Started { reason } => {
                let event = event(FrameworkEventKind::HandOverStarted, reason);
                match reason {
                    HandOverReason::Lost(code) => event.data("code", code.as_str()),
                    _ => event,
                }
            }
            HandOverPhase::Finished {
                reason,
                outcome,
                duration,
                held,
                attempts,
            } => event(FrameworkEventKind::HandOverFinished, reason)
                .data("outcome", outcome.as_str())
                .data("duration_ms", duration.as_millis() as u64)
                .data("held_ms", held.as_millis() as u64)
                .data("attempts", *attempts),
        }
    }
}
