//! What is due after every input, whatever it was.

use super::Call;
use crate::{
    call::{
        io::{Action, Moment, News},
        playout::Due,
    },
    event::EndReason,
    transport::ClientCommand,
};

impl Call {
    pub(super) fn settle(&mut self, now: Moment) {
        if self.ended {
            return;
        }
        if self.settings.max_duration.is_some_and(|limit| now >= limit) {
            return self.end(now, EndReason::MaxDuration);
        }
        self.run_tools(now);
        // The last of it ends the wait for the user's turn.
        self.make_silence(now);
        self.send_deferred(now);
        self.send_voice(now);
        self.ask_for_response(now);
        self.play(now);
        self.record_heard(now);
        self.watch_greeting(now);
        self.deliver(now);
        self.watch_connection(now);
        if self.ended {
            return;
        }
        self.watch_agent(now);
        self.publish(now);
        self.tell_stats();
        self.watch_idleness(now);
        if self.is_over(now) {
            self.end(now, EndReason::Host);
        }
    }

    fn tell_stats(&mut self) {
        if self.stats != self.told_stats {
            self.told_stats = self.stats;
            self.out.push_back(Action::Stats(Box::new(self.stats)));
        }
    }

    pub(super) fn play(&mut self, now: Moment) {
        while let Some(due) = self.playout.poll(now) {
            match due {
                Due::Audio(pcm) if self.permissions.voice => {
                    if !self.assistant_speaking {
                        self.assistant_speaking = true;
                        self.tell_at_once(now, News::AssistantSpeaking(true));
                    }
                    if let Some(tape) = &mut self.tape {
                        tape.sent(&self.playout, pcm.clone());
                    }
                    self.send_to_client(ClientCommand::Audio(pcm));
                    if let Some(latency) = self.turn.audio_sent(now, self.playout.sent()) {
                        self.stats.turns += 1;
                        self.stats.last_turn = Some(latency);
                        self.stats.slowest_turn = self.stats.slowest_turn.max(latency.sent);
                    }
                }
                Due::Audio(_) => self.turn.skipped(self.playout.sent()),
                Due::EndOfResponse => self.send_to_client(ClientCommand::EndOfResponse),
            }
        }
    }

    pub(super) fn publish(&mut self, now: Moment) {
        if self.connection.number == 0 {
            // The session has not begun, and may never: what was typed early comes after that.
            return;
        }
        while let Some(publication) = self.words.poll(now, &self.playout) {
            self.history.record(publication.order, &publication.what);
            self.out.push_back(Action::Publish(publication));
        }
        if self.has_fallen_silent(now) {
            if std::mem::take(&mut self.assistant_speaking) {
                self.tell_at_once(now, News::AssistantSpeaking(false));
            }
            if self.words.is_settled_whole() {
                self.playout.forget_played(now);
            }
        }
    }

    fn watch_idleness(&mut self, now: Moment) {
        let idle = self.is_idle(now) && !self.connection.is_out();
        // A caller who waits for a tool is not one who has gone, even if the conversation may go on.
        if !(idle && self.idle && self.tools.is_empty()) {
            self.last_busy = now;
        }
        if idle != self.idle {
            self.idle = idle;
            self.out.push_back(Action::Idle(idle));
        }
        if idle && self.idle_ends_at().is_some_and(|at| now >= at) {
            self.end(now, EndReason::IdleTimeout);
        }
    }

    /// When a call that stays idle ends, where that is limited.
    pub(super) fn idle_ends_at(&self) -> Option<Moment> {
        let limit = self.settings.idle_timeout?;
        let has_begun = self.provider.is_some();
        has_begun.then(|| self.last_busy.saturating_add(limit))
    }
}
