//! Schemas of tools, as hosts and MCP servers write them, in the vendor's form.

use roomkit_provider_gemini::protocol::tool_parameters;
use serde_json::{Value, json};

/// What becomes of a single property.
fn property(schema: &Value) -> Value {
    let whole = json!({ "type": "object", "properties": { "p": schema } });
    tool_parameters(&whole).unwrap()["properties"]["p"].clone()
}

#[test]
fn a_property_in_every_form() {
    let table = [
        // Types.
        (json!({ "type": "string" }), json!({ "type": "STRING" })),
        (json!({ "type": "Integer" }), json!({ "type": "INTEGER" })),
        (
            json!({ "type": ["null", "number"] }),
            json!({ "type": "NUMBER", "nullable": true }),
        ),
        (
            json!({ "type": ["boolean", "string"] }),
            json!({ "type": "BOOLEAN" }),
        ),
        (
            json!({ "type": "null" }),
            json!({ "type": "STRING", "nullable": true }),
        ),
        (
            json!({ "type": ["null"] }),
            json!({ "type": "STRING", "nullable": true }),
        ),
        (json!({ "type": "date" }), json!({ "type": "STRING" })),
        // A property without a type makes the tool unusable.
        (json!({}), json!({ "type": "STRING" })),
        (json!(true), json!({ "type": "STRING" })),
        (
            json!({ "description": "d" }),
            json!({ "type": "STRING", "description": "d" }),
        ),
        (
            json!({ "minimum": 1 }),
            json!({ "type": "NUMBER", "minimum": 1 }),
        ),
        (
            json!({ "enum": [1, 2] }),
            json!({ "type": "INTEGER", "description": "One of: 1, 2." }),
        ),
        (
            json!({ "enum": [true] }),
            json!({ "type": "BOOLEAN", "description": "One of: true." }),
        ),
        (
            json!({ "items": { "type": "string" } }),
            json!({ "type": "ARRAY", "items": { "type": "STRING" } }),
        ),
        // What is kept and what is not.
        (
            json!({ "type": "string", "title": "T", "default": "x", "pattern": "^x", "minLength": 1,
                "examples": ["x"], "format": "email", "$comment": "c", "description": "a\u{0}b" }),
            json!({ "type": "STRING", "description": "ab" }),
        ),
        (
            json!({ "type": "string", "format": "date-time" }),
            json!({ "type": "STRING", "format": "date-time" }),
        ),
        (
            json!({ "type": "integer", "minimum": 0, "maximum": 9, "exclusiveMinimum": -1, "multipleOf": 3, "format": "int32" }),
            json!({ "type": "INTEGER", "minimum": 0, "maximum": 9, "format": "int32" }),
        ),
        (
            json!({ "type": "number", "minimum": "0" }),
            json!({ "type": "NUMBER" }),
        ),
        // Choices.
        (
            json!({ "type": "string", "enum": ["a", "", "b", null] }),
            json!({ "type": "STRING", "enum": ["a", "b"], "nullable": true }),
        ),
        (
            json!({ "const": "a" }),
            json!({ "type": "STRING", "enum": ["a"] }),
        ),
        (
            json!({ "type": "integer", "enum": [1, 2], "description": "How many." }),
            json!({ "type": "INTEGER", "description": "How many. One of: 1, 2." }),
        ),
        (
            json!({ "oneOf": [{ "const": "a" }, { "const": "b" }, { "type": "null" }] }),
            json!({ "type": "STRING", "enum": ["a", "b"], "nullable": true }),
        ),
        // Alternatives.
        (
            json!({ "anyOf": [{ "type": "null" }, { "type": "integer" }, { "type": "string" }], "description": "d" }),
            json!({ "type": "INTEGER", "nullable": true, "description": "d" }),
        ),
        (
            json!({ "allOf": [{ "$ref": "#/properties/q" }], "description": "mine" }),
            json!({ "type": "STRING", "description": "mine" }),
        ),
        (
            json!({ "anyOf": [{ "anyOf": [{ "type": "boolean" }] }] }),
            json!({ "type": "BOOLEAN" }),
        ),
        (
            json!({ "anyOf": [{ "type": "null" }] }),
            json!({ "type": "STRING", "nullable": true }),
        ),
        (json!({ "anyOf": "x" }), json!({ "type": "STRING" })),
        (
            json!({ "oneOf": [{ "const": "a" }, { "enum": ["a", "b"] }] }),
            json!({ "type": "STRING", "enum": ["a", "b"] }),
        ),
        (
            json!({ "anyOf": [{ "type": "object", "properties": { "x": {} } }, { "type": "string" }] }),
            json!({ "type": "OBJECT", "properties": { "x": { "type": "STRING" } } }),
        ),
        // Parts.
        (
            json!({
                "type": "object",
                "properties": { "own": { "type": "boolean" } },
                "required": ["own"],
                "allOf": [
                    { "properties": { "a": { "type": "string" }, "own": { "type": "string" } },
                      "required": ["a", "own"] },
                    { "allOf": [{ "properties": { "b": { "type": "integer" } } }], "required": ["b"] },
                ],
            }),
            json!({
                "type": "OBJECT",
                "properties": { "own": { "type": "BOOLEAN" }, "a": { "type": "STRING" },
                    "b": { "type": "INTEGER" } },
                "required": ["own", "a", "b"],
            }),
        ),
        // References.
        (
            json!({ "$ref": "https://example.com/schema" }),
            json!({ "type": "STRING" }),
        ),
        (
            json!({ "$ref": "#/$defs/nowhere" }),
            json!({ "type": "STRING" }),
        ),
        // Arrays and objects.
        (
            json!({ "type": "array" }),
            json!({ "type": "ARRAY", "items": { "type": "STRING" } }),
        ),
        (
            json!({ "type": "array", "items": { "type": "number" }, "minItems": 1, "maxItems": 3, "uniqueItems": true }),
            json!({ "type": "ARRAY", "items": { "type": "NUMBER" }, "minItems": 1, "maxItems": 3 }),
        ),
        (
            json!({ "type": "array", "prefixItems": [{ "type": "number" }, { "type": "string" }] }),
            json!({ "type": "ARRAY", "items": { "type": "NUMBER" } }),
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            json!({ "type": "OBJECT" }),
        ),
        (
            json!({ "properties": { "x": { "type": "string" } }, "required": ["x", "y", 1] }),
            json!({ "type": "OBJECT", "properties": { "x": { "type": "STRING" } }, "required": ["x"] }),
        ),
        (
            json!({ "type": "object", "properties": { "x": {} }, "required": ["y"] }),
            json!({ "type": "OBJECT", "properties": { "x": { "type": "STRING" } } }),
        ),
        (
            json!({ "properties": { "x": {}, "y\u{7}": {} }, "required": ["x", "y\u{7}"] }),
            json!({ "type": "OBJECT", "properties": { "x": { "type": "STRING" } }, "required": ["x"] }),
        ),
    ];
    for (schema, expected) in table {
        assert_eq!(property(&schema), expected, "{schema}");
    }
}

