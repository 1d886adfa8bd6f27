//! Scripted calls on a virtual clock. No task, no socket: a rule is a few lines.

mod audio;
mod changes;
mod changes_random;
mod faults;
mod given;
mod handover;
mod random;
mod recording;
mod stats;
mod tools;
mod turns;
mod words;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Call, CallSettings, Opening};
use crate::{
    audio as pcm,
    call::{
        gate::Toolbox,
        io::{Action, Command, Input, Moment, News, Permissions, ToolAnswer},
        setup::Setup,
    },
    event::ResponsePhase,
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderCommand, ProviderEvent, ResponseStatus, Role,
        SessionSetup,
    },
    transport::{ClientCommand, ClientEvent},
};

const RATE: u32 = 24_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn sound(length: Duration) -> Bytes {
    vec![7; pcm::bytes_for(length, RATE)].into()
}

fn settings() -> CallSettings {
    CallSettings {
        lead: ms(200),
        jitter_buffer: Duration::ZERO,
        backlog: Duration::from_secs(60),
        transcript_wait: ms(1500),
        tool_limit: 2,
        tool_timeout: Duration::from_secs(30),
        tool_result_cap: 100,
        interruptions: true,
        idle_timeout: None,
        max_duration: None,
        hold: Duration::from_secs(30),
        reconnect_attempts: 5,
        max_connection_age: None,
        input_rate: RATE,
        recording: None,
        seed: 1,
    }
}

/// A session without tools, and nothing said before.
fn opening() -> Opening {
    let toolbox = Toolbox::new(Vec::new(), None).unwrap();
    let setup = SessionSetup::new("s".into());
    Opening {
        setup: Setup::new(setup, Arc::new(toolbox), false, None),
        history: Vec::new(),
        greeting: None,
    }
}

fn capabilities() -> ProviderCapabilities {
    let mut capabilities = ProviderCapabilities::new(RATE, RATE);
    capabilities.interrupts_itself = true;
    capabilities.truncates = true;
    capabilities.transcribes_user = true;
    capabilities
}

/// A call, its clock, and everything that came out of it.
struct Scripted {
    call: Call,
    now: Moment,
    log: Vec<(Moment, Action)>,
    taken: usize,
    /// The tool calls the publisher has come to.
    cleared: std::collections::HashSet<String>,
}

impl Scripted {
    fn with(settings: CallSettings, capabilities: ProviderCapabilities) -> Self {
        let mut scripted = Self::unconnected(settings);
        scripted.feed(Input::Connected(ConnectionInfo::new(capabilities)));
        scripted
    }

    fn unconnected(settings: CallSettings) -> Self {
        Self::opened(settings, opening())
    }

    fn opened(settings: CallSettings, opening: Opening) -> Self {
        let permissions = Permissions {
            microphone: true,
            voice: true,
        };
        let call = Call::new(settings, permissions, opening);
        Self {
            call,
            now: Moment::ZERO,
            log: Vec::new(),
            taken: 0,
            cleared: std::collections::HashSet::new(),
        }
    }

    fn new() -> Self {
        Self::with(settings(), capabilities())
    }

    fn feed(&mut self, input: Input) -> &mut Self {
        self.call.handle(self.now, input);
        while let Some(action) = self.call.poll() {
            self.log.push((self.now, action));
        }
        self
    }

    /// Lets time pass, waking the machine exactly when it asks for it.
    fn pass(&mut self, time: Duration) -> &mut Self {
        let until = self.now + time;
        for _ in 0..100_000 {
            let wake = self.call.next_wake(self.now).filter(|wake| *wake <= until);
            let Some(wake) = wake else {
                self.now = until;
                return self;
            };
            assert!(
                wake > self.now || time.is_zero(),
                "the machine wants to be woken at once"
            );
            self.now = wake;
            self.feed(Input::Tick);
        }
        panic!("the machine does not come to rest");
    }

    // ----- what happens

    fn client(&mut self, event: ClientEvent) -> &mut Self {
        self.feed(Input::Client(event))
    }

    fn provider(&mut self, event: ProviderEvent) -> &mut Self {
        self.feed(Input::Provider(event))
    }

    fn command(&mut self, command: Command) -> &mut Self {
        self.feed(Input::Command(command))
    }

    fn user_starts(&mut self, item: &str) -> &mut Self {
        self.provider(ProviderEvent::SpeechStarted {
            item_id: Some(item.into()),
        })
    }

    fn user_stops(&mut self, item: &str) -> &mut Self {
        self.provider(ProviderEvent::SpeechStopped {
            item_id: Some(item.into()),
        })
    }

    fn words(&mut self, role: Role, item: &str, text: &str, is_final: bool) -> &mut Self {
        let item_id = (!item.is_empty()).then(|| item.into());
        self.provider(ProviderEvent::Transcript {
            role,
            item_id,
            text: text.into(),
            is_final,
        })
    }

