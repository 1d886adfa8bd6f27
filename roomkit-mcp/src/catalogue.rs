//! What a server offers, checked and under the names the model knows.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rmcp::model::Tool;
use roomkit_core::tool::{ToolDefinition, ToolRules};

use crate::{filter::Filter, schema};

/// The longest description that is passed on, in characters.
const LONGEST_DESCRIPTION: usize = 4096;

/// Of how many tools of a list the log says why they are left out.
const WARNED: usize = 10;

/// The tools of one server at one time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Catalogue {
    /// In the server's order.
    pub(crate) tools: Vec<ToolDefinition>,
    /// The server's own names, by the offered ones.
    own_names: HashMap<String, String>,
    /// How many tools the server has that cannot be offered.
    pub(crate) left_out: usize,
}

impl Catalogue {
    /// Chooses and checks what a server listed. What cannot be offered is left out with a warning:
    /// one bad tool does not take the others with it.
    pub(crate) fn new(
        server: &str,
        filter: &Filter,
        rules: &BTreeMap<String, ToolRules>,
        limit: usize,
        listed: &[Tool],
    ) -> Self {
        let mut catalogue = Self::default();
        let mut too_many = 0_usize;
        for tool in listed {
            let Some(name) = filter.offered(&tool.name) else {
                continue;
            };
            if catalogue.tools.len() == limit {
                too_many += 1;
                continue;
            }
            let rules = rules.get(&*tool.name).copied().unwrap_or_default();
            if let Err(problem) = catalogue.add(name, tool, rules) {
                if catalogue.left_out < WARNED {
                    tracing::warn!(server, tool = %tool.name.escape_debug(), problem, "a tool of an MCP server is left out");
                }
                catalogue.left_out += 1;
            }
        }
        if let Some(more @ 1..) = catalogue.left_out.checked_sub(WARNED) {
            tracing::warn!(server, more, "more tools of an MCP server are left out");
        }
        if too_many > 0 {
            tracing::warn!(
                server,
                left_out = too_many,
                limit,
                "an MCP server has more tools than `max_tools`; choose with `include` and `exclude`"
            );
            catalogue.left_out += too_many;
        }
        catalogue
    }

    /// The server's own name of an offered tool.
    pub(crate) fn own_name(&self, offered: &str) -> Option<&str> {
        self.own_names.get(offered).map(String::as_str)
    }

    /// How long a call may take, if the tool has a time of its own.
    pub(crate) fn timeout(&self, offered: &str) -> Option<Duration> {
        let tool = self.tools.iter().find(|tool| tool.name == offered)?;
        tool.rules.timeout
    }

    fn add(&mut self, name: String, tool: &Tool, rules: ToolRules) -> Result<(), String> {
        if let Some(other) = self.own_names.get(&name) {
            return Err(format!(
                "`{other}` is offered as `{name}` already; rename one with `renames`"
            ));
        }
        let parameters = schema::prepared(&tool.input_schema)?;
        let described = tool.description.as_deref().or(tool.title.as_deref());
        let mut description = described.unwrap_or(&tool.name).to_owned();
        if let Some((cut, _)) = description.char_indices().nth(LONGEST_DESCRIPTION) {
            description.truncate(cut);
        }
        self.own_names.insert(name.clone(), tool.name.to_string());
        self.tools
            .push(ToolDefinition::new(name, description, parameters).rules(rules));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, schema: &serde_json::Value) -> Tool {
        serde_json::from_value(json!({"name": name, "inputSchema": schema})).unwrap()
    }

    #[test]
    fn bad_and_double_tools_are_left_out_and_counted() {
        let object = json!({"type": "object"});
        let listed = [
            tool("a.b", &object),
            tool("a/b", &object),
            tool("bad", &json!({"type": "string"})),
            tool("c", &object),
        ];
        let rules = ToolRules::new().timeout(Duration::from_secs(90));
        let rules = BTreeMap::from([("a.b".to_owned(), rules)]);
        let catalogue = Catalogue::new("s", &Filter::default(), &rules, 10, &listed);
        let names: Vec<_> = catalogue.tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!((names, catalogue.left_out), (vec!["a_b", "c"], 2));
        assert_eq!(catalogue.own_name("a_b"), Some("a.b"));
        assert_eq!(catalogue.own_name("bad"), None);
        assert_eq!(catalogue.timeout("a_b"), Some(Duration::from_secs(90)));
        assert_eq!(catalogue.timeout("c"), None);
    }

    #[test]
    fn x5_thousands_of_tools_are_bounded() {
        let object = json!({"type": "object"});
        let listed: Vec<_> = (0..5000).map(|n| tool(&format!("t{n}"), &object)).collect();
        let catalogue = Catalogue::new("s", &Filter::default(), &BTreeMap::new(), 128, &listed);
        assert_eq!((catalogue.tools.len(), catalogue.left_out), (128, 4872));
    }
}
