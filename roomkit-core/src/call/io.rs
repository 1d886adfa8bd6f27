//! What goes into the call machine and what comes out of it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{change::Change, shared_tools::Redeclared};
use crate::{
    event::{EndReason, HandOverPhase, ResponsePhase},
    id::{CallId, ItemId, ResponseId},
    provider::{
        ConnectionInfo, ProviderCommand, ProviderError, ProviderEvent, Role, SessionSetup, Usage,
    },
    recording::{RecordingDecision, RecordingState, Side},
    stats::SessionStats,
    transport::{ClientCommand, ClientEvent},
    voice::DeliveryStrategy,
};

/// A point in time, counted from the beginning of the call. The machine has no clock of its own.
pub(crate) type Moment = Duration;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// The client said something.
    Client(ClientEvent),
    /// The client's stream ended.
    ClientGone,
    /// A provider connection is ready for audio. What is sent from here on goes over it.
    Connected(ConnectionInfo),
    /// No new connection came of the last [`Dial`](Action::Dial).
    DialFailed(ProviderError),
    /// The provider said something.
    Provider(ProviderEvent),
    /// The provider's plugin cannot send a change; so many changes that it was given later wait behind
    /// it.
    UpdateFailed(ProviderError, usize),
    /// Everything that was published before the tool call of this serial number has been dealt with: it
    /// may run.
    ToolCleared(u64),
    /// The running tool call of this serial number tells how far it has come.
    ToolProgress(u64, String),
    /// A tool has an answer.
    ToolFinished(CallId, ToolAnswer),
    /// A tool has an answer, and with it the session changes: it becomes another agent, or the model
    /// is told of the tools that were found.
    ToolChanges(CallId, ToolAnswer, Box<Change>),
    /// The host wants something.
    Command(Command),
    /// What the channel's binding in the room allows has changed.
    Permissions(Permissions),
    /// The recording went wrong, and is over.
    RecordingFailed,
    /// The clock moved on.
    Tick,
}

/// What a host can ask of a live session.
#[derive(Debug)]
pub(crate) enum Command {
    /// Give text to the AI.
    Text {
        text: String,
        role: Role,
        silent: bool,
        chain_depth: u32,
    },
    /// Show it an image.
    Image {
        mime_type: String,
        data: Bytes,
        prompt: Option<String>,
        silent: bool,
    },
    /// Stop the present answer, or the one that is about to begin.
    Interrupt,
    /// Manual turns: the user begins to speak.
    ActivityStart,
    /// Manual turns: the user has finished; an answer is wanted.
    ActivityEnd,
    /// Change the session.
    Update(Box<Change>),
    /// The sources' tools have changed: they are the session's now, unless it was given others.
    Redeclare(Redeclared),
    /// Give text to the AI, at the right moment.
    Deliver {
        text: String,
        strategy: DeliveryStrategy,
        /// Told whether it was taken: it is not where too many wait.
        taken: Option<oneshot::Sender<bool>>,
    },
    /// Send the vendor a message of its own.
    Raw(Value),
    /// Send the client a message of the host's own.
    Message(Map<String, Value>),
    /// Give the conversation a new provider connection.
    HandOver,
    /// Record it from here on, or not.
    Record(bool),
    /// Say when all that was asked before this has been taken.
    Mark(oneshot::Sender<()>),
    /// End the session once it is over, or after so long (contract S11).
    EndWhenOver(Duration),
    /// End the session.
    End(EndReason),
}

/// What the binding allows (contract A7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permissions {
    /// The microphone reaches the AI.
    pub(crate) microphone: bool,
    /// The AI's voice reaches the client.
    pub(crate) voice: bool,
}

/// What the model is told of a finished tool call, already in its final form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolAnswer {
    pub(crate) output: String,
    pub(crate) is_error: bool,
}

/// Something to be done. Frames of audio are moved through this and [`Input`]: what is rare and large
/// is in a box.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Send this to the provider.
    ToProvider(ProviderCommand),
    /// Open a new connection to the provider, and close the old one when it is ready. It takes the
    /// place of one that is still being opened.
    Dial(Box<Dial>),
    /// Close the connection to the provider; a [`Dial`](Self::Dial) that follows waits for that.
    HangUp,
    /// Send this to the client.
    ToClient(ClientCommand),
    /// Tell the world, in this order.
    Publish(Publication),
    /// Run this tool.
    StartTool(ToolRequest),
    /// Drop this tool's future; nobody waits for it. `expired`: it ran for too long.
    CancelTool { call_id: CallId, expired: bool },
    /// Whether the call is idle (contract A8) has changed.
    Idle(bool),
    /// What the call has come to has changed.
    Stats(Box<SessionStats>),
    /// Whether the call is recorded has changed, who wanted it, and since when what was said may be kept.
    Recording(RecordingState, RecordingDecision, Moment),
    /// Put this into the recording.
    Record(Sound),
    /// Show this in traces.
    Trace(Milestone),
    /// Something was dropped; count it.
    Dropped(&'static str),
    /// So many pieces of the user's voice that were held for a provider were dropped; count them.
    DroppedHeld(usize),
    /// End the call. Nothing follows.
    End(EndReason),
}

