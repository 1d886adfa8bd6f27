//! The call machine: what happens goes in, what is to be done comes out.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    io::{Action, Command, Input, Moment, News, Permissions, Publication, ToolAnswer, ToolRequest},
    playout::{AudioItem, Due, Playout},
    tools::ToolLedger,
    words::Words,
};
use crate::{
    audio,
    client_protocol::ServerMessage,
    event::{EndReason, ResponsePhase},
    id::{ItemId, ResponseId},
    provider::{
        ConnectionInfo, Continuation, ProviderCapabilities, ProviderCommand, ProviderError,
        ProviderErrorKind, ProviderEvent, ResponseStatus, Role, Usage,
    },
    transport::{ClientCommand, ClientEvent},
};

/// Audio that waits for a provider connection: at most this many bytes (contract S4).
const HELD_AUDIO: usize = 1 << 20;
/// Commands that wait for a provider connection; more than a host sends in its right mind.
const HELD_COMMANDS: usize = 1024;
/// A response that was asked for and has not begun by then is asked for again.
const RESPOND_PATIENCE: Duration = Duration::from_secs(10);
/// After the user stops, the provider's own response gets this long before one is asked for.
const AFTER_SPEECH: Duration = Duration::from_millis(300);
/// Interrupted responses whose late audio is still recognised.
const STALE_RESPONSES: usize = 8;

/// What a host decides about its calls.
#[derive(Debug, Clone)]
pub(crate) struct CallSettings {
    /// How far ahead of real time audio is sent to this client.
    pub(crate) lead: Duration,
    /// How much audio may wait for the client.
    pub(crate) backlog: Duration,
    /// How long an answer's words wait for the question's transcript.
    pub(crate) transcript_wait: Duration,
    pub(crate) tool_limit: usize,
    pub(crate) tool_timeout: Duration,
    pub(crate) tool_result_cap: usize,
    pub(crate) interruptions: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_duration: Option<Duration>,
}

/// One call. See the [module](super) for how to run it.
pub(crate) struct Call {
    settings: CallSettings,
    out: VecDeque<Action>,
    ended: bool,

    provider: Option<ProviderCapabilities>,
    held: VecDeque<ProviderCommand>,
    held_audio: usize,
    usage: Usage,

    permissions: Permissions,
    client_muted: bool,

    user_speaking: bool,
    assistant_speaking: bool,
    response: Option<Response>,
    stale: VecDeque<ResponseId>,
    /// The user speaks: no audio goes out until the speech ends or a new response begins.
    gate_closed: bool,
    wanted: Wanted,
    chain_depth: u32,

    playout: Playout,
    words: Words,
    tools: ToolLedger,

    idle: bool,
    last_busy: Moment,
}

/// The response the provider is producing.
#[derive(Debug)]
struct Response {
    id: Option<ResponseId>,
    interrupted: bool,
}

/// Whether a response is to be asked for (contract K7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    /// As soon as nothing speaks against it, and not before this moment.
    NotBefore(Moment),
    /// It was; until this moment it may begin.
    AskedUntil(Moment),
    /// It was, and one more is wanted after it.
    AskedAndMore(Moment),
}

impl Call {
    pub(crate) fn new(settings: CallSettings, permissions: Permissions) -> Self {
        let playout = Playout::new(audio::DEFAULT_RATE, settings.lead, settings.backlog);
        let words = Words::new(settings.transcript_wait);
        let tools = ToolLedger::new(settings.tool_limit, settings.tool_timeout);
        Self {
            settings,
            out: VecDeque::new(),
            ended: false,
            provider: None,
            held: VecDeque::new(),
            held_audio: 0,
            usage: Usage::default(),
            permissions,
            client_muted: false,
            user_speaking: false,
            assistant_speaking: false,
            response: None,
            stale: VecDeque::new(),
            gate_closed: false,
            wanted: Wanted::No,
            chain_depth: 0,
            playout,
            words,
            tools,
            idle: true,
            last_busy: Moment::ZERO,
        }
    }

