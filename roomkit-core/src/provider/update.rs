//! Changes of a live session, and how a provider can make them.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

#[cfg(doc)]
use super::{ProviderCommand, ProviderEvent, RealtimeVoiceProvider};
use crate::{quiet::characters, tool::ToolDefinition};

/// A change to a live session. Fields that are `None` stay as they are. Its Debug output leaves out
/// what may be confidential.
#[derive(Clone, Default, PartialEq)]
pub struct SessionUpdate {
    /// New instructions.
    pub system_prompt: Option<String>,
    /// Another voice.
    pub voice: Option<String>,
    /// The whole new list of tools.
    pub tools: Option<Arc<[ToolDefinition]>>,
    /// Another temperature.
    pub temperature: Option<f32>,
    /// The vendor's own settings to change; turn detection is among them.
    pub provider_config: Option<Map<String, Value>>,
}

impl fmt::Debug for SessionUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prompt = self.system_prompt.as_deref().map(characters);
        let settings = self.provider_config.as_ref();
        let settings: Option<Vec<&String>> = settings.map(|settings| settings.keys().collect());
        f.debug_struct("SessionUpdate")
            .field("system_prompt", &prompt)
            .field("voice", &self.voice)
            .field("tools", &self.tools)
            .field("temperature", &self.temperature)
            .field("provider_config", &settings)
            .finish()
    }
}

/// How a setting of a live session can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateWay {
    /// By [`ProviderCommand::Update`], at any time.
    Live,
    /// By [`ProviderCommand::Update`] until the AI has spoken on a connection, and after that only
    /// by a new one.
    LiveUntilVoice,
    /// Only by a new connection: the engine hands the conversation over to one.
    NewConnection,
    /// Not at all.
    Never,
}

/// How each setting of a live session can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateSupport {
    /// The instructions.
    pub system_prompt: UpdateWay,
    /// The voice.
    pub voice: UpdateWay,
    /// The list of tools.
    pub tools: UpdateWay,
    /// The temperature.
    pub temperature: UpdateWay,
    /// The vendor's own settings. Where that depends on the setting,
    /// [`RealtimeVoiceProvider::check_update`] tells.
    pub provider_config: UpdateWay,
}

impl UpdateSupport {
    /// Every setting is changed in the same way.
    pub fn all(way: UpdateWay) -> Self {
        Self {
            system_prompt: way,
            voice: way,
            tools: way,
            temperature: way,
            provider_config: way,
        }
    }
}

impl SessionUpdate {
    /// The settings that are changed, by name, and how each can be.
    pub(crate) fn ways(
        &self,
        support: UpdateSupport,
    ) -> impl Iterator<Item = (&'static str, UpdateWay)> {
        [
            (
                "system_prompt",
                self.system_prompt.is_some(),
                support.system_prompt,
            ),
            ("voice", self.voice.is_some(), support.voice),
            ("tools", self.tools.is_some(), support.tools),
            (
                "temperature",
                self.temperature.is_some(),
                support.temperature,
            ),
            (
                "provider_config",
                self.provider_config.is_some(),
                support.provider_config,
            ),
        ]
        .into_iter()
        .filter(|(_, is_changed, _)| *is_changed)
        .map(|(field, _, way)| (field, way))
    }
}
