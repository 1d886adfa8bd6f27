//! The `setup` message: what every model refuses in it, and the parts the fake goes by.

use std::collections::HashMap;

use serde_json::Value;

use super::access::Service;
use super::models::{self, Family};
use super::refusal::Refusal;
use crate::fake::vad::Detection;

/// Silence that ends a turn unless the client says otherwise; the vendor's own default is not
/// documented.
const DEFAULT_SILENCE_MS: u64 = 500;
/// Audio before the speech that belongs to the turn.
const PREFIX_MS: u64 = 300;

/// A valid `setup`, in camel case and in parts.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) json: Value,
    pub(crate) family: Family,
    /// `None` with automatic activity detection disabled.
    pub(crate) detection: Option<Detection>,
    pub(crate) interrupts: bool,
    pub(crate) text_only: bool,
    /// Manual turns that this model's default coverage does not hear.
    pub(crate) deaf: bool,
    /// Options that make the service never answer.
    pub(crate) silent: bool,
    blocking: HashMap<String, bool>,
}

impl Setup {
    /// Reads a `setup` that has the right shape.
    pub(crate) fn read(
        json: Value,
        service: Service,
        extra_models: &[String],
    ) -> Result<Self, Refusal> {
        let model = json["model"].as_str().unwrap_or_default();
        let family = models::find(model, service, extra_models)?;
        check_service(&json, service)?;
        let silent = check_model_options(&json, family, service)?;
        check_thinking(&json["generationConfig"]["thinkingConfig"], family)?;
        let text_only = check_modalities(&json, family)?;
        check_text(&json["systemInstruction"], "setup.system_instruction")?;
        let blocking = read_tools(&json["tools"], family, "setup")?;
        let input = &json["realtimeInputConfig"];
        let coverage = input["turnCoverage"].as_str();
        if service.is_vertex() && family.is_38() && coverage == Some(ALL_VIDEO) {
            let detail = format!("{ALL_VIDEO} is not supported on Vertex with this model");
            return Err(Refusal::invalid_argument(detail));
        }
        let detection = read_detection(&input["automaticActivityDetection"], family);
        let covered = matches!(
            coverage,
            Some("TURN_INCLUDES_ONLY_ACTIVITY" | "TURN_INCLUDES_ALL_INPUT")
        );
        Ok(Self {
            family,
            deaf: family == Family::V31 && detection.is_none() && !covered,
            detection,
            interrupts: input["activityHandling"] != "NO_INTERRUPTION",
            text_only,
            silent,
            blocking,
            json,
        })
    }

    pub(crate) fn model(&self) -> &str {
        self.json["model"].as_str().unwrap_or_default()
    }

    pub(crate) fn transcribes_input(&self) -> bool {
        self.json["inputAudioTranscription"].is_object()
    }

    pub(crate) fn transcribes_output(&self) -> bool {
        self.json["outputAudioTranscription"].is_object()
    }

    /// Whether handles are to be issued.
    pub(crate) fn resumable(&self) -> bool {
        self.json["sessionResumption"].is_object()
    }

    /// Whether updates say which client message they cover.
    pub(crate) fn transparent(&self) -> bool {
        self.json["sessionResumption"]["transparent"] == true
    }

    /// The handle to resume from.
    pub(crate) fn handle(&self) -> Option<&str> {
        self.json["sessionResumption"]["handle"].as_str()
    }

    pub(crate) fn signals_activity(&self) -> bool {
        self.json["explicitVadSignal"] == true
    }

    pub(crate) fn seeds_history(&self) -> bool {
        self.json["historyConfig"]["initialHistoryInClientContent"] == true
    }

    /// Whether the conversation waits for this tool.
    pub(crate) fn blocks(&self, tool: &str) -> bool {
        let declared = self.blocking.get(tool).copied();
        declared.unwrap_or_else(|| self.family.blocks_by_default())
    }

    /// Takes over a `contextUpdate`.
    pub(crate) fn update(&mut self, update: &Value) -> Result<(), Refusal> {
        let instruction = &update["systemInstruction"];
        check_text(instruction, "context_update.system_instruction")?;
        let tools = &update["tools"]["tools"];
        if tools.is_array() {
            self.blocking = read_tools(tools, self.family, "context_update.tools")?;
            self.json["tools"] = tools.clone();
        }
        if instruction.is_object() {
            self.json["systemInstruction"] = instruction.clone();
        }
        Ok(())
    }
}

const ALL_VIDEO: &str = "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO";

/// Fields that one of the services does not have.
fn check_service(setup: &Value, service: Service) -> Result<(), Refusal> {
    let vertex_only = setup["explicitVadSignal"] == true
        || setup["sessionResumption"].get("transparent").is_some();
    if vertex_only && !service.is_vertex() {
        let detail = "explicitVadSignal and sessionResumption.transparent are Vertex only";
        return Err(Refusal::invalid_argument(detail));
    }
    if service.is_vertex() && setup.get("labels").is_some() {
        return Err(Refusal::unknown_name("labels", "setup"));
    }
    Ok(())
}

