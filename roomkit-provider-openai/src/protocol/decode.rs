//! Server events to core events.

mod cumulative;

use std::collections::VecDeque;

use bytes::Bytes;
use roomkit_core::{
    audio::g711,
    id::{ItemId, ResponseId},
    provider::{ProviderEvent, ResponseStatus, Role},
};
use roomkit_dial::{Decode, Redactor, Text, decode_base64, place_of, text_of};
use serde::Deserialize;

use self::cumulative::Cumulative;
use super::{
    calls::Calls,
    encode::{RESPOND, UPDATE},
    message::{
        AudioDelta, ErrorBody, ErrorEvent, Flat, OutputItem, ResponseBody, ResponseEvent,
        StatusDetails, WireUsage, kind_of,
    },
    notes::{Notes, Sender},
    remember,
};
use crate::{
    config::{AudioCodec, Dialect},
    error::VendorError,
};

/// Turns the vendor's server events into the core's.
///
/// Names of the beta are understood beside those of general availability. Events without a
/// meaning here are passed over, so are unknown ones.
#[derive(Debug)]
pub struct Decoder {
    codec: AudioCodec,
    redactor: Redactor,
    calls: Calls,
    notes: Notes,
    /// Responses outside the conversation; nobody is to hear them.
    out_of_band: VecDeque<String>,
    /// Whose audio came last: most of it belongs to the same.
    of_audio: (Option<ResponseId>, Option<ItemId>),
    /// The user's words, where their transcripts are cumulative.
    cumulative: Option<Cumulative>,
}

impl Decoder {
    /// A decoder for a connection whose answers come in the given codec.
    pub fn new(dialect: Dialect, codec: AudioCodec, redactor: Redactor) -> Self {
        Self {
            codec,
            redactor,
            calls: Calls::default(),
            notes: Notes::default(),
            out_of_band: VecDeque::new(),
            of_audio: (None, None),
            cumulative: (dialect == Dialect::XAi).then(Cumulative::default),
        }
    }

    /// The same, which tells the encoder what became of changes.
    pub(super) fn with_notes(self, notes: Notes) -> Self {
        Self { notes, ..self }
    }

