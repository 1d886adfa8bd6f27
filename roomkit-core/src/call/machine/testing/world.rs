//! What is around a call: connections that come and go, a publisher that clears tool calls, tools,
//! and a clock.

use std::{collections::VecDeque, time::Duration};

use super::{
    RATE, Scripted, opening,
    promises::Promises,
    step::{Step, change, client_event, command},
};
use crate::{
    audio,
    call::{
        io::{Action, Command, Input, News, Permissions, ToolAnswer},
        machine::{CallSettings, HELD_COMMANDS, STALE_RESPONSES, given::DELIVERIES},
        playout::Pace,
    },
    event::EndReason,
    id::CallId,
    provider::{
        ConnectionInfo, HistorySupport, ProviderCapabilities, ProviderError, ProviderErrorKind,
        ProviderEvent, ResumeToken, Role, Usage,
    },
    transport::{ClientCommand, ClientEvent},
};

/// Everything around a call, which keeps to what drivers and plugins keep to.
pub(in crate::call::machine) struct World {
    pub(in crate::call::machine) call: Scripted,
    pub(in crate::call::machine) promises: Promises,
    settings: CallSettings,
    /// What each connection can do.
    capabilities: ProviderCapabilities,
    /// Its ids, where it gives any, are its own.
    has_ids: bool,
    connections: u32,
    /// There is a connection.
    is_connected: bool,
    /// A dial has no outcome yet.
    is_dialling: bool,
    /// The serial numbers of tool calls that the publisher was told of and has not come to.
    told: VecDeque<u64>,
    /// What the last audio consisted of.
    mark: i16,
    /// The host takes the voice away, and may give it back before all has been said.
    is_muting: bool,
}

impl World {
    /// A call that waits for its first connection.
    pub(in crate::call::machine) fn new(
        settings: CallSettings,
        capabilities: ProviderCapabilities,
        has_ids: bool,
        greeting: Option<String>,
    ) -> Self {
        let pace = Pace {
            lead: settings.lead,
            jitter_buffer: settings.jitter_buffer,
        };
        let mut opening = opening();
        let mut promises = Promises::new(pace);
        if greeting.is_some() {
            promises.asked();
        }
        opening.greeting = greeting;
        Self {
            call: Scripted::opened(settings.clone(), opening),
            promises,
            settings,
            capabilities,
            has_ids,
            connections: 0,
            is_connected: false,
            is_dialling: true,
            told: VecDeque::new(),
            mark: 0,
            is_muting: false,
        }
    }

    /// Lets it happen, if it can at this moment, and looks whether what comes of it is right.
    pub(in crate::call::machine) fn run(&mut self, step: &Step) {
        if self.asks(step) {
            self.promises.asked();
        }
        match step {
            Step::Pass(time) => {
                self.call.pass(*time);
                self.look();
            }
            Step::NotSent(behind) if self.is_connected => {
                let error = ProviderError::new(ProviderErrorKind::Unsupported, "no such setting");
                self.feed(Input::UpdateFailed(error, usize::from(*behind)));
            }
            Step::Lost(kind) if self.is_connected => {
                self.is_connected = false;
                let error = kind.map(|kind| ProviderError::new(kind, "lost"));
                self.feed(Input::Provider(ProviderEvent::Closed(error)));
            }
            Step::Dialled(outcome) if self.is_dialling => self.dialled(*outcome),
            Step::Cleared => {
                if let Some(serial) = self.told.pop_front() {
                    self.feed(Input::ToolCleared(serial));
                }
            }
            Step::Answer(id) => {
                let id = call_id(*id);
                self.promises.finished(&id);
                self.feed(Input::ToolFinished(id, answer()));
            }
            Step::Progress(id) => {
                let serial = self.call.call.tools.serial(&call_id(*id));
                let progress = "half of it".into();
                self.feed(Input::ToolProgress(serial.unwrap_or_default(), progress));
            }
            Step::HandOff(id, way) => {
                let id = call_id(*id);
                self.promises.finished(&id);
                let change = change(u8::MAX, *way);
                self.feed(Input::ToolChanges(id, answer(), Box::new(change)));
            }
            Step::Permissions(microphone, voice) => {
                let (microphone, voice) = (*microphone, *voice);
                if !voice {
                    self.promises.muted();
                }
                self.is_muting = true;
                self.feed(Input::Permissions(Permissions { microphone, voice }));
                self.is_muting = false;
            }
            Step::RecordingFailed => self.feed(Input::RecordingFailed),
            Step::Leaves(with_a_word) if *with_a_word => {
                self.feed(Input::Client(ClientEvent::End));
            }
            Step::Leaves(_) => self.feed(Input::ClientGone),
            step => {
                if let Some(event) = client_event(step) {
                    self.feed(Input::Client(event));
                } else if let Some(command) = command(step) {
                    self.feed(Input::Command(command));
                } else if self.is_connected
                    && let Some(event) = self.provider_event(step)
                {
                    self.feed(Input::Provider(event));
                }
            }
        }
        self.promises.broken.extend(self.beyond_bounds());
    }

