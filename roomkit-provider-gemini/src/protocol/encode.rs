//! Commands to client messages.

use std::collections::VecDeque;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use roomkit_core::{
    id::CallId,
    provider::{
        ProviderCapabilities, ProviderCommand, ProviderError, ProviderErrorKind, Role,
        SessionSetup, SessionUpdate,
    },
    registry::ConfigError,
};
use roomkit_dial::{Redactor, image_type};
use serde_json::{Value, json};

use super::{
    Decoder,
    calls::vendors_id,
    client_message::{
        Blob, ClientMessage, FunctionResponse, Part, RealtimeInput, activity, content,
        realtime_text, to_frame,
    },
    ours::Ours,
    schema, setup as wire_setup,
    text::{fit, in_words, response, without_controls},
};
use crate::config::{GeminiSessionConfig, INPUT_RATE, Target, ToolScheduling, within};

/// What brings a model to speak that has no message for it: text too short to say anything.
const NUDGE: &str = ".";

/// Turns commands into the vendor's client messages.
///
/// How text reaches the model depends on the model: 3.8 takes `clientContent` at any time, 3.1 only
/// as the seed of a conversation, and others close the connection when it comes between audio.
/// `realtimeInput.text` works everywhere, but knows neither roles nor silence, so these are said in
/// words.
#[derive(Debug)]
pub struct Encoder {
    target: Target,
    session: GeminiSessionConfig,
    ours: Ours,
    /// The conversation has gone over to the realtime path.
    has_sent_audio: bool,
    /// The host has said that the user speaks, and not that they have finished.
    is_active: bool,
}

impl Encoder {
    /// An encoder for a session of the model `target` that is set up with `setup` over the
    /// provider's `defaults`.
    ///
    /// # Errors
    /// When `setup` does not fit, the model does not take it, or its settings say that speech
    /// interrupts though `setup.interruptions` is false; the error names the field.
    pub fn new(
        target: &Target,
        defaults: &GeminiSessionConfig,
        setup: &SessionSetup,
    ) -> Result<Self, ConfigError> {
        let mut session = setup
            .provider_layers()
            .try_fold(defaults.clone(), |session, layer| {
                session.with_overrides(layer)
            })
            .and_then(|session| target.check(&session).map(|()| session))
            .map_err(|error| error.in_section("provider_config"))?;
        if !setup.interruptions {
            session = session.uninterrupted()?;
        }
        within("temperature", setup.temperature, 0.0, 2.0)?;
        Ok(Self {
            target: target.clone(),
            session,
            ours: Ours::default(),
            has_sent_audio: false,
            is_active: false,
        })
    }

    /// The settings of the session.
    pub fn session(&self) -> &GeminiSessionConfig {
        &self.session
    }

    /// What the connection takes, gives and can do.
    pub fn capabilities(&self) -> ProviderCapabilities {
        self.session.capabilities(&self.target)
    }

    /// The decoder of the same connection: it is told which interruptions are our own.
    pub fn decoder(&self, redactor: Redactor) -> Decoder {
        let writes_text = self.target.writes_text(&self.session);
        Decoder::beside(self.ours.clone(), &self.session, writes_text, redactor)
    }

    /// The first message of a connection: `setup` with everything. Nothing may follow it before
    /// the vendor's `setupComplete`.
    ///
    /// # Errors
    /// When a tool cannot be given to the model; the error names it.
    pub fn setup(&self, setup: &SessionSetup) -> Result<String, ConfigError> {
        let message = wire_setup::setup(&self.session, &self.target, setup)?;
        Ok(json!({ "setup": message }).to_string())
    }

    /// The message that follows `setupComplete`: what was said before, if anything was. It asks
    /// for no answer.
    ///
    /// # Errors
    /// None in practice; the message is made of text.
    pub fn history(&self, setup: &SessionSetup) -> Result<Option<String>, ProviderError> {
        let turns = wire_setup::turns(&setup.history);
        if turns.is_empty() || !self.target.family.converses() {
            return Ok(None);
        }
        self.ours.interrupts();
        let message = ClientMessage::ClientContent {
            turns,
            // A seed that was announced is over with it; anywhere else it would ask for an answer.
            turn_complete: self.target.family.takes_content_as_seed_only(),
        };
        to_frame(&message).map(Some)
    }

