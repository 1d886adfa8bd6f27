//! Which model takes what. The service changes with each generation of models, and answers what it
//! does not like with "Request contains an invalid argument." or with silence; so it is checked
//! here, where the field can be named.

use roomkit_core::registry::ConfigError;

use super::{GeminiSessionConfig, Modality, ThinkingLevel, ToolBehavior, TurnCoverage};

/// Models that take the same settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelFamily {
    /// `gemini-2.5-flash-native-audio-...` on the Gemini API.
    NativeAudio25,
    /// `gemini-live-2.5-flash-native-audio` on Vertex AI.
    Vertex25,
    /// `gemini-3.1-flash-live-...`.
    Live31,
    /// `gemini-3.8-live`.
    Live38,
    /// `gemini-3.8-live-extended-thinking`.
    Live38Thinking,
    /// Models that translate, such as `gemini-3.5-live-translate-preview`.
    Translate,
    /// Models that write down, such as `gemini-3.5-transcribe-live`.
    Transcribe,
    /// Any other: everything is passed on.
    Unknown,
}

use ModelFamily::{
    Live31, Live38, Live38Thinking, NativeAudio25, Transcribe, Translate, Unknown, Vertex25,
};

impl ModelFamily {
    /// The family of a model, by its id, with or without a path before it.
    pub fn of(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or(model);
        let is = |start: &str| id.starts_with(start);
        if id.contains("live-translate") {
            Translate
        } else if id.contains("transcribe") {
            Transcribe
        } else if is("gemini-3.8-live-extended-thinking") {
            Live38Thinking
        } else if is("gemini-3.8-live") {
            Live38
        } else if is("gemini-3.1-flash-live") {
            Live31
        } else if is("gemini-live-2.5-flash") {
            Vertex25
        } else if is("gemini-2.5-flash-native-audio") {
            NativeAudio25
        } else {
            Unknown
        }
    }

    /// Whether what is said and done may be added with `clientContent` at any time.
    pub(crate) fn takes_content_any_time(self) -> bool {
        matches!(self, Live38 | Live38Thinking)
    }

    /// Whether `clientContent` is for the beginning only, announced in the setup.
    pub(crate) fn takes_content_as_seed_only(self) -> bool {
        self == Live31
    }

    /// Whether a conversation that is told as content is unknown to it when it is spoken to first. The
    /// wire says of no connection which comes first, so such a model is told in its instructions too.
    pub(crate) fn overlooks_history(self) -> bool {
        self.is_25()
    }

    /// Whether instructions and tools of a live session can be changed.
    pub(crate) fn updates(self) -> bool {
        matches!(self, Live38 | Live38Thinking)
    }

    /// Whether it can call tools and be shown images.
    pub(crate) fn converses(self) -> bool {
        !matches!(self, Translate | Transcribe)
    }

    fn is_25(self) -> bool {
        matches!(self, NativeAudio25 | Vertex25)
    }

    fn default_behavior(self) -> ToolBehavior {
        match self {
            Live38 | Live38Thinking => ToolBehavior::NonBlocking,
            _ => ToolBehavior::Blocking,
        }
    }
}

/// A model and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The model's name in the setup.
    pub(crate) resource: String,
    /// The model's id, as errors name it.
    pub(crate) id: String,
    pub(crate) family: ModelFamily,
    pub(crate) vertex: bool,
}

/// A setting that some models do not take: its value if it is set to something they would mind.
struct Rule {
    field: &'static str,
    value: fn(&GeminiSessionConfig) -> Option<String>,
    taken_by: &'static [ModelFamily],
    remedy: &'static str,
}

