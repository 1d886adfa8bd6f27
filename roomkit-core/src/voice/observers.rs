//! Callbacks a host registers on a voice channel: the API page's eight, as observers.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::RealtimeVoiceChannel;
use crate::{
    event::{
        RealtimeAgentEvent, RealtimeClientMessageEvent, RealtimeErrorEvent, RealtimeHandOverEvent,
        RealtimeResponseEvent, RealtimeSpeechEvent, RealtimeToolCallEvent,
        RealtimeToolProgressEvent, RealtimeTranscriptionEvent, RealtimeTurnEvent,
    },
    guard,
    session::RealtimeSession,
};

/// How long one call of an observer may take.
const LIMIT: Duration = Duration::from_secs(30);

impl RealtimeVoiceChannel {
    /// Observes the AI's audio as it is sent: PCM16 mono at the provider's output rate. Register
    /// it before sessions start. An observer that is too slow misses some.
    pub fn on_audio<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeSession, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers()
            .audio
            .add(move |(session, pcm)| observer(session, pcm));
    }

    /// Observes transcripts, partial and final, of both sides.
    pub fn on_transcription<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeTranscriptionEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().transcription.add(observer);
    }

    /// Observes the user beginning to speak.
    pub fn on_speech_start<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeSpeechEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().speech_start.add(observer);
    }

    /// Observes the user ceasing to speak.
    pub fn on_speech_end<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeSpeechEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().speech_end.add(observer);
    }

    /// Observes tool calls, before they are checked and run.
    pub fn on_tool_call<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeToolCallEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().tool_call.add(observer);
    }

    /// Observes what running tools tell of their progress; some is lost when it comes too fast.
    pub fn on_tool_progress<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeToolProgressEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().tool_progress.add(observer);
    }

    /// Observes responses as they begin.
    pub fn on_response_start<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeResponseEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().response_start.add(observer);
    }

    /// Observes responses as they end: each that began ends once (contract T6).
    pub fn on_response_end<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeResponseEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().response_end.add(observer);
    }

    /// Observes the conversation moving from one provider connection to another: each move that
    /// begins ends once (contracts H1, H2).
    pub fn on_hand_over<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeHandOverEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().hand_over.add(observer);
    }

    /// Observes another agent taking over in a session.
    pub fn on_agent_change<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeAgentEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().agent.add(observer);
    }

    /// Observes what the clients' own programs tell the host's: messages of the type `message`, such as a
    /// key of a telephone. The AI gets nothing of them unless the host gives it something
    /// ([`inject_text`](Self::inject_text)), and they come whatever the channel may do in its room. Each
    /// comes behind all that was told before it, and waits for nothing that is still to be heard.
    pub fn on_client_message<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeClientMessageEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().client_message.add(observer);
    }

    /// Observes how long each question of the user's had to wait for its answer.
    pub fn on_turn<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeTurnEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().turn.add(observer);
    }

    /// Observes the provider's errors.
    pub fn on_error<F, Fut>(&self, observer: F)
    where
        F: Fn(RealtimeErrorEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.observers().error.add(observer);
    }
}

/// All observers of a channel.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    pub(crate) audio: Observed<(RealtimeSession, Bytes)>,
    pub(crate) transcription: Observed<RealtimeTranscriptionEvent>,
    pub(crate) speech_start: Observed<RealtimeSpeechEvent>,
    pub(crate) speech_end: Observed<RealtimeSpeechEvent>,
    pub(crate) tool_call: Observed<RealtimeToolCallEvent>,
    pub(crate) tool_progress: Observed<RealtimeToolProgressEvent>,
    pub(crate) response_start: Observed<RealtimeResponseEvent>,
    pub(crate) hand_over: Observed<RealtimeHandOverEvent>,
    pub(crate) response_end: Observed<RealtimeResponseEvent>,
    pub(crate) agent: Observed<RealtimeAgentEvent>,
    pub(crate) client_message: Observed<RealtimeClientMessageEvent>,
    pub(crate) turn: Observed<RealtimeTurnEvent>,
    pub(crate) error: Observed<RealtimeErrorEvent>,
}

type Callback<E> = Arc<dyn Fn(E) -> BoxFuture<'static, ()> + Send + Sync>;

/// The observers of one kind of event.
pub(crate) struct Observed<E>(RwLock<Vec<Callback<E>>>);

impl<E: Clone + Send + 'static> Observed<E> {
    pub(crate) fn add<F, Fut>(&self, observer: F)
    where
        F: Fn(E) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let callback: Callback<E> = Arc::new(move |event| Box::pin(observer(event)));
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(callback);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Calls every observer, one after the other; one that fails ends nothing else (contract S8).
    pub(crate) async fn tell(&self, event: impl FnOnce() -> E + Send) {
        let callbacks = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if callbacks.is_empty() {
            return;
        }
        let event = event();
        for callback in callbacks {
            let event = event.clone();
            if let Err(failure) = guard::call(LIMIT, async move { callback(event).await }).await {
                tracing::error!(%failure, "an observer failed");
            }
        }
    }
}

impl<E> Default for Observed<E> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<E> fmt::Debug for Observed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let observers = self.0.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "{observers} observers")
    }
}
