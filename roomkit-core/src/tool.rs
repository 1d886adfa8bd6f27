//! Tools: what the model may call, and who answers.

mod names;
mod progress;
mod rules;
mod search;
#[cfg(feature = "typed-tools")]
mod typed;

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

pub use names::is_named;
pub(crate) use progress::Reporter;
pub use rules::ToolRules;
pub use search::ToolSearch;
pub(crate) use search::{FIND_TOOLS, Index};
#[cfg(feature = "typed-tools")]
pub use typed::IntoToolOutput;

use crate::{id::CallId, session::RealtimeSession};

/// What the model is told of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolDefinition {
    /// The name the model calls it by.
    pub name: String,
    /// What it does and when to use it.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments; an object schema.
    #[serde(default = "any_object")]
    pub parameters: Value,
    /// How its calls are run, where that differs from the channel's other tools.
    #[serde(default, skip_serializing_if = "ToolRules::is_default")]
    pub rules: ToolRules,
}

fn any_object() -> Value {
    json!({ "type": "object", "properties": {} })
}

impl ToolDefinition {
    /// A tool with the JSON Schema `parameters` for its arguments.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters,
            rules: ToolRules::default(),
        }
    }

    /// The same with its own rules.
    #[must_use]
    pub fn rules(mut self, rules: ToolRules) -> Self {
        self.rules = rules;
        self
    }
}

/// One call of a tool, after all checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolInvocation {
    /// The session whose model calls.
    pub session: RealtimeSession,
    /// The provider's id of this call; each id is run at most once (contract K1).
    pub call_id: CallId,
    /// The tool's name.
    pub name: String,
    /// The arguments; they satisfy the declared schema.
    pub arguments: Map<String, Value>,
    /// Cancelled when nobody waits for the result any more (contract K4). The handler's future is
    /// dropped then; a clone of this token lets a task it started notice and undo its work.
    pub cancelled: CancellationToken,
    pub(crate) reporter: Reporter,
}

impl ToolInvocation {
    /// A call as the engine makes it. Handlers get theirs from the engine; this is for the tests of
    /// handlers and sources.
    pub fn new(
        session: RealtimeSession,
        call_id: impl Into<CallId>,
        name: impl Into<String>,
        arguments: Map<String, Value>,
    ) -> Self {
        Self {
            session,
            call_id: call_id.into(),
            name: name.into(),
            arguments,
            cancelled: CancellationToken::new(),
            reporter: Reporter::default(),
        }
    }

    /// Tells how far a long call has come, in a few words. Observers of
    /// [`on_tool_progress`](crate::RealtimeVoiceChannel::on_tool_progress) get to know it, and so
    /// does the model, which is not asked to speak of it. Of reports that come fast the model is told
    /// the latest every two seconds; reports faster than the call takes them are lost.
    pub fn report(&self, progress: &str) {
        self.reporter.report(progress);
    }
}

/// What a tool gives back: JSON or text. Anything that turns into a JSON value will do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolOutput {
    /// What the model reads.
    pub value: Value,
    /// The agent of the channel that the caller is handed to with this answer.
    pub hand_off: Option<String>,
}

impl ToolOutput {
    /// Hands the caller to this agent of the channel: the model reads the answer and goes on as
    /// that agent. Where that cannot be, it reads why instead.
    #[must_use]
    pub fn hand_off(mut self, agent: impl Into<String>) -> Self {
        self.hand_off = Some(agent.into());
        self
    }
}

impl<T: Into<Value>> From<T> for ToolOutput {
    fn from(value: T) -> Self {
        Self {
            value: value.into(),
            hand_off: None,
        }
    }
}

/// Why a tool has no result. The model reads the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(pub String);

impl ToolError {
    /// A failure the model is told of in these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Runs tools. Implemented for closures of `(session, name, arguments)` that return a future, which is
/// the shape of the API page's `ToolHandler`, and by whole sources of tools. An `async` closure is one
/// only if it captures nothing, as its future borrows from it; others clone what they need:
///
/// ```
/// use std::{collections::HashMap, sync::Arc};
///
/// use roomkit_core::{
///     RealtimeSession,
///     tool::{ToolError, ToolHandler},
/// };
/// use serde_json::{Map, Value};
///
/// fn prices(list: Arc<HashMap<String, u32>>) -> impl ToolHandler {
///     move |_: RealtimeSession, _: String, arguments: Map<String, Value>| {
///         let list = list.clone();
///         async move {
///             let price = arguments.get("item").and_then(Value::as_str).and_then(|it| list.get(it));
///             let price = price.ok_or_else(|| ToolError::new("there is no such item"))?;
///             Ok(price.to_string().into())
///         }
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run tools",
    note = "pass a closure `|session: RealtimeSession, name: String, arguments: Map<String, Value>| async move {{ Ok(json!({{}}).into()) }}` or implement `ToolHandler`"
)]
pub trait ToolHandler: Send + Sync + 'static {
    /// Runs one call. Dropped when the call is cancelled or times out.
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError>;
}

#[async_trait]
impl<F, Fut> ToolHandler for F
where
    F: Fn(RealtimeSession, String, Map<String, Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
{
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        self(invocation.session, invocation.name, invocation.arguments).await
    }
}

/// Tools that come from elsewhere, such as an MCP server: asked for their list when a session
/// starts, and called by name.
#[async_trait]
pub trait ToolSource: ToolHandler {
    /// The tools it has now. One whose name is taken, by the host's tools or an earlier source's, or whose
    /// schema is none is left out with a warning (contract K8).
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError>;

    /// Tells that [`tools`](Self::tools) would say something else than before, for sources whose
    /// list changes. Live sessions get the new list, by another provider connection where it can be
    /// given only so ([`ProviderCapabilities::updates`](crate::provider::ProviderCapabilities)).
    fn changes(&self) -> Option<BoxStream<'static, ()>> {
        None
    }
}

/// A tool together with what runs it; without a handler the channel's own one is asked.
#[derive(Clone)]
pub struct Tool {
    /// What the model is told.
    pub definition: ToolDefinition,
    /// What runs it.
    pub handler: Option<Arc<dyn ToolHandler>>,
}

impl Tool {
    /// A tool with its own handler.
    pub fn new(definition: ToolDefinition, handler: impl ToolHandler) -> Self {
        Self {
            definition,
            handler: Some(Arc::new(handler)),
        }
    }

    /// The same with its own rules.
    #[must_use]
    pub fn rules(mut self, rules: ToolRules) -> Self {
        self.definition.rules = rules;
        self
    }
}

impl From<ToolDefinition> for Tool {
    fn from(definition: ToolDefinition) -> Self {
        Self {
            definition,
            handler: None,
        }
    }
}
