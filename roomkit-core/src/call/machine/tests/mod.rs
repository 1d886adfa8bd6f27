//! Scripted calls on a virtual clock. No task, no socket: a rule is a few lines.

mod allocations;
mod asking;
mod audio;
mod changes;
mod changes_random;
mod ending;
mod extremes;
mod faults;
mod given;
mod greeting;
mod handover;
mod messages;
mod random;
mod recording;
mod silence;
mod stats;
mod tools;
mod tools_random;
mod turns;
mod words;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Call, CallSettings,
    testing::{RATE, Scripted, Step, World, capabilities, ms, opening, settings, sound},
};
use crate::{
    audio as pcm,
    call::{
        gate::Toolbox,
        io::{Action, Command, Input, Moment, News, Permissions, ToolAnswer},
        setup::{Setup, ToolsOf},
    },
    event::ResponsePhase,
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderCommand, ProviderEvent, ResponseStatus, Role,
        SessionSetup,
    },
    transport::{ClientCommand, ClientEvent},
};

impl Scripted {
    fn with(settings: CallSettings, capabilities: ProviderCapabilities) -> Self {
        let mut scripted = Self::unconnected(settings);
        scripted.feed(Input::Connected(ConnectionInfo::new(capabilities)));
        scripted
    }

    fn unconnected(settings: CallSettings) -> Self {
        Self::opened(settings, opening())
    }

    fn new() -> Self {
        Self::with(settings(), capabilities())
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
        let serial = self.serial(id);
        self.feed(Input::ToolCleared(serial))
    }

    /// The number of the open call of this id, or none's.
    fn serial(&self, id: &str) -> u64 {
        self.call.tools.serial(&id.into()).unwrap_or_default()
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
        Action::CancelTool { call_id, expired } => Action::CancelTool {
            call_id: call_id.clone(),
            expired: *expired,
        },
        Action::Idle(idle) => Action::Idle(*idle),
        Action::Stats(stats) => Action::Stats(stats.clone()),
        Action::Recording(state, by, since) => Action::Recording(*state, *by, *since),
        Action::Record(sound) => Action::Record(sound.clone()),
        Action::Trace(milestone) => Action::Trace(milestone.clone()),
        Action::Dropped(reason) => Action::Dropped(reason),
        Action::DroppedHeld(pieces) => Action::DroppedHeld(*pieces),
        Action::End(reason) => Action::End(reason.clone()),
    }
}