/// What traces show of a call. It is told when it happens, which news are not: they keep their order
/// (contract T1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Milestone {
    /// A response began, with the vendor's id of it.
    ResponseBegan(Option<ResponseId>),
    /// It is over.
    ResponseEnded(ResponsePhase, Option<Box<Usage>>),
    /// The conversation moves to another provider connection, or has.
    HandOver(HandOverPhase),
}

/// What was said or heard: PCM16 mono.
#[derive(Clone, PartialEq)]
pub(crate) struct Sound {
    pub(crate) side: Side,
    /// When it began.
    pub(crate) begins: Moment,
    /// It goes on where the sound of that side before it ends.
    pub(crate) follows: bool,
    pub(crate) rate: u32,
    pub(crate) pcm: Bytes,
}

impl fmt::Debug for Sound {
    /// Without the audio (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sound")
            .field("side", &self.side)
            .field("begins", &self.begins)
            .field("bytes", &self.pcm.len())
            .finish_non_exhaustive()
    }
}

/// How the conversation is taken up on a new connection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dial {
    /// What the connection is asked to be, with what it takes up.
    pub(crate) setup: SessionSetup,
    /// How long it may take until the provider is ready.
    pub(crate) within: Duration,
}

/// A tool call as the provider made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolRequest {
    /// Tells it from every other call of the session: one on another connection may have its id.
    pub(crate) serial: u64,
    pub(crate) call_id: CallId,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// Something the client, the observers and the room get to know, in this order (contract T1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Publication {
    /// When it happened.
    pub(crate) at: Moment,
    /// Its place among everything that came over the wire, from 1; 0 for what did not.
    pub(crate) order: u64,
    pub(crate) what: News,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// The user began or stopped to speak.
    UserSpeaking(bool),
    /// The AI became audible, or silent.
    AssistantSpeaking(bool),
    /// A response began or ended.
    Response {
        phase: ResponsePhase,
        usage: Option<Box<Usage>>,
    },
    /// What is new of an utterance.
    Partial {
        role: Role,
        text: String,
        item_id: Option<ItemId>,
    },
    /// No final comes for an utterance: what was told of it is void.
    Withdrawn { role: Role, item_id: Option<ItemId> },
    /// A whole utterance; the publication's time is when it began.
    Final {
        role: Role,
        text: String,
        item_id: Option<ItemId>,
        /// It may have been said since then, where the provider may have heard it late (contract V1).
        since: Moment,
        barge_in: bool,
        chain_depth: u32,
    },
    /// What the user typed who may not: the model was not given it, and it is no part of the conversation.
    Unheard(String),
    /// An answer was cut short by the user.
    BargeIn { heard: Duration, heard_text: String },
    /// A tool is wanted.
    ToolCall(ToolRequest),
    /// A running tool told how far it has come.
    ToolProgress {
        call_id: CallId,
        name: String,
        progress: String,
    },
    /// A tool call was answered.
    ToolDone {
        call_id: CallId,
        name: String,
        /// It was the name of a tool.
        is_declared: bool,
        answer: ToolAnswer,
    },
    /// The provider or the end of the session took a tool call back.
    ToolCancelled {
        call_id: CallId,
        name: String,
        /// It was the name of a tool.
        is_declared: bool,
    },
    /// Text went to the AI.
    Injected {
        text: String,
        role: Role,
        silent: bool,
    },
    /// A message of the host's own goes to the client.
    Message(Map<String, Value>),
    /// A message of the client's own goes to the host.
    ClientMessage(Map<String, Value>),
    /// Another agent speaks with the caller.
    AgentChanged {
        from: Option<Arc<str>>,
        to: Option<Arc<str>>,
    },
    /// The conversation moves to a new provider connection, or has.
    HandOver(HandOverPhase),
    /// The provider complained.
    Error {
        error: ProviderError,
        is_fatal: bool,
    },
    /// A failure that costs the call nothing: for the host, and not for the client.
    Unnoticed(ProviderError),
}
