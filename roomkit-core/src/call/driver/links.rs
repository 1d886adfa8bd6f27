//! What goes out over the links and to the publisher, and what is counted on the way.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::mpsc::error::TrySendError, time::timeout};

use super::{Driver, HANG_UP, LEVEL_EVERY, NEWS, Provider};
use crate::{
    audio::{Resampler, level_dbfs},
    call::{
        change::Change,
        io::{Command, Dial, Input},
        outbox::{Outbox, SendFailure},
        publisher::ToPublisher,
    },
    client_protocol::ServerMessage,
    error::{ConfigError, ProviderError, ProviderErrorKind},
    event::EndReason,
    framework::{FrameworkEvent, FrameworkEventKind},
    hook::Trigger,
    provider::{
        ProviderCommand, ProviderConnection, ProviderEvent, RealtimeVoiceProvider, Role,
        SessionSetup,
    },
    stats::SessionStats,
    transport::ClientCommand,
};

impl Driver {
    /// Lets the provider check a change before anything is sent. `None`: it is refused.
    pub(super) fn checked(&mut self, mut command: Command) -> Option<Command> {
        if let Command::Update(change) = &mut command
            && let Err(error) = self.check(change)
        {
            change.answer(Err(error.into()));
            return None;
        }
        Some(command)
    }

    /// How the provider can make a change of what the session is now.
    pub(super) fn check(&self, change: &mut Change) -> Result<(), ConfigError> {
        let setup = self.call.setup();
        change.support = self.shared.provider.check_update(&setup, &change.update)?;
        Ok(())
    }

    pub(super) fn send_to_provider(&mut self, mut command: ProviderCommand) {
        let Some(provider) = &mut self.provider else {
            return;
        };
        let mut dropped = None;
        let pushed = if let ProviderCommand::Audio(pcm) = &mut command {
            if let Some(resampler) = &mut self.inbound {
                *pcm = resampler.process(pcm);
                if pcm.is_empty() {
                    return;
                }
            }
            provider
                .outbox
                .push_dropping_oldest(command)
                .map(|oldest| dropped = oldest.then_some("provider_slow"))
        } else {
            provider.outbox.push(command)
        };
        if let Some(reason) = dropped {
            self.dropped(reason);
        }
        if pushed.is_err() {
            self.provider_stalled();
        }
    }

    /// Notes what the call has come to, and counts what is new of it.
    pub(super) fn count(&mut self, stats: SessionStats) {
        let before = self.session.stats();
        self.session.set_stats(stats);
        if self.shared.client_stats {
            let message = ServerMessage::Stats(Box::new(stats));
            self.send_to_client(ClientCommand::Message(message));
        }
        for ((purpose, kind, now), (_, _, then)) in tokens(&stats).into_iter().zip(tokens(&before))
        {
            if now > then {
                let labels = [("purpose", purpose), ("kind", kind)];
                metrics::counter!("roomkit_tokens_total", &labels).increment(now - then);
            }
        }
        let transcribed = |stats: &SessionStats| stats.transcription.audio.as_secs();
        if transcribed(&stats) > transcribed(&before) {
            metrics::counter!("roomkit_transcribed_seconds_total")
                .increment(transcribed(&stats) - transcribed(&before));
        }
        if before.ready_after.is_zero() && !stats.ready_after.is_zero() {
            metrics::histogram!("roomkit_ready_seconds").record(stats.ready_after);
        }
        if stats.interruptions > before.interruptions {
            metrics::counter!("roomkit_interruptions_total").increment(1);
        }
        if stats.turns > before.turns
            && let Some(latency) = stats.last_turn
        {
            record_wait("first_audio", latency.first_audio);
            record_wait("sent", latency.sent);
            self.spans.answered(latency);
            self.tell(ToPublisher::Turn(latency), false);
        }
        let played = |stats: &SessionStats| stats.last_turn.and_then(|turn| turn.played);
        if played(&before).is_none()
            && let Some(waited) = played(&stats)
        {
            record_wait("played", waited);
        }
    }

    /// The provider does not take what is sent to it: the connection is as good as lost.
    pub(super) fn provider_stalled(&mut self) {
        let problem = "the provider does not take what is sent to it";
        let error =
            ProviderError::new(ProviderErrorKind::Timeout, problem).with_code("provider_too_slow");
        self.feed(Input::Provider(ProviderEvent::Closed(Some(error))));
    }

