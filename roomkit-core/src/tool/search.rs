//! Finding tools in a catalogue that is too large to be declared whole.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput};

/// The name of the tool that finds the others.
pub(crate) const FIND_TOOLS: &str = "find_tools";

/// A word in a tool's name says more than one in its description.
const NAME_WEIGHT: f64 = 3.0;
/// What is found is at least half as good as the best.
const CUT_OFF: f64 = 0.5;
/// Words that say nothing of what a tool does.
const FILLERS: &[&str] = &[
    "and", "are", "but", "can", "for", "from", "has", "her", "him", "his", "how", "into", "it",
    "not", "of", "or", "on", "in", "is", "an", "me", "my", "by", "at", "do", "our", "please",
    "she", "show", "some", "that", "the", "their", "them", "then", "they", "this", "to", "was",
    "what", "when", "which", "who", "will", "with", "you", "your",
];
/// Where nothing is found, the model is told at most so many names to try.
const NAMES: usize = 60;

/// Lets the model look for tools instead of being told of all of them.
///
/// A model that is told of a hundred tools is slow, costs more with every turn and picks the wrong
/// one. With this, a session with many tools declares one in their place, `find_tools`; what it
/// finds is declared then, in place of what was found before. Tools that were found once, and those
/// that were never declared, can still be called.
///
/// Where the provider takes no other tools in the middle of a conversation
/// ([`ProviderCapabilities`](crate::provider::ProviderCapabilities)), all tools stay declared.
///
/// In JSON: `{"more_than": 20, "results": 5, "keep": ["hang_up"]}`, all optional.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolSearch {
    pub(crate) more_than: usize,
    pub(crate) results: usize,
    pub(crate) keep: Vec<String>,
}

impl Default for ToolSearch {
    fn default() -> Self {
        Self {
            more_than: 20,
            results: 5,
            keep: Vec::new(),
        }
    }
}

impl ToolSearch {
    /// For sessions with more than 20 tools, five found at a time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sessions with so many tools or fewer declare them all; 20 unless set.
    #[must_use]
    pub fn more_than(mut self, tools: usize) -> Self {
        self.more_than = tools;
        self
    }

    /// How many tools are found at most at a time; 5 unless set.
    #[must_use]
    pub fn results(mut self, tools: usize) -> Self {
        self.results = tools;
        self
    }

    /// Tools that are always declared, by their names.
    #[must_use]
    pub fn keep<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.keep.extend(names.into_iter().map(Into::into));
        self
    }

    /// What the model is told of the search.
    pub(crate) fn definition() -> ToolDefinition {
        ToolDefinition::new(
            FIND_TOOLS,
            "Finds tools by what they do. There are more tools than you are told of: call this \
             before you say that you cannot do something. What it finds you can call right after.",
            json!({
                "type": "object",
                "properties": {
                    "query": {
                        "type": "string",
                        "description": "What the tool should do, in a few words.",
                    },
                },
                "required": ["query"],
                "additionalProperties": false,
            }),
        )
    }
}

/// The words of a catalogue.
#[derive(Debug)]
pub(crate) struct Index {
    tools: Vec<Indexed>,
    /// In how many tools a word occurs.
    spread: HashMap<String, usize>,
    results: usize,
}

#[derive(Debug)]
struct Indexed {
    name: String,
    description: String,
    in_name: HashSet<String>,
    elsewhere: HashSet<String>,
}

impl Index {
    pub(crate) fn new(tools: &[ToolDefinition], results: usize) -> Self {
        let tools: Vec<Indexed> = tools.iter().map(Indexed::new).collect();
        let mut spread = HashMap::new();
        for tool in &tools {
            for word in tool.in_name.union(&tool.elsewhere) {
                *spread.entry(word.clone()).or_default() += 1;
            }
        }
        Self {
            tools,
            spread,
            results: results.max(1),
        }
    }

    /// What a call looks for.
    pub(crate) fn query(arguments: &Map<String, Value>) -> &str {
        let query = arguments.get("query").and_then(Value::as_str);
        query.unwrap_or_default()
    }

    /// The names of the tools that fit best, the best first.
    pub(crate) fn find(&self, query: &str) -> Vec<&str> {
        // In an order of their own, so that sums do not differ from run to run.
        let query: BTreeSet<String> = words(query).collect();
        let mut scored: Vec<(f64, &str)> = self
            .tools
            .iter()
            .map(|tool| (self.score(tool, &query), tool.name.as_str()))
            .filter(|(score, _)| *score > 0.0)
            .collect();
        scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let least = scored.first().map_or(0.0, |(best, _)| best * CUT_OFF);
        scored
            .into_iter()
            .take(self.results)
            .take_while(|(score, _)| *score >= least)
            .map(|(_, name)| name)
            .collect()
    }

