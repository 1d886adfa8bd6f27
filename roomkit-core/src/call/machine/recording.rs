//! Whether the call is recorded, and what of it: what the microphone gives the AI, and of the AI
//! what has been heard (contracts V1–V3).

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::Call;
use crate::{
    audio,
    call::{
        io::{Action, Moment, Sound},
        playout::Playout,
    },
    client_protocol::ServerMessage,
    recording::{Consent, RecordingDecision, RecordingState, RecordingTerms, Side},
    transport::ClientCommand,
};

/// A network that catches up makes good half of the time that passes, at least, in each of these.
const MOMENT: Duration = Duration::from_millis(200);

/// What waits to be recorded.
#[derive(Debug)]
pub(super) struct Tape {
    terms: RecordingTerms,
    /// Who gave the consent that there is before the session is live.
    consented: RecordingDecision,
    state: RecordingState,
    /// What was said before is not recorded: when recording last began or went on, or was last decided
    /// on before the session was live; zero where there always was consent.
    since: Moment,
    said: Said,
    /// What was sent and has not been heard to its end.
    unheard: VecDeque<Frame>,
    /// When the last frame that was sent ends, by the pacing clock.
    sent_until: Moment,
}

#[derive(Debug)]
struct Frame {
    pcm: Bytes,
    rate: u32,
    /// When it begins to be played, by the pacing clock.
    begins: Moment,
    follows: bool,
    /// Its end among all that was sent since the last clear.
    end: Duration,
}

/// When the caller said what comes. A network that stood still gives it late and all at once; a client
/// that was silent gives what comes after that in its own time.
#[derive(Debug, Default)]
struct Said {
    /// All that has come was said until then. As long as the network may be catching up, that is as if
    /// the client had never been silent.
    until: Moment,
    /// When the last of it came.
    came: Moment,
    /// What comes is late; this is what it is compared with.
    look: Option<Look>,
}

/// How late the caller's audio was at a moment.
#[derive(Debug)]
struct Look {
    at: Moment,
    late: Duration,
}

impl Said {
    /// A piece of this length has come: how much of it was said after `since`.
    fn after(&mut self, since: Moment, now: Moment, length: Duration) -> Duration {
        let known = self.until;
        self.until = self.until.saturating_add(length).min(now);
        if self.was_silent(now, length) {
            self.until = now;
        }
        self.came = now;
        if self.until.saturating_sub(length) >= since {
            length
        } else {
            // Of a burst, nothing is taken for said twice in the same time.
            self.until.saturating_sub(known.max(since)).min(length)
        }
    }

    /// What has come is not late by what the network holds back, but by what was never said: it does
    /// not catch up.
    fn was_silent(&mut self, now: Moment, length: Duration) -> bool {
        let late = now.saturating_sub(self.until);
        if late <= MOMENT {
            self.look = None;
            return false;
        }
        // A piece takes its own length to be said.
        let stood_still = now.saturating_sub(self.came) > MOMENT + length;
        let catches_up = match &self.look {
            Some(before) if !stood_still => {
                if now.saturating_sub(before.at) < MOMENT {
                    // It is too early to tell.
                    return false;
                }
                late + MOMENT / 2 <= before.late
            }
            // It begins to, if it does.
            _ => true,
        };
        self.look = catches_up.then_some(Look { at: now, late });
        !catches_up
    }
}

impl Tape {
    pub(super) fn new(terms: RecordingTerms) -> Self {
        Self {
            terms,
            consented: RecordingDecision::Settings,
            state: RecordingState::Waiting,
            since: Moment::ZERO,
            said: Said::default(),
            unheard: VecDeque::new(),
            sent_until: Moment::ZERO,
        }
    }

    /// Notes the frame that the playout has just handed out.
    pub(super) fn sent(&mut self, playout: &Playout, pcm: Bytes) {
        let (rate, ends) = (playout.rate(), playout.play_end());
        let begins = ends.saturating_sub(audio::duration_of(pcm.len(), rate));
        self.unheard.push_back(Frame {
            pcm,
            rate,
            begins,
            follows: begins == self.sent_until,
            end: playout.sent(),
        });
        self.sent_until = ends;
    }

    /// The next frame that has been heard whole.
    fn next_heard(&mut self, now: Moment, playout: &Playout) -> Option<Sound> {
        let first = self.unheard.front()?;
        if first.end > playout.position(now) {
            return None;
        }
        let frame = self.unheard.pop_front()?;
        Some(frame.heard(now, playout))
    }

    /// What has been heard of the frame that is being played; the rest of it stays.
    fn half_heard(&mut self, now: Moment, playout: &Playout) -> Option<Sound> {
        let frame = self.unheard.front_mut()?;
        let length = audio::duration_of(frame.pcm.len(), frame.rate);
        let start = frame.end.saturating_sub(length);
        let heard = playout.position(now).saturating_sub(start).min(length);
        let pcm = frame.pcm.split_to(audio::bytes_for(heard, frame.rate));
        let begun = Frame { pcm, ..*frame };
        frame.begins += heard;
        (!begun.pcm.is_empty()).then(|| begun.heard(now, playout))
    }

    /// What comes next does not go on where this ended.
    fn breaks_off(&mut self) {
        self.sent_until = Moment::MAX;
        if let Some(frame) = self.unheard.front_mut() {
            frame.follows = false;
        }
    }

    fn is_on(&self) -> bool {
        self.state == RecordingState::On
    }
}

impl Frame {
    /// It was heard as much later than the pacing clock says as the client is behind that clock now.
    fn heard(self, now: Moment, playout: &Playout) -> Sound {
        let latest = now.saturating_sub(audio::duration_of(self.pcm.len(), self.rate));
        Sound {
            side: Side::Ai,
            begins: (self.begins + playout.lag(now)).min(latest),
            follows: self.follows,
            rate: self.rate,
            pcm: self.pcm,
        }
    }
}