    /// Reads one text frame and adds what it means to `events`.
    ///
    /// A frame that is no event of this protocol becomes a [`ProviderEvent::Error`] of kind
    /// [`Protocol`](roomkit_core::provider::ProviderErrorKind::Protocol), without its content.
    pub fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>) {
        let kind = match kind_of(frame) {
            Ok(kind) => kind,
            Err(error) => return events.push_back(malformed("a frame", &place_of(&error))),
        };
        let outcome = if self.cumulative.is_some() && cumulative::concerns(&kind) {
            self.dispatch_cumulative(&kind, frame, events)
        } else {
            self.dispatch(&kind, frame, events)
        };
        if let Err(error) = outcome {
            events.push_back(malformed("a known event", &place_of(&error)));
        }
    }

    fn dispatch<'a>(
        &mut self,
        kind: &str,
        frame: &'a str,
        events: &mut VecDeque<ProviderEvent>,
    ) -> Result<(), serde_json::Error> {
        match kind {
            "response.output_audio.delta" | "response.audio.delta" => {
                events.extend(self.audio(&read(frame)?));
            }
            "response.output_audio_transcript.delta"
            | "response.audio_transcript.delta"
            | "response.output_text.delta"
            | "response.text.delta" => {
                let flat: Flat<'a> = read(frame)?;
                let words = flat.delta.as_ref();
                events.extend(self.answer(&flat, words, false));
            }
            "response.output_audio_transcript.done" | "response.audio_transcript.done" => {
                let flat: Flat<'a> = read(frame)?;
                let words = flat.transcript.as_ref();
                events.extend(self.answer(&flat, words, true));
            }
            "response.output_text.done" | "response.text.done" => {
                let flat: Flat<'a> = read(frame)?;
                let words = flat.text.as_ref();
                events.extend(self.answer(&flat, words, true));
            }
            "conversation.item.input_audio_transcription.delta" => {
                let flat: Flat<'a> = read(frame)?;
                events.extend(partial_of_user(&flat, flat.delta.as_ref()));
            }
            "conversation.item.input_audio_transcription.segment" => {
                let flat: Flat<'a> = read(frame)?;
                events.extend(partial_of_user(&flat, flat.text.as_ref()));
            }
            "conversation.item.input_audio_transcription.completed" => {
                let flat: Flat<'a> = read(frame)?;
                events.push_back(ProviderEvent::Transcript {
                    role: Role::User,
                    item_id: item_id(&flat),
                    text: flat.transcript.unwrap_or_default().0.into_owned(),
                    is_final: true,
                });
                let usage = flat.usage.as_ref().and_then(WireUsage::of_transcription);
                events.extend(usage.map(ProviderEvent::TranscriptionUsage));
            }
            "conversation.item.input_audio_transcription.failed" => {
                let flat: Flat<'a> = read(frame)?;
                let error = flat.error.as_ref().map(ErrorBody::as_vendor_error);
                events.push_back(ProviderEvent::TranscriptFailed {
                    item_id: item_id(&flat),
                    message: error
                        .unwrap_or_default()
                        .classify(&self.redactor)
                        .to_string(),
                });
            }
            "input_audio_buffer.speech_started" => {
                let item_id = item_id(&read(frame)?);
                events.push_back(ProviderEvent::SpeechStarted { item_id });
            }
            "input_audio_buffer.speech_stopped" => {
                let item_id = item_id(&read(frame)?);
                events.push_back(ProviderEvent::SpeechStopped { item_id });
            }
            "response.created" => events.extend(self.response_created(&read(frame)?)),
            "response.done" => self.response_done(&read(frame)?, events),
            "response.output_item.added" => {
                let event: OutputItem<'a> = read(frame)?;
                if let Some(item) = &event.item {
                    self.calls.announce(item);
                }
            }
            "response.output_item.done" => events.extend(self.item_done(&read(frame)?)),
            "response.function_call_arguments.done" => {
                events.extend(self.arguments_done(&read(frame)?));
            }
            "session.updated" => {
                if self.notes.taken() {
                    events.push_back(ProviderEvent::Updated);
                }
            }
            "error" => {
                let event: ErrorEvent<'a> = read(frame)?;
                self.error(&event.error.unwrap_or_default(), events);
            }
            kind if is_meaningless(kind) => {}
            kind => {
                metrics::counter!("roomkit_provider_unknown_events_total", "provider" => "openai")
                    .increment(1);
                let kind: String = kind.chars().take(64).collect();
                tracing::debug!(kind, "passed over an event of an unknown type");
            }
        }
        Ok(())
    }

    fn audio(&mut self, audio: &AudioDelta<'_>) -> Option<ProviderEvent> {
        if self.is_out_of_band(audio.response_id.as_ref()) {
            return None;
        }
        let delta = audio.delta.as_ref()?;
        let mut bytes = match decode_base64(delta.as_str()) {
            Ok(bytes) => bytes,
            Err(error) => return Some(malformed("audio", &error)),
        };
        if let Some(law) = self.codec.law() {
            bytes = g711::decode(law, &bytes);
        }
        bytes.truncate(bytes.len() & !1);
        if bytes.is_empty() {
            return None;
        }
        Some(ProviderEvent::Audio {
            response_id: same_or_new(&mut self.of_audio.0, audio.response_id.as_ref()),
            item_id: same_or_new(&mut self.of_audio.1, audio.item_id.as_ref()),
            content_index: audio.content_index.unwrap_or_default() as u32,
            pcm: Bytes::from(bytes),
        })
    }

    fn answer(
        &self,
        flat: &Flat<'_>,
        words: Option<&Text<'_>>,
        is_final: bool,
    ) -> Option<ProviderEvent> {
        let text = words.map(Text::as_str).unwrap_or_default();
        if self.is_out_of_band(flat.response_id.as_ref()) || text.is_empty() {
            return None;
        }
        Some(ProviderEvent::Transcript {
            role: Role::Assistant,
            item_id: item_id(flat),
            text: text.to_owned(),
            is_final,
        })
    }

    fn response_created(&mut self, event: &ResponseEvent<'_>) -> Option<ProviderEvent> {
        self.notes.began();
        let response = event.response.as_ref()?;
        if self.is_aside(response) {
            let id = text_of(response.id.as_ref());
            remember(&mut self.out_of_band, id.to_owned());
            return None;
        }
        Some(ProviderEvent::ResponseStarted {
            response_id: id(response.id.as_ref()),
        })
    }

    fn response_done(&mut self, event: &ResponseEvent<'_>, events: &mut VecDeque<ProviderEvent>) {
        let none = ResponseBody::default();
        let response = event.response.as_ref().unwrap_or(&none);
        let usages = [response.usage.as_ref(), event.usage.as_ref()];
        let usage = usages.into_iter().flatten().find_map(WireUsage::tokens);
        let usage = usage.map(Box::new);
        if self.is_aside(response) || self.is_out_of_band(response.id.as_ref()) {
            events.extend(usage.map(ProviderEvent::Usage));
            return;
        }
        let status = self.status(response);
        self.calls
            .response_done(matches!(status, ResponseStatus::Completed), events);
        events.push_back(ProviderEvent::ResponseEnded {
            response_id: id(response.id.as_ref()),
            status,
            usage,
        });
    }

    fn status(&self, response: &ResponseBody<'_>) -> ResponseStatus {
        let details = StatusDetails::read(response.status_details);
        let reason = text_of(details.reason.as_ref());
        match (text_of(response.status.as_ref()), reason) {
            // Whatever the status: the user spoke.
            (_, "turn_detected") | ("cancelled", _) => ResponseStatus::Cancelled,
            ("failed", reason) => {
                let error = details.error.as_ref().map(ErrorBody::as_vendor_error);
                let error = error.unwrap_or(VendorError {
                    message: Some(if reason.is_empty() {
                        "the response failed"
                    } else {
                        reason
                    }),
                    ..VendorError::default()
                });
                ResponseStatus::Failed(error.classify(&self.redactor))
            }
            ("incomplete", "") => ResponseStatus::Incomplete("incomplete".to_owned()),
            ("incomplete", reason) => ResponseStatus::Incomplete(self.redactor.redact(reason)),
            _ => ResponseStatus::Completed,
        }
    }

    fn arguments_done(&mut self, flat: &Flat<'_>) -> Option<ProviderEvent> {
        if self.is_out_of_band(flat.response_id.as_ref()) {
            return None;
        }
        self.calls.arguments_done(flat)
    }

    fn item_done(&mut self, event: &OutputItem<'_>) -> Option<ProviderEvent> {
        if self.is_out_of_band(event.response_id.as_ref()) {
            return None;
        }
        self.calls.item_done(event.item.as_ref()?)
    }

    fn error(&self, body: &ErrorBody<'_>, events: &mut VecDeque<ProviderEvent>) {
        let vendor_error = body.as_vendor_error();
        let error = vendor_error.classify(&self.redactor);
        let id = text_of(body.event_id.as_ref());
        let is_hosts = self.notes.refused_host(id);
        if vendor_error.is_of_running_response() {
            events.push_back(if !is_hosts && self.is_of_engines_request(id) {
                ProviderEvent::ResponseRefused
            } else {
                ProviderEvent::RawRefused(error)
            });
            return;
        }
        if vendor_error.code == Some("input_audio_buffer_commit_empty")
            && !is_hosts
            && let Some(passes) = self.notes.take_short_turn()
        {
            events.push_back(ProviderEvent::TranscriptFailed {
                item_id: None,
                message: error.to_string(),
            });
            events.extend(passes.then_some(ProviderEvent::TurnPassed));
            return;
        }
        if vendor_error.is_benign() {
            tracing::debug!(%error, "the vendor had nothing to do");
            return;
        }
        let of_change = match id {
            _ if is_hosts => Some(Sender::Host(id.to_owned())),
            "" if vendor_error.is_of_session() => self.notes.refused_next(),
            id if id.starts_with(UPDATE) => {
                self.notes.refused();
                Some(Sender::Engine)
            }
            id if id.starts_with(RESPOND) => {
                self.notes.refused_request();
                None
            }
            _ => None,
        };
        events.push_back(match of_change {
            Some(Sender::Engine) => ProviderEvent::UpdateRefused(error),
            Some(Sender::Host(_)) => ProviderEvent::RawRefused(error),
            None => ProviderEvent::Error(error),
        });
    }

    /// Whether a request for a response that was refused is the engine's. Not every vendor says which.
    fn is_of_engines_request(&self, id: &str) -> bool {
        if !id.starts_with(RESPOND) {
            return self.notes.refused_next_request();
        }
        self.notes.refused_request();
        true
    }

    /// Whether a response is outside the conversation. The null says so only where the host has asked for
    /// such a response, and only with OpenAI: other servers may write it for each.
    fn is_aside(&self, response: &ResponseBody<'_>) -> bool {
        response.has_no_conversation && self.cumulative.is_none() && self.notes.has_asides()
    }

    fn is_out_of_band(&self, response_id: Option<&Text<'_>>) -> bool {
        !self.out_of_band.is_empty()
            && response_id.is_some_and(|id| self.out_of_band.iter().any(|known| known == &*id.0))
    }
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>) {
        Decoder::decode(self, frame, events);
    }

    fn finish(&mut self, events: &mut VecDeque<ProviderEvent>) {
        if let Some(words) = &mut self.cumulative {
            words.close(events);
        }
    }
}

