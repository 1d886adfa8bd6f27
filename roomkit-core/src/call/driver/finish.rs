//! The end of a call: everything is taken down, each step whether or not the one before worked.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;

use super::{CLOSE, Driver, End, LAST_WORDS, recording};
use crate::{
    call::publisher::{self, Ended, FromPublisher, LAST_HOOKS},
    client_protocol::ServerMessage,
    error::StartError,
    event::EndReason,
    framework::{FrameworkEvent, FrameworkEventKind},
    guard,
    transport::ClientCommand,
};

impl Driver {
    /// Takes everything down, each step whether or not the one before it worked (contract S3).
    pub(super) async fn finish(mut self: Box<Self>, end: End) {
        self.session.end();
        if let Some(recorder) = &self.recorder {
            recorder.call_ended(self.began.elapsed());
        }
        drop(self.client_events);
        self.mailbox.close();
        // Who still waits for an answer to what was asked is told now that there is none: it may be a hook
        // of this session, for which the rest waits. This waits for nobody, the mailbox being closed.
        while self.mailbox.recv().await.is_some() {}
        for running in self.running.into_values() {
            running.stop(false);
        }
        drop(self.connecting);

        let (reason, failure) = match end {
            End::Reason(reason) => (reason, None),
            End::Failed(error) => (EndReason::Provider("start_failed".into()), Some(error)),
        };
        if let Some(StartError::Provider(error)) = &failure {
            publisher::count(self.shared.provider.name(), error, true);
        }
        let duration = self
            .active_since
            .map_or(Duration::ZERO, |since| since.elapsed());
        let stats = self.call.stats();
        self.session.set_stats(stats);
        self.spans.end(&reason, failure.as_ref(), &stats);
        let closing_provider = self.provider.map(|provider| {
            // Beside the rest: the client need not wait for the vendor's goodbye.
            let closed = timeout(CLOSE, provider.close());
            tokio::spawn(async move {
                let _ = closed.await;
            })
        });

        if self.active_since.is_some() {
            let _ = self.to_hooks.send(Ended {
                reason: reason.clone(),
                duration,
                stats,
            });
        } else {
            drop(self.to_hooks);
        }
        drop(self.to_publisher);
        // The publisher's last words for the client; it drops its end when it has no more.
        let mut client = self.client;
        let from_publisher = &mut self.from_publisher;
        let last_words = async {
            while let Some(message) = from_publisher.recv().await {
                if let FromPublisher::Client(message) = message {
                    let _ = client.push(ClientCommand::Message(*message));
                }
            }
        };
        let _ = timeout(LAST_WORDS, last_words).await;
        drop(self.from_publisher);
        let closing_recording = self.recorder.take().map(|recorder| {
            // Beside the rest as well, but after what was said has been told to it.
            let (kit, session) = (self.kit.clone(), self.session.clone());
            tokio::spawn(recording::finish(recorder, kit, session))
        });

        let goodbye = match &failure {
            Some(error) => ServerMessage::Error {
                code: error.code().into(),
                message: match error {
                    StartError::Provider(error) => error.public_message().into(),
                    other => other.to_string(),
                },
            },
            None => ServerMessage::SessionEnded {
                reason: reason.as_str().into(),
            },
        };
        client.drop_audio();
        // What remains is done even if the link panics.
        let closed = guard::call(CLOSE, async {
            let _ = client.push(ClientCommand::Message(goodbye));
            // What cannot be sent to a client that is gone is no reason not to close the link.
            while !client.is_idle() && client.drive().await.is_ok() {}
            if let Some(mut sink) = client.into_wire().await {
                sink.0.close(reason.as_str()).await;
            }
        });
        if let Err(guard::Failure::Panic(message)) = closed.await {
            tracing::error!(session_id = %self.session.id(), "a client's link panicked: {message}");
        }
        let closing = closing_provider.into_iter().chain(self.hanging_up);
        for task in closing.chain(closing_recording) {
            let _ = task.await;
        }

        if self.active_since.is_some() {
            metrics::counter!("roomkit_sessions_ended_total", "reason" => reason.as_str().to_owned())
                .increment(1);
            metrics::gauge!("roomkit_sessions_active").decrement(1.0);
            if let Some(kit) = self.kit.upgrade() {
                kit.emit(
                    FrameworkEvent::new(FrameworkEventKind::SessionEnded)
                        .room(self.session.room_id())
                        .channel(self.session.channel_id())
                        .session(self.session.id())
                        .data("participant_id", self.session.participant_id().as_str())
                        .data("reason", reason.as_str())
                        .data("duration_ms", duration.as_millis() as u64)
                        .data("stats", serde_json::to_value(stats).unwrap_or_default()),
                );
            }
        }
        tracing::info!(
            session_id = %self.session.id(), reason = reason.as_str(), ?duration, "session ended"
        );
        drop(self.registered);
        if let Some(ready) = self.ready {
            let error = failure.unwrap_or_else(|| StartError::Ended(reason.as_str().into()));
            let _ = ready.send(Err(error));
        }
        self.idle.send_replace(true);
        drop(self.idle);
        // Hooks around tools and an observer of the audio may come to their end, too.
        let (mut tools, audio_tap) = (self.tools, self.audio_tap);
        let others = async {
            while tools.join_next().await.is_some() {}
            if let Some(tap) = audio_tap {
                drop(tap.queue);
                let _ = tap.task.await;
            }
        };
        let _ = join(self.publisher, timeout(LAST_HOOKS, others)).await;
    }
}
