//! The way of a tool call from the model's wish to the answer (contracts K5, K6, K8, S8).

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{
    change::Change,
    entry::Entry,
    io::{ToolAnswer, ToolRequest},
    publisher::as_told,
};
use crate::{
    error::ConfigError,
    event::{RealtimeToolCallEvent, RealtimeToolResultEvent},
    framework::{FrameworkEvent, FrameworkEventKind},
    guard,
    hook::{HookScope, Hooks, Verdict},
    id::CallId,
    kit::WeakRoomKit,
    session::RealtimeSession,
    tool::{
        FIND_TOOLS, Index, Reporter, Tool, ToolDefinition, ToolHandler, ToolInvocation, ToolOutput,
        ToolRules, ToolSearch,
    },
    voice::Agents,
};

/// The tools of a session: what the model is told, what arguments must be, and who answers.
#[derive(Clone)]
pub(crate) struct Toolbox {
    fallback: Option<Arc<dyn ToolHandler>>,
    /// What the model is told.
    definitions: Arc<[ToolDefinition]>,
    entries: Arc<HashMap<String, Arc<Entry>>>,
    /// What is searched where there are many.
    search: Option<ToolSearch>,
    /// Where the model finds the tools it is not told of, if they are so many.
    index: Option<Arc<Index>>,
    /// What it found last.
    found: Vec<String>,
}

impl Toolbox {
    /// Tools whose schemas are read first. `fallback` answers those without a handler of their own. Two
    /// of one name, a schema that is none or not of an object, and rules that allow no call are refused.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn new(
        tools: Vec<Tool>,
        fallback: Option<&Arc<dyn ToolHandler>>,
    ) -> Result<Self, ConfigError> {
        Self::of(Entry::all(tools)?, fallback)
    }

    /// Tools whose schemas have been read. Two of one name are refused.
    pub(crate) fn of(
        tools: Vec<Arc<Entry>>,
        fallback: Option<&Arc<dyn ToolHandler>>,
    ) -> Result<Self, ConfigError> {
        let mut definitions = Vec::new();
        let mut entries = HashMap::new();
        for entry in tools {
            let definition = entry.definition().clone();
            if entries.insert(definition.name.clone(), entry).is_some() {
                let problem = format!("two tools are called `{}`; rename one", definition.name);
                return Err(ConfigError::field("tools", problem));
            }
            definitions.push(definition);
        }
        Ok(Self {
            fallback: fallback.cloned(),
            definitions: definitions.into(),
            entries: Arc::new(entries),
            search: None,
            index: None,
            found: Vec::new(),
        })
    }

    /// The same, of which the model is told only where to look for them, if they are many. The name of
    /// the search is refused also while they are few.
    pub(crate) fn searched(mut self, search: Option<&ToolSearch>) -> Result<Self, ConfigError> {
        self.search = search.cloned();
        let Some(search) = search else {
            return Ok(self);
        };
        if self.declares(FIND_TOOLS) {
            let problem = format!("a tool is called `{FIND_TOOLS}` like the search; rename it");
            return Err(ConfigError::field("tools", problem));
        }
        if self.definitions.len() <= search.more_than {
            return Ok(self);
        }
        let index = Arc::new(Index::new(&self.definitions, search.results));
        let finder: Arc<dyn ToolHandler> = Arc::clone(&index) as _;
        let finder = Entry::new(Tool {
            definition: ToolSearch::definition(),
            handler: Some(finder),
        })?;
        let mut entries = Arc::into_inner(self.entries).unwrap_or_default();
        entries.insert(FIND_TOOLS.to_owned(), Arc::new(finder));
        self.entries = Arc::new(entries);
        self.index = Some(index);
        Ok(self.showing(&[]))
    }

    /// The same, of which the model is told these, as far as it has them.
    pub(crate) fn showing(&self, found: &[String]) -> Self {
        let mut shown = self.clone();
        if let (Some(search), Some(_)) = (&self.search, &self.index) {
            let finder = FIND_TOOLS.to_owned();
            let mut names: Vec<&String> = [&finder].into_iter().chain(&search.keep).collect();
            names.extend(found.iter().filter(|name| !search.keep.contains(name)));
            let entries = names.into_iter().filter_map(|name| self.entries.get(name));
            shown.definitions = entries.map(|entry| entry.definition().clone()).collect();
            shown.found = found.to_vec();
        }
        shown
    }

    /// What the model found last, where it has to search.
    pub(crate) fn found(&self) -> &[String] {
        &self.found
    }

    /// What a call of this tool finds, if it is the search.
    fn find(&self, name: &str, arguments: &Map<String, Value>) -> Option<Vec<String>> {
        let index = self.index.as_ref().filter(|_| name == FIND_TOOLS)?;
        let found = index.find(Index::query(arguments));
        Some(found.into_iter().map(str::to_owned).collect())
    }

    /// Other tools in place of these, searched like these; those of a known name keep who answers them.
    pub(crate) fn redeclared(&self, definitions: &[ToolDefinition]) -> Result<Self, ConfigError> {
        let tools = definitions.iter().map(|definition| {
            let known = self.entries.get(&definition.name);
            if let Some(known) = known.filter(|known| known.definition() == definition) {
                return Ok(Arc::clone(known));
            }
            let handler = known.and_then(|known| known.handler().cloned());
            let definition = definition.clone();
            let tool = Tool {
                definition,
                handler,
            };
            Entry::new(tool).map(Arc::new)
        });
        let tools = tools.collect::<Result<_, _>>()?;
        Self::of(tools, self.fallback.as_ref())?.searched(self.search.as_ref())
    }

    pub(crate) fn definitions(&self) -> &Arc<[ToolDefinition]> {
        &self.definitions
    }

    /// How calls of this tool are run.
    pub(crate) fn rules(&self, name: &str) -> ToolRules {
        let entry = self.entries.get(name);
        entry
            .map(|entry| entry.definition().rules)
            .unwrap_or_default()
    }

    /// Whether this is the name of a tool, and not just a word of the model's.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The name, if it is one; what a model made up may be words of the caller (contract X6).
    pub(crate) fn declared<'a>(&self, name: &'a str) -> Option<&'a str> {
        Some(name).filter(|name| self.declares(name))
    }

    fn entry(&self, name: &str) -> Result<&Entry, Refusal> {
        let entry = self.entries.get(name).ok_or(Refusal::NotDeclared)?;
        Ok(entry)
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Toolbox")
            .field("definitions", &self.definitions)
            .finish_non_exhaustive()
    }
}

