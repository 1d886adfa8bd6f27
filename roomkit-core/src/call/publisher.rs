//! Tells the client, the observers, the hooks and the room what happened, in order.
//!
//! One task for each session, because it runs host code: however long that takes, audio goes on.

mod handover;
mod recording;
mod speaking;
mod tools;
mod transcript;

pub(super) use transcript::HalfSaid;

use std::{pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    driver::Shared,
    io::{Moment, News, Publication, ToolAnswer},
};
use crate::{
    client_protocol::{ServerMessage, ToolCallStatus},
    ephemeral::{EphemeralEvent, EphemeralKind},
    error::ProviderError,
    event::{
        EndReason, RealtimeAudioLevelEvent, RealtimeBargeInEvent, RealtimeClientMessageEvent,
        RealtimeSessionEndedEvent, RealtimeSessionStartedEvent, RealtimeTextInjectedEvent,
        RealtimeTranscriptionEvent, RealtimeTurnEvent,
    },
    hook::{HookScope, Notice, Trigger},
    id::SessionId,
    kit::{RoomKit, WeakRoomKit},
    provider::Role,
    recording::RecorderQueue,
    session::RealtimeSession,
    stats::{SessionStats, TurnLatency},
};

/// How long the rest of the news may take after the session is over, and then, once more, the hooks for
/// its end.
pub(crate) const LAST_HOOKS: Duration = Duration::from_secs(35);

tokio::task_local! {
    /// The session whose news this task tells.
    static TELLING: SessionId;
}

/// The session whose hook or observer is asking, if that is who asks. Whoever waits for the end of
/// that session in there waits for itself.
pub(crate) fn telling() -> Option<SessionId> {
    TELLING.try_with(Clone::clone).ok()
}

/// The work of a hook or an observer of this session.
pub(super) fn as_told<T, F>(
    session: &RealtimeSession,
    work: F,
) -> impl Future<Output = T> + use<T, F>
where
    F: Future<Output = T>,
{
    TELLING.scope(session.id().clone(), work)
}

/// Work that is done in a task of its own, and asks as whoever asks for it now.
pub(crate) fn as_asked<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let asking = telling();
    async move {
        match asking {
            Some(session) => TELLING.scope(session, work).await,
            None => work.await,
        }
    }
}

/// Counts an error of this provider.
pub(super) fn count(provider: &str, error: &ProviderError, is_fatal: bool) {
    let labels = [
        ("provider", provider.to_owned()),
        ("kind", error.kind().as_str().to_owned()),
        ("fatal", is_fatal.to_string()),
    ];
    metrics::counter!("roomkit_provider_errors_total", &labels).increment(1);
}

/// What the call tells the publisher; sent in a box, for a queue has room for 32 of what is sent over it
/// from the beginning.
#[derive(Debug)]
pub(super) enum ToPublisher {
    Started,
    News(Publication),
    Level {
        at: Moment,
        who: Role,
        level_dbfs: f32,
    },
    /// A question was answered.
    Turn(TurnLatency),
}

/// How a session ended. It does not come with the news: hooks that are behind, or so far that the
/// session ended for it, are told all the same.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) reason: EndReason,
    pub(super) duration: Duration,
    pub(super) stats: SessionStats,
}

/// What the publisher tells the call.
#[derive(Debug)]
pub(super) enum FromPublisher {
    /// For the client, in its turn.
    Client(Box<ServerMessage>),
    /// All that came before the tool call of this serial number has been told.
    ToolCleared(u64),
}

pub(super) struct Publisher {
    pub(super) shared: Arc<Shared>,
    pub(super) session: RealtimeSession,
    pub(super) kit: WeakRoomKit,
    pub(super) scope: HookScope,
    /// The wall clock when the call's clock was at zero.
    pub(super) began: Timestamp,
    /// The recording of the session, if there may be one.
    pub(super) recording: Option<RecorderQueue>,
    pub(super) call: mpsc::Sender<FromPublisher>,
    pub(super) half_said: HalfSaid,
}

impl Publisher {
    pub(super) async fn run(
        self,
        news: mpsc::Receiver<Box<ToPublisher>>,
        ended: oneshot::Receiver<Ended>,
    ) {
        let session = self.session.clone();
        as_told(&session, self.tell_all(news, ended)).await;
    }

