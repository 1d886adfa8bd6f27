//! What comes from the client and from the host.

use serde_json::{Map, Value};

use super::{Call, OWES_AFTER_GIVEN, Wanted};
use crate::{
    call::{
        io::{Action, Command, Moment, News, Permissions},
        typing::{Dropped, Refused},
        uplink::Piece,
    },
    client_protocol::{ServerMessage, json},
    event::{EndReason, HandOverReason},
    provider::{ProviderCommand, Role},
    recording::RecordingDecision,
    transport::{ClientCommand, ClientEvent, DropReason},
};

impl Call {
    pub(super) fn on_client(&mut self, now: Moment, event: ClientEvent) {
        match event {
            ClientEvent::Audio(pcm) => self.on_microphone(now, pcm, true),
            ClientEvent::Filling(pcm) => self.on_microphone(now, pcm, false),
            ClientEvent::Text(text) => self.on_typed(now, text),
            ClientEvent::Message(message) => self.on_client_message(now, message),
            ClientEvent::Interrupt => self.interrupt(now, false),
            ClientEvent::Mute(muted) => self.client_muted = muted,
            // Muted it is sent nothing, and its count stands still.
            ClientEvent::Playback(_) if !self.permissions.voice => {}
            ClientEvent::Playback(played) => {
                let played = self.playout.report(now, played);
                if let Some(waited) = self.turn.played(now, played)
                    && let Some(turn) = &mut self.stats.last_turn
                {
                    turn.played = Some(waited);
                }
            }
            ClientEvent::Recording(on) => self.client_wants_recording(now, on),
            ClientEvent::Ping(id) => {
                self.send_to_client(ClientCommand::Message(ServerMessage::Pong { id }));
            }
            ClientEvent::End => self.end(now, EndReason::ClientEnded),
            ClientEvent::Dropped(reason) => self.on_dropped(now, reason),
            ClientEvent::Violation(rule) => self.end(now, EndReason::ClientViolation(rule)),
        }
    }

    fn on_typed(&mut self, now: Moment, text: String) {
        if text.trim().is_empty() {
            // The AI would answer what nobody has said.
            return self.out.push_back(Action::Dropped("empty_text"));
        }
        if let Err(Dropped { tell }) = self.typing.take(now, &text) {
            return self.drop_from_client(DropReason::TooFast.as_str(), tell);
        }
        if !self.permissions.microphone {
            self.words.tell(now, News::Unheard(text));
            let tell = self.typing.is_muted(now);
            return self.drop_from_client("muted_text", tell);
        }
        self.chain_depth = 0;
        let (role, item_id) = (Role::User, None);
        let said = News::Final {
            role,
            text: text.clone(),
            item_id,
            since: now,
            barge_in: false,
            chain_depth: 0,
        };
        self.words.tell(now, said);
        self.give_text(now, text, role, false);
    }

    /// Between the client's program and the host's: the AI gets nothing of it, and the binding does not
    /// matter.
    fn on_client_message(&mut self, now: Moment, message: Map<String, Value>) {
        if let Err(Dropped { tell }) = self.messages.take(now, &json(&message)) {
            return self.drop_from_client(DropReason::TooFast.as_str(), tell);
        }
        self.tell_message(now, News::ClientMessage(message));
    }

    /// Tells it behind all that was told, but not behind what waits to be heard. Before the session has
    /// begun it waits with everything else for that.
    fn tell_message(&mut self, now: Moment, message: News) {
        if self.connection.number == 0 {
            self.words.tell(now, message);
        } else {
            self.tell_at_once(now, message);
        }
    }

    fn on_dropped(&mut self, now: Moment, reason: DropReason) {
        let tell = match reason {
            DropReason::OversizedMessage { limit } => self.typing.dropped_message(now, limit),
            _ => None,
        };
        self.drop_from_client(reason.as_str(), tell);
    }

    fn drop_from_client(&mut self, reason: &'static str, tell: Option<Refused>) {
        self.out.push_back(Action::Dropped(reason));
        if let Some(problem) = tell {
            self.send_to_client(ClientCommand::Message(ServerMessage::Error {
                code: problem.code().into(),
                message: problem.to_string(),
            }));
        }
    }

