//! The `setup` message, and what was said before the connection.

use roomkit_core::{
    provider::{HistoryItem, Role, SessionSetup},
    registry::ConfigError,
};
use serde_json::{Map, Value, json};

use super::{
    client_message::{Content, Part},
    schema,
    text::without_controls,
};
use crate::config::{GeminiSessionConfig, ModelFamily, Target, TurnCoverage};

/// The value of `setup`.
pub(super) fn setup(
    session: &GeminiSessionConfig,
    target: &Target,
    setup: &SessionSetup,
) -> Result<Value, ConfigError> {
    let mut message = Map::from_iter([("model".to_owned(), target.resource.as_str().into())]);
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            message.insert(name.to_owned(), value);
        }
    };
    put("generationConfig", Some(generation(session, target, setup)));
    let mut prompt = without_controls(setup.system_prompt.as_deref().unwrap_or_default());
    if target.family.overlooks_history() && setup.resume.is_none() {
        prompt.push_str(&recap(&setup.history));
    }
    put("systemInstruction", instruction(&prompt));
    let tools = schema::tools(&setup.tools, session, target)?;
    put("tools", (!tools.is_empty()).then_some(tools.into()));
    put("realtimeInputConfig", realtime_input(session, target));
    put("sessionResumption", resumption(session, setup));
    let compression = session.context_compression.as_ref().map(|compression| {
        let window = object([("targetTokens", compression.target_tokens.map(Value::from))]);
        object([
            ("triggerTokens", compression.trigger_tokens.map(Value::from)),
            ("slidingWindow", Some(window)),
        ])
    });
    put("contextWindowCompression", compression);
    put("inputAudioTranscription", input_transcription(session));
    put(
        "outputAudioTranscription",
        session.output_transcription.then(|| json!({})),
    );
    put("proactivity", proactivity(session, target));
    put(
        "explicitVadSignal",
        session.explicit_vad_signal.then_some(true.into()),
    );
    let seeds = target.family.takes_content_as_seed_only() && !turns(&setup.history).is_empty();
    put(
        "historyConfig",
        seeds.then(|| json!({ "initialHistoryInClientContent": true })),
    );
    let filters = &session.safety_settings;
    put(
        "safetySettings",
        (!filters.is_empty()).then(|| json!(filters)),
    );
    put(
        "labels",
        (!session.labels.is_empty()).then(|| json!(session.labels)),
    );
    Ok(Value::Object(message))
}

/// `systemInstruction`; none for a prompt without words.
pub(super) fn instruction(prompt: &str) -> Option<Value> {
    (!prompt.trim().is_empty()).then(|| json!({ "parts": [{ "text": prompt }] }))
}

fn generation(session: &GeminiSessionConfig, target: &Target, setup: &SessionSetup) -> Value {
    let voice = setup.voice.as_ref().filter(|name| !name.trim().is_empty());
    let voice = voice
        .or(session.voice.as_ref())
        .map(|name| voice_name(name));
    let voice = voice.map(|name| json!({ "prebuiltVoiceConfig": { "voiceName": name } }));
    let speech = object([
        ("voiceConfig", voice),
        ("languageCode", session.language.as_deref().map(Value::from)),
    ]);
    let thinking = object([
        ("thinkingBudget", session.thinking_budget.map(Value::from)),
        (
            "thinkingLevel",
            session.thinking_level.map(|level| level.as_str().into()),
        ),
        ("includeThoughts", session.include_thoughts.map(Value::from)),
    ]);
    let affective = session
        .enable_affective_dialog
        .filter(|is_on| *is_on && target.knows_proactivity());
    let translation = session.translation.as_ref().map(|translation| {
        object([
            (
                "targetLanguageCode",
                Some(translation.target_language.as_str().into()),
            ),
            (
                "echoTargetLanguage",
                translation.echo_target_language.map(Value::from),
            ),
        ])
    });
    object([
        (
            "responseModalities",
            Some(json!(session.response_modalities)),
        ),
        ("temperature", setup.temperature.map(short)),
        ("topP", session.top_p.map(Value::from)),
        ("topK", session.top_k.map(Value::from)),
        (
            "maxOutputTokens",
            session.max_output_tokens.map(Value::from),
        ),
        ("seed", session.seed.map(Value::from)),
        ("presencePenalty", session.presence_penalty.map(Value::from)),
        (
            "frequencyPenalty",
            session.frequency_penalty.map(Value::from),
        ),
        (
            "mediaResolution",
            session.media_resolution.map(|word| word.as_str().into()),
        ),
        ("speechConfig", filled(speech)),
        ("thinkingConfig", filled(thinking)),
        ("enableAffectiveDialog", affective.map(Value::from)),
        ("translationConfig", translation),
    ])
}