fn read<'a, T: Deserialize<'a>>(frame: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(frame)
}

fn partial_of_user(flat: &Flat<'_>, words: Option<&Text<'_>>) -> Option<ProviderEvent> {
    let text = text_of(words);
    (!text.is_empty()).then(|| ProviderEvent::Transcript {
        role: Role::User,
        item_id: item_id(flat),
        text: text.to_owned(),
        is_final: false,
    })
}

fn item_id(flat: &Flat<'_>) -> Option<ItemId> {
    match text_of(flat.item_id.as_ref()) {
        "" => None,
        id => Some(ItemId::from(id)),
    }
}

fn id(text: Option<&Text<'_>>) -> Option<ResponseId> {
    match text_of(text) {
        "" => None,
        id => Some(ResponseId::from(id)),
    }
}

/// The id, without a new one made of the same text.
fn same_or_new<I>(last: &mut Option<I>, text: Option<&Text<'_>>) -> Option<I>
where
    I: Clone + PartialEq<str> + for<'t> From<&'t str>,
{
    let text = text_of(text);
    if last.as_ref().is_none_or(|last| last != text) {
        *last = (!text.is_empty()).then(|| I::from(text));
    }
    last.clone()
}

pub(super) fn malformed(what: &str, problem: &dyn std::fmt::Display) -> ProviderEvent {
    roomkit_dial::malformed("openai", &format!("{what} that cannot be read: {problem}"))
}

/// Events that are known and tell nothing the core does not learn from others.
fn is_meaningless(kind: &str) -> bool {
    matches!(
        kind,
        "session.created"
            | "conversation.created"
            | "conversation.item.added"
            | "conversation.item.created"
            | "conversation.item.done"
            | "conversation.item.retrieved"
            | "conversation.item.truncated"
            | "conversation.item.deleted"
            | "input_audio_buffer.committed"
            | "input_audio_buffer.cleared"
            | "input_audio_buffer.timeout_triggered"
            | "input_audio_buffer.dtmf_event_received"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.output_audio.done"
            | "response.audio.done"
            | "response.function_call_arguments.delta"
            | "rate_limits.updated"
    ) || [
        "response.mcp_call",
        "mcp_list_tools.",
        "output_audio_buffer.",
    ]
    .iter()
    .any(|family| kind.starts_with(family))
}
