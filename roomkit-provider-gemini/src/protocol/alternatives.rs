//! Alternatives of a schema, for which the vendor has no word, as one schema.

use serde_json::{Map, Value, json};

/// Alternatives that are all constants are one choice.
pub(super) fn one_choice(branches: &[&Map<String, Value>]) -> Option<Value> {
    let mut values = Vec::new();
    for branch in branches {
        let more = match (branch.get("const"), branch.get("enum")) {
            (Some(value), _) => std::slice::from_ref(value),
            (None, Some(Value::Array(more))) => more,
            _ => return None,
        };
        for value in more {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }
    (!values.is_empty()).then_some(Value::Array(values))
}

/// Whether it describes objects. A part of what describes them already need not say so.
pub(super) fn is_object(branch: &Map<String, Value>, is_part: bool) -> bool {
    let is_so = |kind: &Value| {
        let kind = kind.as_str();
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("object"))
    };
    match branch.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_so),
        Some(kind) => is_so(kind),
        None => {
            is_part
                || ["properties", "required"]
                    .iter()
                    .any(|it| branch.contains_key(*it))
        }
    }
}

/// Objects of which one is meant, as an object that allows each: with the properties of all, and
/// required is only what all require. A stricter one would keep the model from calls that are right.
pub(super) fn joined(objects: &[Map<String, Value>]) -> Map<String, Value> {
    let mut variants: Map<String, Value> = Map::new();
    let given = |object: &Map<String, Value>| object.get("properties")?.as_object().cloned();
    for (name, property) in objects.iter().filter_map(given).flatten() {
        let known = variants.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(known) = known
            && !known.contains(&property)
        {
            known.push(property);
        }
    }
    let one = |variants: Value| match variants {
        Value::Array(mut only) if only.len() == 1 => only.remove(0),
        several => json!({ "anyOf": several }),
    };
    let properties: Map<String, Value> = variants
        .into_iter()
        .map(|(name, variants)| (name, one(variants)))
        .collect();
    let is_required = |object: &Map<String, Value>, name: &Value| {
        let required = object.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.contains(name))
    };
    let required: Vec<Value> = objects
        .first()
        .and_then(|object| object.get("required")?.as_array())
        .into_iter()
        .flatten()
        .filter(|name| objects.iter().all(|object| is_required(object, name)))
        .cloned()
        .collect();
    let is_nullable = |object: &Map<String, Value>| object.get("nullable") == Some(&json!(true));
    let mut whole = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), properties.into()),
        ("required".to_owned(), required.into()),
    ]);
    if objects.iter().any(is_nullable) {
        whole.insert("nullable".into(), true.into());
    }
    whole
}