    fn response(&mut self, id: &str) -> &mut Self {
        self.provider(ProviderEvent::ResponseStarted {
            response_id: Some(id.into()),
        })
    }

    fn voice(&mut self, response: &str, item: &str, length: Duration) -> &mut Self {
        self.provider(ProviderEvent::Audio {
            response_id: Some(response.into()),
            item_id: Some(item.into()),
            content_index: 0,
            pcm: sound(length),
        })
    }

    fn response_ends(&mut self, id: &str, status: ResponseStatus) -> &mut Self {
        let response_id = Some(id.into());
        self.provider(ProviderEvent::ResponseEnded {
            response_id,
            status,
            usage: None,
        })
    }

    fn tool_call(&mut self, id: &str) -> &mut Self {
        self.tool_call_of("f", id)
    }

    fn tool_call_of(&mut self, name: &str, id: &str) -> &mut Self {
        self.provider(ProviderEvent::ToolCall {
            call_id: id.into(),
            name: name.into(),
            arguments: "{}".into(),
        })
    }

    /// The publisher has come to this call.
    fn tool_cleared(&mut self, id: &str) -> &mut Self {
        self.feed(Input::ToolCleared(id.into()))
    }

    fn tool_answers(&mut self, id: &str) -> &mut Self {
        let answer = ToolAnswer {
            output: format!("result of {id}"),
            is_error: false,
        };
        self.feed(Input::ToolFinished(id.into(), answer))
    }

    fn text(&mut self, text: &str, silent: bool) -> &mut Self {
        let (text, role) = (text.into(), Role::System);
        self.command(Command::Text {
            text,
            role,
            silent,
            chain_depth: 0,
        })
    }

    /// A whole answer of this length, with its words, faster than real time.
    fn answer(&mut self, id: &str, text: &str, length: Duration) -> &mut Self {
        let item = format!("{id}-item");
        self.response(id)
            .words(Role::Assistant, &item, text, false)
            .voice(id, &item, length)
            .words(Role::Assistant, &item, text, true)
            .response_ends(id, ResponseStatus::Completed)
    }

    // ----- what came out

    /// What came out since the last call of this.
    fn take(&mut self) -> Vec<Action> {
        let new = self.log[self.taken..]
            .iter()
            .map(|(_, action)| clone(action))
            .collect();
        self.taken = self.log.len();
        new
    }

    fn news(&self) -> Vec<News> {
        self.log
            .iter()
            .filter_map(|(_, action)| match action {
                Action::Publish(publication) => Some(publication.what.clone()),
                _ => None,
            })
            .collect()
    }

    fn to_provider(&self) -> Vec<ProviderCommand> {
        self.log
            .iter()
            .filter_map(|(_, action)| match action {
                Action::ToProvider(command) => Some(command.clone()),
                _ => None,
            })
            .collect()
    }

    fn to_client(&self) -> Vec<ClientCommand> {
        self.log
            .iter()
            .filter_map(|(_, action)| match action {
                Action::ToClient(command) => Some(command.clone()),
                _ => None,
            })
            .collect()
    }

    /// How much audio has gone to the client.
    fn heard(&self) -> Duration {
        let bytes = self.to_client().into_iter().map(|command| match command {
            ClientCommand::Audio(pcm) => pcm.len(),
            _ => 0,
        });
        pcm::duration_of(bytes.sum(), RATE)
    }

    fn finals(&self) -> Vec<(Role, String)> {
        self.news()
            .into_iter()
            .filter_map(|news| match news {
                News::Final { role, text, .. } => Some((role, text)),
                _ => None,
            })
            .collect()
    }

    fn phases(&self) -> Vec<ResponsePhase> {
        self.news()
            .into_iter()
            .filter_map(|news| match news {
                News::Response { phase, .. } => Some(phase),
                _ => None,
            })
            .collect()
    }

    fn asked(&self) -> usize {
        self.to_provider()
            .iter()
            .filter(|c| **c == ProviderCommand::Respond)
            .count()
    }
}

/// Actions are moved, not copied, outside of tests.
fn clone(action: &Action) -> Action {
    match action {
        Action::ToProvider(command) => Action::ToProvider(command.clone()),
        Action::Dial(dial) => Action::Dial(dial.clone()),
        Action::HangUp => Action::HangUp,
        Action::ToClient(command) => Action::ToClient(command.clone()),
        Action::Publish(publication) => Action::Publish(publication.clone()),
        Action::StartTool(request) => Action::StartTool(request.clone()),
        Action::CancelTool(call_id) => Action::CancelTool(call_id.clone()),
        Action::Idle(idle) => Action::Idle(*idle),
        Action::Stats(stats) => Action::Stats(*stats),
        Action::Recording(state, by) => Action::Recording(*state, *by),
        Action::Record(sound) => Action::Record(sound.clone()),
        Action::Trace(milestone) => Action::Trace(milestone.clone()),
        Action::Dropped(reason) => Action::Dropped(reason),
        Action::End(reason) => Action::End(reason.clone()),
    }
}
