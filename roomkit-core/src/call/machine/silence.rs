//! Silence in place of what a client does not send in mid-sentence: without it the provider would
//! never see the sentence end, and neither answer nor let the call be idle (contracts A7, S6).

use std::time::Duration;

use bytes::Bytes;

use super::Call;
use crate::{
    audio,
    call::{
        io::{Action, Moment},
        uplink::Piece,
    },
    transport::DropReason,
};

/// What is made at a time, in real time.
const FRAME: Duration = Duration::from_millis(20);
/// A client that is not muted is waited for so long: what a network that stalls for a second or two
/// delivers late is still one sentence to the provider, which hears it without a gap.
const PATIENCE: Duration = Duration::from_secs(3);
/// A provider that has not seen the sentence end by then never will.
const LIMIT: Duration = Duration::from_secs(10);

/// What is known of the gap in the user's voice.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// What the client sent last ended about then, or the sentence began.
    heard_until: Moment,
    /// When more silence is due, once there is some.
    next: Option<Moment>,
    /// How much was made, here or by the transport, since the client sent something, or the sentence began.
    made: Duration,
}

impl Silence {
    pub(super) fn sentence_begins(&mut self, now: Moment) {
        self.heard_until = self.heard_until.max(now);
        self.next = None;
        self.made = Duration::ZERO;
    }

    /// The provider was given all that may be made, and still hears somebody speak.
    pub(super) fn is_spent(&self) -> bool {
        self.made >= LIMIT
    }
}

impl Call {
    /// Audio in the caller's name: he said it, or else the transport made it up.
    pub(super) fn on_microphone(&mut self, now: Moment, pcm: Bytes, is_said: bool) {
        // What follows half a sample would be noise to the provider, to the end of the call.
        if !pcm.len().is_multiple_of(audio::BYTES_PER_SAMPLE) {
            let reason = DropReason::OddLength.as_str();
            return self.out.push_back(Action::Dropped(reason));
        }
        let length = audio::duration_of(pcm.len(), self.settings.input_rate);
        self.silence.heard_until = now.saturating_add(length);
        if is_said {
            self.silence.made = Duration::ZERO;
        }
        if self.takes_microphone() {
            self.silence.next = None;
            let said = if is_said {
                self.record_voice(now, &pcm)
            } else {
                self.silence.made += length;
                now.saturating_sub(length)
            };
            self.send_by_uplink(said, Piece::Audio(pcm));
        } else if self.user_speaking && self.silence.next.is_none_or(|next| next <= now) {
            // Otherwise this time has its silence already.
            self.silence.next = None;
            if !is_said {
                self.silence.made += length;
            }
            self.send_silence(now, pcm.len());
        }
    }

    /// The user speaks, as the provider has it. Who has sent nothing for so long does not, whatever the
    /// provider says.
    pub(super) fn user_speaks(&self) -> bool {
        self.user_speaking && !self.silence.is_spent()
    }

    /// Makes the silence that is due.
    pub(super) fn make_silence(&mut self, now: Moment) {
        while let Some(due) = self.silence_wake()
            && now >= due
        {
            // It begins now, whenever the client stopped.
            let begins = self.silence.next.unwrap_or(now);
            self.silence.next = Some(begins.saturating_add(FRAME));
            self.silence.made += FRAME;
            self.send_silence(now, audio::bytes_for(FRAME, self.settings.input_rate));
        }
    }

    /// When that is to be looked at, if nothing happens.
    pub(super) fn silence_wake(&self) -> Option<Moment> {
        // Where the host says when the user speaks, nobody listens for silence.
        if !self.user_speaking || self.manual_turn || self.silence.is_spent() {
            return None;
        }
        let patience = if self.takes_microphone() {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let first = self.silence.heard_until.saturating_add(patience);
        Some(self.silence.next.unwrap_or(first))
    }

    fn takes_microphone(&self) -> bool {
        self.permissions.microphone
            && !self.client_muted
            && !self.tools.mutes()
            && !self.guards_greeting()
    }

    fn send_silence(&mut self, now: Moment, bytes: usize) {
        self.send_by_uplink(now, Piece::Audio(vec![0; bytes].into()));
    }
}
