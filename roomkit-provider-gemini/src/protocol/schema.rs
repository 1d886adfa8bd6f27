//! Tools in the vendor's form. Its schemas are a small part of JSON Schema; what is beyond it makes
//! a tool silently unusable or closes the connection, so it is rewritten or left out. The engine
//! checks arguments against the whole schema all the same.

use roomkit_core::{registry::ConfigError, tool::ToolDefinition};
use serde_json::{Map, Value, json};

use super::{alternatives, text::without_controls};
use crate::config::{GeminiSessionConfig, Target, ToolBehavior};

/// How deep a schema is followed; a reference may lead back to itself.
const DEPTH: usize = 12;
/// How many schemas one tool may come to: references can also multiply.
const NODES: usize = 1_000;
/// The longest name of a tool, in characters.
const NAME_LENGTH: usize = 128;
/// The types there are.
const TYPES: [&str; 6] = ["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"];
/// The formats the vendor knows; it refuses others.
const FORMATS: [&str; 6] = ["date-time", "enum", "float", "double", "int32", "int64"];

/// The `tools` of a setup: all functions in one entry, and the vendor's own tools.
///
/// # Errors
/// When a name is not one the vendor takes, or the model calls no tools; the error names the tool.
pub(super) fn tools(
    tools: &[ToolDefinition],
    session: &GeminiSessionConfig,
    target: &Target,
) -> Result<Vec<Value>, ConfigError> {
    if !tools.is_empty() && !target.family.converses() {
        return Err(ConfigError::field(
            "tools",
            format!("are set, but `{}` calls none; leave them out", target.id),
        ));
    }
    let mut entries = Vec::new();
    if !tools.is_empty() {
        let functions: Result<Vec<Value>, ConfigError> =
            tools.iter().map(|tool| function(tool, session)).collect();
        entries.push(json!({ "functionDeclarations": functions? }));
    }
    if session.google_search {
        entries.push(json!({ "googleSearch": {} }));
    }
    Ok(entries)
}

fn function(tool: &ToolDefinition, session: &GeminiSessionConfig) -> Result<Value, ConfigError> {
    check_name(&tool.name)?;
    let mut function = Map::from_iter([("name".to_owned(), tool.name.as_str().into())]);
    let description = without_controls(&tool.description);
    if !description.trim().is_empty() {
        function.insert("description".into(), description.into());
    }
    if let Some(parameters) = parameters(&tool.parameters) {
        function.insert("parameters".into(), parameters);
    }
    let behavior = if tool.rules.speak_while_running {
        Some(ToolBehavior::NonBlocking)
    } else {
        session.tool_behavior
    };
    if let Some(behavior) = behavior {
        function.insert("behavior".into(), behavior.as_str().into());
    }
    Ok(Value::Object(function))
}

/// Checks that a tool's name is one that the vendor takes.
pub(crate) fn check_name(name: &str) -> Result<(), ConfigError> {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if begins_well && name.chars().all(is_plain) && name.len() <= NAME_LENGTH {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(ConfigError::field(
        "tools",
        format!(
            "hold the name `{shown}`; use at most {NAME_LENGTH} letters, digits and `_.:-`, \
             beginning with a letter or `_`"
        ),
    ))
}

/// The parameters of a tool in the vendor's form; `None` for a tool without any, because an object
/// without properties is refused.
pub fn parameters(schema: &Value) -> Option<Value> {
    let mut cleaner = Cleaner {
        root: schema,
        nodes: 0,
        inside: vec!["#".to_owned()],
    };
    let mut arguments = cleaner.clean(schema, 0);
    arguments.get("properties")?;
    // An object whatever else the schema says.
    arguments.insert("type".into(), "OBJECT".into());
    arguments.remove("nullable");
    Some(Value::Object(arguments))
}

struct Cleaner<'a> {
    root: &'a Value,
    nodes: usize,
    /// The references that led to where it is.
    inside: Vec<String>,
}

