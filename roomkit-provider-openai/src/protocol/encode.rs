//! Commands to client events.

use std::{collections::VecDeque, mem};

use base64::{Engine, prelude::BASE64_STANDARD};
use roomkit_core::{
    audio::g711,
    provider::{
        ProviderCommand, ProviderError, ProviderErrorKind, Role, SessionSetup, SessionUpdate,
        UpdateSupport, UpdateWay,
    },
    registry::ConfigError,
};
use roomkit_dial::{Encode, Redactor, check_voice, image_type};
use serde::Serialize;

use super::{
    Decoder,
    message::{ClientEvent, Content, Item},
    notes::Notes,
    remember,
    session::{self, Common},
};
use crate::config::{Dialect, OpenAISessionConfig, TurnDetection, Voice};

/// What the ids of changes begin with, so that a refusal is known for what it is.
pub(super) const UPDATE: &str = "update_";
/// And those of requests for a response.
pub(super) const RESPOND: &str = "respond_";
/// The vendor takes no turn that is shorter than this.
const SHORTEST_TURN_MS: u64 = 100;

/// Turns commands into the vendor's client events.
#[derive(Debug, Clone)]
pub struct Encoder {
    dialect: Dialect,
    /// As it will be once the vendor has taken all changes.
    session: OpenAISessionConfig,
    /// As the vendor has said that it is.
    taken: OpenAISessionConfig,
    /// What is told here of each change that the vendor has not answered.
    asked: VecDeque<SessionUpdate>,
    notes: Notes,
    /// The user's speech may stop a response.
    interruptions: bool,
    /// Bytes of audio since the host said that the user speaks.
    turn_bytes: u64,
    /// The model was given something since it was last asked to respond.
    has_given: bool,
    /// The next response is only for a turn that the vendor does not take.
    skips_response: bool,
    last_event: u64,
}

impl Encoder {
    /// An encoder for a session that was set up with `setup` over the provider's `defaults`.
    ///
    /// # Errors
    /// When `setup.provider_config` does not fit, or says that speech stops a response though
    /// `setup.interruptions` is false; the error names the field.
    pub fn new(
        dialect: Dialect,
        defaults: &OpenAISessionConfig,
        setup: &SessionSetup,
    ) -> Result<Self, ConfigError> {
        let interruptions = setup.interruptions;
        let session = setup
            .provider_layers()
            .try_fold(defaults.clone(), |session, layer| {
                session.with_overrides(layer)
            })
            .and_then(|session| session.check(dialect).map(|()| session))
            .map_err(|error| error.in_section("provider_config"))?;
        let mut session = settled(session, dialect, interruptions)?;
        if let Some(voice) = &setup.voice {
            session.voice = Some(Voice::from(voice.as_str()));
        }
        Ok(Self {
            dialect,
            taken: session.clone(),
            session,
            asked: VecDeque::new(),
            notes: Notes::default(),
            interruptions,
            turn_bytes: 0,
            has_given: false,
            skips_response: false,
            last_event: 0,
        })
    }

    /// The decoder of the same connection. What the vendor refuses there is undone here.
    pub fn decoder(&self, redactor: Redactor) -> Decoder {
        let codec = self.session.output_codec;
        Decoder::new(self.dialect, codec, redactor).with_notes(self.notes.clone())
    }

    /// The settings the session has now.
    pub fn session(&self) -> &OpenAISessionConfig {
        &self.session
    }

    /// The first event of a connection: `session.update` with everything. `model` only where it
    /// is not part of the URL.
    ///
    /// # Errors
    /// None in practice; the event is made of JSON values.
    pub fn setup(
        &mut self,
        setup: &SessionSetup,
        model: Option<&str>,
    ) -> Result<String, ProviderError> {
        let common = Common {
            model,
            instructions: setup.system_prompt.as_deref(),
            tools: Some(&setup.tools),
        };
        let session = session::full(self.dialect, &self.session, common);
        self.session_update(session)
    }

