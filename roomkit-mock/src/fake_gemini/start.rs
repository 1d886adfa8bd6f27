//! `setup` and what answers it: `setupComplete`, a refusal, or nothing.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::builder::HandleRefusal;
use super::engine::Engine;
use super::hub::Memory;
use super::life::Life;
use super::memory::{Conversation, Snapshot};
use super::refusal::Refusal;
use super::setup::Setup;

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    AwaitingSetup,
    /// Waits for the session's old connection to end, until this moment.
    Resuming(Instant),
    /// `setupComplete` comes at this moment.
    Starting(Instant),
    /// `setupComplete` never comes.
    Silent,
    Ready,
}

impl Phase {
    pub(crate) fn due(self) -> Option<Instant> {
        match self {
            Self::Resuming(due) | Self::Starting(due) => Some(due),
            Self::AwaitingSetup | Self::Silent | Self::Ready => None,
        }
    }
}

impl Engine {
    pub(super) fn set_up(&mut self, json: Value) -> Result<(), Refusal> {
        if self.phase != Phase::AwaitingSetup {
            let detail = "setup comes once";
            return Err(Refusal::invalid_argument(detail));
        }
        let setup = Setup::read(json, self.service, &self.hub.options.models)?;
        let json = setup.json.clone();
        self.record.change(|state| state.session = json);
        self.object_to_tools(&setup.json["tools"]);
        let silent = setup.silent;
        let handle = setup.handle().map(str::to_owned);
        self.setup = Some(setup);
        if silent {
            self.phase = Phase::Silent;
            return Ok(());
        }
        match handle {
            None => {
                self.hub
                    .carry(&self.session, self.connection, self.memory.clone());
                self.start();
            }
            Some(handle) => self.resume(&handle)?,
        }
        Ok(())
    }

    /// Goes on with what time has brought: the old connection's end, or the answer's moment.
    pub(super) fn advance_start(&mut self) {
        match self.phase {
            Phase::Resuming(due) => {
                let handle = self.setup.as_ref().and_then(Setup::handle);
                let handle = handle.unwrap_or_default().to_owned();
                if let Err(refusal) = self.take_up(&handle, due <= self.now) {
                    self.refuse(&refusal);
                }
            }
            Phase::Starting(due) if due <= self.now => self.complete_setup(),
            _ => {}
        }
    }

    fn resume(&mut self, handle: &str) -> Result<(), Refusal> {
        let options = &self.hub.options;
        self.phase = Phase::Resuming(self.now + options.resume_grace);
        let over = options.resume_grace.is_zero();
        self.take_up(handle, over)
    }

    /// Takes the session up unless it is still carried elsewhere and there is time to wait.
    fn take_up(&mut self, handle: &str, over: bool) -> Result<(), Refusal> {
        let Some(snapshot) = self.hub.find_handle(handle) else {
            self.refuse_handle();
            return Ok(());
        };
        let model = self.setup.as_ref().map(Setup::model).unwrap_or_default();
        if snapshot.model != model {
            let detail = "a session keeps its model";
            return Err(Refusal::invalid_argument(detail).at("setup.model"));
        }
        let watched = self.hub.options.refuse_resume_while_open;
        let (session, connection) = (&snapshot.session, self.connection);
        if watched && self.hub.is_carried_elsewhere(session, connection) {
            if over {
                self.turn_away(&Refusal::internal());
            }
            return Ok(());
        }
        self.restore(handle, snapshot);
        Ok(())
    }

    fn restore(&mut self, handle: &str, snapshot: Snapshot) {
        self.session = snapshot.session;
        self.memory = Memory {
            conversation: Conversation::from_turns(snapshot.turns),
            resumed_from: Some(handle.to_owned()),
            handles: Vec::new(),
        };
        self.hub
            .carry(&self.session, self.connection, self.memory.clone());
        self.start();
    }

    fn refuse_handle(&mut self) {
        match self.hub.options.handle_refusal {
            HandleRefusal::InvalidArgument => self.turn_away(&Refusal::invalid_argument("")),
            HandleRefusal::NotFound => self.turn_away(&Refusal::not_found()),
            HandleRefusal::Silence => self.phase = Phase::Silent,
        }
    }

    /// Closes because of the server's state, which is no fault of the client.
    fn turn_away(&mut self, refusal: &Refusal) {
        self.close(refusal.code, &refusal.reason);
    }

    fn start(&mut self) {
        self.phase = Phase::Starting(self.now + self.hub.options.setup_delay);
        self.advance_start();
    }

    fn complete_setup(&mut self) {
        let Some(setup) = &self.setup else { return };
        self.seeding = setup.seeds_history();
        let format = crate::fake::audio::AudioFormat::Pcm(self.rate);
        self.input.configure(format, setup.detection);
        self.phase = Phase::Ready;
        if !self.life.is_ending() {
            self.life = Life::new(self.hub.options.life.as_ref(), self.now);
        }
        let id = if self.service.is_vertex() {
            json!({"sessionId": self.session})
        } else {
            json!({})
        };
        let mut message = json!({"setupComplete": id});
        if self.hub.options.handle_with_setup
            && let Some(update) = self.resumption_update()
        {
            message["sessionResumptionUpdate"] = update;
        }
        self.writer.message(message);
    }

    /// `sessionResumptionUpdate` with a new handle, if the client asked for handles.
    fn resumption_update(&mut self) -> Option<Value> {
        let setup = self.setup.as_ref().filter(|setup| setup.resumable())?;
        let handle = self
            .hub
            .issue_handle(self.connection, &self.session, setup.model());
        let mut update = json!({"newHandle": handle, "resumable": true});
        if setup.transparent() {
            // An int64 is text in proto3 JSON.
            let index = Value::from(self.client_messages.to_string());
            update["lastConsumedClientMessageIndex"] = index;
        }
        Some(update)
    }

    /// Gives out a new handle between turns, unless a tool is still to answer.
    pub(super) fn issue_handle(&mut self) {
        if self.calls.is_empty()
            && let Some(update) = self.resumption_update()
        {
            self.writer
                .message(json!({"sessionResumptionUpdate": update}));
        }
    }

    /// While generating there is nothing to resume from.
    pub(super) fn announce_unresumable(&mut self) {
        let resumable = self.setup.as_ref().is_some_and(Setup::resumable);
        if resumable && self.hub.options.announce_unresumable {
            self.writer
                .message(json!({"sessionResumptionUpdate": {"resumable": false}}));
        }
    }

    /// A property without a type is taken, and makes its tool unusable.
    pub(super) fn object_to_tools(&self, tools: &Value) {
        let tools = tools.as_array().into_iter().flatten();
        let functions = tools.flat_map(|tool| {
            tool["functionDeclarations"]
                .as_array()
                .into_iter()
                .flatten()
        });
        for function in functions {
            let properties = function["parameters"]["properties"].as_object();
            for (name, property) in properties.into_iter().flatten() {
                if property.get("type").is_none() && property.get("anyOf").is_none() {
                    let tool = function["name"].as_str().unwrap_or_default();
                    let message = format!("property '{name}' of tool '{tool}' has no type");
                    self.object(message, Some("setup.tools"));
                }
            }
        }
    }
}
