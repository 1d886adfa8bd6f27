//! Sending a response: its steps as events, in the order the live service was captured with.

use std::time::Duration;

use serde_json::{Value, json};

use super::conversation::Item;
use super::engine::Engine;
use super::plan::Step;
use super::responses::Response;
use super::script::Ending;
use super::wire::DeltaTarget;

/// The output item a response is in the middle of.
#[derive(Debug)]
pub(crate) struct OpenItem {
    id: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Message {
        /// Of the content part that is being sent.
        text: String,
        /// The content parts before it.
        done: Vec<Value>,
    },
    Call {
        name: String,
        call_id: String,
        arguments: String,
    },
}

impl Engine {
    /// Runs every step that is due, of every response.
    pub(super) fn run_responses(&mut self) {
        for mut response in std::mem::take(&mut self.responses) {
            let mut running = true;
            while running && !response.stalled && response.due <= self.now {
                running = self.run_step(&mut response);
            }
            if running {
                self.responses.push(response);
            }
        }
    }

    /// Ends a response early, closing what is open as `incomplete`.
    pub(super) fn finish_cancelled(&mut self, mut response: Response, reason: &str) {
        self.close_item(&mut response, "incomplete");
        let details = json!({"type": "cancelled", "reason": reason});
        self.send_done(&response, "cancelled", &details);
    }

    /// False once the response is over.
    fn run_step(&mut self, response: &mut Response) -> bool {
        match response.steps.pop_front() {
            Some(Step::OpenMessage) => {
                let content = Content::Message {
                    text: String::new(),
                    done: Vec::new(),
                };
                self.open_item(response, content);
            }
            Some(Step::NextPart) => self.next_part(response),
            Some(Step::OpenCall { name, call_id }) => {
                let content = Content::Call {
                    name,
                    call_id: call_id.unwrap_or_else(|| self.writer.id("call")),
                    arguments: String::new(),
                };
                self.open_item(response, content);
            }
            Some(Step::Transcript(words)) => self.send_words(response, &words),
            Some(Step::Audio(chunk)) => self.send_audio(response, &chunk),
            Some(Step::Arguments(piece)) => self.send_arguments(response, &piece),
            Some(Step::CloseMessage | Step::CloseCall) => {
                // An incomplete response cuts its last item, so that item is not complete either.
                let cut = matches!(
                    response.steps.front(),
                    Some(Step::Finish(Ending::Incomplete { .. }))
                );
                let status = if cut { "incomplete" } else { "completed" };
                self.close_item(response, status);
            }
            Some(Step::Wait(duration)) => response.due += duration,
            Some(Step::Stall) => response.stalled = true,
            Some(Step::Finish(ending)) => {
                self.finish(response, &ending);
                return false;
            }
            None => return false,
        }
        true
    }

    fn finish(&mut self, response: &Response, ending: &Ending) {
        let (status, details) = match ending {
            Ending::Completed | Ending::Unanswered => ("completed", Value::Null),
            Ending::Incomplete { reason } => (
                "incomplete",
                json!({"type": "incomplete", "reason": reason}),
            ),
            Ending::Failed { code } => (
                "failed",
                json!({"type": "failed", "error": {
                    "type": code, "code": code, "message": "The response failed, as scripted.",
                }}),
            ),
        };
        self.send_done(response, status, &details);
    }

    fn send_done(&mut self, response: &Response, status: &str, details: &Value) {
        let usage = usage(response, self.audio_ms());
        let done = response.json(status, details, &usage);
        self.emit("response.done", &json!({"response": done}));
        self.emit(
            "rate_limits.updated",
            &json!({"rate_limits": [
                {"name": "tokens", "limit": 40000, "remaining": 38490, "reset_seconds": 2.265},
            ]}),
        );
        if response.in_conversation {
            self.response_ended();
            self.start_idle_timer(response);
        }
    }

    /// The idle time counts from the end of playout, which the server can only estimate.
    fn start_idle_timer(&mut self, response: &Response) {
        let idle = self
            .settings
            .turn_detection()
            .and_then(|detection| detection.idle_timeout_ms);
        let played_ms = response.format.duration_ms(response.audio_bytes);
        self.idle_due = idle.map(|milliseconds| {
            let played_at = response.started + Duration::from_millis(played_ms);
            played_at.max(self.now) + Duration::from_millis(milliseconds)
        });
    }

    fn open_item(&mut self, response: &mut Response, content: Content) {
        let id = self.writer.id("item");
        let index = response.output.len();
        let item = match &content {
            Content::Message { .. } => json!({
                "id": id, "type": "message", "status": "in_progress",
                "role": "assistant", "content": [],
            }),
            Content::Call { name, call_id, .. } => json!({
                "id": id, "type": "function_call", "status": "in_progress",
                "name": name, "call_id": call_id, "arguments": "",
            }),
        };
        self.emit(
            "response.output_item.added",
            &json!({"response_id": response.id, "output_index": index, "item": item}),
        );
        if response.in_conversation {
            let previous = self.conversation.last_id().map(str::to_owned);
            self.conversation
                .append(Item::new(id.clone(), item.clone(), response.format));
            self.emit(
                "conversation.item.added",
                &json!({"previous_item_id": previous, "item": item}),
            );
        }
        if matches!(content, Content::Message { .. }) {
            self.open_part(response, &id, 0);
            if self.writer.noise() {
                self.emit_delta(
                    "response.novelty.delta",
                    &json!({"response_id": response.id, "delta": "ignore me"}),
                );
            }
        }
        response.open = Some(OpenItem { id, content });
    }

    fn open_part(&mut self, response: &Response, id: &str, content_index: usize) {
        let mut fields = place(response, id, content_index);
        fields["part"] = if response.text_only {
            json!({"type": "text", "text": ""})
        } else {
            json!({"type": "audio", "transcript": ""})
        };
        self.emit("response.content_part.added", &fields);
    }

