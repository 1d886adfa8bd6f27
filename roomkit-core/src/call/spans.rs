//! What traces show of a call: its spans, under names and fields that stay. `docs/tracing.md` lists
//! them; nothing of what is said is in them (contracts X1, X6), and none is made for a frame.

use std::{sync::Arc, time::Duration};

use tracing::{Instrument, Span, field::Empty, info_span};

use super::{gate::Finished, io::Milestone};
use crate::{
    error::{ProviderError, StartError},
    event::{EndReason, HandOverPhase, HandOverReason, ResponsePhase},
    id::{CallId, ResponseId},
    provider::{ProviderConnection, RealtimeVoiceProvider, Usage},
    session::RealtimeSession,
    stats::{SessionStats, TurnLatency},
};

/// The target of every span, for filters.
const TARGET: &str = "roomkit";

/// The span of a session. Its parent is whatever the host is at when the session begins.
pub(crate) fn session(
    session: &RealtimeSession,
    provider: &dyn RealtimeVoiceProvider,
    transport: &str,
) -> Span {
    info_span!(
        target: TARGET,
        "roomkit.session",
        gen_ai.provider.name = provider.telemetry_name(),
        gen_ai.request.model = provider.model(),
        gen_ai.conversation.id = session.id().as_str(),
        roomkit.room.id = session.room_id().as_str(),
        roomkit.channel.id = session.channel_id().as_str(),
        roomkit.transport = transport,
        roomkit.session.end_reason = Empty,
        roomkit.session.turns = Empty,
        roomkit.session.interruptions = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
    )
}

/// The spans of one session that are open.
pub(crate) struct Spans {
    session: RealtimeSession,
    provider: Arc<dyn RealtimeVoiceProvider>,
    whole: Span,
    response: Span,
    hand_over: Span,
}

impl Spans {
    /// Beneath the session's own.
    pub(crate) fn new(
        whole: Span,
        session: &RealtimeSession,
        provider: &Arc<dyn RealtimeVoiceProvider>,
    ) -> Self {
        Self {
            session: session.clone(),
            provider: Arc::clone(provider),
            whole,
            response: Span::none(),
            hand_over: Span::none(),
        }
    }