    async fn tell_all(
        mut self,
        news: mpsc::Receiver<Box<ToPublisher>>,
        mut ended: oneshot::Receiver<Ended>,
    ) {
        let (session_id, kit) = (self.session.id().clone(), self.kit.clone());
        let ended = {
            let mut news = pin!(self.tell_news(news));
            tokio::select! {
                () = &mut news => {
                    if kit.upgrade().is_none() {
                        return; // Which the call notices, and ends.
                    }
                    ended.await
                }
                ended = &mut ended => {
                    if Box::pin(timeout(LAST_HOOKS, news)).await.is_err() {
                        tracing::warn!(
                            %session_id,
                            "hooks or observers are too far behind and are not told the last news"
                        );
                    }
                    ended
                }
            }
        };
        // An error means that the session never began.
        if let Ok(ended) = ended
            && let Some(kit) = kit.upgrade()
        {
            let _ = Box::pin(timeout(LAST_HOOKS, self.tell_end(&kit, ended))).await;
        }
    }

    /// Until the session is over, or the kit is gone.
    async fn tell_news(&mut self, mut news: mpsc::Receiver<Box<ToPublisher>>) {
        let Some(gone) = self.kit.upgrade().map(|kit| kit.gone()) else {
            return;
        };
        while let Some(Some(message)) = gone.run_until_cancelled(news.recv()).await {
            let Some(kit) = self.kit.upgrade() else { break };
            // In a box, for this task lives as long as its call, and there is room in it for the
            // largest thing it ever awaits.
            Box::pin(self.tell_one(&kit, *message)).await;
        }
    }

    async fn tell_one(&mut self, kit: &RoomKit, message: ToPublisher) {
        match message {
            ToPublisher::Started => {
                let event = RealtimeSessionStartedEvent {
                    session: self.session.clone(),
                    timestamp: Timestamp::now(),
                };
                kit.hooks()
                    .notify(&self.scope, Notice::SessionStarted(event))
                    .await;
            }
            ToPublisher::News(Publication { at, what, .. }) => {
                self.tell(kit, self.time(at), what).await;
            }
            ToPublisher::Level {
                at,
                who,
                level_dbfs,
            } => {
                let event = RealtimeAudioLevelEvent {
                    session: self.session.clone(),
                    who,
                    level_dbfs,
                    timestamp: self.time(at),
                };
                kit.hooks()
                    .notify(&self.scope, Notice::AudioLevel(event))
                    .await;
            }
            ToPublisher::Turn(latency) => {
                let session = self.session.clone();
                let event = || RealtimeTurnEvent {
                    session,
                    latency,
                    timestamp: Timestamp::now(),
                };
                self.shared.observers.turn.tell(event).await;
            }
        }
    }

    async fn tell_end(&self, kit: &RoomKit, ended: Ended) {
        let Ended {
            reason,
            duration,
            stats,
        } = ended;
        let event = RealtimeSessionEndedEvent {
            session: self.session.clone(),
            reason,
            duration,
            stats: Box::new(stats),
            timestamp: Timestamp::now(),
        };
        kit.hooks()
            .notify(&self.scope, Notice::SessionEnded(event))
            .await;
    }

