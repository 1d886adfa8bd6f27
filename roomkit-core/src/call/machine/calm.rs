//! The short way of a frame of audio. Nearly all that comes is one, or the time to send one, and
//! while nothing else is due that changes nothing but what is sent: the rest of the machine need not
//! be looked at for it.

use super::Call;
use crate::call::io::Moment;

/// What the machine waits for, as it was when the whole of it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// When something is due, beside audio.
    due: Option<Moment>,
    /// Until then there is a short way for audio.
    until: Moment,
    /// Whether nothing of the AI was to be heard; none if that makes no difference.
    silent: Option<bool>,
    /// Audio goes the long way, to be compared with the short one.
    #[cfg(test)]
    pub(super) is_off: bool,
    /// How often the whole of the machine was looked at.
    #[cfg(test)]
    pub(super) looks: usize,
}

impl Calm {
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }
}

impl Call {
    /// Sends what may be sent of audio that has just been taken, or is due by now. False: that is
    /// not all there is to do.
    pub(super) fn passes_audio(&mut self, now: Moment) -> bool {
        if !self.is_calm(now) {
            return false;
        }
        self.send_voice(now);
        self.play(now);
        // The last of it may have gone.
        self.is_calm(now)
    }

    fn is_calm(&self, now: Moment) -> bool {
        #[cfg(test)]
        if self.calm.is_off {
            return false;
        }
        now < self.calm.until
            && self
                .calm
                .silent
                .is_none_or(|silent| silent == self.playout.is_silent(now))
            && !self.turn.answers()
            // Each frame puts it off, so it is not in the note.
            && self.silence_wake().is_none_or(|at| now < at)
            // Silence of the transport's ends a sentence as well.
            && self.user_speaking == self.user_speaks()
    }

    /// Looks at what is waited for, after everything that was due is done.
    pub(super) fn note_calm(&mut self, now: Moment) {
        #[cfg(test)]
        {
            self.calm.looks += 1;
        }
        let due = [
            self.connection_wake(now),
            self.delivery_wake(now),
            self.greeting_wake(),
            self.deferred_wake(now),
            self.words.next_wake(now, &self.playout),
            self.tools.next_wake(now),
            self.wanted.due(now),
            self.settings.max_duration,
            self.idle_ends_at().filter(|_| self.idle),
            self.ending_wake(now),
        ];
        let due = due.into_iter().flatten().min();
        let ping = self.next_ping();
        // With any of these, each frame counts: it is recorded, is a sign that the caller waits or is
        // back, or may be the last that was held.
        let waits = self.tape.is_some()
            || !self.tools.is_empty()
            || !self.uplink.is_clear()
            || self.silence.is_spent();
        let until = if waits {
            now
        } else {
            [due, ping]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Moment::MAX)
        };
        self.calm.due = due;
        self.calm.until = until;
        // While a response runs, silence is only a gap in it.
        let is_gap = self.is_answering() && !self.words.waits_to_be_heard();
        self.calm.silent = (!is_gap).then(|| self.playout.is_silent(now));
    }
}