    /// What the model is told of what was found; names to try when that is nothing.
    fn report(&self, found: &[&str]) -> Value {
        if found.is_empty() {
            let step = self.tools.len().div_ceil(NAMES).max(1);
            let names: Vec<&str> = self
                .tools
                .iter()
                .step_by(step)
                .map(|tool| tool.name.as_str())
                .collect();
            return json!({
                "found": [],
                "note": "nothing fits; try other words",
                "tools": self.tools.len(),
                "some_names": names,
            });
        }
        let found: Vec<Value> = found
            .iter()
            .filter_map(|name| self.tools.iter().find(|tool| tool.name == *name))
            .map(|tool| json!({"name": tool.name, "description": tool.description}))
            .collect();
        json!({ "found": found })
    }

    fn score(&self, tool: &Indexed, query: &BTreeSet<String>) -> f64 {
        let all = self.tools.len() as f64;
        let weigh = |word: &String| {
            let weight = if tool.in_name.contains(word) {
                NAME_WEIGHT
            } else if tool.elsewhere.contains(word) {
                1.0
            } else {
                return 0.0;
            };
            // A word that many tools have tells them apart less.
            let spread = self.spread.get(word).copied().unwrap_or(1) as f64;
            weight * (1.0 + all / spread).ln()
        };
        query.iter().map(weigh).sum()
    }
}

#[async_trait]
impl ToolHandler for Index {
    async fn call(&self, call: ToolInvocation) -> Result<ToolOutput, ToolError> {
        let found = self.find(Self::query(&call.arguments));
        Ok(self.report(&found).into())
    }
}

impl Indexed {
    fn new(tool: &ToolDefinition) -> Self {
        let arguments = tool.parameters["properties"].as_object();
        let arguments = arguments.into_iter().flatten().flat_map(|(name, schema)| {
            let description = schema["description"].as_str().unwrap_or_default();
            words(name).chain(words(description))
        });
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            in_name: words(&tool.name).collect(),
            elsewhere: words(&tool.description).chain(arguments).collect(),
        }
    }
}

/// The words of a text, also of `camelCase` and `snake_case`, in lower case and the singular.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in text.chars() {
        let starts_new = c.is_uppercase() && before.is_lowercase();
        if !c.is_alphanumeric() || starts_new {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.push(word);
    words
        .into_iter()
        .map(singular)
        .filter(|word| word.chars().count() > 1 && !FILLERS.contains(&word.as_str()))
}

fn singular(mut word: String) -> String {
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") && word != "this" {
        word.pop();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Index {
        let tools = [
            ("get_weather", "The weather of a city"),
            ("getInvoice", "One invoice with its positions"),
            ("list_invoices", "All invoices of a customer"),
            ("cancel_order", "Cancels an order of a customer"),
            ("lookup", "Finds the weather station of a city"),
        ];
        let arguments = json!({"properties": {"zip": {"description": "The postcode"}}});
        let tools = tools.map(|(name, about)| ToolDefinition::new(name, about, arguments.clone()));
        Index::new(&tools, 3)
    }

    #[test]
    fn words_are_found_in_any_spelling() {
        let split: Vec<String> = words("listInvoices, get_URL cities; glass").collect();
        assert_eq!(split, ["list", "invoice", "get", "url", "city", "glass"]);
    }

    #[test]
    fn a_word_in_the_name_counts_most_and_what_fits_badly_is_left_out() {
        let index = catalogue();
        assert_eq!(
            index.find("show me the invoices"),
            ["getInvoice", "list_invoices"]
        );
        assert_eq!(index.find("weather"), ["get_weather"]);
        assert_eq!(index.find("cancel"), ["cancel_order"]);
        assert_eq!(
            index.find("fly to the moon by zeppelin"),
            Vec::<&str>::new()
        );
        assert_eq!(index.find(""), Vec::<&str>::new());
    }

    #[test]
    fn all_that_fit_alike_are_found_in_their_order_up_to_the_limit() {
        let found = catalogue();
        assert_eq!(
            found.find("postcode"),
            ["get_weather", "getInvoice", "list_invoices"]
        );
    }

    #[test]
    fn the_model_is_told_what_was_found_or_what_there_is() {
        let index = catalogue();
        let report = index.report(&["lookup"]);
        assert_eq!(report["found"][0]["name"], "lookup");
        let report = index.report(&[]);
        assert_eq!(report["tools"], 5);
        assert_eq!(report["some_names"][4], "lookup");
        let many: Vec<ToolDefinition> = (0..1000)
            .map(|n| ToolDefinition::new(format!("tool_{n}"), "", json!({})))
            .collect();
        let names = Index::new(&many, 5).report(&[])["some_names"].clone();
        assert!(names.as_array().unwrap().len() <= NAMES, "{names}");
    }
}
