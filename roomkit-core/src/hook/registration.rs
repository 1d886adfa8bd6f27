//! One hook: when it runs, for what, and the host's code.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{HookScope, Notice, Trigger};
use crate::{
    event::{
        RealtimeAudioLevelEvent, RealtimeBargeInEvent, RealtimeErrorEvent,
        RealtimeSessionEndedEvent, RealtimeSessionStartedEvent, RealtimeSpeechEvent,
        RealtimeTextInjectedEvent, RealtimeToolCallEvent, RealtimeToolResultEvent,
        RealtimeTranscriptionEvent,
    },
    id::ChannelId,
    room::RoomEvent,
};

/// What a deciding hook says.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<T> {
    /// Let it happen as it is.
    Allow,
    /// Prevent it, for this reason.
    Block(String),
    /// Let it happen in this form.
    Replace(T),
}

impl<T> Decision<T> {
    /// Prevents it, for this reason.
    pub fn block(reason: impl Into<String>) -> Self {
        Self::Block(reason.into())
    }
}

/// What a deciding hook may return: a [`Decision`], or a `Result` of one whose error counts as the
/// hook's failure.
#[diagnostic::on_unimplemented(
    message = "a deciding hook returns `Decision<{T}>` or `Result<Decision<{T}>, E>`, not `{Self}`"
)]
pub trait IntoDecision<T> {
    /// The decision, or what went wrong.
    fn into_decision(self) -> Result<Decision<T>, String>;
}

impl<T> IntoDecision<T> for Decision<T> {
    fn into_decision(self) -> Result<Decision<T>, String> {
        Ok(self)
    }
}

impl<T, E: fmt::Display> IntoDecision<T> for Result<Decision<T>, E> {
    fn into_decision(self) -> Result<Decision<T>, String> {
        self.map_err(|error| error.to_string())
    }
}

pub(super) type Decider<T> =
    Arc<dyn Fn(T) -> BoxFuture<'static, Result<Decision<T>, String>> + Send + Sync>;
type Notified<T> = Arc<dyn Fn(T) -> BoxFuture<'static, ()> + Send + Sync>;

/// Host code attached to a [`Trigger`]; see the [module](super) for the rules.
#[derive(Clone)]
#[must_use = "a hook does nothing until it is given to `RoomKit::add_hook`"]
pub struct Hook {
    pub(super) trigger: Trigger,
    pub(super) name: Arc<str>,
    pub(super) priority: i32,
    pub(super) timeout: Duration,
    pub(super) action: Action,
    channels: Vec<ChannelId>,
    kinds: Vec<String>,
}

#[derive(Clone)]
pub(super) enum Action {
    BeforeBroadcast(Decider<RoomEvent>),
    Transcription(Decider<RealtimeTranscriptionEvent>),
    BeforeToolUse(Decider<RealtimeToolCallEvent>),
    ToolResult(Decider<RealtimeToolResultEvent>),
    Notify(Notified<Notice>),
}

