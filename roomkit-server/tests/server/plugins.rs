//! Plugins that are linked into the program, by their names in the configuration.

use std::sync::Arc;

use async_trait::async_trait;
use roomkit::{
    registry::{ToolSourcePlugin, TransportPlugin, inventory, read_config},
    tool::{ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput, ToolSource},
};
use roomkit_server::{Server, config::Config};
use serde::Deserialize;
use serde_json::json;

use crate::support::TestServer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Oracle {
    tool: String,
    answer: String,
}

#[async_trait]
impl ToolHandler for Oracle {
    async fn call(&self, _invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        Ok(self.answer.clone().into())
    }
}

#[async_trait]
impl ToolSource for Oracle {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError> {
        let any = json!({"type": "object"});
        Ok(vec![ToolDefinition::new(&self.tool, "knows", any)])
    }
}

inventory::submit! {
    ToolSourcePlugin {
        name: "oracle",
        about: "knows one thing",
        build: |config| Ok(Arc::new(read_config::<Oracle>(config)?)),
    }
}

inventory::submit! {
    TransportPlugin {
        name: "megaphone",
        about: "has no routes",
        build: |_| unreachable!("it cannot be mounted"),
    }
}

const TWO: &str = "
[[tool_sources]]
name = 'oracle'
config = { tool = 'ask_delphi', answer = 'hunter2' }
[[tool_sources]]
name = 'oracle'
config = { tool = 'ask_dodona', answer = 'the oak rustles' }
";

#[tokio::test]
async fn each_table_is_a_source_whose_tools_the_ai_calls() {
    let server = TestServer::start(TWO).await;
    let (mut caller, _room) = server.session("").await;
    for (tool, answer) in [("ask_delphi", "hunter2"), ("ask_dodona", "the oak rustles")] {
        let text = format!("use {tool} {{}}");
        caller.send(json!({"type": "text", "text": text})).await;
        caller.words("assistant", answer).await;
    }
    caller.hang_up().await;
}

#[tokio::test]
async fn x1_the_plan_shows_the_sources_and_nothing_of_their_settings() {
    let config: Config = toml::from_str(TWO).unwrap();
    let plan = Server::check(&config).await.unwrap().to_string();
    assert!(plan.contains("tool_sources oracle, oracle\n"), "{plan}");
    let shown = format!("{plan}{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_plugin_that_cannot_be_had_is_refused_by_its_place_in_the_file() {
    for (text, named) in [
        (
            "[[tool_sources]]\nname = 'delphi'",
            &["tool source", "delphi", "oracle"][..],
        ),
        (
            "[[tool_sources]]\nname = 'oracle'\nconfig = { tol = 'x' }",
            &["tool_sources[0].config", "tol"],
        ),
        (
            "[[tool_sources]]\nname = 'mcp'\nconfig = { url = 'https://crm.example/mcp' }",
            &["tool_sources[0].name", "[[mcp]]"],
        ),
        (
            "[[transports]]\nname = 'megaphone'\npath = '/loud'",
            &["transports[0].name", "is linked", "`TransportRoutes`"],
        ),
    ] {
        let config: Config = toml::from_str(text).unwrap();
        let checked = Server::check(&config).await.unwrap_err();
        let told = checked.to_string();
        assert_eq!(checked.exit_code(), 2, "{told}");
        for part in named {
            assert!(told.contains(part), "{part}: {told}");
        }
        let started = Server::bind(config).await.unwrap_err();
        assert_eq!(started.to_string(), told);
    }
}