    /// From now on everybody does what is expected, and time passes.
    pub(in crate::call::machine) fn settle(&mut self) {
        for _ in 0..4 {
            while !self.told.is_empty() {
                self.run(&Step::Cleared);
            }
            self.run(&Step::Dialled(Ok(None)));
            self.run(&Step::Pong);
            self.run(&Step::Pass(self.settings.tool_timeout));
        }
        self.run(&Step::Dialled(Ok(None)));
        if self.is_connected {
            self.promises.at_rest();
        }
    }

    /// Ends the call, if it has not ended.
    pub(in crate::call::machine) fn end(&mut self) {
        self.feed(Input::Command(Command::End(EndReason::Host)));
        self.promises.at_end();
        if !self.call.call.tools.is_empty() {
            self.promises.broken.push("K2: a tool call is open".into());
        }
    }

    /// Whether an answer may be owed because of it, whatever tools do.
    fn asks(&self, step: &Step) -> bool {
        match step {
            Step::Text(silent) | Step::Image(silent) => !silent,
            Step::Activity(begins) => !begins,
            Step::Dialled(_) => self.connections > 0,
            Step::Types | Step::Deliver(_) | Step::HandOff(..) | Step::Change(..) => true,
            _ => false,
        }
    }

    fn feed(&mut self, input: Input) {
        self.call.feed(input);
        self.look();
    }

    fn dialled(&mut self, outcome: Result<Option<Duration>, ProviderErrorKind>) {
        match outcome {
            Ok(expires_in) => {
                self.is_dialling = false;
                self.is_connected = true;
                self.connections += 1;
                self.promises.connected();
                let mut info = ConnectionInfo::new(self.capabilities.clone());
                info.expires_in = expires_in;
                self.feed(Input::Connected(info));
            }
            // Of a first connection that cannot be had no call comes.
            Err(_) if self.connections == 0 => {}
            Err(kind) => {
                self.is_dialling = false;
                self.feed(Input::DialFailed(ProviderError::new(kind, "no")));
            }
        }
    }

    /// What the provider says on its present connection.
    fn provider_event(&mut self, step: &Step) -> Option<ProviderEvent> {
        let (has_ids, connection) = (self.has_ids, self.connections);
        let name = |kind: &str, id: u8| has_ids.then(|| format!("{kind}{id} of {connection}"));
        let item = |kind: &str, id: u8| name(kind, id).map(Into::into);
        let response = |id: u8| name("r", id).map(Into::into);
        let event = match step {
            Step::Speech(true, id) => ProviderEvent::SpeechStarted {
                item_id: item("u", *id),
            },
            Step::Speech(false, id) => ProviderEvent::SpeechStopped {
                item_id: item("u", *id),
            },
            Step::Response(id) => ProviderEvent::ResponseStarted {
                response_id: response(*id),
            },
            Step::Voice(of, id, length) => {
                self.mark += 1;
                let samples = audio::bytes_for(*length, RATE) / audio::BYTES_PER_SAMPLE;
                let pcm = self.mark.to_le_bytes().repeat(samples);
                ProviderEvent::Audio {
                    response_id: response(*of),
                    item_id: item("a", *id),
                    content_index: 0,
                    pcm: pcm.into(),
                }
            }
            Step::Words(is_user, id, is_final) => {
                let (role, kind) = if *is_user {
                    (Role::User, "u")
                } else {
                    (Role::Assistant, "a")
                };
                ProviderEvent::Transcript {
                    role,
                    item_id: item(kind, *id),
                    text: "some words".into(),
                    is_final: *is_final,
                }
            }
            Step::NoWords(id) => ProviderEvent::TranscriptFailed {
                item_id: item("u", *id),
                message: "noise".into(),
            },
            Step::EndResponse(id, status) => ProviderEvent::ResponseEnded {
                response_id: response(*id),
                status: status.clone(),
                usage: None,
            },
            Step::Refused => ProviderEvent::ResponseRefused,
            Step::TurnPassed => ProviderEvent::TurnPassed,
            Step::MoreToCome => ProviderEvent::MoreToCome,
            Step::Call(id, arguments) => {
                // A vendor that can be told of calls by their ids does not use one of them twice.
                let is_unique = self.capabilities.history == HistorySupport::Full;
                let arguments = if is_unique { 0 } else { *arguments };
                let (call_id, arguments) = (call_id(*id), arguments.to_string());
                self.promises.called(&call_id, &arguments);
                ProviderEvent::ToolCall {
                    call_id,
                    name: "f".into(),
                    arguments,
                }
            }
            Step::CancelCall(id) => {
                let call_ids = vec![call_id(*id)];
                self.promises.taken_back(&call_ids[0]);
                ProviderEvent::ToolCallsCancelled { call_ids }
            }
            Step::Hiccup(kind) => ProviderEvent::Error(ProviderError::new(*kind, "hiccup")),
            Step::GoAway(time_left) => ProviderEvent::GoAway {
                time_left: *time_left,
            },
            Step::Resumable => ProviderEvent::Resumable(ResumeToken::new("token")),
            Step::Pong => ProviderEvent::Pong,
            Step::Updated(true) => ProviderEvent::Updated,
            Step::Updated(false) => ProviderEvent::UpdateRefused(ProviderError::new(
                ProviderErrorKind::InvalidRequest,
                "no",
            )),
            Step::Spent => ProviderEvent::Usage(Box::new(Usage {
                input_tokens: u64::MAX,
                ..Usage::default()
            })),
            _ => return None,
        };
        Some(event)
    }