    async fn tell(&mut self, kit: &RoomKit, at: Timestamp, news: News) {
        self.mark_news(at, &news);
        match news {
            News::UserSpeaking(speaking) => self.user_speaking(kit, at, speaking).await,
            News::AssistantSpeaking(speaking) => {
                self.to_client(ServerMessage::Speaking {
                    speaking,
                    who: Role::Assistant,
                })
                .await;
                self.show(kit, EphemeralKind::Typing, Role::Assistant, at, |event| {
                    event.data("speaking", speaking).data("role", "assistant")
                });
            }
            News::Response { phase, usage } => self.response(at, phase, usage).await,
            News::Partial {
                role,
                text,
                item_id,
            } => {
                self.partial(kit, at, role, text, item_id).await;
            }
            News::Withdrawn { role, item_id } => {
                self.withdraw(kit, at, role, item_id).await;
            }
            News::Final {
                role,
                text,
                item_id,
                since,
                barge_in,
                chain_depth,
            } => {
                let event = RealtimeTranscriptionEvent {
                    session: self.session.clone(),
                    text,
                    role,
                    is_final: true,
                    was_barge_in: barge_in,
                    item_id,
                    timestamp: at,
                };
                self.utterance(kit, event, since, chain_depth).await;
            }
            News::Unheard(text) => self.unheard(kit, at, text).await,
            News::BargeIn { heard, heard_text } => {
                let event = RealtimeBargeInEvent {
                    session: self.session.clone(),
                    heard,
                    heard_text,
                    timestamp: at,
                };
                kit.hooks()
                    .notify(&self.scope, Notice::BargeIn(event))
                    .await;
            }
            News::ToolCall(request) => self.tool_call(kit, at, request).await,
            News::ToolProgress {
                call_id,
                name,
                progress,
            } => self.tool_progress(kit, at, call_id, name, progress).await,
            News::ToolDone {
                call_id,
                name,
                is_declared,
                answer,
            } => {
                let ToolAnswer { is_error, .. } = answer;
                let status = if is_error {
                    ToolCallStatus::Failed
                } else {
                    ToolCallStatus::Completed
                };
                self.tool_ended(kit, &call_id, is_declared.then_some(&*name), status);
                self.tool_status(kit, at, call_id, name, status).await;
            }
            News::ToolCancelled {
                call_id,
                name,
                is_declared,
            } => {
                let status = ToolCallStatus::Cancelled;
                self.tool_ended(kit, &call_id, is_declared.then_some(&*name), status);
                self.tool_status(kit, at, call_id, name, status).await;
            }
            News::Injected { text, role, silent } => {
                let event = RealtimeTextInjectedEvent {
                    session: self.session.clone(),
                    text,
                    role,
                    silent,
                    timestamp: at,
                };
                kit.hooks()
                    .notify(&self.scope, Notice::TextInjected(event))
                    .await;
            }
            News::Message(message) => self.to_client(ServerMessage::Custom(message)).await,
            News::ClientMessage(message) => {
                let session = self.session.clone();
                let event = || RealtimeClientMessageEvent {
                    session,
                    message,
                    timestamp: at,
                };
                self.shared.observers.client_message.tell(event).await;
            }
            News::AgentChanged { from, to } => self.agent_changed(kit, at, from, to).await,
            News::HandOver(phase) => self.hand_over(kit, at, phase).await,
            News::Error { error, is_fatal } => {
                self.to_client(ServerMessage::Error {
                    code: error.code().to_owned(),
                    message: error.public_message().to_owned(),
                })
                .await;
                self.error(kit, at, &error, is_fatal).await;
            }
            News::Unnoticed(error) => self.error(kit, at, &error, false).await,
        }
    }

    /// Shows what somebody does, live, to the subscribers of the room; nothing is built when there are
    /// none. The participant is the caller, and nobody else.
    fn show(
        &self,
        kit: &RoomKit,
        kind: EphemeralKind,
        who: Role,
        at: Timestamp,
        fill: impl FnOnce(EphemeralEvent) -> EphemeralEvent,
    ) {
        let session = &self.session;
        if kit.has_subscribers(session.room_id()) {
            let mut event = EphemeralEvent::new(kind, session.room_id(), session.channel_id())
                .at(at)
                .data("session_id", session.id().as_str());
            if who == Role::User {
                event = event.participant(session.participant_id());
            }
            if event.kind != EphemeralKind::ToolCall {
                event.speaker = transcript::speaker(who);
            }
            kit.publish_ephemeral(fill(event));
        }
    }

    fn is_hooked(&self, kit: &RoomKit, trigger: Trigger) -> bool {
        kit.hooks().is_hooked(trigger, &self.scope)
    }

    async fn to_client(&self, message: ServerMessage) {
        // The call is gone only when the session is over; then nobody waits for the message.
        let _ = self
            .call
            .send(FromPublisher::Client(Box::new(message)))
            .await;
    }

    fn time(&self, at: Moment) -> Timestamp {
        self.began.saturating_add(at).unwrap_or(self.began)
    }
}