impl From<ToolAnswer> for Finished {
    fn from(answer: ToolAnswer) -> Self {
        let change = None;
        Self { answer, change }
    }
}

/// What a tool call needs of its session.
#[derive(Clone)]
pub(crate) struct ToolContext {
    /// Weakly: a tool that runs keeps no kit that everybody else has let go of (contract S7).
    pub(crate) kit: WeakRoomKit,
    pub(crate) hooks: Hooks,
    pub(crate) scope: HookScope,
    pub(crate) session: RealtimeSession,
    pub(crate) toolbox: Arc<Toolbox>,
    pub(crate) agents: Arc<Agents>,
}

/// Who answers a call and with what arguments, or why nobody does.
type Admitted = Result<(Option<Arc<dyn ToolHandler>>, Map<String, Value>), Refusal>;

/// Why nobody answers a call.
enum Refusal {
    NotDeclared,
    /// What is wrong with the arguments, in words that may be those of the caller.
    Arguments(String),
    /// The reason a hook gives.
    Hook(String),
}

impl Refusal {
    /// What events say of it: nothing that was said in the conversation (contract X6).
    fn code(&self) -> &str {
        match self {
            Self::NotDeclared => "not_declared",
            Self::Arguments(_) => "arguments",
            Self::Hook(reason) => reason,
        }
    }

    /// What the model reads of it.
    fn answer(self, name: &str) -> ToolAnswer {
        ToolAnswer::error(&match self {
            Self::NotDeclared => format!("tool `{name}` is not declared"),
            Self::Arguments(problem) => format!("the arguments of `{name}` {problem}"),
            Self::Hook(reason) => reason,
        })
    }
}

/// What came of a tool call.
pub(crate) struct Finished {
    pub(crate) answer: ToolAnswer,
    /// What the session becomes with it.
    pub(crate) change: Option<Box<Change>>,
}

impl ToolContext {
    /// Runs one call through the gate to an answer. Every refusal is an answer too, and so is a
    /// panic. Once it is cancelled its handler is dropped, a hook that runs then runs to its end, and
    /// there is no answer.
    pub(crate) async fn run(
        self,
        request: ToolRequest,
        cancelled: CancellationToken,
        reporter: Reporter,
    ) -> Option<Finished> {
        let ToolRequest {
            call_id,
            name,
            arguments,
            ..
        } = request;
        let admitted = self.admit(&call_id, &name, &arguments);
        let admitted = as_told(&self.session, admitted).await;
        let arguments = admitted.as_ref().ok();
        let arguments = arguments.map(|(_, arguments)| arguments.clone());
        let finished = match admitted {
            Ok((None, _)) => ToolAnswer::error(&format!("no handler for tool `{name}`")).into(),
            Ok((Some(handler), arguments)) => {
                let found = self.toolbox.find(&name, &arguments);
                let session = self.session.clone();
                let call = ToolInvocation {
                    session,
                    call_id: call_id.clone(),
                    name: name.clone(),
                    arguments,
                    cancelled: cancelled.clone(),
                    reporter,
                };
                let answer = self.answer(handler, call);
                let mut finished = cancelled.run_until_cancelled(answer).await?;
                if let Some(found) = found {
                    finished.change = Some(Box::new(Change::of_search(found)));
                }
                finished
            }
            Err(refusal) => refusal.answer(&name).into(),
        };
        let Finished { answer, change } = finished;
        if cancelled.is_cancelled() {
            return None;
        }
        let answer = self.review(call_id, name, arguments, answer);
        let answer = as_told(&self.session, answer).await;
        // Whom a hook keeps from handing over stays, and what it keeps from the model is not declared.
        let change = change.filter(|_| !answer.is_error);
        Some(Finished { answer, change })
    }