impl Cleaner<'_> {
    fn clean(&mut self, schema: &Value, depth: usize) -> Map<String, Value> {
        self.nodes += 1;
        let outside = self.inside.len();
        let flat = match schema {
            Value::Object(schema) if depth < DEPTH && self.nodes < NODES => {
                self.flatten(schema, depth)
            }
            // `true` and `{}` allow anything, which the vendor has no word for.
            _ => Map::new(),
        };
        let mut cleaned = Map::new();
        let (kind, nullable) = type_of(&flat);
        cleaned.insert("type".into(), kind.into());
        let mut description = flat
            .get("description")
            .and_then(Value::as_str)
            .map(without_controls);
        if let Some(values) = flat.get("enum").and_then(Value::as_array) {
            choices(kind, values, &mut cleaned, &mut description);
        }
        match kind {
            "OBJECT" => self.object(&flat, &mut cleaned, depth),
            "ARRAY" => self.array(&flat, &mut cleaned, depth),
            "NUMBER" | "INTEGER" => {
                for name in ["minimum", "maximum"] {
                    if let Some(limit) = flat.get(name).filter(|limit| limit.is_number()) {
                        cleaned.insert(name.into(), limit.clone());
                    }
                }
            }
            _ => {}
        }
        self.inside.truncate(outside);
        if let Some(format) = flat.get("format").and_then(Value::as_str)
            && FORMATS.contains(&format)
        {
            cleaned.insert("format".into(), format.into());
        }
        if let Some(description) = description.filter(|text| !text.trim().is_empty()) {
            cleaned.insert("description".into(), description.into());
        }
        if nullable {
            cleaned.insert("nullable".into(), true.into());
        }
        cleaned
    }

    /// The schema with references followed, parts put together, alternatives joined, or decided where they
    /// are no objects or stand inside of themselves (each would come to all of them again, and leave no room
    /// for the tool's other parameters), and constants as choices. What stands beside a reference, a part or an alternative wins over what is in it.
    fn flatten(&mut self, schema: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let root = self.root;
        let mut flat = schema.clone();
        let mut is_inside_itself = false;
        for _ in 0..DEPTH {
            if let Some(Value::String(reference)) = flat.remove("$ref") {
                let place = reference.strip_prefix('#');
                if let Some(Value::Object(there)) = place.and_then(|at| root.pointer(at)) {
                    under(&mut flat, there);
                }
                is_inside_itself |= self.inside.contains(&reference);
                self.inside.push(reference);
                continue;
            }
            if let Some(parts) = flat.remove("allOf") {
                for part in parts.as_array().into_iter().flatten() {
                    self.nodes += 1;
                    if let Value::Object(part) = part
                        && depth < DEPTH
                        && self.nodes < NODES
                    {
                        under(&mut flat, &self.flatten(part, depth + 1));
                    }
                }
                continue;
            }
            let alternatives = ["anyOf", "oneOf"]
                .iter()
                .find_map(|name| flat.remove(*name));
            let Some(alternatives) = alternatives else {
                break;
            };
            let branches: Vec<&Map<String, Value>> = alternatives
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_object)
                .collect();
            let is_null = |branch: &Map<String, Value>| {
                branch.get("type").is_some_and(|kind| kind == "null")
                    || branch.get("const").is_some_and(Value::is_null)
            };
            if branches.iter().any(|branch| is_null(branch)) {
                flat.insert("nullable".into(), true.into());
            }
            let rest: Vec<_> = branches.into_iter().filter(|it| !is_null(it)).collect();
            if let Some(values) = alternatives::one_choice(&rest) {
                flat.entry("enum").or_insert(values);
            } else if !is_inside_itself && let Some(objects) = self.objects(&flat, &rest, depth) {
                under(&mut flat, &alternatives::joined(&objects));
            } else if let Some(branch) = rest.first() {
                under(&mut flat, branch);
            }
        }
        if let Some(constant) = flat.remove("const") {
            flat.insert("enum".into(), Value::Array(vec![constant]));
        }
        flat
    }

    /// The alternatives, flattened, if there are several, and each is an object.
    fn objects(
        &mut self,
        whole: &Map<String, Value>,
        branches: &[&Map<String, Value>],
        depth: usize,
    ) -> Option<Vec<Map<String, Value>>> {
        if branches.len() < 2 {
            return None;
        }
        let is_part = alternatives::is_object(whole, false);
        let mut objects = Vec::new();
        for branch in branches {
            self.nodes += 1;
            if depth >= DEPTH || self.nodes >= NODES {
                return None;
            }
            let object = self.flatten(branch, depth + 1);
            if !alternatives::is_object(&object, is_part) {
                return None;
            }
            objects.push(object);
        }
        Some(objects)
    }

    fn object(
        &mut self,
        flat: &Map<String, Value>,
        cleaned: &mut Map<String, Value>,
        depth: usize,
    ) {
        let given = flat.get("properties").and_then(Value::as_object);
        let mut properties = Map::new();
        for (name, property) in given.into_iter().flatten() {
            if self.nodes >= NODES {
                break;
            }
            // It closes the connection, and under another name it would be another property.
            if without_controls(name) != *name {
                continue;
            }
            let property = self.clean(property, depth + 1);
            properties.insert(name.clone(), Value::Object(property));
        }
        if properties.is_empty() {
            return;
        }
        let required: Vec<Value> = flat
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|name| {
                name.as_str()
                    .is_some_and(|name| properties.contains_key(name))
            })
            .cloned()
            .collect();
        if !required.is_empty() {
            cleaned.insert("required".into(), required.into());
        }
        cleaned.insert("properties".into(), Value::Object(properties));
    }

    fn array(&mut self, flat: &Map<String, Value>, cleaned: &mut Map<String, Value>, depth: usize) {
        // The items of a tuple differ; the vendor knows one kind only.
        let items = match flat.get("items").or(flat.get("prefixItems")) {
            Some(Value::Array(tuple)) => tuple.first(),
            items => items,
        };
        // An array has to say of what.
        let items = self.clean(items.unwrap_or(&Value::Null), depth + 1);
        cleaned.insert("items".into(), Value::Object(items));
        for name in ["minItems", "maxItems"] {
            if let Some(limit) = flat.get(name).filter(|limit| limit.is_u64()) {
                cleaned.insert(name.into(), limit.clone());
            }
        }
    }
}