#[test]
fn references_are_followed_within_the_schema() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            "Place": { "type": "object", "title": "Place", "properties": {
                "name": { "type": "string" }, "in": { "$ref": "#/$defs/Place" } },
                "required": ["name"] },
        },
        "type": "object", "additionalProperties": false,
        "properties": { "from": { "$ref": "#/$defs/Place", "description": "Where from." } },
        "required": ["from"],
    });
    let cleaned = tool_parameters(&schema).unwrap();
    let from = &cleaned["properties"]["from"];
    assert_eq!(from["type"], "OBJECT");
    assert_eq!(from["description"], "Where from.");
    assert_eq!(from["required"], json!(["name"]));
    assert_eq!(
        from["properties"]["in"]["properties"]["name"]["type"],
        "STRING"
    );
    let told = cleaned.to_string();
    for word in ["$ref", "$defs", "$schema", "title", "additionalProperties"] {
        assert!(!told.contains(word), "{word}: {told}");
    }
}

#[test]
fn a_tool_without_parameters_has_none() {
    for schema in [
        json!({ "type": "object", "properties": {} }),
        json!({ "type": "object" }),
        json!({}),
        json!(null),
        json!(true),
        json!({ "type": "string" }),
    ] {
        assert_eq!(tool_parameters(&schema), None, "{schema}");
    }
    let by_alternative = json!({ "anyOf": [{ "type": "null" },
        { "type": "object", "properties": { "x": { "type": "string" } } }] });
    let cleaned = tool_parameters(&by_alternative).unwrap();
    assert_eq!(
        cleaned,
        json!({ "type": "OBJECT", "properties": { "x": { "type": "STRING" } } })
    );
}