fn realtime_input(session: &GeminiSessionConfig, target: &Target) -> Option<Value> {
    let detection = if session.server_vad {
        let start = session.start_of_speech_sensitivity;
        let end = session.end_of_speech_sensitivity;
        object([
            (
                "startOfSpeechSensitivity",
                start.map(|word| word.as_str().into()),
            ),
            (
                "endOfSpeechSensitivity",
                end.map(|word| word.as_str().into()),
            ),
            (
                "prefixPaddingMs",
                session.prefix_padding_ms.map(Value::from),
            ),
            (
                "silenceDurationMs",
                session.silence_duration_ms.map(Value::from),
            ),
        ])
    } else {
        json!({ "disabled": true })
    };
    let handling = session.is_uninterrupted().then(|| "NO_INTERRUPTION".into());
    let coverage = session.turn_coverage.or_else(|| {
        // What these models do by default makes them deaf to activities that the host tells of.
        let is_deaf = target.family == ModelFamily::Live31 && !session.server_vad;
        is_deaf.then_some(TurnCoverage::OnlyActivity)
    });
    filled(object([
        ("automaticActivityDetection", filled(detection)),
        ("activityHandling", handling),
        ("turnCoverage", coverage.map(|word| word.as_str().into())),
    ]))
}

fn resumption(session: &GeminiSessionConfig, setup: &SessionSetup) -> Option<Value> {
    let handle = setup.resume.as_ref().map(|token| token.expose().into());
    let is_wanted = session.session_resumption || handle.is_some();
    let transparent = session.transparent_resumption.then_some(true.into());
    is_wanted.then(|| object([("handle", handle), ("transparent", transparent)]))
}

fn input_transcription(session: &GeminiSessionConfig) -> Option<Value> {
    let options = session.input_transcription.as_ref()?;
    let listed = |items: &[String]| (!items.is_empty()).then(|| json!(items));
    Some(object([
        ("languageCodes", listed(&options.language_codes)),
        ("customVocabulary", listed(&options.custom_vocabulary)),
        ("diarization", options.diarization.map(Value::from)),
        ("wordTimestamp", options.word_timestamp.map(Value::from)),
        ("mode", options.mode.map(|word| word.as_str().into())),
    ]))
}

fn proactivity(session: &GeminiSessionConfig, target: &Target) -> Option<Value> {
    if !target.knows_proactivity() {
        return None;
    }
    // Off is what a model does that is not told; the words for it are not known everywhere.
    let on = |setting: Option<bool>| setting.filter(|is_on| *is_on).map(Value::from);
    filled(object([
        ("proactiveAudio", on(session.proactive_audio)),
        ("proactiveVideo", on(session.proactive_video)),
    ]))
}

/// What was said before, as turns: neighbours of one role are one turn, and calls of tools are told
/// in words, because calls of another connection close this one.
pub(super) fn turns(history: &[HistoryItem]) -> Vec<Content<'static>> {
    let mut turns: Vec<Content<'static>> = Vec::new();
    for item in history {
        let (role, text) = match item {
            HistoryItem::Message { role, text } => (*role, text.clone()),
            HistoryItem::ToolCall {
                name, arguments, ..
            } => (
                Role::Assistant,
                format!("[Called the tool {name} with {arguments}]"),
            ),
            HistoryItem::ToolResult {
                name,
                output,
                is_error,
                ..
            } => {
                let did = if *is_error { "failed" } else { "answered" };
                (Role::User, format!("[The tool {name} {did}: {output}]"))
            }
            _ => continue,
        };
        let text = without_controls(&text);
        if text.trim().is_empty() {
            continue;
        }
        let role = role_of(role);
        let part = Part::Text(text.into());
        match turns.last_mut() {
            Some(last) if last.role == role => last.parts.push(part),
            _ => turns.push(Content {
                role,
                parts: vec![part],
            }),
        }
    }
    turns
}

/// The same as a part of the instructions; empty if nothing was said.
fn recap(history: &[HistoryItem]) -> String {
    let turns = turns(history);
    let lines = turns.iter().flat_map(|turn| {
        let texts = turn.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::InlineData(_) => None,
        });
        texts.map(move |text| format!("\n{}: {text}", turn.role))
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\n\n[The conversation goes on. So far, with `model` for you:{lines}]")
}

/// There is no `system` among the turns of a conversation.
pub(super) fn role_of(role: Role) -> &'static str {
    match role {
        Role::Assistant => "model",
        Role::User | Role::System => "user",
    }
}

/// A voice as the vendor spells it; names it may have learned since are passed on.
fn voice_name(name: &str) -> &str {
    const VOICES: [&str; 30] = [
        "Zephyr",
        "Puck",
        "Charon",
        "Kore",
        "Fenrir",
        "Leda",
        "Orus",
        "Aoede",
        "Callirrhoe",
        "Autonoe",
        "Enceladus",
        "Iapetus",
        "Umbriel",
        "Algieba",
        "Despina",
        "Erinome",
        "Algenib",
        "Rasalgethi",
        "Laomedeia",
        "Achernar",
        "Alnilam",
        "Schedar",
        "Gacrux",
        "Pulcherrima",
        "Achird",
        "Zubenelgenubi",
        "Vindemiatrix",
        "Sadachbia",
        "Sadaltager",
        "Sulafat",
    ];
    let name = name.trim();
    let known = VOICES
        .into_iter()
        .find(|voice| voice.eq_ignore_ascii_case(name));
    known.unwrap_or(name)
}

/// 0.7 as 0.7, not as the nearest number of twice the precision.
fn short(number: f32) -> Value {
    number
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect())
}

/// The object, unless it is empty.
fn filled(value: Value) -> Option<Value> {
    value
        .as_object()
        .is_some_and(|object| !object.is_empty())
        .then_some(value)
}
