//! Whether the tools that `[[agents]]` name can be there, as far as the configuration alone can tell.

use roomkit::{error::ConfigError, tool::is_named};

use crate::config::Config;

/// What tools of the configuration are called. What an MCP server has is not known before it is asked,
/// but by which prefix its names begin is.
struct ToolNames<'a> {
    whole: Vec<&'a str>,
    prefixes: Vec<&'a str>,
}

/// Refuses names that no tool can have: they would silently give an agent nothing.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    let tools = ToolNames::of(config);
    // Sources that are plugins call their tools whatever they like.
    if !config.tool_sources.is_empty() {
        return Ok(());
    }
    for agent in &config.agents {
        // To have all there are is no mistake where there are none.
        let mut globs = agent.tools.iter().filter(|glob| *glob != "*");
        if let Some(glob) = globs.find(|glob| !tools.can_mean(glob)) {
            let field = format!("agents.{}.tools", agent.name);
            let problem = format!("`{glob}` can be the name of no tool: {}", tools.known());
            return Err(ConfigError::field(field, problem));
        }
    }
    Ok(())
}

impl<'a> ToolNames<'a> {
    fn of(config: &'a Config) -> Self {
        let renamed = config.mcp.iter().flat_map(|server| server.renames.values());
        let mut whole: Vec<&str> = renamed.map(String::as_str).collect();
        if config.demo_tools() {
            whole.push("current_time");
        }
        let prefixes = config.mcp.iter().map(|server| server.prefix.as_str());
        Self {
            whole,
            prefixes: prefixes.collect(),
        }
    }

    fn can_mean(&self, glob: &str) -> bool {
        let may_begin = |prefix: &&str| match glob.split_once('*') {
            Some((head, _)) => head.starts_with(prefix) || prefix.starts_with(head),
            None => !glob.is_empty() && glob.starts_with(prefix),
        };
        self.whole.iter().any(|name| is_named(name, glob)) || self.prefixes.iter().any(may_begin)
    }

    fn known(&self) -> String {
        let list = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        match (self.whole.as_slice(), self.prefixes.as_slice()) {
            ([], []) => "there are none; add `[[mcp]]` or leave it out".into(),
            (whole, []) => format!("there are {}; write one of these", list(whole)),
            ([], prefixes) => format!("all begin with {}; write it so", list(prefixes)),
            (whole, prefixes) => format!(
                "there are {}, and others begin with {}; write one of these",
                list(whole),
                list(prefixes)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(tools: &str, more: &str) -> Result<(), String> {
        let config =
            format!("{more}\n[[agents]]\nname = 'billing'\nsystem_prompt = ''\ntools = {tools}");
        let config: Config = toml::from_str(&config).unwrap();
        check(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_that_no_tool_can_have_is_refused_with_those_that_can() {
        const PREFIXED: &str =
            "[[mcp]]\nurl = 'https://a.example'\nprefix = 'billing_'\nrenames = { x = 'pay' }";
        const ANY: &str = "[[mcp]]\nurl = 'https://a.example'";
        const PLUGIN: &str = "[[tool_sources]]\nname = 'crm'";
        for (tools, more, refused) in [
            ("true", "", None),
            ("false", "", None),
            ("[]", "", None),
            ("['*']", "channel.demo_tools = false", None),
            ("['current_time']", "", None),
            ("['current_*', 'billing_*']", "", Some("`billing_*`")),
            (
                "['current_time']",
                "channel.demo_tools = false",
                Some("`[[mcp]]`"),
            ),
            (
                "['billing_*', 'billing_pay', 'pay', 'b*', '*_pay']",
                PREFIXED,
                None,
            ),
            ("['biling_*']", PREFIXED, Some("`billing_`")),
            ("['refund']", PREFIXED, Some("`pay`")),
            ("['billing_*', '']", ANY, Some("``")),
            ("['billing_*', 'refund']", ANY, None),
            ("['anything']", PLUGIN, None),
        ] {
            let checked = checked(tools, more);
            let Some(part) = refused else {
                assert_eq!(checked, Ok(()), "{tools}");
                continue;
            };
            let problem = checked.unwrap_err();
            assert!(problem.starts_with("agents.billing.tools: `"), "{problem}");
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn what_is_no_list_of_names_is_refused_in_words_of_its_own() {
        for tools in ["'billing_*'", "[4711]", "4711"] {
            let config = format!("[[agents]]\nname = 'a'\nsystem_prompt = ''\ntools = {tools}");
            let problem = Config::parse(&config).unwrap_err();
            assert!(
                problem.contains("`tools` of an agent must be true, false, or a list"),
                "{problem}"
            );
            assert!(!problem.contains("4711"), "{problem}");
        }
    }
}
