//! A caller's link to its session: commands out, events in.
//!
//! Both halves belong to the session's task. The AI's voice is encoded where it is sent and the
//! caller's decoded where it is read: there is no task and no queue between the call engine and the
//! WebRTC library.

mod alarm;
mod commands;
mod events;
mod messages;
mod report;

use std::sync::{Arc, Mutex, PoisonError};

use rtc::rtp::{Packet, header::Header};
use tokio::time::Instant;

use self::{alarm::Alarm, messages::Messages};
pub(crate) use self::{commands::Commands, events::Events};
use crate::{
    audio::{Outbound, OutboundCounts},
    peer::Peer,
};

/// What both halves use.
pub(crate) struct Link {
    peer: Arc<Peer>,
    voice: Mutex<Voice>,
    messages: Messages,
    /// When the events wake.
    alarm: Alarm,
}

/// The AI's voice as packets.
struct Voice {
    outbound: Outbound,
    sequence: u16,
}

impl Link {
    pub(crate) fn new(peer: Arc<Peer>, outbound: Outbound, sequence: u16) -> Arc<Self> {
        Arc::new(Self {
            peer,
            voice: Mutex::new(Voice { outbound, sequence }),
            messages: Messages::default(),
            alarm: Alarm::default(),
        })
    }

    /// Changes what is to be sent, then sends what is due.
    async fn speak(&self, change: impl FnOnce(&mut Outbound, Instant)) {
        if !self.peer.negotiated.hears {
            return;
        }
        let now = Instant::now();
        let mut change = Some(change);
        loop {
            let packet = {
                let mut voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(change) = change.take() {
                    change(&mut voice.outbound, now);
                }
                voice.next_packet(&self.peer, now)
            };
            let Some(packet) = packet else {
                return;
            };
            self.peer.send_voice(packet).await;
        }
    }

    /// After a command: the events, which keep the time, may have to wake earlier.
    fn reschedule(&self) {
        let due = [self.speaks_at(), self.messages.retry_at()];
        for due in due.into_iter().flatten() {
            self.alarm.at(due);
        }
    }

    /// What was spoken so far.
    fn spoken(&self) -> OutboundCounts {
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        voice.outbound.counts()
    }

    /// When [`speak`](Self::speak) has to be called again, even if nothing has changed.
    fn speaks_at(&self) -> Option<Instant> {
        if !self.peer.negotiated.hears {
            return None;
        }
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        Some(voice.outbound.next_wake())
    }
}

impl Voice {
    fn next_packet(&mut self, peer: &Peer, now: Instant) -> Option<Packet> {
        let due = self.outbound.poll(now)?;
        let sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        Some(Packet {
            header: Header {
                version: 2,
                marker: due.marker,
                payload_type: peer.negotiated.payload_type,
                sequence_number,
                timestamp: due.timestamp,
                ssrc: peer.negotiated.ssrc,
                ..Header::default()
            },
            payload: due.payload,
        })
    }
}
