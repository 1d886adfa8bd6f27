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
    audio::{Outbound, OutboundCounts, RtpOut},
    peer::Peer,
};

/// What both halves use.
pub(crate) struct Link {
    peer: Arc<Peer>,
    /// The AI's voice as packets.
    voice: Mutex<Outbound>,
    messages: Messages,
    /// When the events wake.
    alarm: Alarm,
}

impl Link {
    pub(crate) fn new(peer: Arc<Peer>, outbound: Outbound) -> Arc<Self> {
        let messages = Messages::new(peer.negotiated.has_data_channel);
        Arc::new(Self {
            peer,
            voice: Mutex::new(outbound),
            messages,
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
                    if let Some(reception) = self.peer.reception() {
                        voice.report(reception);
                    }
                    change(&mut voice, now);
                }
                voice.poll(now)
            };
            let Some(packet) = packet else {
                return;
            };
            self.peer.send_voice(self.wrapped(packet)).await;
        }
    }

    fn wrapped(&self, packet: RtpOut) -> Packet {
        let negotiated = &self.peer.negotiated;
        Packet {
            header: Header {
                version: 2,
                marker: packet.marker,
                payload_type: negotiated.payload_type,
                sequence_number: packet.sequence,
                timestamp: packet.timestamp,
                ssrc: negotiated.ssrc,
                ..Header::default()
            },
            payload: packet.payload,
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
        voice.counts()
    }

    /// When [`speak`](Self::speak) has to be called again, even if nothing has changed.
    fn speaks_at(&self) -> Option<Instant> {
        if !self.peer.negotiated.hears {
            return None;
        }
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        Some(voice.next_wake())
    }
}