    pub(super) fn on_permissions(&mut self, now: Moment, permissions: Permissions) {
        if self.permissions.voice && !permissions.voice {
            self.record_cut(now);
            self.turn.forget();
            self.send_to_client(ClientCommand::Clear);
        }
        if self.permissions.voice != permissions.voice {
            // What it is not sent counts as heard, and is in no count of the client's.
            self.playout.count_from_here();
        }
        self.permissions = permissions;
    }

    pub(super) fn on_command(&mut self, now: Moment, command: Command) {
        match command {
            Command::Text {
                text,
                role,
                silent,
                chain_depth,
            } => {
                if !silent {
                    self.chain_depth = chain_depth;
                }
                self.inject(now, text, role, silent);
            }
            Command::Image {
                mime_type,
                data,
                prompt,
                silent,
            } => {
                let respond = !silent && self.continues_by_itself();
                let image = ProviderCommand::Image {
                    mime_type,
                    data,
                    prompt,
                    respond,
                };
                self.send_words(now, 0, image);
                if !silent {
                    self.owes_answer_until(now + OWES_AFTER_GIVEN);
                    self.want_response(now);
                }
            }
            Command::Interrupt => self.interrupt(now, false),
            Command::ActivityStart | Command::ActivityEnd if !self.has_manual_turns() => {
                self.out.push_back(Action::Dropped("automatic_turns"));
            }
            // Some vendors would stop their answer for it.
            Command::ActivityStart if self.guards_greeting() => {
                self.out.push_back(Action::Dropped("guarded_greeting"));
            }
            Command::ActivityEnd if !self.user_speaking && self.guards_greeting() => {
                self.out.push_back(Action::Dropped("guarded_greeting"));
            }
            Command::ActivityStart => {
                self.manual_turn = true;
                self.user_began(now, None);
                self.send_by_uplink(now, Piece::Begins);
            }
            Command::ActivityEnd => {
                self.send_by_uplink(now, Piece::Ends);
                self.user_finished(now, None);
                if !self.continues_by_itself() {
                    self.asks_for_turn |= self.wanted == Wanted::No;
                    self.wanted = Wanted::NotBefore(now);
                }
            }
            Command::Update(change) => self.on_change(now, *change),
            Command::Redeclare(redeclared) => self.on_redeclared(now, redeclared),
            Command::Deliver {
                text,
                strategy,
                taken,
            } => {
                let is_taken = self.on_deliver(now, text, strategy);
                if let Some(taken) = taken {
                    // Who asked may have stopped waiting.
                    let _ = taken.send(is_taken);
                }
            }
            Command::HandOver => self.connection.plan_for_host(now, HandOverReason::Host),
            Command::Record(on) => self.record(now, on, RecordingDecision::Host),
            Command::Raw(message) => self.send_to_provider(ProviderCommand::Raw(message)),
            // By the publisher, so that it is behind what the host was told when it asked for it.
            Command::Message(message) => self.tell_message(now, News::Message(message)),
            Command::Mark(reached) => {
                // Who asked may have stopped waiting.
                let _ = reached.send(());
            }
            Command::EndWhenOver(limit) => self.end_when_over(now, limit),
            Command::End(reason) => self.end(now, reason),
        }
    }

    /// Whether the host may say when the user speaks. Before there is a connection that is not known.
    fn has_manual_turns(&self) -> bool {
        let provider = self.provider.as_ref();
        provider.is_none_or(|provider| provider.manual_turns)
    }

    /// Gives the model what was told right before.
    pub(super) fn give_text(&mut self, now: Moment, text: String, role: Role, silent: bool) {
        let respond = !silent && self.continues_by_itself();
        let words = ProviderCommand::Text {
            role,
            text,
            respond,
        };
        self.send_words(now, self.words.order(), words);
        if !silent {
            self.owes_answer_until(now + OWES_AFTER_GIVEN);
            self.want_response(now);
        }
    }
}