/// Options in their trial or taken back. True if the service never answers to them.
fn check_model_options(setup: &Value, family: Family, service: Service) -> Result<bool, Refusal> {
    let generation = &setup["generationConfig"];
    let affective = generation["enableAffectiveDialog"] == true;
    let proactive = setup.get("proactivity").is_some();
    if generation["translationConfig"].is_object() && family != Family::Translate {
        let detail = "translationConfig is for translate models";
        return Err(Refusal::invalid_argument(detail));
    }
    if !affective && !proactive {
        return Ok(false);
    }
    match family {
        Family::V25 if service.has_alpha_fields() => Ok(false),
        Family::V31 => Ok(true),
        _ if proactive => Err(Refusal::unknown_name("proactivity", "setup")),
        Family::V25 => {
            let place = "setup.generation_config";
            Err(Refusal::unknown_name("enableAffectiveDialog", place))
        }
        _ => {
            let detail = "this model has no affective dialog";
            Err(Refusal::invalid_argument(detail))
        }
    }
}

fn check_thinking(thinking: &Value, family: Family) -> Result<(), Refusal> {
    let level = thinking["thinkingLevel"].as_str();
    let budget = thinking.get("thinkingBudget").is_some();
    let problem = match family {
        Family::V25 if level.is_some() => "this model takes thinkingBudget, not thinkingLevel",
        Family::V31 if budget => "this model takes thinkingLevel, not thinkingBudget",
        Family::V38Thinking if budget && level.is_some() => {
            "exactly one of thinkingLevel and thinkingBudget"
        }
        Family::V38Thinking if !matches!(level, Some("LOW" | "MEDIUM" | "HIGH")) => {
            "this model requires thinkingLevel LOW, MEDIUM or HIGH"
        }
        Family::V38 if thinking.is_object() => "this model takes no thinkingConfig",
        _ => return Ok(()),
    };
    Err(Refusal::invalid_argument(problem).at("setup.generation_config.thinking_config"))
}

/// True for text output.
fn check_modalities(setup: &Value, family: Family) -> Result<bool, Refusal> {
    let modalities = &setup["generationConfig"]["responseModalities"];
    let list: Vec<&str> = modalities
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match list.as_slice() {
        [] | ["AUDIO"] => Ok(family == Family::Transcribe),
        ["TEXT"] if family == Family::Transcribe => Ok(true),
        _ => {
            let detail = format!("{list:?} is not supported: audio only, one modality only");
            let place = "setup.generation_config.response_modalities";
            Err(Refusal::invalid_argument(detail).at(place))
        }
    }
}

/// Control characters and the like, which the vendor does not take in text.
pub(crate) fn check_text(content: &Value, path: &str) -> Result<(), Refusal> {
    for part in content["parts"].as_array().into_iter().flatten() {
        if let Some(text) = part["text"].as_str() {
            check_characters(text, path)?;
        }
    }
    Ok(())
}

pub(crate) fn check_characters(text: &str, path: &str) -> Result<(), Refusal> {
    let bad = |letter: &char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
    match text.chars().find(bad) {
        Some(letter) => {
            let detail = format!("control character {letter:?} in text");
            Err(Refusal::invalid_argument(detail).at(path))
        }
        None => Ok(()),
    }
}

/// Which of the declared functions block.
fn read_tools(tools: &Value, family: Family, path: &str) -> Result<HashMap<String, bool>, Refusal> {
    let mut blocking = HashMap::new();
    let tools = tools.as_array().into_iter().flatten();
    for function in tools.flat_map(|tool| {
        tool["functionDeclarations"]
            .as_array()
            .into_iter()
            .flatten()
    }) {
        let name = function["name"].as_str().unwrap_or_default();
        let problem = if !valid_name(name) {
            "a function name starts with a letter or _ and has at most 128 characters"
        } else if matches!(family, Family::Translate | Family::Transcribe) {
            "this model has no function calls"
        } else if family == Family::V38Thinking && function["behavior"] == "BLOCKING" {
            "this model has no BLOCKING functions"
        } else if blocking.contains_key(name) {
            "a function is declared twice"
        } else {
            let blocks = match function["behavior"].as_str() {
                Some("BLOCKING") => true,
                Some("NON_BLOCKING") => false,
                _ => family.blocks_by_default(),
            };
            blocking.insert(name.to_owned(), blocks);
            continue;
        };
        let detail = format!("'{name}': {problem}");
        return Err(Refusal::invalid_argument(detail).at(&format!("{path}.tools")));
    }
    Ok(blocking)
}

fn valid_name(name: &str) -> bool {
    let start = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    name.len() <= 128 && name.starts_with(start) && name.chars().all(inner)
}

fn read_detection(config: &Value, family: Family) -> Option<Detection> {
    if config["disabled"] == true {
        return None;
    }
    let threshold = if config["startOfSpeechSensitivity"] == "START_SENSITIVITY_LOW" {
        0.8
    } else {
        0.5
    };
    // 3.1 takes the silence and does not go by it.
    let silence_ms = config["silenceDurationMs"]
        .as_u64()
        .filter(|_| family != Family::V31);
    Some(Detection {
        threshold,
        prefix_ms: PREFIX_MS,
        silence_ms: silence_ms.unwrap_or(DEFAULT_SILENCE_MS),
    })
}