    /// Opens and closes spans, at the time at which things happen.
    pub(crate) fn pass(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::ResponseBegan(id) => {
                self.response = self.response(id.as_ref().map(ResponseId::as_str));
            }
            Milestone::ResponseEnded(phase, usage) => {
                note_end(
                    &std::mem::replace(&mut self.response, Span::none()),
                    &phase,
                    usage.as_deref(),
                );
            }
            Milestone::HandOver(HandOverPhase::Started { reason }) => {
                self.hand_over = self.hand_over(&reason);
            }
            Milestone::HandOver(HandOverPhase::Finished {
                outcome,
                held,
                attempts,
                ..
            }) => {
                let span = std::mem::replace(&mut self.hand_over, Span::none());
                span.record("roomkit.hand_over.outcome", outcome.as_str());
                span.record("roomkit.hand_over.held_ms", milliseconds(held));
                span.record("roomkit.hand_over.attempts", i64::from(attempts));
            }
        }
    }

    fn response(&self, id: Option<&str>) -> Span {
        info_span!(
            target: TARGET,
            parent: &self.whole,
            "roomkit.response",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = self.provider.telemetry_name(),
            gen_ai.request.model = self.provider.model(),
            gen_ai.conversation.id = self.session.id().as_str(),
            gen_ai.agent.name = self.session.agent().as_deref(),
            gen_ai.response.id = id,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            roomkit.turn.first_audio_ms = Empty,
            roomkit.turn.sent_ms = Empty,
            roomkit.response.status = Empty,
            "error.type" = Empty,
            otel.name = operation("chat", self.provider.model()),
            otel.kind = "client",
            otel.status_code = Empty,
        )
    }

    fn hand_over(&self, reason: &HandOverReason) -> Span {
        let lost = match reason {
            HandOverReason::Lost(code) => Some(code.as_str()),
            _ => None,
        };
        info_span!(
            target: TARGET,
            parent: &self.whole,
            "roomkit.hand_over",
            gen_ai.conversation.id = self.session.id().as_str(),
            roomkit.hand_over.reason = reason.as_str(),
            roomkit.hand_over.outcome = Empty,
            roomkit.hand_over.held_ms = Empty,
            roomkit.hand_over.attempts = Empty,
            "error.type" = lost,
        )
    }

    /// How long the question waited that is being answered.
    pub(crate) fn answered(&self, waited: TurnLatency) {
        let TurnLatency {
            first_audio, sent, ..
        } = waited;
        self.response
            .record("roomkit.turn.first_audio_ms", milliseconds(first_audio));
        self.response
            .record("roomkit.turn.sent_ms", milliseconds(sent));
    }

    /// Puts the opening of a provider connection into a span, with what the provider does for it.
    pub(crate) fn connecting(
        &self,
        connect: impl Future<Output = Result<ProviderConnection, ProviderError>> + Send + 'static,
    ) -> impl Future<Output = Result<ProviderConnection, ProviderError>> + Send + 'static {
        let parent = if self.hand_over.is_none() {
            &self.whole
        } else {
            &self.hand_over
        };
        let span = info_span!(
            target: TARGET,
            parent: parent,
            "roomkit.connect",
            gen_ai.provider.name = self.provider.telemetry_name(),
            gen_ai.request.model = self.provider.model(),
            gen_ai.conversation.id = self.session.id().as_str(),
            "error.type" = Empty,
            otel.kind = "client",
            otel.status_code = Empty,
        );
        async move {
            let connected = connect.instrument(span.clone()).await;
            if let Err(error) = &connected {
                fail(&span, error.code());
            }
            connected
        }
    }

    /// The span of a tool call. Only a tool that is declared has a name: of another, the name is the
    /// model's words.
    pub(crate) fn tool(&self, call_id: &CallId, declared: Option<&str>) -> Span {
        info_span!(
            target: TARGET,
            parent: &self.whole,
            "roomkit.tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.conversation.id = self.session.id().as_str(),
            gen_ai.tool.name = declared,
            gen_ai.tool.call.id = call_id.as_str(),
            roomkit.tool.outcome = Empty,
            "error.type" = Empty,
            otel.name = operation("execute_tool", declared),
            otel.status_code = Empty,
        )
    }

    /// What the session came to.
    pub(crate) fn end(
        &self,
        reason: &EndReason,
        failure: Option<&StartError>,
        stats: &SessionStats,
    ) {
        let span = &self.whole;
        span.record("roomkit.session.end_reason", reason.as_str());
        span.record("roomkit.session.turns", i64::from(stats.turns));
        span.record(
            "roomkit.session.interruptions",
            i64::from(stats.interruptions),
        );
        match (failure, reason) {
            (Some(error), _) => fail(span, error.code()),
            (None, EndReason::Provider(code)) => fail(span, code),
            (None, EndReason::Internal) => fail(span, reason.as_str()),
            _ => {}
        }
    }
}

/// What OpenTelemetry's conventions have as a span's name.
fn operation(name: &str, of: Option<&str>) -> String {
    of.map_or_else(|| name.to_owned(), |of| format!("{name} {of}"))
}

fn note_end(response: &Span, phase: &ResponsePhase, usage: Option<&Usage>) {
    if let Some(usage) = usage {
        response.record("gen_ai.usage.input_tokens", count(usage.input_tokens));
        response.record("gen_ai.usage.output_tokens", count(usage.output_tokens));
        response.record(
            "gen_ai.usage.cache_read.input_tokens",
            count(usage.cached_tokens),
        );
    }
    let status = match phase {
        // It never ends with that.
        ResponsePhase::Started => return,
        ResponsePhase::Completed => "completed",
        ResponsePhase::Interrupted => "interrupted",
        ResponsePhase::Failed(reason) => {
            fail(response, reason);
            "failed"
        }
        ResponsePhase::Lost => {
            fail(response, "lost");
            "lost"
        }
    };
    response.record("roomkit.response.status", status);
}

/// A tool call has an answer.
pub(crate) fn tool_finished(span: &Span, finished: &Finished) {
    if finished.answer.is_error {
        span.record("roomkit.tool.outcome", "failed");
        fail(span, "tool_error");
    } else {
        span.record("roomkit.tool.outcome", "completed");
    }
}

/// A tool call is not waited for any more: it was answered for having run for too long, or nobody wants
/// its answer.
pub(crate) fn tool_stopped(span: &Span, expired: bool) {
    if expired {
        span.record("roomkit.tool.outcome", "failed");
        fail(span, "timeout");
    } else {
        span.record("roomkit.tool.outcome", "cancelled");
    }
}

fn fail(span: &Span, why: &str) {
    span.record("error.type", why);
    span.record("otel.status_code", "ERROR");
}

fn milliseconds(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}

/// Exporters make text of unsigned numbers: `tracing-opentelemetry` knows none, as OpenTelemetry does not.
fn count(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
