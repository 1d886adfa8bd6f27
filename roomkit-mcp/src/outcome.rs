//! What a tool gave back, in a form every model can read.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use roomkit_core::tool::{ToolError, ToolOutput};
use serde_json::{Value, json};

/// Text of this length without a space that is base64 all through is data, not words.
const DATA: usize = 512;

/// The result as the model gets it: structured content if there is some, else the texts. Images,
/// sounds and files are described, because no model reads base64 and every model pays for it. What
/// is too long is for the channel to cut (contract K6), which says how long it was.
pub(crate) fn of(result: CallToolResult) -> Result<ToolOutput, ToolError> {
    let is_error = result.is_error == Some(true);
    let has_more = |block: &ContentBlock| !matches!(block, ContentBlock::Text(_));
    let has_words = result.content.iter().any(|block| match block {
        ContentBlock::Text(text) => !text.text.trim().is_empty(),
        _ => true,
    });
    let is_empty = |value: &Value| *value == Value::Null || *value == json!({});
    let value = match result.structured_content {
        // An error is told in words, which the structure rarely has, if there are any.
        Some(value) if !is_error || !has_words && !is_empty(&value) => {
            let others: Vec<Value> = result
                .content
                .iter()
                .filter(|block| has_more(block))
                .map(described)
                .collect();
            let value = without_data(value);
            if others.is_empty() {
                value
            } else {
                json!({ "result": value, "content": others })
            }
        }
        _ if result.content.iter().any(has_more) => {
            Value::Array(result.content.iter().map(described).collect())
        }
        _ => {
            let texts = result.content.iter().filter_map(|block| match block {
                ContentBlock::Text(text) => Some(words(&text.text)),
                _ => None,
            });
            Value::String(texts.collect::<Vec<_>>().join("\n"))
        }
    };
    if !is_error {
        return Ok(match value {
            Value::String(text) if text.is_empty() => json!({ "status": "ok" }).into(),
            value => ToolOutput::from(value),
        });
    }
    Err(ToolError::new(match value {
        Value::String(text) if text.trim().is_empty() => "the tool failed and said no more".into(),
        Value::String(text) => text,
        value => value.to_string(),
    }))
}

/// One block of content.
fn described(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => json!({ "type": "text", "text": words(&text.text) }),
        ContentBlock::Image(image) => data("image", Some(&image.mime_type), &image.data),
        ContentBlock::Audio(audio) => data("audio", Some(&audio.mime_type), &audio.data),
        ContentBlock::ResourceLink(link) => json!({
            "type": "resource_link",
            "uri": link.uri,
            "name": link.name,
            "description": link.description,
            "mime_type": link.mime_type,
        }),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents {
                uri,
                mime_type,
                text,
                ..
            } => json!({
                "type": "resource",
                "uri": uri,
                "mime_type": mime_type,
                "text": words(text),
            }),
            ResourceContents::BlobResourceContents {
                uri,
                mime_type,
                blob,
                ..
            } => {
                let mut told = data("resource", mime_type.as_ref(), blob);
                told["uri"] = json!(uri);
                told
            }
            _ => json!({ "type": "resource", "note": "of a kind that is not known here" }),
        },
        _ => json!({ "type": "other", "note": "of a kind that is not known here" }),
    }
}

fn data(kind: &str, mime_type: Option<&String>, base64: &str) -> Value {
    json!({
        "type": kind,
        "mime_type": mime_type,
        "bytes": bytes_of(base64),
        "note": "the data itself is not shown here",
    })
}

/// How many bytes base64 stands for.
fn bytes_of(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// The text, unless it is data.
fn words(text: &str) -> String {
    let encoded = text.rsplit_once(";base64,").map_or(text, |(_, data)| data);
    let is_data = encoded.len() > DATA
        && encoded
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte))
        // A very long word is still a word if it is always the same kind of letter.
        && encoded.bytes().any(|byte| byte.is_ascii_uppercase())
        && encoded.bytes().any(|byte| byte.is_ascii_lowercase());
    if is_data {
        format!("[{} bytes of data, not shown here]", bytes_of(encoded))
    } else {
        text.to_owned()
    }
}

fn without_data(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(words(&text)),
        Value::Array(values) => values.into_iter().map(without_data).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_data(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(value: Value) -> Result<Value, String> {
        let result: CallToolResult = serde_json::from_value(value).unwrap();
        of(result)
            .map(|output| output.value)
            .map_err(|error| error.0)
    }

    #[test]
    fn k6_structure_is_preferred_to_text() {
        let both =
            json!({"content": [{"type": "text", "text": "x"}], "structuredContent": {"a": 1}});
        assert_eq!(result(both), Ok(json!({"a": 1})));
        let texts =
            json!({"content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]});
        assert_eq!(result(texts), Ok(json!("x\ny")));
        assert_eq!(result(json!({"content": []})), Ok(json!({"status": "ok"})));
    }

    #[test]
    fn k6_images_and_files_are_described_not_sent() {
        let told = result(json!({"content": [
            {"type": "text", "text": "here"},
            {"type": "image", "mimeType": "image/png", "data": "A".repeat(4_000_000)},
            {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "application/zip", "blob": "AAAA"}},
            {"type": "resource", "resource": {"uri": "file:///b", "text": "words"}},
            {"type": "resource_link", "uri": "file:///c", "name": "c"},
        ]}))
        .unwrap();
        assert_eq!(told[0], json!({"type": "text", "text": "here"}));
        assert_eq!(told[1]["mime_type"], "image/png");
        assert_eq!(told[1]["bytes"], 3_000_000);
        assert_eq!(told[2]["bytes"], 3);
        assert_eq!(told[3]["text"], "words");
        assert_eq!(told[4]["uri"], "file:///c");
        assert!(told.to_string().len() < 1000);
    }

    #[test]
    fn k6_data_hidden_in_text_and_structure_is_described() {
        let data = "iVBORw0KGgo".repeat(100);
        let url = format!("data:image/png;base64,{data}");
        let told = result(json!({"content": [], "structuredContent": {"a": [data, "b"]}})).unwrap();
        assert_eq!(
            told,
            json!({"a": ["[825 bytes of data, not shown here]", "b"]})
        );
        let told = result(json!({"content": [{"type": "text", "text": url}]})).unwrap();
        assert_eq!(told, "[825 bytes of data, not shown here]");
    }

    #[test]
    fn an_error_is_an_error_in_words() {
        let error = json!({"isError": true, "content": [{"type": "text", "text": "no such city"}], "structuredContent": {}});
        assert_eq!(result(error), Err("no such city".into()));
        let structured =
            json!({"isError": true, "content": [], "structuredContent": {"code": "no_city"}});
        assert_eq!(result(structured), Err("{\"code\":\"no_city\"}".into()));
        let silent = json!({"isError": true, "content": [{"type": "text", "text": " "}], "structuredContent": {}});
        assert!(result(silent).unwrap_err().contains("failed"));
        let silent = json!({"isError": true, "content": []});
        assert!(result(silent).unwrap_err().contains("failed"));
    }
}