    /// Closes the open content part, and opens another of the same message.
    fn next_part(&mut self, response: &mut Response) {
        let Some(mut open) = response.open.take() else {
            return;
        };
        if let Content::Message { text, done } = &mut open.content {
            done.push(self.close_part(response, &open.id, text, done.len()));
            text.clear();
            self.open_part(response, &open.id, done.len());
            if let Some(item) = self.conversation.get_mut(&open.id) {
                item.next_part();
            }
        }
        response.open = Some(open);
    }

    fn send_words(&mut self, response: &mut Response, words: &str) {
        let kind = if response.text_only {
            "response.output_text.delta"
        } else {
            "response.output_audio_transcript.delta"
        };
        let Some(OpenItem {
            id,
            content: Content::Message { text, done },
        }) = &mut response.open
        else {
            return;
        };
        text.push_str(words);
        let (id, content_index) = (id.clone(), done.len());
        response.text_chars += words.chars().count();
        let mut fields = place(response, &id, content_index);
        fields["delta"] = Value::from(words);
        self.emit_delta(kind, &fields);
        if response.in_conversation && response.text_only {
            self.response_spoke();
        }
    }

    fn send_audio(&mut self, response: &mut Response, chunk: &[u8]) {
        let Some(open) = &response.open else {
            return;
        };
        response.audio_bytes += chunk.len();
        let target = DeltaTarget {
            response_id: &response.id,
            item_id: &open.id,
            output_index: response.output.len(),
            content_index: match &open.content {
                Content::Message { done, .. } => done.len(),
                Content::Call { .. } => 0,
            },
        };
        self.emit_audio(&target, chunk);
        if response.in_conversation {
            self.conversation.push_audio(&open.id, chunk);
            self.response_spoke();
        }
    }

    fn send_arguments(&mut self, response: &mut Response, piece: &str) {
        let index = response.output.len();
        let Some(OpenItem {
            id,
            content: Content::Call {
                call_id, arguments, ..
            },
        }) = &mut response.open
        else {
            return;
        };
        arguments.push_str(piece);
        response.text_chars += piece.chars().count();
        let fields = json!({
            "response_id": response.id, "item_id": id, "output_index": index,
            "call_id": call_id, "delta": piece,
        });
        self.emit_delta("response.function_call_arguments.delta", &fields);
    }

    /// Sends the `done` events of the open item, if there is one.
    fn close_item(&mut self, response: &mut Response, status: &str) {
        let Some(OpenItem { id, content }) = response.open.take() else {
            return;
        };
        let index = response.output.len();
        let item = match content {
            Content::Message { text, mut done } => {
                done.push(self.close_part(response, &id, &text, done.len()));
                json!({
                    "id": id, "type": "message", "status": status, "role": "assistant",
                    "content": done,
                })
            }
            Content::Call {
                name,
                call_id,
                arguments,
            } => {
                // Also of a call that a cancel has cut off, which must not be run.
                self.emit(
                    "response.function_call_arguments.done",
                    &json!({
                        "response_id": response.id, "item_id": id, "output_index": index,
                        "call_id": call_id, "name": name, "arguments": arguments,
                    }),
                );
                json!({
                    "id": id, "type": "function_call", "status": status,
                    "name": name, "call_id": call_id, "arguments": arguments,
                })
            }
        };
        if response.in_conversation {
            let previous = self.conversation.previous_id(&id).map(str::to_owned);
            self.emit(
                "conversation.item.done",
                &json!({"previous_item_id": previous, "item": item}),
            );
            if let Some(entry) = self.conversation.get_mut(&id) {
                entry.json = item.clone();
            }
        }
        self.emit(
            "response.output_item.done",
            &json!({"response_id": response.id, "output_index": index, "item": item}),
        );
        response.output.push(item);
    }

    /// Sends the `done` events of a content part; gives it as its item has it.
    fn close_part(
        &mut self,
        response: &Response,
        id: &str,
        text: &str,
        content_index: usize,
    ) -> Value {
        let fields = place(response, id, content_index);
        let (part, content) = if response.text_only {
            let mut done = fields.clone();
            done["text"] = Value::from(text);
            self.emit("response.output_text.done", &done);
            (
                json!({"type": "text", "text": text}),
                json!({"type": "output_text", "text": text}),
            )
        } else {
            self.emit("response.output_audio.done", &fields);
            let mut done = fields.clone();
            done["transcript"] = Value::from(text);
            self.emit("response.output_audio_transcript.done", &done);
            (
                json!({"type": "audio", "transcript": text}),
                json!({"type": "output_audio", "transcript": text}),
            )
        };
        let mut done = fields;
        done["part"] = part;
        self.emit("response.content_part.done", &done);
        content
    }
}

/// The four keys every content event has.
fn place(response: &Response, item_id: &str, content_index: usize) -> Value {
    json!({
        "response_id": response.id, "item_id": item_id,
        "output_index": response.output.len(), "content_index": content_index,
    })
}

/// Token counts of the right shape: one token per 100 ms heard, per 50 ms spoken, per four letters.
fn usage(response: &Response, heard_ms: u64) -> Value {
    let audio_in = heard_ms / 100;
    let text_in = 119;
    let audio_out = response.format.duration_ms(response.audio_bytes) / 50;
    let text_out = response.text_chars as u64 / 4;
    json!({
        "total_tokens": audio_in + text_in + audio_out + text_out,
        "input_tokens": audio_in + text_in,
        "output_tokens": audio_out + text_out,
        "input_token_details": {
            "text_tokens": text_in, "audio_tokens": audio_in, "image_tokens": 0,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    })
}