/// Adds what is not there yet: of properties and what is required of them, each.
fn under(schema: &mut Map<String, Value>, below: &Map<String, Value>) {
    for (name, value) in below {
        match (name.as_str(), schema.get_mut(name), value) {
            (_, None, _) => {
                schema.insert(name.clone(), value.clone());
            }
            ("properties", Some(Value::Object(own)), Value::Object(more)) => {
                for (name, value) in more {
                    own.entry(name).or_insert_with(|| value.clone());
                }
            }
            ("required", Some(Value::Array(own)), Value::Array(more)) => {
                let new = more.iter().filter(|name| !own.contains(name));
                let new: Vec<Value> = new.cloned().collect();
                own.extend(new);
            }
            _ => {}
        }
    }
}

/// The vendor's word for the type, guessed where none is said, and whether null will do too.
fn type_of(flat: &Map<String, Value>) -> (&'static str, bool) {
    let given: Vec<&str> = match flat.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is_null = |kind: &&str| kind.eq_ignore_ascii_case("null");
    let choices = flat.get("enum").and_then(Value::as_array);
    let nullable = flat
        .get("nullable")
        .is_some_and(|nullable| *nullable == true)
        || given.iter().any(is_null)
        || choices.is_some_and(|values| values.iter().any(Value::is_null));
    let said = given.iter().filter(|kind| !is_null(kind)).find_map(|kind| {
        TYPES
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(kind))
    });
    let has = |name: &str| flat.contains_key(name);
    let kind = said.unwrap_or_else(|| {
        let first = choices.and_then(|values| values.iter().find(|value| !value.is_null()));
        match first {
            _ if has("properties") => "OBJECT",
            _ if has("items") || has("prefixItems") => "ARRAY",
            _ if has("minimum") || has("maximum") => "NUMBER",
            Some(Value::Bool(_)) => "BOOLEAN",
            Some(Value::Number(number)) if number.is_f64() => "NUMBER",
            Some(Value::Number(_)) => "INTEGER",
            _ => "STRING",
        }
    });
    (kind, nullable)
}

/// The vendor has choices of text only; others are told in words, so that arguments keep their
/// type.
fn choices(
    kind: &str,
    values: &[Value],
    cleaned: &mut Map<String, Value>,
    description: &mut Option<String>,
) {
    let values: Vec<&Value> = values.iter().filter(|value| !value.is_null()).collect();
    if kind == "STRING" {
        let words: Vec<Value> = values
            .iter()
            .filter_map(|value| value.as_str())
            .map(without_controls)
            .filter(|word| !word.is_empty())
            .map(Value::from)
            .collect();
        if !words.is_empty() {
            cleaned.insert("enum".into(), words.into());
        }
    } else if !values.is_empty() {
        let listed: Vec<String> = values.iter().map(ToString::to_string).collect();
        let told = format!("One of: {}.", listed.join(", "));
        *description = Some(match description.take() {
            Some(text) if !text.trim().is_empty() => format!("{text} {told}"),
            _ => told,
        });
    }
}