#[test]
fn alternatives_of_objects_allow_each() {
    let either = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "id": { "type": "integer" } },
        "anyOf": [{ "required": ["name"] }, { "required": ["id"] }],
    });
    let cleaned = tool_parameters(&either).unwrap();
    assert_eq!(cleaned.get("required"), None, "{cleaned}");
    let or_neither = json!({
        "properties": { "name": { "type": "string" }, "id": { "type": "integer" } },
        "required": ["name"],
        "anyOf": [{ "required": ["id"] }, {}],
    });
    let cleaned = tool_parameters(&or_neither).unwrap();
    assert_eq!(cleaned["required"], json!(["name"]));

    let union = json!({
        "$defs": {
            "A": { "type": "object", "required": ["kind", "x"], "properties": {
                "kind": { "const": "a" }, "x": { "type": "number" },
                "at": { "type": "object", "properties": { "row": { "type": "integer" } }, "required": ["row"] } } },
            "B": { "type": "object", "required": ["y", "kind"], "properties": {
                "kind": { "const": "b" }, "y": { "type": "string" },
                "at": { "type": "object", "properties": { "line": { "type": "integer" } } } } },
        },
        "oneOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#/$defs/B" }, { "type": "null" }],
    });
    let expected = json!({
        "type": "OBJECT",
        "properties": {
            "kind": { "type": "STRING", "enum": ["a", "b"] },
            "x": { "type": "NUMBER" },
            "y": { "type": "STRING" },
            "at": { "type": "OBJECT", "properties": {
                "row": { "type": "INTEGER" }, "line": { "type": "INTEGER" } } },
        },
        "required": ["kind"],
    });
    assert_eq!(tool_parameters(&union), Some(expected.clone()));
    let mut nullable = expected;
    nullable["nullable"] = json!(true);
    let inside = json!({
        "$defs": union["$defs"], "type": "object",
        "properties": { "p": { "anyOf": union["oneOf"] } },
    });
    assert_eq!(
        tool_parameters(&inside).unwrap()["properties"]["p"],
        nullable
    );
}

#[test]
fn alternatives_that_lead_back_to_themselves_leave_room_for_the_rest() {
    let filter = json!({ "$ref": "#/$defs/F" });
    let filters = json!({ "type": "array", "items": filter });
    let schema = json!({
        "$defs": { "F": { "anyOf": [
            { "type": "object", "properties": { "and": filters }, "required": ["and"] },
            { "type": "object", "properties": { "or": filters }, "required": ["or"] },
            { "type": "object", "properties": { "not": filter }, "required": ["not"] },
            { "type": "object", "properties": { "field": { "type": "string" }, "is": { "type": "string" } } },
        ] } },
        "type": "object",
        "properties": { "filter": filter, "query": { "type": "string" }, "table": { "type": "string" } },
        "required": ["filter", "query", "table"],
    });
    let parameters = tool_parameters(&schema).unwrap();
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&parameters["properties"]),
        ["filter", "query", "table"]
    );
    assert_eq!(parameters["required"], json!(["filter", "query", "table"]));
    let filter = &parameters["properties"]["filter"]["properties"];
    assert_eq!(names(filter), ["and", "field", "is", "not", "or"]);
}

#[test]
fn x5_alternatives_that_lead_back_to_themselves_have_an_end() {
    let both = json!({ "anyOf": [{ "$ref": "#" }, { "$ref": "#/$defs/N" }] });
    let schema = json!({
        "$defs": { "N": { "type": "object", "properties": { "l": both, "r": both } } },
        "type": "object", "properties": { "n": both }, "anyOf": [both, both],
    });
    assert!(tool_parameters(&schema).unwrap().to_string().len() < 200_000);
}
