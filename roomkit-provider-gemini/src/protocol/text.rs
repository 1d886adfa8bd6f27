//! Text as the vendor bears it.

use serde_json::Value;

/// The longest text that is injected, in characters.
const LIMIT: usize = 32_000;
/// What stands for the rest of a longer one.
const NOTICE: &str = " [the rest of this text was cut off]";

/// What precedes words that are only to be known. The realtime path has no other way to say so;
/// the model may answer all the same.
const SILENT: &str = "[Context update, do not respond to this] ";
/// What precedes the model's own words where they cannot be given as such.
const SAID: &str = "[Assistant previously said] ";

/// The text without control characters, which close the connection; tabs and line ends stay.
pub(super) fn without_controls(text: &str) -> String {
    let is_fit = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars().filter(is_fit).collect()
}

/// The text fit to be injected; none if nothing is left of it. A longer one is cut, with a notice.
pub(super) fn fit(text: &str) -> Option<String> {
    let mut text = without_controls(text);
    if let Some((cut, _)) = text.char_indices().nth(LIMIT) {
        text.truncate(cut);
        text.push_str(NOTICE);
    }
    (!text.trim().is_empty()).then_some(text)
}

/// The text as user's words on the realtime path, which knows neither roles nor silence.
pub(super) fn in_words(text: &str, is_silent: bool, is_said_by_model: bool) -> String {
    let silent = if is_silent { SILENT } else { "" };
    let said = if is_said_by_model { SAID } else { "" };
    format!("{silent}{said}{text}")
}

/// A tool's output as the object that the vendor wants.
pub(super) fn response(output: &str, is_error: bool) -> Value {
    let mut value = match serde_json::from_str(output) {
        Ok(value) => value,
        Err(_) => Value::String(output.to_owned()),
    };
    clean(&mut value);
    match value {
        // The vendor reads these two names as what they say.
        Value::Object(object) if !is_error || object.contains_key("error") => Value::Object(object),
        value if is_error => serde_json::json!({ "error": value }),
        value => serde_json::json!({ "result": value }),
    }
}

fn clean(value: &mut Value) {
    let has_controls = |text: &String| text.chars().any(char::is_control);
    match value {
        Value::String(text) if has_controls(text) => *text = without_controls(text),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            fields.values_mut().for_each(clean);
            if fields.keys().any(has_controls) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, value)| (without_controls(&name), value))
                    .collect();
            }
        }
        _ => {}
    }
}