    /// Begins to open another connection, once the one that was left is closed.
    pub(super) fn dial(&mut self, dial: Dial) {
        let hanging_up = self.hanging_up.take();
        let connect = connect(Arc::clone(&self.shared.provider), dial.setup, dial.within);
        let connect = self.spans.connecting(connect);
        self.connecting = Some(
            async move {
                if let Some(closed) = hanging_up {
                    let _ = closed.await;
                }
                connect.await
            }
            .boxed(),
        );
    }

    /// Leaves the present connection. It may take a moment for its goodbye, and no more.
    pub(super) fn hang_up(&mut self) {
        let Some(provider) = self.provider.take() else {
            return;
        };
        let goodbye = timeout(HANG_UP, provider.close());
        self.hanging_up = Some(tokio::spawn(async move {
            let _ = goodbye.await;
        }));
    }

    pub(super) fn send_to_client(&mut self, mut command: ClientCommand) {
        match &mut command {
            ClientCommand::Audio(pcm) => {
                self.measure(Role::Assistant, pcm);
                if let Some(tap) = &self.audio_tap
                    && tap.queue.try_send(pcm.clone()).is_err()
                {
                    self.dropped("audio_observer_slow");
                }
                if let Some(resampler) = &mut self.outbound {
                    *pcm = resampler.process(pcm);
                    if pcm.is_empty() {
                        return;
                    }
                }
            }
            ClientCommand::EndOfResponse => self.send_tail(),
            ClientCommand::Clear => {
                self.client.drop_audio();
                if let Some(resampler) = &mut self.outbound {
                    resampler.reset();
                }
            }
            ClientCommand::Message(_) => {}
        }
        self.push_to_client(command);
    }

    /// The client gets what the resampler still holds.
    pub(super) fn send_tail(&mut self) {
        if let Some(tail) = self.outbound.as_mut().map(Resampler::flush)
            && !tail.is_empty()
        {
            self.push_to_client(ClientCommand::Audio(tail));
        }
    }

    pub(super) fn push_to_client(&mut self, command: ClientCommand) {
        if self.client.push(command).is_err() {
            self.feed(Input::Command(Command::End(EndReason::ClientTooSlow)));
        }
    }

    pub(super) fn tell(&mut self, message: ToPublisher, expendable: bool) {
        if expendable && self.to_publisher.capacity() < NEWS / 2 {
            return self.dropped("host_slow");
        }
        let reason = match self.to_publisher.try_send(Box::new(message)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => EndReason::HostTooSlow,
            Err(TrySendError::Closed(_)) => self.why_nobody_is_told(),
        };
        self.feed(Input::Command(Command::End(reason)));
    }

    /// The publisher is gone: with the kit, or by a defect.
    pub(super) fn why_nobody_is_told(&self) -> EndReason {
        if self.kit.upgrade().is_none() {
            EndReason::Shutdown
        } else {
            EndReason::Internal
        }
    }

    /// A send that failed because of what was sent is reported; any other means that the
    /// connection is gone, for which the provider's own last word is the better reason.
    pub(super) fn provider_send_failed(&mut self, failure: SendFailure) {
        let SendFailure {
            error,
            is_of_update,
        } = failure;
        let about_the_command = matches!(
            error.kind(),
            ProviderErrorKind::Unsupported
                | ProviderErrorKind::InvalidRequest
                | ProviderErrorKind::InvalidConfig
        );
        if about_the_command && is_of_update {
            let outbox = self.provider.as_ref().map(|provider| &provider.outbox);
            let behind = outbox.map_or(0, Outbox::updates);
            return self.feed(Input::UpdateFailed(error, behind));
        }
        if about_the_command {
            return self.feed(Input::Provider(ProviderEvent::Error(error)));
        }
        // What it said before counts.
        while let Some(provider) = &mut self.provider
            && let Some(event) = provider.events.at_once()
        {
            match event {
                ProviderEvent::Closed(None) => break,
                ProviderEvent::Closed(Some(_)) => return self.feed(Input::Provider(event)),
                event => self.feed(Input::Provider(event)),
            }
        }
        self.feed(Input::Provider(ProviderEvent::Closed(Some(error))));
    }