    /// The client event for a command, as one text frame; `None` where the vendor has none and
    /// needs none.
    ///
    /// # Errors
    /// [`InvalidConfig`](ProviderErrorKind::InvalidConfig) for an update that does not fit,
    /// [`InvalidRequest`](ProviderErrorKind::InvalidRequest) for an image it cannot see,
    /// [`Unsupported`](ProviderErrorKind::Unsupported) for one that a live connection cannot take.
    pub fn encode(&mut self, command: &ProviderCommand) -> Result<Option<String>, ProviderError> {
        if let ProviderCommand::Text { .. }
        | ProviderCommand::Image { .. }
        | ProviderCommand::ToolResult { .. } = command
        {
            self.has_given = true;
            self.skips_response = false;
            self.notes.given();
        }
        let event = match command {
            ProviderCommand::Audio(pcm) => return Ok(self.audio(pcm)),
            ProviderCommand::Raw(event) => return self.raw(event).map(Some),
            ProviderCommand::Update(update) => return self.update(update).map(Some),
            ProviderCommand::Text { role, text, .. } => message(
                *role,
                vec![match role {
                    Role::Assistant => Content::OutputText { text },
                    Role::User | Role::System => Content::InputText { text },
                }],
            ),
            ProviderCommand::Image {
                mime_type,
                data,
                prompt,
                ..
            } => message(Role::User, self.image(mime_type, data, prompt.as_deref())?),
            ProviderCommand::ToolResult {
                call_id, output, ..
            } => ClientEvent::ItemCreate {
                event_id: None,
                item: Item::FunctionCallOutput {
                    call_id: call_id.as_str(),
                    output,
                },
            },
            ProviderCommand::Respond => {
                self.has_given = false;
                if mem::take(&mut self.skips_response) {
                    return Ok(None);
                }
                self.notes.request();
                ClientEvent::ResponseCreate {
                    event_id: self.event_id(RESPOND),
                }
            }
            ProviderCommand::CancelResponse => ClientEvent::ResponseCancel,
            ProviderCommand::Truncate {
                item_id,
                content_index,
                heard,
            } => match u64::try_from(heard.as_millis()).unwrap_or(u64::MAX) {
                // The vendor refuses to truncate to nothing; what nobody heard can go as a whole.
                0 if *content_index == 0 => ClientEvent::ItemDelete {
                    item_id: item_id.as_str(),
                },
                // Of a later part too, but not with the item: what comes before it was heard.
                audio_end_ms => ClientEvent::ItemTruncate {
                    item_id: item_id.as_str(),
                    content_index: *content_index,
                    audio_end_ms: audio_end_ms.max(1),
                },
            },
            ProviderCommand::ActivityEnd => {
                self.end_turn();
                ClientEvent::Commit
            }
            // Where the host says when the user speaks, what was heard before is no part of that:
            // the vendor would take all since the last turn for this one.
            ProviderCommand::ActivityStart if self.is_manual() => {
                self.turn_bytes = 0;
                self.skips_response = false;
                ClientEvent::Clear
            }
            ProviderCommand::ActivityStart => return Ok(None),
            _ => {
                return Err(ProviderError::new(
                    ProviderErrorKind::Unsupported,
                    "this version of the OpenAI provider does not know the command",
                ));
            }
        };
        to_frame(&event).map(Some)
    }

    fn is_manual(&self) -> bool {
        matches!(self.session.turn_detection, TurnDetection::None {})
    }

    /// The vendor refuses a turn that is too short, but would respond all the same, to what came before.
    fn end_turn(&mut self) {
        let samples = SHORTEST_TURN_MS * u64::from(self.session.capabilities().input_rate) / 1000;
        if self.is_manual() && self.turn_bytes / 2 < samples {
            self.skips_response = !self.has_given;
            self.notes.short_turn(self.skips_response);
        }
    }

    /// Fifty times a second for each call: written by hand into one allocation.
    fn audio(&mut self, pcm: &[u8]) -> Option<String> {
        const HEAD: &str = r#"{"type":"input_audio_buffer.append","audio":""#;
        const TAIL: &str = r#""}"#;

        if pcm.is_empty() {
            return None;
        }
        self.turn_bytes = self.turn_bytes.saturating_add(pcm.len() as u64);
        let compressed;
        let bytes = if let Some(law) = self.session.input_codec.law() {
            compressed = g711::encode(law, pcm);
            &compressed
        } else {
            pcm
        };
        let encoded = bytes.len().div_ceil(3) * 4;
        let mut frame = String::with_capacity(HEAD.len() + encoded + TAIL.len());
        frame.push_str(HEAD);
        BASE64_STANDARD.encode_string(bytes, &mut frame);
        frame.push_str(TAIL);
        Some(frame)
    }