impl Call {
    /// Whether the call is recorded.
    pub(crate) fn recording(&self) -> RecordingState {
        self.tape
            .as_ref()
            .map_or(RecordingState::Off, |tape| tape.state)
    }

    /// The session is live: it is recorded from its beginning, or the client is told that it is not.
    pub(super) fn begin_recording(&mut self, now: Moment) {
        match &self.tape {
            Some(tape) if tape.terms.consent == Consent::Given => {
                self.record(now, true, tape.consented);
            }
            Some(tape) => self.tell_recording(tape.state, RecordingDecision::Settings),
            None => {}
        }
    }

    /// The client wants it, or does not want it any more.
    pub(super) fn client_wants_recording(&mut self, now: Moment, on: bool) {
        let refusal = match &self.tape {
            Some(tape) if tape.terms.client_decides => {
                return self.record(now, on, RecordingDecision::Client);
            }
            Some(_) => (
                "recording_not_allowed",
                "recording is for the host to decide",
            ),
            None => ("recording_unavailable", "this call cannot be recorded"),
        };
        let (code, message) = refusal;
        self.send_to_client(ClientCommand::Message(ServerMessage::Error {
            code: code.into(),
            message: message.into(),
        }));
    }

    /// Records from here on, or not. Who lets it begin has consented.
    pub(super) fn record(&mut self, now: Moment, on: bool, by: RecordingDecision) {
        self.record_all_heard(now);
        let Some(tape) = &mut self.tape else {
            return;
        };
        if self.connection.number == 0 {
            // It begins with the session, or does not.
            if on != (tape.terms.consent == Consent::Given) {
                tape.since = now;
            }
            tape.terms.consent = if on { Consent::Given } else { Consent::Ask };
            tape.consented = by;
            return;
        }
        let state = match (on, tape.state) {
            (true, RecordingState::Waiting | RecordingState::Paused) => RecordingState::On,
            (false, RecordingState::On) => RecordingState::Paused,
            _ => return,
        };
        // Where consent came first, what was said since then may be kept: a burst is recorded whole, though
        // it looks as if it had been said before the session.
        let is_first = tape.state == RecordingState::Waiting;
        let had_consent = is_first && tape.terms.consent == Consent::Given;
        if !had_consent {
            tape.since = now;
        }
        tape.state = state;
        tape.breaks_off();
        self.tell_recording(state, by);
    }

    /// It went wrong: nothing is recorded any more.
    pub(super) fn recording_failed(&mut self) {
        if self.tape.take().is_some() {
            self.tell_recording(RecordingState::Off, RecordingDecision::Settings);
        }
    }

    fn tell_recording(&mut self, state: RecordingState, by: RecordingDecision) {
        let since = self.tape.as_ref().map_or(Moment::ZERO, |tape| tape.since);
        self.out.push_back(Action::Recording(state, by, since));
        self.send_to_client(ClientCommand::Message(ServerMessage::Recording { state }));
    }

    /// Records what the user has just said, as far as it was said while recording was on. Gives when he
    /// began to say it; what waits for nothing has been said just now, for who was silent is late by as
    /// much as a network that stood still.
    pub(super) fn record_voice(&mut self, now: Moment, pcm: &Bytes) -> Moment {
        let rate = self.settings.input_rate;
        let length = audio::duration_of(pcm.len(), rate);
        let at_once = now.saturating_sub(length);
        let Some(tape) = &mut self.tape else {
            return at_once;
        };
        let kept = tape.said.after(tape.since, now, length);
        let early = audio::bytes_for(length.saturating_sub(kept), rate);
        if tape.is_on() && early < pcm.len() {
            self.out.push_back(Action::Record(Sound {
                side: Side::Caller,
                begins: now.saturating_sub(kept),
                follows: false,
                rate,
                pcm: pcm.slice(early..),
            }));
        }
        if self.uplink.is_clear() {
            at_once
        } else {
            tape.said.until.saturating_sub(length)
        }
    }

    /// Something of the AI is to be recorded as soon as it has been heard.
    pub(super) fn tape_waits(&self) -> bool {
        self.tape
            .as_ref()
            .is_some_and(|tape| !tape.unheard.is_empty())
    }

    /// Records what has been heard of the AI.
    pub(super) fn record_heard(&mut self, now: Moment) {
        if let Some(tape) = &mut self.tape {
            while let Some(sound) = tape.next_heard(now, &self.playout) {
                if tape.is_on() {
                    self.out.push_back(Action::Record(sound));
                }
            }
        }
    }

    /// What the client was sent is about to be cleared: records what has been heard of it, and
    /// nothing else (contract A4).
    pub(super) fn record_cut(&mut self, now: Moment) {
        self.record_all_heard(now);
        if let Some(tape) = &mut self.tape {
            tape.unheard.clear();
            tape.breaks_off();
        }
    }

    /// Records what has been heard of the AI, to the sample.
    fn record_all_heard(&mut self, now: Moment) {
        self.record_heard(now);
        if let Some(tape) = &mut self.tape
            && let Some(sound) = tape.half_heard(now, &self.playout)
            && tape.is_on()
        {
            self.out.push_back(Action::Record(sound));
        }
    }
}

#[cfg(test)]
impl Tape {
    /// How much audio waits to be heard.
    pub(super) fn waiting(&self) -> Duration {
        let frames = self.unheard.iter();
        frames
            .map(|frame| audio::duration_of(frame.pcm.len(), frame.rate))
            .sum()
    }
}