macro_rules! deciding_hooks {
    ($($(#[$doc:meta])* $constructor:ident($trigger:ident, $payload:ty);)+) => {
        /// Hooks that decide.
        impl Hook {$(
            $(#[$doc])*
            pub fn $constructor<F, Fut>(hook: F) -> Self
            where
                F: Fn($payload) -> Fut + Send + Sync + 'static,
                Fut: Future<Output: IntoDecision<$payload>> + Send + 'static,
            {
                let hook = Arc::new(hook);
                Self::new(
                    Trigger::$trigger,
                    Action::$trigger(Arc::new(move |payload| {
                        let hook = Arc::clone(&hook);
                        // Called inside the future, so that a panic before the first await is
                        // caught like any other.
                        Box::pin(async move { hook(payload).await.into_decision() })
                    })),
                )
            }
        )+}
    };
}

deciding_hooks! {
    /// Before an event is written to a room. The replacement's words, kind, visibility and
    /// metadata count; its id, room, source and idempotency key stay the event's. A blocked event
    /// is stored as blocked, as the hooks before left it, and shown to nobody. The index is not known
    /// yet. What is beyond the chain-depth limit (contract R4) is blocked without a look at it, for a
    /// hook that writes would run for ever, and is stored as it was written.
    before_broadcast(BeforeBroadcast, RoomEvent);
    /// Before a final transcript goes to client, observers and room. A blocked one goes nowhere,
    /// and so does one whose hook fails (contract T5).
    transcription(Transcription, RealtimeTranscriptionEvent);
    /// Before a tool's handler runs; may replace the arguments. A blocked call is answered with
    /// the reason, and so is one whose hook fails.
    before_tool_use(BeforeToolUse, RealtimeToolCallEvent);
    /// Before a tool's result is given to the model; may replace it, and so answer calls of a tool that
    /// has no handler:
    ///
    /// ```
    /// use roomkit_core::{event::RealtimeToolResultEvent, hook::{Decision, Hook}};
    ///
    /// let weather = Hook::tool_result(|mut event: RealtimeToolResultEvent| async move {
    ///     // A call that was refused has no arguments, and stays refused.
    ///     match &event.arguments {
    ///         Some(arguments) if event.name == "weather" => {
    ///             event.result = format!("rain in {}", arguments["city"]);
    ///             event.is_error = false;
    ///             Decision::Replace(event)
    ///         }
    ///         _ => Decision::Allow,
    ///     }
    /// });
    /// ```
    ///
    /// What the engine answers by itself comes by no hook: a call that takes too long, one beyond those
    /// that may wait (contract K3), and one that a later connection makes again, which gets the first
    /// answer (K2). Nor does a call that is cancelled (K4), which has no answer.
    /// [`FrameworkEventKind::ToolCall`](crate::framework::FrameworkEventKind::ToolCall) reports each call
    /// once, however it ended.
    tool_result(ToolResult, RealtimeToolResultEvent);
}

macro_rules! notifying_hooks {
    ($($(#[$doc:meta])* $constructor:ident($trigger:ident, $payload:ty);)+) => {
        /// Hooks that are told.
        impl Hook {$(
            $(#[$doc])*
            pub fn $constructor<F, Fut>(hook: F) -> Self
            where
                F: Fn($payload) -> Fut + Send + Sync + 'static,
                Fut: Future<Output = ()> + Send + 'static,
            {
                let hook = Arc::new(hook);
                Self::new(
                    Trigger::$trigger,
                    Action::Notify(Arc::new(move |notice| {
                        let hook = Arc::clone(&hook);
                        Box::pin(async move {
                            if let Notice::$trigger(payload) = notice {
                                hook(payload).await;
                            }
                        })
                    })),
                )
            }
        )+}
    };
}

notifying_hooks! {
    /// After an event was written and handed to the others, in the order of the timeline.
    after_broadcast(AfterBroadcast, Arc<RoomEvent>);
    /// After a voice session began.
    session_started(SessionStarted, RealtimeSessionStartedEvent);
    /// After a voice session ended.
    session_ended(SessionEnded, RealtimeSessionEndedEvent);
    /// The user began to speak.
    speech_start(SpeechStart, RealtimeSpeechEvent);
    /// The user stopped to speak.
    speech_end(SpeechEnd, RealtimeSpeechEvent);
    /// Words came that are not settled yet.
    partial_transcription(PartialTranscription, RealtimeTranscriptionEvent);
    /// The user interrupted the AI; the audio has been dropped already (contract A3).
    barge_in(BargeIn, RealtimeBargeInEvent);
    /// Text was given to the AI.
    text_injected(TextInjected, RealtimeTextInjectedEvent);
    /// The provider failed at something.
    error(Error, RealtimeErrorEvent);
    /// A level was measured, at most ten a second for each session and direction.
    audio_level(AudioLevel, RealtimeAudioLevelEvent);
}

/// Settings of any hook.
impl Hook {
    fn new(trigger: Trigger, action: Action) -> Self {
        Self {
            trigger,
            name: trigger.as_str().into(),
            priority: 0,
            timeout: Duration::from_secs(30),
            action,
            channels: Vec::new(),
            kinds: Vec::new(),
        }
    }

    /// What reports and blocked events call it, and what removes it; the trigger's name unless
    /// said otherwise.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Its place among the hooks of its trigger: lower runs earlier, equal runs in the order of
    /// registration. 0 unless said otherwise.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How long one call may take; 30 s unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Only for this channel; called again, for that one too.
    pub fn channel(mut self, channel: impl Into<ChannelId>) -> Self {
        self.channels.push(channel.into());
        self
    }

    /// Only for channels of this kind, such as `realtime_voice`; called again, for that one too.
    pub fn channel_kind(mut self, kind: impl Into<String>) -> Self {
        self.kinds.push(kind.into());
        self
    }

    pub(super) fn concerns(&self, scope: &HookScope) -> bool {
        (self.channels.is_empty() || self.channels.contains(&scope.channel_id))
            && (self.kinds.is_empty()
                || self.kinds.iter().any(|kind| **kind == *scope.channel_kind))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("trigger", &self.trigger)
            .field("name", &self.name)
            .field("priority", &self.priority)
            .field("timeout", &self.timeout)
            .field("channels", &self.channels)
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}