    /// Takes notice of what the call did.
    fn look(&mut self) {
        let new = &self.call.log[self.call.taken..];
        for (at, action) in new {
            self.promises.see(*at, action);
            match action {
                // While the old connection is there another dial may take the place of the first.
                Action::Dial(_) if self.is_dialling && !self.is_connected => {
                    self.promises.broken.push("dials while it dials".into());
                }
                Action::Dial(_) => self.is_dialling = true,
                Action::HangUp => self.is_connected = false,
                Action::ToProvider(command) if !self.is_connected => {
                    let broken = format!("{command:?} without a connection");
                    self.promises.broken.push(broken);
                }
                Action::ToClient(ClientCommand::Clear) if !self.is_muting => {
                    self.promises.cut_off(self.mark + 1);
                }
                Action::ToClient(ClientCommand::Audio(pcm)) => {
                    if let [low, high, ..] = pcm[..] {
                        self.promises.see_mark(i16::from_le_bytes([low, high]));
                    }
                }
                Action::Publish(publication) => {
                    if let News::ToolCall(request) = &publication.what {
                        self.told.push_back(request.serial);
                    }
                }
                _ => {}
            }
        }
        self.call.taken = self.call.log.len();
    }

    /// What holds more than it may (contracts S4, A5, A6, H2, K3, X5).
    fn beyond_bounds(&self) -> Option<String> {
        let call = &self.call.call;
        let queued = call.playout.end().saturating_sub(call.playout.sent());
        // What came before the first connection may still wait when the next one is dialled.
        let may_wait = audio::duration_of(call.uplink.may_wait(), RATE);
        let what = [
            ("held audio", call.uplink.held() > may_wait),
            // What waits was brought to another rate, which may have made it a little longer.
            (
                "the playout",
                queued > self.settings.backlog + Duration::from_millis(100),
            ),
            ("held commands", call.held.len() > HELD_COMMANDS),
            ("deferred words", call.deferred.len() > HELD_COMMANDS),
            // Before the session is live, what it was asked to say waits for that.
            (
                "words",
                call.connection.number > 0 && !call.words.is_bounded(),
            ),
            ("deliveries", call.deliveries.len() > DELIVERIES),
            ("stale responses", call.stale.len() > STALE_RESPONSES),
            (
                "running tools",
                self.promises.running() > self.settings.tool_limit,
            ),
        ];
        let (what, _) = what.into_iter().find(|(_, is_too_much)| *is_too_much)?;
        Some(format!("X5: {what} grow beyond their bound"))
    }
}

fn call_id(id: u8) -> CallId {
    format!("c{id}").into()
}

fn answer() -> ToolAnswer {
    ToolAnswer {
        output: "done".into(),
        is_error: false,
    }
}