    /// Adds the client messages for a command to `frames`, one for each frame; none where the
    /// vendor has none and needs none.
    ///
    /// There is no message that stops an answer: with manual turns an empty activity does it,
    /// otherwise [`CancelResponse`](ProviderCommand::CancelResponse) sends nothing, and the answer
    /// runs on unheard.
    ///
    /// # Errors
    /// [`Unsupported`](ProviderErrorKind::Unsupported) for what the model or the session cannot do,
    /// [`InvalidRequest`](ProviderErrorKind::InvalidRequest) for an image it cannot see,
    /// [`InvalidConfig`](ProviderErrorKind::InvalidConfig) for tools it cannot be given.
    pub fn encode(
        &mut self,
        command: &ProviderCommand,
        frames: &mut VecDeque<String>,
    ) -> Result<(), ProviderError> {
        match command {
            ProviderCommand::Audio(pcm) => self.audio(pcm, frames),
            ProviderCommand::Text {
                role,
                text,
                respond,
            } => self.text(*role, text, *respond, frames)?,
            ProviderCommand::Image {
                mime_type,
                data,
                prompt,
                respond,
            } => self.image(mime_type, data, prompt.as_deref(), *respond, frames)?,
            ProviderCommand::ToolResult {
                call_id,
                name,
                output,
                is_error,
            } => frames.push_back(self.tool_result(call_id, name, output, *is_error)?),
            // The end of an activity asks by itself; asked again, the model would begin anew.
            ProviderCommand::Respond => self.respond(frames)?,
            ProviderCommand::CancelResponse if !self.can_cancel() => {}
            ProviderCommand::CancelResponse => {
                self.ours.interrupts();
                frames.push_back(to_frame(&activity(true))?);
                frames.push_back(to_frame(&activity(false))?);
            }
            ProviderCommand::ActivityStart => {
                self.check_manual()?;
                // The vendor takes a second start or end for a mistake.
                if !std::mem::replace(&mut self.is_active, true) {
                    frames.push_back(to_frame(&activity(true))?);
                }
            }
            ProviderCommand::ActivityEnd => {
                self.check_manual()?;
                if std::mem::take(&mut self.is_active) {
                    self.ours.spoke();
                    frames.push_back(to_frame(&activity(false))?);
                }
            }
            ProviderCommand::Update(update) => frames.extend(self.update(update)?),
            ProviderCommand::Raw(message) => {
                self.note_raw(message);
                frames.push_back(to_frame(message)?);
            }
            _ => {
                return Err(unsupported(
                    "Gemini Live has no message for this command".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Fifty times a second for each call: written by hand into one allocation.
    fn audio(&mut self, pcm: &[u8], frames: &mut VecDeque<String>) {
        const HEAD: &str = r#"{"realtimeInput":{"audio":{"data":""#;
        const TAIL: &str = r#"","mimeType":"audio/pcm;rate=16000"}}}"#;
        const { assert!(INPUT_RATE == 16_000) };

        if pcm.is_empty() {
            return;
        }
        self.has_sent_audio = true;
        let encoded = pcm.len().div_ceil(3) * 4;
        let mut frame = String::with_capacity(HEAD.len() + encoded + TAIL.len());
        frame.push_str(HEAD);
        BASE64_STANDARD.encode_string(pcm, &mut frame);
        frame.push_str(TAIL);
        frames.push_back(frame);
    }

    fn text(
        &self,
        role: Role,
        text: &str,
        respond: bool,
        frames: &mut VecDeque<String>,
    ) -> Result<(), ProviderError> {
        self.check_converses()?;
        let Some(text) = fit(text) else {
            tracing::debug!("passed over a text without words");
            // An answer may be wanted all the same, and is waited for.
            return if respond {
                self.respond(frames)
            } else {
                Ok(())
            };
        };
        self.ours.interrupts();
        if respond {
            self.ours.gives();
        }
        let message = if self.takes_content() {
            let part = Part::Text(text.into());
            content(wire_setup::role_of(role), vec![part], respond)
        } else {
            let said = role == Role::Assistant;
            realtime_text(in_words(&text, !respond, said))
        };
        frames.push_back(to_frame(&message)?);
        Ok(())
    }

    fn image(
        &self,
        mime_type: &str,
        data: &Bytes,
        prompt: Option<&str>,
        respond: bool,
        frames: &mut VecDeque<String>,
    ) -> Result<(), ProviderError> {
        self.check_converses()?;
        let mime_type = image_type(mime_type, data)?;
        let data = BASE64_STANDARD.encode(data);
        let image = Blob { data, mime_type };
        if !self.has_sent_audio && self.takes_content() {
            self.ours.interrupts();
            if respond {
                self.ours.gives();
            }
            let question = prompt.and_then(fit).map(|text| Part::Text(text.into()));
            let parts = [Part::InlineData(image)]
                .into_iter()
                .chain(question)
                .collect();
            frames.push_back(to_frame(&content("user", parts, respond))?);
            return Ok(());
        }
        let video = ClientMessage::RealtimeInput(RealtimeInput::Video(image));
        frames.push_back(to_frame(&video)?);
        match prompt.filter(|prompt| fit(prompt).is_some()) {
            Some(prompt) => self.text(Role::User, prompt, respond, frames),
            // An image alone is seen, and not spoken of.
            None if respond => self.respond(frames),
            None => Ok(()),
        }
    }

    fn tool_result(
        &self,
        call_id: &CallId,
        name: &str,
        output: &str,
        is_error: bool,
    ) -> Result<String, ProviderError> {
        // There is none where the model waits for results: it is refused there.
        let scheduling = self.session.tool_scheduling;
        if scheduling == Some(ToolScheduling::Interrupt) {
            self.ours.interrupts();
        }
        if scheduling != Some(ToolScheduling::Silent) {
            self.ours.gives();
        }
        to_frame(&ClientMessage::ToolResponse {
            function_responses: [FunctionResponse {
                id: vendors_id(call_id),
                name,
                response: response(output, is_error),
                scheduling: scheduling.map(ToolScheduling::as_str),
            }],
        })
    }

    fn respond(&self, frames: &mut VecDeque<String>) -> Result<(), ProviderError> {
        self.check_converses()?;
        self.ours.interrupts();
        self.ours.gives();
        let message = if self.takes_content() {
            ClientMessage::ClientContent {
                turns: Vec::new(),
                turn_complete: true,
            }
        } else {
            realtime_text(NUDGE.to_owned())
        };
        frames.push_back(to_frame(&message)?);
        Ok(())
    }

    fn update(&self, update: &SessionUpdate) -> Result<Option<String>, ProviderError> {
        if !self.target.family.updates() {
            return Err(unsupported(format!(
                "`{}` takes no changes on a live connection; set them when the session starts",
                self.target.id
            )));
        }
        let fixed = [
            ("voice", update.voice.is_some()),
            ("temperature", update.temperature.is_some()),
            ("provider_config", update.provider_config.is_some()),
        ];
        if let Some((field, _)) = fixed.iter().find(|(_, is_set)| *is_set) {
            return Err(unsupported(format!(
                "`{field}` is fixed for a connection; only the system prompt and the tools can \
                 change"
            )));
        }
        let tools = update.tools.as_deref();
        let tools = tools.map(|tools| schema::tools(tools, &self.session, &self.target));
        let tools = tools.transpose().map_err(|error| {
            ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
        })?;
        let prompt = update.system_prompt.as_deref().map(without_controls);
        if tools.is_none() && prompt.is_none() {
            return Ok(None);
        }
        to_frame(&ClientMessage::ContextUpdate {
            system_instruction: prompt.map(|prompt| json!({ "parts": [{ "text": prompt }] })),
            // The list stands in an object of its own: without it all would stay as it is.
            tools: tools.map(|tools| json!({ "tools": tools })),
        })
        .map(Some)
    }

    /// What the host wrote itself has the same effects as what is written here.
    fn note_raw(&mut self, message: &Value) {
        if field(message, "clientContent", "client_content").is_some() {
            self.ours.interrupts();
        }
        if let Some(input) = field(message, "realtimeInput", "realtime_input") {
            let has = |name, snake| field(input, name, snake).is_some();
            self.has_sent_audio |= has("audio", "audio") || has("mediaChunks", "media_chunks");
            if has("text", "text") {
                self.ours.interrupts();
            }
            self.is_active |= has("activityStart", "activity_start");
            if has("activityEnd", "activity_end") && std::mem::take(&mut self.is_active) {
                self.ours.spoke();
            }
        }
    }

    fn takes_content(&self) -> bool {
        let family = self.target.family;
        let is_early = !self.has_sent_audio && !family.takes_content_as_seed_only();
        family.takes_content_any_time() || is_early
    }

    /// Whether an empty activity stops an answer. One that is open has done so already.
    fn can_cancel(&self) -> bool {
        !self.session.server_vad && !self.session.is_uninterrupted() && !self.is_active
    }

    fn check_manual(&self) -> Result<(), ProviderError> {
        if self.session.server_vad {
            return Err(unsupported(
                "the vendor finds out by itself when the user speaks; set `server_vad` to false \
                 to tell it"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn check_converses(&self) -> Result<(), ProviderError> {
        if !self.target.family.converses() {
            let problem = format!("`{}` takes nothing but audio", self.target.id);
            return Err(unsupported(problem));
        }
        Ok(())
    }
}

impl roomkit_dial::Encode for Encoder {
    type Frame = String;

    fn encode(
        &mut self,
        command: &ProviderCommand,
        frames: &mut VecDeque<String>,
    ) -> Result<(), ProviderError> {
        Self::encode(self, command, frames)
    }
}

/// A field under either of the names that the vendor takes it by.
fn field<'a>(message: &'a Value, name: &str, snake: &str) -> Option<&'a Value> {
    message.get(name).or_else(|| message.get(snake))
}

fn unsupported(problem: String) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Unsupported, problem)
}