    fn image<'a>(
        &self,
        mime_type: &str,
        data: &[u8],
        prompt: Option<&'a str>,
    ) -> Result<Vec<Content<'a>>, ProviderError> {
        let mime_type = image_type(mime_type, data)?;
        let mut image_url = format!("data:{mime_type};base64,");
        BASE64_STANDARD.encode_string(data, &mut image_url);
        let image = Content::InputImage {
            image_url,
            detail: self.session.image_detail,
        };
        let question = prompt.map(|text| Content::InputText { text });
        Ok(question.into_iter().chain([image]).collect())
    }

    /// Checks a change of this session: gives how it can be made.
    ///
    /// # Errors
    /// When `update.provider_config` does not fit; the error names the field.
    pub fn check_update(&self, update: &SessionUpdate) -> Result<UpdateSupport, ConfigError> {
        check_voice(update)?;
        let nothing = serde_json::Map::new();
        let overrides = update.provider_config.as_ref().unwrap_or(&nothing);
        let changed = self
            .session
            .with_overrides(overrides)
            .and_then(|session| session.check(self.dialect).map(|()| session))
            .map_err(|error| error.in_section("provider_config"))?;
        let changed = settled(changed, self.dialect, self.interruptions)?;
        let mut support = self.session.capabilities().updates;
        // The engine relies on what it was told of a connection, the vendor's documentation has the
        // speed change only between turns, whose end nobody can foresee, and the vendor's tools are
        // told together with the session's own, which are not known here.
        if changed.capabilities() != self.session.capabilities()
            || changed.speed != self.session.speed
            || changed.vendor_tools != self.session.vendor_tools
        {
            support.provider_config = UpdateWay::NewConnection;
        }
        Ok(support)
    }

    /// Takes note of what the vendor has said of changes. One that it refused is in none that came after
    /// it.
    fn settle(&mut self) {
        for is_taken in self.notes.take() {
            if let Some(asked) = self.asked.pop_front()
                && is_taken
                && let Ok((taken, _)) = self.changed(&self.taken, &asked)
            {
                self.taken = taken;
            }
        }
        self.session = self.taken.clone();
        for asked in &self.asked {
            if let Ok((session, _)) = self.changed(&self.session, asked) {
                self.session = session;
            }
        }
    }

    /// The settings after a change of them, and which it names.
    fn changed(
        &self,
        session: &OpenAISessionConfig,
        update: &SessionUpdate,
    ) -> Result<(OpenAISessionConfig, Vec<String>), ConfigError> {
        let nothing = serde_json::Map::new();
        let overrides = update.provider_config.as_ref().unwrap_or(&nothing);
        let (changed, mut names) = session
            .with_update(overrides)
            .map_err(|error| error.in_section("provider_config"))?;
        let mut changed = settled(changed, self.dialect, self.interruptions)?;
        // Said again while a response runs, it might be refused, and all else with it.
        names.retain(|name| name != "speed" || changed.speed != session.speed);
        if let Some(voice) = &update.voice {
            changed.voice = Some(Voice::from(voice.as_str()));
            names.push("voice".to_owned());
        }
        Ok((changed, names))
    }

    fn update(&mut self, update: &SessionUpdate) -> Result<String, ProviderError> {
        self.settle();
        let (session, names) = self.changed(&self.session, update).map_err(|error| {
            ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
        })?;
        // The engine was told the capabilities when the connection was made, and relies on them.
        if session.capabilities() != self.session.capabilities()
            || session.vendor_tools != self.session.vendor_tools
        {
            return Err(ProviderError::new(
                ProviderErrorKind::Unsupported,
                "codecs, the kind of turn detection, `interrupt_response`, transcription on or off and \
                 `vendor_tools` are fixed for a connection; they take another one",
            ));
        }
        let common = Common {
            model: None,
            instructions: update.system_prompt.as_deref(),
            tools: update.tools.as_deref(),
        };
        let frame =
            self.session_update(session::partial(self.dialect, &session, &names, common))?;
        let asked = SessionUpdate {
            voice: update.voice.clone(),
            provider_config: update.provider_config.clone(),
            ..SessionUpdate::default()
        };
        remember(&mut self.asked, asked);
        self.notes.ask();
        self.session = session;
        Ok(frame)
    }

    /// What the host wrote itself. It gets an id, by which its refusal is known, if it has none.
    fn raw(&mut self, event: &serde_json::Value) -> Result<String, ProviderError> {
        let mut event = event.clone();
        if event["response"]["conversation"] == "none" {
            self.notes.ask_aside();
        }
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if let Some(fields) = event.as_object_mut() {
            let own = fields.get("event_id").and_then(|id| id.as_str());
            let id = match own {
                Some(id) if !id.is_empty() => id.to_owned(),
                _ => self.event_id("host_"),
            };
            self.notes.written(&kind, &id);
            fields.insert("event_id".to_owned(), id.into());
        }
        to_frame(&event)
    }

    fn session_update(&mut self, session: serde_json::Value) -> Result<String, ProviderError> {
        to_frame(&ClientEvent::SessionUpdate {
            event_id: self.event_id(UPDATE),
            session,
        })
    }

    fn event_id(&mut self, prefix: &str) -> String {
        self.last_event += 1;
        format!("{prefix}{}", self.last_event)
    }
}

impl Encode for Encoder {
    type Frame = String;

    fn encode(
        &mut self,
        command: &ProviderCommand,
        frames: &mut VecDeque<String>,
    ) -> Result<(), ProviderError> {
        frames.extend(Encoder::encode(self, command)?);
        Ok(())
    }
}

/// The settings as they are told to the vendor.
fn settled(
    session: OpenAISessionConfig,
    dialect: Dialect,
    interruptions: bool,
) -> Result<OpenAISessionConfig, ConfigError> {
    if interruptions {
        Ok(session)
    } else {
        session.uninterrupted(dialect)
    }
}

fn message(role: Role, content: Vec<Content<'_>>) -> ClientEvent<'_> {
    ClientEvent::ItemCreate {
        event_id: None,
        item: Item::Message {
            role: role.as_str(),
            content,
        },
    }
}

pub(super) fn to_frame(event: &impl Serialize) -> Result<String, ProviderError> {
    serde_json::to_string(event).map_err(|error| {
        ProviderError::new(
            ProviderErrorKind::InvalidRequest,
            format!("the event cannot be written as JSON: {error}"),
        )
    })
}
