//! The messages a client may send, field by field.

use super::check::{Kind, Message};

/// The vendor's thirty voices.
pub(crate) const VOICES: &[&str] = &[
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

pub(crate) static CLIENT_MESSAGE: Message = Message(&[
    ("setup", Kind::Message(&SETUP)),
    ("clientContent", Kind::Message(&CLIENT_CONTENT)),
    ("realtimeInput", Kind::Message(&REALTIME_INPUT)),
    ("toolResponse", Kind::Message(&TOOL_RESPONSE)),
    ("contextUpdate", Kind::Message(&CONTEXT_UPDATE)),
]);

static SETUP: Message = Message(&[
    ("model", Kind::Text),
    ("generationConfig", Kind::Message(&GENERATION_CONFIG)),
    ("systemInstruction", Kind::Message(&CONTENT)),
    ("tools", Kind::List(&Kind::Message(&TOOL))),
    ("realtimeInputConfig", Kind::Message(&REALTIME_INPUT_CONFIG)),
    ("sessionResumption", Kind::Message(&SESSION_RESUMPTION)),
    (
        "contextWindowCompression",
        Kind::Message(&CONTEXT_WINDOW_COMPRESSION),
    ),
    ("inputAudioTranscription", Kind::Message(&TRANSCRIPTION)),
    ("outputAudioTranscription", Kind::Message(&TRANSCRIPTION)),
    ("proactivity", Kind::Message(&PROACTIVITY)),
    ("explicitVadSignal", Kind::Flag),
    ("historyConfig", Kind::Message(&HISTORY_CONFIG)),
    ("avatarConfig", Kind::Object),
    ("safetySettings", Kind::List(&Kind::Object)),
    ("labels", Kind::Map(&Kind::Text)),
]);

static GENERATION_CONFIG: Message = Message(&[
    ("responseModalities", Kind::List(&Kind::Choice(MODALITIES))),
    ("temperature", Kind::Number),
    ("topP", Kind::Number),
    ("topK", Kind::Number),
    ("maxOutputTokens", Kind::Integer),
    ("seed", Kind::Integer),
    ("candidateCount", Kind::Integer),
    ("presencePenalty", Kind::Number),
    ("frequencyPenalty", Kind::Number),
    ("mediaResolution", Kind::Choice(MEDIA_RESOLUTIONS)),
    ("speechConfig", Kind::Message(&SPEECH_CONFIG)),
    ("thinkingConfig", Kind::Message(&THINKING_CONFIG)),
    ("enableAffectiveDialog", Kind::Flag),
    ("translationConfig", Kind::Message(&TRANSLATION_CONFIG)),
]);

const MODALITIES: &[&str] = &["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO"];
const MEDIA_RESOLUTIONS: &[&str] = &[
    "MEDIA_RESOLUTION_UNSPECIFIED",
    "MEDIA_RESOLUTION_LOW",
    "MEDIA_RESOLUTION_MEDIUM",
    "MEDIA_RESOLUTION_HIGH",
];

static SPEECH_CONFIG: Message = Message(&[
    ("voiceConfig", Kind::Message(&VOICE_CONFIG)),
    ("languageCode", Kind::Text),
]);

static VOICE_CONFIG: Message = Message(&[
    ("prebuiltVoiceConfig", Kind::Message(&PREBUILT_VOICE)),
    ("replicatedVoiceConfig", Kind::Object),
    ("voice", Kind::Text),
]);

static PREBUILT_VOICE: Message = Message(&[("voiceName", Kind::Choice(VOICES))]);

static THINKING_CONFIG: Message = Message(&[
    ("thinkingBudget", Kind::Integer),
    (
        "thinkingLevel",
        Kind::Choice(&[
            "THINKING_LEVEL_UNSPECIFIED",
            "MINIMAL",
            "LOW",
            "MEDIUM",
            "HIGH",
            "XHIGH",
        ]),
    ),
    ("includeThoughts", Kind::Flag),
]);

static TRANSLATION_CONFIG: Message = Message(&[
    ("targetLanguageCode", Kind::Text),
    ("echoTargetLanguage", Kind::Flag),
]);

static REALTIME_INPUT_CONFIG: Message = Message(&[
    (
        "automaticActivityDetection",
        Kind::Message(&ACTIVITY_DETECTION),
    ),
    (
        "activityHandling",
        Kind::Choice(&[
            "ACTIVITY_HANDLING_UNSPECIFIED",
            "START_OF_ACTIVITY_INTERRUPTS",
            "NO_INTERRUPTION",
        ]),
    ),
    (
        "turnCoverage",
        Kind::Choice(&[
            "TURN_COVERAGE_UNSPECIFIED",
            "TURN_INCLUDES_ONLY_ACTIVITY",
            "TURN_INCLUDES_ALL_INPUT",
            "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
        ]),
    ),
    ("interimTranscriptTimestampEnabled", Kind::Flag),
]);

static ACTIVITY_DETECTION: Message = Message(&[
    ("disabled", Kind::Flag),
    (
        "startOfSpeechSensitivity",
        Kind::Choice(&[
            "START_SENSITIVITY_UNSPECIFIED",
            "START_SENSITIVITY_HIGH",
            "START_SENSITIVITY_LOW",
        ]),
    ),
    (
        "endOfSpeechSensitivity",
        Kind::Choice(&[
            "END_SENSITIVITY_UNSPECIFIED",
            "END_SENSITIVITY_HIGH",
            "END_SENSITIVITY_LOW",
        ]),
    ),
    ("prefixPaddingMs", Kind::Integer),
    ("silenceDurationMs", Kind::Integer),
]);

static SESSION_RESUMPTION: Message =
    Message(&[("handle", Kind::Text), ("transparent", Kind::Flag)]);

static CONTEXT_WINDOW_COMPRESSION: Message = Message(&[
    ("triggerTokens", Kind::Integer),
    ("slidingWindow", Kind::Message(&SLIDING_WINDOW)),
]);

static SLIDING_WINDOW: Message = Message(&[("targetTokens", Kind::Integer)]);

static TRANSCRIPTION: Message = Message(&[
    ("languageCodes", Kind::List(&Kind::Text)),
    ("customVocabulary", Kind::List(&Kind::Text)),
    ("diarization", Kind::Flag),
    ("wordTimestamp", Kind::Flag),
    ("mode", Kind::Choice(&["VERBATIM", "SMART"])),
]);

static PROACTIVITY: Message = Message(&[
    ("proactiveAudio", Kind::Flag),
    ("proactiveVideo", Kind::Flag),
]);

static HISTORY_CONFIG: Message = Message(&[("initialHistoryInClientContent", Kind::Flag)]);

static CONTENT: Message = Message(&[
    ("role", Kind::Text),
    ("parts", Kind::List(&Kind::Message(&PART))),
]);

static PART: Message = Message(&[
    ("text", Kind::Text),
    ("inlineData", Kind::Message(&BLOB)),
    ("fileData", Kind::Object),
    ("functionCall", Kind::Object),
    ("functionResponse", Kind::Object),
    ("thought", Kind::Flag),
    ("thoughtSignature", Kind::Text),
    ("videoMetadata", Kind::Object),
]);

static BLOB: Message = Message(&[("data", Kind::Text), ("mimeType", Kind::Text)]);

static TOOL: Message = Message(&[
    (
        "functionDeclarations",
        Kind::List(&Kind::Message(&FUNCTION_DECLARATION)),
    ),
    ("googleSearch", Kind::Object),
    ("googleSearchRetrieval", Kind::Object),
    ("googleMaps", Kind::Object),
    ("codeExecution", Kind::Object),
    ("urlContext", Kind::Object),
]);

static FUNCTION_DECLARATION: Message = Message(&[
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("parameters", Kind::Message(&SCHEMA)),
    ("parametersJsonSchema", Kind::Json),
    ("response", Kind::Message(&SCHEMA)),
    ("responseJsonSchema", Kind::Json),
    (
        "behavior",
        Kind::Choice(&["UNSPECIFIED", "BLOCKING", "NON_BLOCKING"]),
    ),
]);

/// The vendor's subset of `OpenAPI`; JSON Schema's `additionalProperties` or `$ref` are not in it.
static SCHEMA: Message = Message(&[
    (
        "type",
        Kind::LooseChoice(&[
            "TYPE_UNSPECIFIED",
            "STRING",
            "NUMBER",
            "INTEGER",
            "BOOLEAN",
            "ARRAY",
            "OBJECT",
            "NULL",
        ]),
    ),
    ("format", Kind::Text),
    ("title", Kind::Text),
    ("description", Kind::Text),
    ("nullable", Kind::Flag),
    ("default", Kind::Json),
    ("example", Kind::Json),
    ("enum", Kind::List(&Kind::Text)),
    ("items", Kind::Message(&SCHEMA)),
    ("minItems", Kind::Integer),
    ("maxItems", Kind::Integer),
    ("properties", Kind::Map(&Kind::Message(&SCHEMA))),
    ("propertyOrdering", Kind::List(&Kind::Text)),
    ("required", Kind::List(&Kind::Text)),
    ("minProperties", Kind::Integer),
    ("maxProperties", Kind::Integer),
    ("minimum", Kind::Number),
    ("maximum", Kind::Number),
    ("minLength", Kind::Integer),
    ("maxLength", Kind::Integer),
    ("pattern", Kind::Text),
    ("anyOf", Kind::List(&Kind::Message(&SCHEMA))),
]);

static CLIENT_CONTENT: Message = Message(&[
    ("turns", Kind::List(&Kind::Message(&CONTENT))),
    ("turnComplete", Kind::Flag),
]);

static REALTIME_INPUT: Message = Message(&[
    ("audio", Kind::Message(&BLOB)),
    ("video", Kind::Message(&BLOB)),
    ("text", Kind::Text),
    ("audioStreamEnd", Kind::Flag),
    ("activityStart", Kind::Message(&EMPTY)),
    ("activityEnd", Kind::Message(&EMPTY)),
    ("mediaChunks", Kind::List(&Kind::Message(&BLOB))),
]);

static EMPTY: Message = Message(&[]);

static TOOL_RESPONSE: Message = Message(&[(
    "functionResponses",
    Kind::List(&Kind::Message(&FUNCTION_RESPONSE)),
)]);

static FUNCTION_RESPONSE: Message = Message(&[
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("response", Kind::Object),
    (
        "scheduling",
        Kind::Choice(&["SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"]),
    ),
    ("willContinue", Kind::Flag),
    ("parts", Kind::List(&Kind::Object)),
]);

static CONTEXT_UPDATE: Message = Message(&[
    ("systemInstruction", Kind::Message(&CONTENT)),
    ("tools", Kind::Message(&TOOLS_UPDATE)),
]);

static TOOLS_UPDATE: Message = Message(&[("tools", Kind::List(&Kind::Message(&TOOL)))]);