    /// Takes one thing that happened. Afterwards [`poll`](Self::poll) until it gives nothing.
    pub(crate) fn handle(&mut self, now: Moment, input: Input) {
        if self.ended {
            return;
        }
        match input {
            Input::Client(event) => self.on_client(now, event),
            Input::ClientGone => self.end(now, EndReason::ClientLeft),
            Input::Connected(info) => self.on_connected(now, info),
            Input::Provider(event) => self.on_provider(now, event),
            Input::ToolCleared(call_id) => self.tools.clear(call_id),
            Input::ToolFinished(call_id, answer) => {
                // A call that is not open any more was cancelled, or answered by its timeout.
                match self.tools.close(&call_id) {
                    Some(request) => self.answer_tool(now, request, answer),
                    None => self.out.push_back(Action::Dropped("late_tool_result")),
                }
            }
            Input::Command(command) => self.on_command(now, command),
            Input::Permissions(permissions) => self.on_permissions(permissions),
            Input::Tick => {}
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) with a [`Tick`](Input::Tick), if nothing else comes.
    pub(crate) fn next_wake(&self, now: Moment) -> Option<Moment> {
        if self.ended {
            return None;
        }
        let wanted = match self.wanted {
            Wanted::NotBefore(at) if at > now => Some(at),
            Wanted::AskedUntil(at) | Wanted::AskedAndMore(at) => Some(at),
            _ => None,
        };
        [
            self.playout.next_wake(now),
            self.words.next_wake(),
            self.tools.next_wake(),
            wanted,
            self.settings.max_duration,
            self.settings
                .idle_timeout
                .filter(|_| self.idle)
                .map(|limit| self.last_busy + limit),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the call has cost so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    // ----- the client

    fn on_client(&mut self, now: Moment, event: ClientEvent) {
        match event {
            ClientEvent::Audio(pcm) => self.on_microphone(pcm),
            ClientEvent::Text(text) => {
                if self.permissions.microphone {
                    self.chain_depth = 0;
                    let (role, item_id) = (Role::User, None);
                    let said = News::Final {
                        role,
                        text: text.clone(),
                        item_id,
                        barge_in: false,
                        chain_depth: 0,
                    };
                    self.words.tell(now, said);
                    self.give_text(now, text, role, false);
                }
            }
            ClientEvent::Interrupt => self.interrupt(now, false),
            ClientEvent::Mute(muted) => self.client_muted = muted,
            ClientEvent::Playback(played) => self.playout.report(now, played),
            ClientEvent::Ping(id) => {
                self.send_to_client(ClientCommand::Message(ServerMessage::Pong { id }));
            }
            ClientEvent::End => self.end(now, EndReason::ClientEnded),
            ClientEvent::Dropped(reason) => self.out.push_back(Action::Dropped(reason.as_str())),
            ClientEvent::Violation(rule) => self.end(now, EndReason::ClientViolation(rule)),
        }
    }

    fn on_microphone(&mut self, pcm: Bytes) {
        if self.permissions.microphone && !self.client_muted {
            self.send_to_provider(ProviderCommand::Audio(pcm));
        } else if self.user_speaking {
            // Muted in mid-sentence: without silence the provider would never see the sentence end.
            self.send_to_provider(ProviderCommand::Audio(vec![0; pcm.len()].into()));
        }
    }

    fn on_permissions(&mut self, permissions: Permissions) {
        if self.permissions.voice && !permissions.voice {
            self.send_to_client(ClientCommand::Clear);
        }
        self.permissions = permissions;
    }

    // ----- the host

    fn on_command(&mut self, now: Moment, command: Command) {
        match command {
            Command::Text {
                text,
                role,
                silent,
                chain_depth,
            } => {
                if !silent {
                    self.chain_depth = chain_depth;
                }
                self.words.tell(
                    now,
                    News::Injected {
                        text: text.clone(),
                        role,
                        silent,
                    },
                );
                self.give_text(now, text, role, silent);
            }
            Command::Image {
                mime_type,
                data,
                prompt,
                silent,
            } => {
                let respond = !silent && self.continues_by_itself();
                self.send_to_provider(ProviderCommand::Image {
                    mime_type,
                    data,
                    prompt,
                    respond,
                });
                if !silent {
                    self.want_response(now);
                }
            }
            Command::Interrupt => self.interrupt(now, false),
            Command::ActivityStart => {
                self.user_began(now, None);
                self.send_to_provider(ProviderCommand::ActivityStart);
            }
            Command::ActivityEnd => {
                self.send_to_provider(ProviderCommand::ActivityEnd);
                self.user_finished(now, None);
                self.wanted = Wanted::NotBefore(now);
            }
            Command::Update(update) => self.send_to_provider(ProviderCommand::Update(update)),
            Command::Raw(message) => self.send_to_provider(ProviderCommand::Raw(message)),
            Command::End(reason) => self.end(now, reason),
        }
    }

    fn give_text(&mut self, now: Moment, text: String, role: Role, silent: bool) {
        let respond = !silent && self.continues_by_itself();
        self.send_to_provider(ProviderCommand::Text {
            role,
            text,
            respond,
        });
        if !silent {
            self.want_response(now);
        }
    }

    // ----- the provider

    fn on_connected(&mut self, now: Moment, info: ConnectionInfo) {
        self.playout.set_rate(info.capabilities.output_rate);
        self.provider = Some(info.capabilities);
        self.last_busy = now;
        self.held_audio = 0;
        while let Some(command) = self.held.pop_front() {
            self.out.push_back(Action::ToProvider(command));
        }
    }

    fn on_provider(&mut self, now: Moment, event: ProviderEvent) {
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
            ProviderEvent::Updated => {}
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

    fn user_began(&mut self, now: Moment, item_id: Option<ItemId>) {
        if self.user_speaking {
            return;
        }
        self.user_speaking = true;
        self.chain_depth = 0;
        let mut barge_in = false;
        if self.settings.interruptions {
            barge_in = self.is_audible(now);
            self.interrupt(now, true);
            self.gate_closed = true;
        } else {
            // Nothing will cut the answer short, so nobody need wait for the end of it.
            self.words.release();
        }
        self.words.user_began(now, item_id, barge_in);
        self.words.tell(now, News::UserSpeaking(true));
    }

    fn user_finished(&mut self, now: Moment, item_id: Option<ItemId>) {
        if !self.user_speaking {
            return;
        }
        self.user_speaking = false;
        self.gate_closed = false;
        if self
            .provider
            .as_ref()
            .is_some_and(|provider| provider.transcribes_user)
        {
            self.words.user_finished(now, item_id);
        }
        if let Wanted::NotBefore(_) = self.wanted {
            self.wanted = Wanted::NotBefore(now + AFTER_SPEECH);
        }
        self.words.tell(now, News::UserSpeaking(false));
    }

    fn on_response_started(&mut self, now: Moment, id: Option<ResponseId>) {
        if self.response.is_some() {
            // The provider forgot to end the one before.
            self.on_response_ended(now, None, ResponseStatus::Completed, None);
        }
        self.gate_closed = false;
        self.wanted = match self.wanted {
            Wanted::AskedAndMore(_) => Wanted::NotBefore(now),
            _ => Wanted::No,
        };
        self.words.answer_began();
        self.response = Some(Response {
            id,
            interrupted: false,
        });
        self.tell_response(now, ResponsePhase::Started, None);
    }

    fn on_voice(
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

    fn on_response_ended(
        &mut self,
        now: Moment,
        id: Option<&ResponseId>,
        status: ResponseStatus,
        usage: Option<Usage>,
    ) {
        // An end without a start is possible when an interruption crosses it.
        let Some(response) = self.response.take_if(|response| {
            id.is_none() || response.id.is_none() || response.id.as_ref() == id
        }) else {
            return;
        };
        self.words.answer_ended(now);
        if !response.interrupted {
            self.playout.push_end_of_response();
        }
        let (phase, failure) = match status {
            _ if response.interrupted => (ResponsePhase::Interrupted, None),
            ResponseStatus::Completed => (ResponsePhase::Completed, None),
            ResponseStatus::Cancelled => (ResponsePhase::Interrupted, None),
            ResponseStatus::Incomplete(reason) => (ResponsePhase::Failed(reason), None),
            ResponseStatus::Failed(error) => {
                (ResponsePhase::Failed(error.code().to_owned()), Some(error))
            }
        };
        self.tell_response(now, phase, usage);
        if let Some(error) = failure {
            self.on_error(now, error);
        }
    }

    fn on_error(&mut self, now: Moment, error: ProviderError) {
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
    fn fail(&mut self, now: Moment, error: ProviderError) {
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

    // ----- interruption

    /// Silences the AI at once (contract A3): first the queue, then the client, then the provider,
    /// and only then everybody who listens.
    fn interrupt(&mut self, now: Moment, by_speech: bool) {
        let audible = self.is_audible(now);
        if !audible && self.response.is_none() && !self.playout.has_sent() {
            return;
        }
        let heard_text = self.words.interrupt(now, &self.playout);
        let cut = self.playout.clear(now);
        self.send_to_client(ClientCommand::Clear);
        if self
            .provider
            .as_ref()
            .is_some_and(|provider| provider.truncates)
        {
            for part in &cut {
                if let Some(item_id) = part.item.item_id.clone() {
                    let content_index = part.item.content_index;
                    let heard = part.heard;
                    self.send_to_provider(ProviderCommand::Truncate {
                        item_id,
                        content_index,
                        heard,
                    });
                }
            }
        }
        let cancels = self
            .provider
            .as_ref()
            .is_some_and(|provider| provider.interrupts_itself);
        if let Some(response) = &mut self.response
            && !response.interrupted
        {
            response.interrupted = true;
            if let Some(id) = response.id.clone() {
                self.stale.push_back(id);
                if self.stale.len() > STALE_RESPONSES {
                    self.stale.pop_front();
                }
            }
            if !(by_speech && cancels) {
                self.send_to_provider(ProviderCommand::CancelResponse);
            }
        }
        if audible {
            let heard = cut.first().map_or(Duration::ZERO, |part| part.heard);
            self.words.tell(now, News::BargeIn { heard, heard_text });
        }
    }

    fn is_audible(&self, now: Moment) -> bool {
        !self.playout.is_silent(now)
    }

    // ----- tools

    fn answer_tool(&mut self, now: Moment, request: ToolRequest, answer: ToolAnswer) {
        let answer = answer.capped(self.settings.tool_result_cap);
        let ToolRequest { call_id, name, .. } = request;
        self.send_to_provider(ProviderCommand::ToolResult {
            call_id: call_id.clone(),
            name: name.clone(),
            output: answer.output.clone(),
            is_error: answer.is_error,
        });
        self.words.tell(
            now,
            News::ToolDone {
                call_id,
                name,
                answer,
            },
        );
        if self.tools.is_settled() {
            self.want_response(now);
        }
    }

    fn cancel_tool(&mut self, now: Moment, request: ToolRequest) {
        let ToolRequest { call_id, name, .. } = request;
        self.out.push_back(Action::CancelTool(call_id.clone()));
        self.words.tell(now, News::ToolCancelled { call_id, name });
    }

    // ----- responses

    /// The model should say something about what it was just given.
    fn want_response(&mut self, now: Moment) {
        if self.continues_by_itself() {
            return;
        }
        self.wanted = match self.wanted {
            Wanted::No => Wanted::NotBefore(now),
            Wanted::AskedUntil(until) => Wanted::AskedAndMore(until),
            wanted => wanted,
        };
    }

    fn continues_by_itself(&self) -> bool {
        self.provider
            .as_ref()
            .is_some_and(|provider| provider.continuation == Continuation::Automatic)
    }

    fn ask_for_response(&mut self, now: Moment) {
        if let Wanted::AskedUntil(until) | Wanted::AskedAndMore(until) = self.wanted
            && now >= until
        {
            self.wanted = Wanted::NotBefore(now);
        }
        if let Wanted::NotBefore(at) = self.wanted
            && now >= at
            && self.provider.is_some()
            && self.response.is_none()
            && !self.user_speaking
        {
            self.wanted = Wanted::AskedUntil(now + RESPOND_PATIENCE);
            self.send_to_provider(ProviderCommand::Respond);
        }
    }

    // ----- after every input

    fn settle(&mut self, now: Moment) {
        if self.ended {
            return;
        }
        if self.settings.max_duration.is_some_and(|limit| now >= limit) {
            return self.end(now, EndReason::MaxDuration);
        }
        while let Some((request, answer)) = self.tools.close_expired(now) {
            self.out
                .push_back(Action::CancelTool(request.call_id.clone()));
            self.answer_tool(now, request, answer);
        }
        while let Some(request) = self.tools.start_next(now) {
            self.out.push_back(Action::StartTool(request));
        }
        self.ask_for_response(now);
        self.play(now);
        self.publish(now);
        self.watch_idleness(now);
    }

    fn play(&mut self, now: Moment) {
        while let Some(due) = self.playout.poll(now) {
            match due {
                Due::Audio(pcm) if self.permissions.voice => {
                    if !self.assistant_speaking {
                        self.assistant_speaking = true;
                        self.tell_at_once(now, News::AssistantSpeaking(true));
                    }
                    self.send_to_client(ClientCommand::Audio(pcm));
                }
                Due::Audio(_) => {}
                Due::EndOfResponse => self.send_to_client(ClientCommand::EndOfResponse),
            }
        }
    }

    fn publish(&mut self, now: Moment) {
        while let Some(publication) = self.words.poll(now, &self.playout) {
            self.out.push_back(Action::Publish(publication));
        }
        let silent = self.playout.is_silent(now)
            && self
                .response
                .as_ref()
                .is_none_or(|response| response.interrupted);
        if silent {
            if std::mem::take(&mut self.assistant_speaking) {
                self.tell_at_once(now, News::AssistantSpeaking(false));
            }
            if self.words.is_settled_whole() {
                self.playout.forget_played(now);
            }
        }
    }

    fn watch_idleness(&mut self, now: Moment) {
        let idle = self.response.is_none()
            && !self.user_speaking
            && self.wanted == Wanted::No
            && self.tools.is_settled()
            && self.playout.is_silent(now);
        if !(idle && self.idle) {
            self.last_busy = now;
        }
        if idle != self.idle {
            self.idle = idle;
            self.out.push_back(Action::Idle(idle));
        }
        if self.provider.is_some()
            && self
                .settings
                .idle_timeout
                .is_some_and(|limit| idle && now >= self.last_busy + limit)
        {
            self.end(now, EndReason::IdleTimeout);
        }
    }

    // ----- the end

    fn end(&mut self, now: Moment, reason: EndReason) {
        if self.ended {
            return;
        }
        while let Some(request) = self.tools.close_any() {
            self.cancel_tool(now, request);
        }
        self.words.interrupt(now, &self.playout);
        self.words.answer_ended(now);
        self.playout.clear(now);
        if self.response.take().is_some() {
            self.tell_response(now, ResponsePhase::Interrupted, None);
        }
        if std::mem::take(&mut self.user_speaking) {
            self.words.tell(now, News::UserSpeaking(false));
        }
        self.words.give_up_waiting();
        self.publish(now);
        if !std::mem::replace(&mut self.idle, true) {
            self.out.push_back(Action::Idle(true));
        }
        self.ended = true;
        self.out.push_back(Action::End(reason));
    }

    // ----- ways out

    fn send_to_client(&mut self, command: ClientCommand) {
        self.out.push_back(Action::ToClient(command));
    }

    fn send_to_provider(&mut self, command: ProviderCommand) {
        if self.provider.is_some() {
            self.out.push_back(Action::ToProvider(command));
            return;
        }
        if let ProviderCommand::Audio(pcm) = &command {
            if self.held_audio + pcm.len() > HELD_AUDIO {
                self.out.push_back(Action::Dropped("early_audio"));
                return;
            }
            self.held_audio += pcm.len();
        } else if self.held.len() >= HELD_COMMANDS {
            self.out.push_back(Action::Dropped("early_command"));
            return;
        }
        self.held.push_back(command);
    }

    fn tell_response(&mut self, now: Moment, phase: ResponsePhase, usage: Option<Usage>) {
        self.words.tell(now, News::Response { phase, usage });
    }

    fn tell_at_once(&mut self, now: Moment, news: News) {
        self.out.push_back(Action::Publish(Publication {
            at: now,
            what: news,
        }));
    }
}
