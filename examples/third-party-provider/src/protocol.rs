//! The vendor's messages, and what they mean to the engine. No I/O.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use roomkit_core::{
    provider::{
        HistoryItem, ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent,
        ResponseStatus, ResumeToken, Role, SessionSetup,
    },
    tool::ToolDefinition,
};
use serde::{Deserialize, Serialize};

/// A line to the vendor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToVendor {
    /// The first line.
    Hello {
        /// Hz.
        rate: u32,
        /// Takes up an earlier conversation.
        resume: Option<String>,
        /// What was said before, as far as the token does not stand for it.
        history: Vec<String>,
        /// Whose voice it speaks with; its own without one.
        voice: Option<String>,
        /// What it may call.
        tools: Vec<Tool>,
    },
    /// The user's voice: PCM16 in base64.
    Audio {
        /// The samples.
        data: String,
    },
    /// Words for the model.
    Text {
        /// Who says them: a note of the system is no question of the user.
        role: Role,
        /// The words.
        text: String,
        /// Whether it is to answer.
        answer: bool,
    },
    /// What a tool said.
    Result {
        /// The call.
        id: String,
        /// The answer.
        output: String,
        /// The tool failed, or was not allowed to run.
        failed: bool,
    },
    /// Answer what is owed.
    Answer,
    /// Are you there?
    Ping,
    /// Goodbye.
    Bye,
}

/// A tool, as the vendor is told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: serde_json::Value,
}

/// A line from the vendor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromVendor {
    /// It is ready.
    Ready,
    /// It hears the user, or does no longer.
    Hears {
        /// Begins, or ends.
        on: bool,
    },
    /// What it understood.
    Understood {
        /// The words.
        text: String,
    },
    /// An answer begins.
    Speaks,
    /// A piece of the answer: PCM16 in base64, and its words.
    Voice {
        /// The samples.
        data: String,
        /// The words.
        text: String,
    },
    /// The answer is over.
    Done,
    /// Another connection can go on from here.
    Token {
        /// The token.
        token: String,
    },
    /// It wants a tool.
    Call {
        /// The call.
        id: String,
        /// The tool.
        name: String,
        /// A JSON object.
        arguments: serde_json::Value,
    },
    /// It is there.
    Pong,
    /// It will hang up.
    Leaving {
        /// In so many ms.
        in_ms: u64,
    },
    /// It refuses.
    Refused {
        /// `key`, `token`, `busy` or another word.
        why: String,
    },
    /// Whatever a later version says; passed over.
    #[serde(other)]
    Unknown,
}

/// The first line of a connection.
pub(crate) fn hello(rate: u32, setup: &SessionSetup) -> ToVendor {
    let words = |item: &HistoryItem| match item {
        HistoryItem::Message { role, text } => Some(format!("{}: {text}", role.as_str())),
        // Told only to providers whose `HistorySupport` is `Full`.
        _ => None,
    };
    let prompt = setup.system_prompt.iter().cloned();
    ToVendor::Hello {
        rate,
        resume: setup.resume.as_ref().map(|token| token.expose().to_owned()),
        history: prompt
            .chain(setup.history.iter().filter_map(words))
            .collect(),
        voice: setup.voice.clone(),
        tools: setup.tools.iter().cloned().map(tool).collect(),
    }
}

fn tool(tool: ToolDefinition) -> Tool {
    // Its rules are the engine's own affair.
    let ToolDefinition {
        name,
        description,
        parameters,
        ..
    } = tool;
    Tool {
        name,
        description,
        parameters,
    }
}

/// What a command of the engine is to the vendor; `None` if nothing needs to be sent.
pub(crate) fn encode(command: ProviderCommand) -> Result<Option<ToVendor>, ProviderError> {
    Ok(Some(match command {
        ProviderCommand::Audio(pcm) => ToVendor::Audio {
            data: BASE64.encode(pcm),
        },
        ProviderCommand::Text {
            role,
            text,
            respond,
        } => ToVendor::Text {
            role,
            text,
            answer: respond,
        },
        ProviderCommand::ToolResult {
            call_id,
            // The vendor knows a call by its id.
            name: _,
            output,
            is_error,
        } => ToVendor::Result {
            id: call_id.to_string(),
            output,
            failed: is_error,
        },
        ProviderCommand::Respond => ToVendor::Answer,
        ProviderCommand::Ping => ToVendor::Ping,
        // The vendor stops by itself when it hears the user, and forgets nothing.
        ProviderCommand::CancelResponse | ProviderCommand::Truncate { .. } => return Ok(None),
        ProviderCommand::Image { .. } => return Err(unsupported("images")),
        ProviderCommand::ActivityStart | ProviderCommand::ActivityEnd => {
            return Err(unsupported("turns that the host decides"));
        }
        ProviderCommand::Update(_) => return Err(unsupported("changes of a live session")),
        ProviderCommand::Raw(_) => return Err(unsupported("raw messages")),
        _ => return Err(unsupported("such commands")),
    }))
}