    pub(super) fn measure(&mut self, who: Role, pcm: &[u8]) {
        let at = self.now;
        let last = &mut self.levels[usize::from(who == Role::Assistant)];
        if last.is_some_and(|last| at < last + LEVEL_EVERY) {
            return;
        }
        *last = Some(at);
        let hooked = self
            .kit
            .upgrade()
            .is_some_and(|kit| kit.hooks().is_hooked(Trigger::AudioLevel, &self.scope));
        if hooked {
            self.tell(
                ToPublisher::Level {
                    at,
                    who,
                    level_dbfs: level_dbfs(pcm),
                },
                true,
            );
        }
    }

    pub(super) fn dropped(&mut self, reason: &'static str) {
        metrics::counter!("roomkit_dropped_total", "reason" => reason).increment(1);
        if reason == "early_audio" && !std::mem::replace(&mut self.warned_of_early_audio, true) {
            tracing::warn!(
                session_id = %self.session.id(),
                "the client sends more audio than is kept while the provider connects"
            );
        }
    }

    pub(super) fn announce(
        &self,
        kind: FrameworkEventKind,
        fill: impl FnOnce(FrameworkEvent) -> FrameworkEvent,
    ) {
        if let Some(kit) = self.kit.upgrade() {
            let event = FrameworkEvent::new(kind)
                .room(self.session.room_id())
                .channel(self.session.channel_id())
                .session(self.session.id())
                .data("participant_id", self.session.participant_id().as_str())
                .data("provider", self.shared.provider.name());
            kit.emit(fill(event));
        }
    }
}

impl Provider {
    /// Says goodbye, after what is on its way.
    pub(super) async fn close(self) {
        if let Some(mut sink) = self.outbox.into_wire().await {
            sink.0.close().await;
        }
    }
}

/// A provider that waits in vain has so much time left to say for what.
const LAST_WORD: Duration = Duration::from_millis(250);

/// Opens a provider connection that is ready in time and of which a call can be made, or none.
pub(super) async fn connect(
    provider: Arc<dyn RealtimeVoiceProvider>,
    mut setup: SessionSetup,
    within: Duration,
) -> Result<ProviderConnection, ProviderError> {
    setup.connect_within = Some(within.saturating_sub(LAST_WORD));
    let connection = timeout(within, provider.connect(setup))
        .await
        .unwrap_or_else(|_| {
            let problem = format!("the provider was not ready within {within:?}");
            Err(ProviderError::new(ProviderErrorKind::Timeout, problem))
        })?;
    // A session's settings may have given it other rates than the channel's were when it was built.
    let rates = connection.info.capabilities.check_rates();
    rates.map_err(|error| {
        let problem = format!("the connection's {error}");
        ProviderError::new(ProviderErrorKind::InvalidConfig, problem)
    })?;
    Ok(connection)
}

fn record_wait(stage: &'static str, waited: Duration) {
    metrics::histogram!("roomkit_turn_latency_seconds", "stage" => stage).record(waited);
}

/// The tokens of a call, and for what and as what they were spent.
fn tokens(stats: &SessionStats) -> [(&'static str, &'static str, u64); 13] {
    let (usage, transcription) = (&stats.usage, &stats.transcription);
    [
        ("response", "input_text", usage.input_text_tokens),
        ("response", "input_audio", usage.input_audio_tokens),
        ("response", "input_image", usage.input_image_tokens),
        ("response", "cached", usage.cached_tokens),
        ("response", "cached_text", usage.cached_text_tokens),
        ("response", "cached_audio", usage.cached_audio_tokens),
        ("response", "cached_image", usage.cached_image_tokens),
        ("response", "output_text", usage.output_text_tokens),
        ("response", "output_audio", usage.output_audio_tokens),
        ("response", "output_thinking", usage.output_thinking_tokens),
        (
            "transcription",
            "input_text",
            transcription.input_text_tokens,
        ),
        (
            "transcription",
            "input_audio",
            transcription.input_audio_tokens,
        ),
        ("transcription", "output_text", transcription.output_tokens),
    ]
}
