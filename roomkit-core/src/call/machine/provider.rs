//! What comes from the provider, and its failures.

use bytes::Bytes;

use super::{
    Call, Response, Said, Wanted,
    verdict::{Ends, verdict},
};
use crate::{
    audio,
    call::{
        io::{Action, Moment, News, ToolRequest},
        playout::AudioItem,
    },
    event::{EndReason, HandOverReason, ResponsePhase},
    id::ResponseId,
    provider::{ProviderError, ProviderErrorKind, ProviderEvent, ResponseStatus, Role},
};

impl Call {
    pub(super) fn on_provider(&mut self, now: Moment, event: ProviderEvent) {
        let is_pong = event == ProviderEvent::Pong;
        self.connection.heard(now, is_pong);
        if !self.connection.is_open() {
            // There is none, and whatever this is about is over.
            return self.out.push_back(Action::Dropped("left_behind"));
        }
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
                    connection: self.connection.number,
                    response: self.words.response(),
                    item_id,
                    content_index,
                };
                self.connection.has_spoken = true;
                self.on_voice(now, response_id.as_ref(), &item, pcm);
            }
            ProviderEvent::Transcript {
                role: Role::User,
                item_id,
                text,
                is_final,
            } => {
                if is_final {
                    let heard = (now, self.said_since(now));
                    let written = self.words.user_final(heard, item_id, text);
                    self.settle_speech(written);
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
                self.is_said(if is_final { Said::All } else { Said::Part });
                if is_final {
                    self.words.answer_final(now, item_id.as_ref(), text, depth);
                } else if !self.words.answer_partial(now, item_id, text, depth) {
                    self.out.push_back(Action::Dropped("answer_words"));
                }
            }
            ProviderEvent::TranscriptFailed { item_id, .. } => {
                let given_up = self.words.user_failed(now, item_id);
                self.settle_speech(given_up);
            }
            ProviderEvent::ToolCall {
                call_id,
                name,
                arguments,
            } => {
                let request = ToolRequest {
                    serial: self.tools.next_serial(),
                    call_id,
                    name,
                    arguments,
                };
                self.is_said(Said::Part);
                self.on_tool_call(now, request);
            }
            ProviderEvent::ToolCallsCancelled { call_ids } => {
                self.on_tools_cancelled(now, call_ids);
            }
            ProviderEvent::ResponseEnded {
                response_id,
                status,
                usage,
            } => {
                self.stats.usage += usage.as_deref().copied().unwrap_or_default();
                if status == ResponseStatus::Completed {
                    self.connection.proven();
                    self.setup.answered();
                }
                self.history.turn_ended();
                self.on_response_ended(now, response_id.as_ref(), status, usage);
            }
            ProviderEvent::ResponseRefused => self.on_response_refused(now),
            ProviderEvent::TurnPassed => {
                self.history.turn_ended();
                self.awaits_response = false;
                self.more_to_come = false;
                self.stopped_until = None;
                self.turn.forget();
                self.asking_was_for_nothing(now);
                if self.wanted == Wanted::No {
                    // The model has chosen silence.
                    self.owes = None;
                }
            }
            ProviderEvent::MoreToCome => {
                // The result of a tool is what else may be meant, even of one that nobody waits for, and
                // is looked after already.
                self.more_to_come |= self.tools.is_empty() && self.answers_results();
                // Who stopped the one wants no rest of it either; who spoke instead is to be answered.
                let was_stopped = |it: &Response| it.interrupted && !it.spoken_over;
                if self.response.as_ref().is_some_and(was_stopped) {
                    self.stop_announced(now);
                }
            }
            ProviderEvent::Usage(usage) => self.stats.usage += *usage,
            ProviderEvent::TranscriptionUsage(usage) => self.stats.transcription += usage,
            ProviderEvent::Updated => self.on_update_confirmed(),
            ProviderEvent::UpdateRefused(error) => self.on_update_refused(now, &error),
            ProviderEvent::RawRefused(error) => {
                let is_fatal = false;
                self.words.tell(now, News::Error { error, is_fatal });
            }
            ProviderEvent::GoAway { time_left } => {
                self.connection.plan_to_go_away(now, time_left);
            }
            ProviderEvent::Resumable(token) => {
                if self.provider.as_ref().is_some_and(|p| p.resumes) {
                    self.history.set_token(token, self.words.order());
                }
            }
            ProviderEvent::Pong => self.on_pong(),
            ProviderEvent::Error(error) => self.on_error(now, error),
            ProviderEvent::Closed(error) => self.on_closed(now, error),
        }
    }

    /// So much at least of the response that runs has come.
    fn is_said(&mut self, said: Said) {
        if let Some(response) = &mut self.response {
            response.said = response.said.max(said);
        }
    }

    fn on_closed(&mut self, now: Moment, error: Option<ProviderError>) {
        let error = error.unwrap_or_else(|| {
            let problem = "the provider closed the connection";
            ProviderError::new(ProviderErrorKind::Network, problem)
        });
        self.on_lost(now, error);
    }

    /// An utterance is written down, or never will be: it need not be heard again.
    fn settle_speech(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            self.uplink.speech_settled(number);
        }
    }

    pub(super) fn on_voice(
        &mut self,
        now: Moment,
        response_id: Option<&ResponseId>,
        item: &AudioItem,
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
        let place = self.playout.end();
        self.is_said(Said::Part);
        if self.gate_closed || interrupted {
            self.out.push_back(Action::Dropped("interrupted_audio"));
        } else if self.playout.push(item, pcm) {
            self.playout.forget_oldest(now);
            // What is still said of an answer from before the question answers nothing.
            if self
                .response
                .as_ref()
                .is_none_or(|response| !response.spoken_over)
            {
                self.turn.audio_came(now, place);
            }
        } else {
            self.words.answer_lost(now, item.item_id.as_ref(), length);
            self.out.push_back(Action::Dropped("playout_full"));
        }
    }

    pub(super) fn on_error(&mut self, now: Moment, error: ProviderError) {
        if matches!(
            error.kind(),
            ProviderErrorKind::Unsupported | ProviderErrorKind::InvalidRequest
        ) {
            // What the model was not told it does not answer.
            self.awaits_response = false;
        }
        self.asking_failed();
        if verdict(error.kind()).ends == Ends::Call {
            self.fail(now, error);
        } else if error.kind() == ProviderErrorKind::SessionExpired {
            // It ends now, and says so.
            self.connection.plan(HandOverReason::Expiring, now, now);
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