/// Names the kind of command alone: the command may hold what somebody said.
fn unsupported(commands: &str) -> ProviderError {
    let problem = format!("Tin Can takes no {commands}");
    ProviderError::new(ProviderErrorKind::Unsupported, problem)
}

/// What a line of the vendor means to the engine, in order.
pub(crate) fn decode(line: &str) -> Vec<ProviderEvent> {
    let message = match serde_json::from_str(line) {
        Ok(message) => message,
        Err(error) => {
            let problem = format!("a line that is no message, at column {}", error.column());
            let error = ProviderError::new(ProviderErrorKind::Protocol, problem);
            return vec![ProviderEvent::Error(error)];
        }
    };
    let item_id = None;
    match message {
        FromVendor::Hears { on: true } => vec![ProviderEvent::SpeechStarted { item_id }],
        FromVendor::Hears { on: false } => vec![ProviderEvent::SpeechStopped { item_id }],
        FromVendor::Understood { text } => vec![ProviderEvent::Transcript {
            role: Role::User,
            item_id,
            text,
            is_final: true,
        }],
        FromVendor::Speaks => vec![ProviderEvent::ResponseStarted { response_id: None }],
        FromVendor::Voice { data, text } => {
            let words = ProviderEvent::Transcript {
                role: Role::Assistant,
                item_id: None,
                text,
                is_final: false,
            };
            let Ok(pcm) = BASE64.decode(data) else {
                let error = ProviderError::new(ProviderErrorKind::Protocol, "broken audio");
                return vec![ProviderEvent::Error(error), words];
            };
            vec![
                ProviderEvent::Audio {
                    response_id: None,
                    item_id,
                    content_index: 0,
                    pcm: pcm.into(),
                },
                words,
            ]
        }
        FromVendor::Done => vec![ProviderEvent::ResponseEnded {
            response_id: None,
            status: ResponseStatus::Completed,
            usage: None,
        }],
        FromVendor::Token { token } => vec![ProviderEvent::Resumable(ResumeToken::new(token))],
        FromVendor::Call {
            id,
            name,
            arguments,
        } => vec![ProviderEvent::ToolCall {
            call_id: id.into(),
            name,
            arguments: arguments.to_string(),
        }],
        FromVendor::Pong => vec![ProviderEvent::Pong],
        FromVendor::Leaving { in_ms } => vec![ProviderEvent::GoAway {
            time_left: Some(std::time::Duration::from_millis(in_ms)),
        }],
        FromVendor::Refused { why } => vec![ProviderEvent::Closed(Some(refusal(&why)))],
        FromVendor::Ready | FromVendor::Unknown => Vec::new(),
    }
}

/// What a refusal means: the kind decides whether another connection is tried.
pub(crate) fn refusal(why: &str) -> ProviderError {
    let kind = match why {
        "key" => ProviderErrorKind::Authentication,
        "busy" => ProviderErrorKind::RateLimited,
        "token" => ProviderErrorKind::InvalidConfig,
        _ => ProviderErrorKind::Server,
    };
    ProviderError::new(kind, format!("the vendor refused: {why}")).with_code(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_lines() {
        let audio = encode(ProviderCommand::Audio(vec![1, 2].into())).unwrap();
        let line = serde_json::to_value(audio).unwrap();
        assert_eq!(line, serde_json::json!({"type": "audio", "data": "AQI="}));
        // Nothing of a command is left out: the model has to know whose words it reads.
        let whisper = encode(ProviderCommand::Text {
            role: Role::System,
            text: "offer the refund".into(),
            respond: false,
        });
        let line = serde_json::to_value(whisper.unwrap()).unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "type": "text", "role": "system", "text": "offer the refund", "answer": false
            })
        );
        let refused = encode(ProviderCommand::ToolResult {
            call_id: "c1".into(),
            name: "refund".into(),
            output: "not allowed".into(),
            is_error: true,
        });
        let line = serde_json::to_value(refused.unwrap()).unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "type": "result", "id": "c1", "output": "not allowed", "failed": true
            })
        );
        assert_eq!(encode(ProviderCommand::CancelResponse), Ok(None));
    }

    #[test]
    fn x6_a_refused_command_is_named_by_its_kind_alone() {
        let raw = serde_json::json!({"say": "hunter2"});
        let refused = encode(ProviderCommand::Raw(raw)).unwrap_err();
        assert_eq!(refused.kind(), ProviderErrorKind::Unsupported);
        let told = format!("{refused} {refused:?}");
        assert!(
            told.contains("raw messages") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn lines_become_events() {
        assert_eq!(decode(r#"{"type":"pong"}"#), [ProviderEvent::Pong]);
        assert_eq!(decode(r#"{"type":"from the future"}"#), []);
        let voice = decode(r#"{"type":"voice","data":"AQI=","text":"ah"}"#);
        assert!(matches!(&voice[0], ProviderEvent::Audio { pcm, .. } if pcm[..] == [1, 2]));
        assert!(matches!(decode("{")[..], [ProviderEvent::Error(_)]));
        assert_eq!(refusal("key").kind(), ProviderErrorKind::Authentication);
    }
}
