//! Reading the client's JSON the way the vendor's proto3 parser does: `camelCase` and `snake_case`
//! are the same, `null` is absent, and everything else that does not fit is refused.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// A message type: its fields by their camel case names.
#[derive(Debug)]
pub(crate) struct Message(pub(crate) &'static [(&'static str, Kind)]);

/// What a field may hold.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    Flag,
    Integer,
    Number,
    Choice(&'static [&'static str]),
    /// As [`Kind::Choice`], in any case.
    LooseChoice(&'static [&'static str]),
    Message(&'static Message),
    List(&'static Kind),
    /// Keys of the client's choice.
    Map(&'static Kind),
    /// Any JSON object.
    Object,
    /// Any JSON at all.
    Json,
}

/// Checks `value` and returns it with every known key in camel case.
pub(crate) fn read(message: &Message, value: &Value, path: &str) -> Result<Value, Refusal> {
    let map = object(value, path)?;
    let mut normal = Map::new();
    for (key, value) in map {
        let known = message.0.iter().find(|(name, _)| matches(key, name));
        let Some((name, kind)) = known else {
            return Err(Refusal::unknown_name(key, path));
        };
        if value.is_null() {
            continue;
        }
        let path = join(path, name);
        let value = read_value(kind, value, &path)?;
        if normal.insert((*name).to_owned(), value).is_some() {
            let twice = format!("'{path}' is there in camelCase and in snake_case");
            return Err(Refusal::invalid_argument(twice).at(&path));
        }
    }
    Ok(Value::Object(normal))
}

fn read_value(kind: &Kind, value: &Value, path: &str) -> Result<Value, Refusal> {
    let wrong = |expected| Err(Refusal::wrong_type(path, expected, value));
    match kind {
        Kind::Text if value.is_string() => Ok(value.clone()),
        Kind::Text => wrong("TYPE_STRING"),
        Kind::Flag if value.is_boolean() => Ok(value.clone()),
        Kind::Flag => wrong("TYPE_BOOL"),
        Kind::Integer => match integer(value) {
            Some(number) => Ok(Value::from(number)),
            None => wrong("TYPE_INT32"),
        },
        Kind::Number => match number(value) {
            Some(number) => Ok(Value::from(number)),
            None => wrong("TYPE_FLOAT"),
        },
        Kind::Choice(accepted) => choice(value, accepted, false, path),
        Kind::LooseChoice(accepted) => choice(value, accepted, true, path),
        Kind::Message(message) => read(message, value, path),
        Kind::List(kind) => {
            let Value::Array(list) = value else {
                return wrong("a list");
            };
            let read = |(index, item)| read_value(kind, item, &format!("{path}[{index}]"));
            let list: Result<Vec<_>, _> = list.iter().enumerate().map(read).collect();
            list.map(Value::Array)
        }
        Kind::Map(kind) => {
            let read = |(index, (key, item)): (usize, (&String, &Value))| {
                let value = read_value(kind, item, &format!("{path}[{index}].value"))?;
                Ok((key.clone(), value))
            };
            let map: Result<Map<_, _>, _> =
                object(value, path)?.iter().enumerate().map(read).collect();
            map.map(Value::Object)
        }
        Kind::Object => object(value, path).map(|_| value.clone()),
        Kind::Json => Ok(value.clone()),
    }
}

fn object<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| Refusal::wrong_type(path, "a message", value))
}

fn choice(value: &Value, accepted: &[&str], loose: bool, path: &str) -> Result<Value, Refusal> {
    let Some(text) = value.as_str() else {
        return Err(Refusal::wrong_type(path, "TYPE_ENUM", value));
    };
    let same = |known: &&&str| **known == text || loose && known.eq_ignore_ascii_case(text);
    if let Some(known) = accepted.iter().find(same) {
        return Ok(Value::from(*known));
    }
    let detail = format!("'{text}' is none of {accepted:?}");
    Err(Refusal::invalid_argument(detail).at(path))
}

/// proto3 JSON takes integers as numbers and as strings.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64().or_else(|| {
            let number = other.as_f64().filter(|number| number.fract() == 0.0)?;
            Some(number as i64)
        }),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

fn matches(key: &str, camel: &str) -> bool {
    key == camel || key == snake(camel)
}

/// `generationConfig` as `generation_config`.
pub(crate) fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The vendor names places in snake case.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return snake(name);
    }
    format!("{path}.{}", snake(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::CLIENT_MESSAGE;
    use super::*;

    #[test]
    fn both_spellings_become_one() {
        let snake =
            json!({"realtime_input": {"audio": {"data": "AAA=", "mime_type": "audio/pcm"}}});
        let camel = json!({"realtimeInput": {"audio": {"data": "AAA=", "mimeType": "audio/pcm"}}});
        assert_eq!(read(&CLIENT_MESSAGE, &snake, ""), Ok(camel.clone()));
        assert_eq!(read(&CLIENT_MESSAGE, &camel, ""), Ok(camel));
    }

    #[test]
    fn unknown_names_are_refused_with_their_place() {
        let setup = json!({"setup": {"generationConfig": {"warmth": 3}}});
        let refusal = read(&CLIENT_MESSAGE, &setup, "").unwrap_err();
        assert_eq!(
            refusal.reason,
            "Invalid JSON payload received. Unknown name \"warmth\" at 'setup.generation_config': Cannot find field."
        );
        let refusal = read(&CLIENT_MESSAGE, &json!({"config": {}}), "").unwrap_err();
        assert_eq!(
            refusal.reason,
            "Invalid JSON payload received. Unknown name \"config\": Cannot find field."
        );
    }

    #[test]
    fn tool_schemas_take_what_the_proto_has() {
        let with = |parameters: Value| {
            json!({"setup": {"tools": [{"functionDeclarations": [
                {"name": "f", "parameters": parameters}]}]}})
        };
        let good = with(json!({"type": "object", "properties": {"a": {"type": "STRING"}}}));
        assert!(read(&CLIENT_MESSAGE, &good, "").is_ok());
        let bad = with(
            json!({"type": "object", "properties": {"a": {"type": "OBJECT",
            "additionalProperties": false}}}),
        );
        let refusal = read(&CLIENT_MESSAGE, &bad, "").unwrap_err();
        assert_eq!(
            refusal.path.as_deref(),
            Some("setup.tools[0].function_declarations[0].parameters.properties[0].value")
        );
    }

    #[test]
    fn numbers_may_be_text_and_null_is_absent() {
        let setup =
            json!({"setup": {"generationConfig": {"seed": "7", "topK": 40.0, "topP": null}}});
        let read = read(&CLIENT_MESSAGE, &setup, "").unwrap();
        assert_eq!(
            read,
            json!({"setup": {"generationConfig": {"seed": 7, "topK": 40.0}}})
        );
    }
}