/// What a model does anyway may be asked of it; it is then not sent.
const RULES: &[Rule] = &[
    Rule {
        field: "enable_affective_dialog",
        value: |session| (session.enable_affective_dialog?).then(|| "true".into()),
        taken_by: &[NativeAudio25, Vertex25, Unknown],
        remedy: "leave it out, or use a 2.5 native audio model",
    },
    Rule {
        field: "proactive_audio",
        value: |session| (session.proactive_audio?).then(|| "true".into()),
        taken_by: &[NativeAudio25, Vertex25, Live38, Live38Thinking, Unknown],
        remedy: "leave it out, or use a 2.5 native audio model",
    },
    Rule {
        field: "proactive_audio",
        value: |session| (!session.proactive_audio?).then(|| "false".into()),
        taken_by: &[
            NativeAudio25,
            Vertex25,
            Live31,
            Translate,
            Transcribe,
            Unknown,
        ],
        remedy: "leave it out; this model always decides by itself whether to answer",
    },
    Rule {
        field: "proactive_video",
        value: |session| (session.proactive_video?).then(|| "true".into()),
        taken_by: &[NativeAudio25, Vertex25, Unknown],
        remedy: "leave it out, or use a 2.5 native audio model",
    },
    Rule {
        field: "thinking_budget",
        value: |session| Some(session.thinking_budget?.to_string()),
        taken_by: &[NativeAudio25, Vertex25, Unknown],
        remedy: "leave it out; 3.1 and extended thinking models take `thinking_level`",
    },
    Rule {
        field: "thinking_level",
        value: |session| Some(session.thinking_level?.as_str().into()),
        taken_by: &[Live31, Live38Thinking, Unknown],
        remedy: "leave it out; 2.5 models take `thinking_budget`",
    },
    Rule {
        field: "include_thoughts",
        value: |session| Some(session.include_thoughts?.to_string()),
        taken_by: &[NativeAudio25, Vertex25, Live31, Live38Thinking, Unknown],
        remedy: "leave it out; this model does not think aloud",
    },
    Rule {
        field: "response_modalities",
        value: |session| session.writes_text().then(|| "[\"TEXT\"]".into()),
        taken_by: &[Transcribe, Unknown],
        remedy: "use [\"AUDIO\"]; the words come as a transcript",
    },
    Rule {
        field: "translation",
        value: |session| Some(session.translation.as_ref()?.target_language.clone()),
        taken_by: &[Translate, Unknown],
        remedy: "leave it out, or use a live-translate model",
    },
    Rule {
        field: "google_search",
        value: |session| session.google_search.then(|| "true".into()),
        taken_by: &[
            NativeAudio25,
            Vertex25,
            Live31,
            Live38,
            Live38Thinking,
            Unknown,
        ],
        remedy: "leave it out; this model calls no tools",
    },
    Rule {
        field: "tool_behavior",
        value: |session| Some(session.tool_behavior?.as_str().into()),
        taken_by: &[
            NativeAudio25,
            Vertex25,
            Live31,
            Live38,
            Live38Thinking,
            Unknown,
        ],
        remedy: "leave it out; this model calls no tools",
    },
];

impl Target {
    /// The model `id` on the Gemini API, which takes it as `models/<id>`.
    pub fn gemini_api(model: &str) -> Self {
        let id = model.trim().trim_start_matches("models/");
        Self {
            resource: format!("models/{id}"),
            id: id.to_owned(),
            family: ModelFamily::of(id),
            vertex: false,
        }
    }

    /// The model `id` of a project on Vertex AI; a whole resource name is taken as it is.
    pub fn vertex(model: &str, project: &str, location: &str) -> Self {
        let model = model.trim();
        let id = model.rsplit('/').next().unwrap_or(model);
        let resource = if model.starts_with("projects/") {
            model.to_owned()
        } else {
            format!("projects/{project}/locations/{location}/publishers/google/models/{id}")
        };
        Self {
            resource,
            id: id.to_owned(),
            family: ModelFamily::of(id),
            vertex: true,
        }
    }

    /// Which settings the model takes.
    pub fn family(&self) -> ModelFamily {
        self.family
    }

    /// Whether the model waits for the results of tools, with these settings.
    pub(crate) fn blocks(&self, session: &GeminiSessionConfig) -> bool {
        let behavior = session.tool_behavior;
        behavior.unwrap_or_else(|| self.family.default_behavior()) == ToolBehavior::Blocking
    }

    /// Whether dialogue that follows the user's mood, or that may stay silent, is asked of a model
    /// that knows it as a preview only.
    pub(crate) fn needs_alpha(&self, session: &GeminiSessionConfig) -> bool {
        let is_asked = session.enable_affective_dialog == Some(true)
            || session.proactive_audio == Some(true)
            || session.proactive_video == Some(true);
        is_asked && !self.vertex && matches!(self.family, NativeAudio25 | Unknown)
    }

