//! What comes from the provider, and its failures.

use bytes::Bytes;

use super::{AFTER_SPEECH, Call, Wanted};
use crate::{
    audio,
    call::{
        io::{Action, Moment, News, ToolRequest},
        playout::AudioItem,
    },
    event::{EndReason, ResponsePhase},
    id::ResponseId,
    provider::{ConnectionInfo, ProviderError, ProviderErrorKind, ProviderEvent, Role},
};

impl Call {
    pub(super) fn on_connected(&mut self, now: Moment, info: ConnectionInfo) {
        self.playout.set_rate(info.capabilities.output_rate);
        self.provider = Some(info.capabilities);
        self.last_busy = now;
        self.held_audio = 0;
        while let Some(command) = self.held.pop_front() {
            self.out.push_back(Action::ToProvider(command));
        }
    }

    pub(super) fn on_provider(&mut self, now: Moment, event: ProviderEvent) {
        match event {
            ProviderEvent::SpeechStarted { item_id } => self.user_began(now, item_id),
            ProviderEvent::SpeechStopped { item_id } => self.user_finished(now, item_id),
            ProviderEvent::ResponseStarted { response_id } => {
                self.on_response_started(now, response_id);
            }
            ProviderEvent::Audio {
                response_id,
                item_id,
                content_index,
                pcm,
            } => {
                let item = AudioItem {
                    item_id,
                    content_index,
                };
                self.on_voice(now, response_id.as_ref(), item, pcm);
            }
            ProviderEvent::Transcript {
                role: Role::User,
                item_id,
                text,
                is_final,
            } => {
                if is_final {
                    self.words.user_final(now, item_id, text);
                } else {
                    self.words.user_partial(now, item_id, text);
                }
            }
            ProviderEvent::Transcript {
                item_id,
                text,
                is_final,
                ..
            } => {
                let depth = self.chain_depth;
                if is_final {
                    self.words.answer_final(now, item_id.as_ref(), text, depth);
                } else {
                    self.words.answer_partial(now, item_id, text, depth);
                }
            }
            ProviderEvent::TranscriptFailed { item_id, .. } => {
                self.words.user_failed(item_id.as_ref());
            }
            ProviderEvent::ToolCall {
                call_id,
                name,
                arguments,
            } => {
                let request = ToolRequest {
                    call_id,
                    name,
                    arguments,
                };
                if self.tools.call(request.clone()) {
                    self.words.release();
                    self.words.tell_answer(now, News::ToolCall(request));
                } else {
                    self.out.push_back(Action::Dropped("repeated_tool_call"));
                }
            }
            ProviderEvent::ToolCallsCancelled { call_ids } => {
                for call_id in call_ids {
                    if let Some(request) = self.tools.close(&call_id) {
                        self.cancel_tool(now, request);
                    }
                }
            }
            ProviderEvent::ResponseEnded {
                response_id,
                status,
                usage,
            } => {
                self.usage += usage.unwrap_or_default();
                self.on_response_ended(now, response_id.as_ref(), status, usage);
            }
            ProviderEvent::ResponseRefused => {
                // One is running that has not been announced yet; ask again after it.
                if matches!(self.wanted, Wanted::AskedUntil(_) | Wanted::AskedAndMore(_)) {
                    self.wanted = Wanted::NotBefore(now + AFTER_SPEECH);
                }
            }
            ProviderEvent::Usage(usage) => self.usage += usage,
            ProviderEvent::Updated
            | ProviderEvent::GoAway { .. }
            | ProviderEvent::Resumable(_)
            | ProviderEvent::Pong => {}
            ProviderEvent::Error(error) => self.on_error(now, error),
            ProviderEvent::Closed(error) => {
                let error = error.unwrap_or_else(|| {
                    let problem = "the provider closed the connection";
                    ProviderError::new(ProviderErrorKind::Network, problem)
                });
                self.fail(now, error);
            }
        }
    }

    pub(super) fn on_voice(
        &mut self,
        now: Moment,
        response_id: Option<&ResponseId>,
        item: AudioItem,
        mut pcm: Bytes,
    ) {
        pcm.truncate(pcm.len() & !1);
        if pcm.is_empty() {
            return;
        }
        let rate = self
            .provider
            .as_ref()
            .map_or(audio::DEFAULT_RATE, |p| p.output_rate);
        let length = audio::duration_of(pcm.len(), rate);
        self.words
            .answer_audio(now, item.item_id.as_ref(), length, self.chain_depth);
        let interrupted = match (&self.response, response_id) {
            (_, Some(id)) if self.stale.contains(id) => true,
            (Some(response), _) => response.interrupted,
            (None, _) => false,
        };
        if self.gate_closed || interrupted {
            self.out.push_back(Action::Dropped("interrupted_audio"));
        } else if !self.playout.push(item, pcm) {
            self.out.push_back(Action::Dropped("playout_full"));
        }
    }

    pub(super) fn on_error(&mut self, now: Moment, error: ProviderError) {
        let is_permanent = matches!(
            error.kind(),
            ProviderErrorKind::Authentication
                | ProviderErrorKind::Quota
                | ProviderErrorKind::Policy
        );
        if is_permanent {
            self.fail(now, error);
        } else {
            self.words.tell(
                now,
                News::Error {
                    error,
                    is_fatal: false,
                },
            );
        }
    }

    /// The provider is lost for good.
    pub(super) fn fail(&mut self, now: Moment, error: ProviderError) {
        if self.response.take().is_some() {
            self.words.interrupt(now, &self.playout);
            self.words.answer_ended(now);
            self.tell_response(now, ResponsePhase::Lost, None);
        }
        let reason = EndReason::Provider(error.code().to_owned());
        self.words.tell(
            now,
            News::Error {
                error,
                is_fatal: true,
            },
        );
        self.end(now, reason);
    }
}
