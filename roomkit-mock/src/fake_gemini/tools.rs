//! Function calls and their responses.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::answer::Cause;
use super::engine::Engine;
use super::memory::{Speaker, Turn};
use super::refusal::Refusal;
use super::script::ToolCall;

/// The calls of one connection.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    made: usize,
    pending: Vec<Pending>,
    answered: HashSet<String>,
    cancelled: HashSet<String>,
    /// Results of blocking calls that nobody has spoken of yet.
    results: Vec<String>,
}

#[derive(Debug, Clone)]
struct Pending {
    id: String,
    name: String,
    blocking: bool,
}

/// When the model speaks of the result of a call that does not block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheduling {
    Silent,
    WhenIdle,
    Interrupt,
}

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn any_blocking(&self) -> bool {
        self.pending.iter().any(|call| call.blocking)
    }

    pub(crate) fn take_results(&mut self) -> Vec<String> {
        std::mem::take(&mut self.results)
    }

    /// Gives up the blocking calls and returns their ids.
    pub(crate) fn cancel_blocking(&mut self) -> Vec<String> {
        let blocking = self.pending.extract_if(.., |call| call.blocking);
        let ids: Vec<String> = blocking.map(|call| call.id).collect();
        self.cancelled.extend(ids.iter().cloned());
        self.results.clear();
        ids
    }

    /// The position of the pending call a response is for.
    fn find(&self, id: Option<&str>, name: &str) -> Option<usize> {
        self.pending.iter().position(|call| match id {
            Some(id) => call.id == id,
            None => call.name == name,
        })
    }
}

impl Engine {
    /// One `toolCall` frame.
    pub(super) fn send_calls(&mut self, calls: Vec<ToolCall>) {
        let mut list = Vec::with_capacity(calls.len());
        for call in calls {
            self.calls.made += 1;
            let (connection, made) = (self.connection, self.calls.made);
            let id = call
                .id
                .unwrap_or_else(|| format!("function-call-{connection}x{made}"));
            let mut entry = json!({"name": call.name, "args": call.arguments});
            if !self.hub.options.omit_call_ids {
                entry["id"] = Value::from(id.as_str());
            }
            list.push(entry);
            let blocking = self
                .setup
                .as_ref()
                .is_some_and(|setup| setup.blocks(&call.name));
            self.calls.pending.push(Pending {
                id,
                name: call.name,
                blocking,
            });
        }
        self.writer
            .message(json!({"toolCall": {"functionCalls": list}}));
    }

    pub(super) fn tool_response(&mut self, response: &Value) -> Result<(), Refusal> {
        let responses = response["functionResponses"].as_array();
        let (mut unblocked, mut spoken) = (false, Vec::new());
        let mut scheduling = Scheduling::Silent;
        for (index, response) in responses.into_iter().flatten().enumerate() {
            let path = format!("tool_response.function_responses[{index}]");
            let Some(call) = self.take_call(response, &path)? else {
                continue;
            };
            let result = result_text(&response["response"]);
            self.remember(Turn::new(Speaker::Tool, response["response"].to_string()));
            if call.blocking {
                self.calls.results.push(result);
                unblocked = true;
                continue;
            }
            let wanted = match response["scheduling"].as_str() {
                Some("SILENT") => continue,
                Some("INTERRUPT") => Scheduling::Interrupt,
                _ => Scheduling::WhenIdle,
            };
            spoken.push(result);
            if scheduling != Scheduling::Interrupt {
                scheduling = wanted;
            }
        }
        if unblocked && !self.calls.any_blocking() {
            self.go_on_with_results();
        }
        match scheduling {
            Scheduling::Silent => {}
            Scheduling::Interrupt => {
                self.interrupt();
                self.begin(Cause::Results(spoken));
            }
            Scheduling::WhenIdle if self.user_active => {
                self.queued.push_back(Cause::Results(spoken));
            }
            Scheduling::WhenIdle => self.begin(Cause::Results(spoken)),
        }
        Ok(())
    }

    fn go_on_with_results(&mut self) {
        let now = self.now;
        match &mut self.generation {
            Some(generation) if generation.awaiting => generation.resume(now),
            _ => {
                let results = self.calls.take_results();
                self.begin(Cause::Results(results));
            }
        }
    }

    /// The call this response answers; what is wrong with it is recorded.
    fn take_call(&mut self, response: &Value, path: &str) -> Result<Option<Pending>, Refusal> {
        let id = response["id"].as_str().filter(|id| !id.is_empty());
        let name = response["name"].as_str().unwrap_or_default();
        if id.is_none() && !self.hub.options.omit_call_ids {
            let detail = "a function response has the id of its call";
            return Err(Refusal::invalid_argument(detail).at(&format!("{path}.id")));
        }
        if !response["response"].is_object() {
            let detail = "a function response has a response, an object";
            return Err(Refusal::invalid_argument(detail).at(&format!("{path}.response")));
        }
        let Some(index) = self.calls.find(id, name) else {
            let id = id.unwrap_or(name);
            let why = if self.calls.cancelled.contains(id) {
                "was cancelled"
            } else if self.calls.answered.contains(id) {
                "was answered already"
            } else {
                "is unknown"
            };
            let message = format!("response to call '{id}', which {why}");
            self.object(message, Some(&format!("{path}.id")));
            return Ok(None);
        };
        let call = self.calls.pending[index].clone();
        if !name.is_empty() && name != call.name {
            let message = format!("response named '{name}' to a call of '{}'", call.name);
            self.object(message, Some(&format!("{path}.name")));
        }
        if response["willContinue"] != true {
            self.calls.pending.remove(index);
            self.calls.answered.insert(call.id.clone());
        }
        Ok(Some(call))
    }
}

/// `output`, `error`, or else the whole response is what the tool said.
fn result_text(response: &Value) -> String {
    let said = response.get("output").or_else(|| response.get("error"));
    match said.unwrap_or(response) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