    /// The gate, and what is told of it. Gives who answers, if that is not left to a hook, and what.
    async fn admit(&self, call_id: &CallId, name: &str, arguments: &str) -> Admitted {
        let admitted = self.check(call_id, name, arguments).await;
        if let Some(kit) = self.kit.upgrade() {
            kit.emit(
                FrameworkEvent::new(FrameworkEventKind::BeforeToolUse)
                    .room(self.session.room_id())
                    .channel(self.session.channel_id())
                    .session(self.session.id())
                    .data("tool_call_id", call_id.as_str())
                    .data("tool_name", self.toolbox.declared(name))
                    .data("allowed", admitted.is_ok())
                    .data("reason", admitted.as_ref().err().map(Refusal::code)),
            );
        }
        admitted
    }

    /// The name, the arguments, the hook, and the arguments again.
    async fn check(&self, call_id: &CallId, name: &str, arguments: &str) -> Admitted {
        let entry = self.toolbox.entry(name)?;
        let arguments = if arguments.trim().is_empty() {
            "{}"
        } else {
            arguments
        };
        let arguments: Value = serde_json::from_str(arguments)
            .map_err(|error| Refusal::Arguments(format!("are not JSON: {error}")))?;
        let arguments = entry.check(arguments).map_err(Refusal::Arguments)?;

        let event = RealtimeToolCallEvent {
            session: self.session.clone(),
            tool_call_id: call_id.clone(),
            name: name.to_owned(),
            arguments,
            timestamp: Timestamp::now(),
        };
        let verdict = self.hooks.before_tool_use(&self.scope, event).await;
        let event = match verdict {
            Verdict::Allowed(event) => event,
            Verdict::Blocked { reason, .. } => return Err(Refusal::Hook(reason)),
        };
        let arguments = entry.check(Value::Object(event.arguments));
        let arguments = arguments.map_err(Refusal::Arguments)?;
        let handler = entry.handler().or(self.toolbox.fallback.as_ref());
        Ok((handler.cloned(), arguments))
    }

    async fn answer(&self, handler: Arc<dyn ToolHandler>, call: ToolInvocation) -> Finished {
        let name = call.name.clone();
        // The time limit is the machine's, which drops this future when it is over.
        match guard::call(Duration::MAX, handler.call(call)).await {
            Ok(Ok(output)) => self.outcome(output),
            Ok(Err(error)) => ToolAnswer::error(&error.0).into(),
            Err(failure) => {
                tracing::error!(tool = name, %failure, "a tool handler failed");
                ToolAnswer::error(&format!("tool `{name}` failed")).into()
            }
        }
    }

    fn outcome(&self, output: ToolOutput) -> Finished {
        let ToolOutput {
            mut value,
            hand_off,
        } = output;
        let change = match hand_off.map(|agent| self.agents.hand_off(&agent, &mut value)) {
            None => None,
            Some(Ok(change)) => Some(Box::new(change)),
            Some(Err(error)) => return ToolAnswer::error(&error.to_string()).into(),
        };
        let answer = ToolAnswer {
            output: match value {
                Value::String(text) => text,
                value => value.to_string(),
            },
            is_error: false,
        };
        Finished { answer, change }
    }

    async fn review(
        &self,
        tool_call_id: CallId,
        name: String,
        arguments: Option<Map<String, Value>>,
        answer: ToolAnswer,
    ) -> ToolAnswer {
        let event = RealtimeToolResultEvent {
            session: self.session.clone(),
            tool_call_id,
            name,
            arguments,
            result: answer.output,
            is_error: answer.is_error,
            timestamp: Timestamp::now(),
        };
        match self.hooks.tool_result(&self.scope, event).await {
            Verdict::Allowed(event) => ToolAnswer {
                output: event.result,
                is_error: event.is_error,
            },
            Verdict::Blocked { reason, .. } => ToolAnswer::error(&reason),
        }
    }
}
