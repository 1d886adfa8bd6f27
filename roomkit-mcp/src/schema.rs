//! The schemas of foreign tools, made fit for a vendor.

use serde_json::{Map, Value, json};

/// The longest schema that is passed on, as JSON, in bytes: it costs tokens in every turn.
const LONGEST: usize = 32 * 1024;

/// The schema of a tool's arguments, without what vendors stumble over.
///
/// # Errors
/// When it is no schema of an object; the text says why.
pub(crate) fn prepared(schema: &Map<String, Value>) -> Result<Value, String> {
    let mut schema = Value::Object(schema.clone());
    let length = schema.to_string().len();
    if length > LONGEST {
        return Err(format!(
            "its schema has {length} bytes, more than {LONGEST}"
        ));
    }
    match schema.get("type") {
        None => {
            if let Value::Object(schema) = &mut schema {
                schema.insert("type".into(), json!("object"));
            }
        }
        Some(Value::String(kind)) if kind == "object" => {}
        Some(other) => return Err(format!("its arguments are {other}, not an object")),
    }
    if schema.get("properties").is_none()
        && let Value::Object(schema) = &mut schema
    {
        schema.insert("properties".into(), json!({}));
    }
    jsonschema::validator_for(&schema).map_err(|error| format!("its schema is none: {error}"))?;
    clean(&mut schema);
    Ok(schema)
}

/// Takes out what says nothing to a model and is refused by one vendor or another. Goes only where
/// schemas are: a property may well be called `title`.
fn clean(schema: &mut Value) {
    let Value::Object(schema) = schema else {
        return;
    };
    for annotation in ["$schema", "$comment", "title"] {
        schema.remove(annotation);
    }
    let is_width = |format: &str| {
        ["int", "uint", "float", "double"]
            .iter()
            .any(|kind| format.starts_with(kind))
    };
    if schema
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(is_width)
    {
        schema.remove("format");
    }
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => schemas.values_mut().for_each(clean),
            ("items" | "anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(clean);
            }
            (
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames"
                | "additionalItems",
                schema,
            ) => clean(schema),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared_value(schema: &Value) -> Result<Value, String> {
        prepared(schema.as_object().unwrap())
    }

    #[test]
    fn annotations_go_and_properties_of_their_names_stay() {
        let cleaned = prepared_value(&json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Arguments",
            "properties": {
                "title": {"type": "string", "title": "Title"},
                "count": {"type": "integer", "format": "int64"},
                "when": {"type": "string", "format": "date-time"},
                "list": {"type": "array", "items": {"anyOf": [{"title": "A", "type": "string"}]}},
            },
        }));
        assert_eq!(
            cleaned,
            Ok(json!({
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "count": {"type": "integer"},
                    "when": {"type": "string", "format": "date-time"},
                    "list": {"type": "array", "items": {"anyOf": [{"type": "string"}]}},
                },
            }))
        );
    }

    #[test]
    fn what_is_no_schema_of_an_object_is_refused() {
        for (schema, part) in [
            (json!({"type": "string"}), "not an object"),
            (json!({"type": 7}), "not an object"),
            (
                json!({"properties": {"a": {"type": "no such type"}}}),
                "none",
            ),
            (json!({"properties": 3}), "none"),
            (
                json!({"properties": {"a": {"$ref": "http://127.0.0.1:1/x.json"}}}),
                "none",
            ),
            (json!({"description": "x".repeat(LONGEST)}), "more than"),
        ] {
            let error = prepared_value(&schema).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(prepared_value(&json!({})).is_ok());
    }
}
