//! Sources of tools that change (contracts K8, S5).

use super::*;
use crate::{
    call::{
        change::ToolsFrom,
        entry::Entry,
        shared_tools::{AgentTools, Listed, Redeclared},
    },
    tool::{Tool, ToolDefinition},
};

/// Changes everything on a live connection.
fn flexible() -> ProviderCapabilities {
    let mut capabilities = rigid();
    capabilities.updates = all(UpdateWay::Live);
    capabilities
}

fn tools(names: &[&str]) -> Vec<Tool> {
    let define = |name: &&str| ToolDefinition::new(*name, "", serde_json::json!({})).into();
    names.iter().map(define).collect()
}

fn listed(changes: u64, names: &[&str]) -> Arc<Listed> {
    let tools = Entry::all(tools(names)).unwrap();
    Arc::new(Listed { changes, tools })
}

/// The sources of the channel have changed so often, and have these.
fn redeclare(changes: u64, names: &[&str]) -> Command {
    let toolbox = Arc::new(Toolbox::new(tools(names), None).unwrap());
    let listed = listed(changes, names);
    Command::Redeclare(Redeclared { listed, toolbox })
}

/// An agent with the tool `own`, and these of the channel's.
fn clerk(changes: u64, channel: &[&str]) -> Change {
    let agent_tools = Arc::new(AgentTools {
        own: Entry::all(tools(&["own"])).unwrap(),
        names: vec!["*".into()],
        tool_handler: None,
        tool_search: None,
    });
    let listed = listed(changes, channel);
    let toolbox = agent_tools.beside(&listed).unwrap();
    let mut change = agent("clerk", UpdateWay::Live);
    change.update.tools = Some(Arc::clone(toolbox.definitions()));
    Change {
        toolbox: Some(toolbox),
        tools_from: ToolsFrom::Agent(agent_tools, listed),
        ..change
    }
}

impl Scripted {
    /// The lists of tools that the provider was told, in order.
    fn declared(&self) -> Vec<String> {
        let updates = self.updates().into_iter();
        updates
            .filter_map(|update| {
                let tools = update.tools?;
                let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
                Some(names.join(" "))
            })
            .collect()
    }
}

#[test]
fn k8_tools_of_a_source_change_by_hand_over_where_they_must() {
    let mut call = Scripted::with(settings(), rigid());
    call.command(redeclare(1, &["f"]));
    let setup = call.dialled().pop().unwrap().setup;
    assert_eq!(setup.tools[0].name, "f");
}

#[test]
fn k8_an_agent_that_has_the_channels_tools_gets_those_of_its_sources_as_they_change() {
    let mut call = Scripted::with(settings(), flexible());
    call.change(clerk(0, &["a"]));
    call.command(redeclare(1, &["b", "own"]));
    call.command(redeclare(2, &["b", "own"]));
    assert_eq!(
        call.declared(),
        ["own a", "own b"],
        "its own counts, and nothing is told twice"
    );
    call.tool_call_of("b", "c1");
    let toolbox = call.call.toolbox_for(&"c1".into());
    assert!(toolbox.declares("b") && !toolbox.declares("a"));
}

#[test]
fn k8_an_agent_that_was_listed_before_the_sources_changed_takes_over_with_todays() {
    let mut call = Scripted::with(settings(), flexible());
    call.tool_call("c1").tool_cleared("c1");
    // A hook looks at the result of the tool, and the sources change meanwhile.
    call.command(redeclare(1, &["b"]))
        .hands_off("c1", clerk(0, &["a"]));
    assert_eq!(call.declared(), ["b", "own b"]);
    // What the session was told is older than what this one was listed with.
    let mut call = Scripted::with(settings(), flexible());
    call.command(redeclare(1, &["b"]));
    call.change(clerk(2, &["c"]));
    assert_eq!(call.declared(), ["b", "own c"]);
}

#[test]
fn s5_k8_an_agent_or_a_host_with_tools_of_its_own_keeps_them() {
    let mut call = Scripted::with(settings(), flexible());
    let own = |name: &str| {
        let toolbox = Toolbox::new(tools(&[name]), None).unwrap();
        let mut change = agent("billing", UpdateWay::Live);
        change.update.tools = Some(Arc::clone(toolbox.definitions()));
        change.toolbox = Some(Arc::new(toolbox));
        change
    };
    call.change(clerk(0, &["a"]));
    call.change(own("invoice"));
    call.command(redeclare(1, &["b"]));
    assert_eq!(call.declared(), ["own a", "invoice"]);
    call.change(clerk(1, &["b"]));
    call.command(redeclare(2, &["c"]));
    assert_eq!(call.declared()[2..], ["own b", "own c"], "and shares again");
}

#[test]
fn k8_tools_that_an_agent_cannot_have_beside_its_own_are_told_to_the_host() {
    let mut call = Scripted::with(settings(), flexible());
    call.change(clerk(0, &["a"]));
    // The channel's own list has been checked; this one cannot be.
    let twice = Redeclared {
        listed: listed(1, &["b", "b"]),
        toolbox: Arc::new(Toolbox::new(Vec::new(), None).unwrap()),
    };
    call.command(Command::Redeclare(twice));
    assert_eq!(call.declared(), ["own a"]);
    assert_eq!(call.complaints(), ["tools_unusable"]);
}

#[test]
fn a6_an_agents_tools_are_put_together_without_reading_a_schema_again() {
    let listed = listed(0, &["a"]);
    let agent_tools = AgentTools {
        own: Entry::all(tools(&["own"])).unwrap(),
        names: vec!["*".into()],
        tool_handler: None,
        tool_search: None,
    };
    let toolbox = agent_tools.beside(&listed).unwrap();
    // The same, not others like them.
    assert_eq!(Arc::strong_count(&listed.tools[0]), 2);
    assert_eq!(Arc::strong_count(&agent_tools.own[0]), 2);
    let toolbox = toolbox.redeclared(toolbox.definitions()).unwrap();
    assert_eq!(Arc::strong_count(&listed.tools[0]), 3);
    drop(toolbox);
}