    /// Whether the model answers with text instead of speech.
    pub(crate) fn writes_text(&self, session: &GeminiSessionConfig) -> bool {
        session.writes_text() || self.family == Transcribe
    }

    /// Whether settings of proactivity and affective dialogue are sent at all.
    pub(crate) fn knows_proactivity(&self) -> bool {
        self.family.is_25() || self.family == Unknown
    }

    /// Checks that the model takes the settings.
    pub(crate) fn check(&self, session: &GeminiSessionConfig) -> Result<(), ConfigError> {
        for rule in RULES {
            if rule.taken_by.contains(&self.family) {
                continue;
            }
            if let Some(value) = (rule.value)(session) {
                return Err(self.refuse(rule.field, &value, rule.remedy));
            }
        }
        self.check_thinking(session)?;
        self.check_tools(session)?;
        self.check_turns(session)?;
        self.check_service(session)
    }

    fn check_thinking(&self, session: &GeminiSessionConfig) -> Result<(), ConfigError> {
        use ThinkingLevel::{ExtraHigh, Minimal};
        match (self.family, session.thinking_level) {
            (Live38Thinking, None) => Err(ConfigError::field(
                "thinking_level",
                format!("is missing; `{}` wants `low`, `medium` or `high`", self.id),
            )),
            (Live38Thinking, Some(level @ (Minimal | ExtraHigh))) => Err(self.refuse(
                "thinking_level",
                level.as_str(),
                "use `low`, `medium` or `high`",
            )),
            (Live31, Some(level @ ExtraHigh)) => Err(self.refuse(
                "thinking_level",
                level.as_str(),
                "use `minimal`, `low`, `medium` or `high`",
            )),
            _ => Ok(()),
        }
    }

    fn check_tools(&self, session: &GeminiSessionConfig) -> Result<(), ConfigError> {
        if self.family == Live38Thinking && session.tool_behavior == Some(ToolBehavior::Blocking) {
            let remedy = "leave it out, or use `non_blocking`";
            return Err(self.refuse("tool_behavior", "BLOCKING", remedy));
        }
        match session.tool_scheduling {
            Some(scheduling) if self.blocks(session) => Err(self.refuse(
                "tool_scheduling",
                scheduling.as_str(),
                "set `tool_behavior` to `non_blocking`; a result that the model waits for has no \
                 schedule",
            )),
            _ => Ok(()),
        }
    }

    fn check_turns(&self, session: &GeminiSessionConfig) -> Result<(), ConfigError> {
        let all_video = TurnCoverage::AudioActivityAndAllVideo;
        if session.turn_coverage != Some(all_video) {
            return Ok(());
        }
        let remedy = "use `turn_includes_only_activity` or `turn_includes_all_input`";
        let is_38 = matches!(self.family, Live38 | Live38Thinking);
        if self.vertex && is_38 || self.family == Live31 && !session.server_vad {
            return Err(self.refuse("turn_coverage", all_video.as_str(), remedy));
        }
        Ok(())
    }

    /// What only one of the two services takes.
    fn check_service(&self, session: &GeminiSessionConfig) -> Result<(), ConfigError> {
        let vertex_only = [
            ("explicit_vad_signal", session.explicit_vad_signal),
            ("transparent_resumption", session.transparent_resumption),
        ];
        for (field, is_set) in vertex_only {
            if is_set && !self.vertex {
                return Err(ConfigError::field(
                    field,
                    "is true, which only Vertex AI takes; leave it out, or set `auth` to `vertex`",
                ));
            }
        }
        if self.vertex && !session.labels.is_empty() {
            return Err(ConfigError::field(
                "labels",
                "are set, which Vertex AI does not take; leave them out",
            ));
        }
        Ok(())
    }

    fn refuse(&self, field: &str, value: &str, remedy: &str) -> ConfigError {
        ConfigError::field(
            field,
            format!("is {value}, which `{}` does not take; {remedy}", self.id),
        )
    }
}

impl GeminiSessionConfig {
    /// Whether the model is asked for text instead of speech.
    pub(crate) fn writes_text(&self) -> bool {
        self.response_modalities == [Modality::Text]
    }
}
