//! Tools that fail in ways of their own (contracts K2, K3, K6, S8): the model is told, and the call
//! goes on.

use std::{collections::HashMap, time::Duration};

use roomkit::{
    provider::Role,
    tool::{Tool, ToolError, ToolInvocation, ToolRules},
};
use serde_json::{Map, Value, json};

use crate::support::{Setup, with_both};

async fn panics(_: ToolInvocation, _: Map<String, Value>) -> Result<Value, ToolError> {
    panic!("a defect of the host")
}

async fn hangs(_: ToolInvocation, _: Map<String, Value>) -> Result<Value, ToolError> {
    std::future::pending().await
}

/// JSON has no keys that are lists.
async fn gives_no_json(
    _: ToolInvocation,
    _: Map<String, Value>,
) -> Result<HashMap<Vec<u8>, u8>, ToolError> {
    Ok(HashMap::from([(vec![1], 2)]))
}

#[tokio::test]
async fn k2_s8_a_tool_that_panics_hangs_or_gives_no_json_is_answered_for_and_the_call_goes_on() {
    with_both(|vendor| async move {
        let at_once = ToolRules::new().timeout(Duration::from_millis(300));
        let setup = Setup::new(vendor).channel(move |channel| {
            channel.tools([
                Tool::typed("panics", "", panics),
                Tool::typed("hangs", "", hangs).rules(at_once),
                Tool::typed("gives_no_json", "", gives_no_json),
            ])
        });
        let house = setup.open().await;
        let call = house.call().await;
        let mut said = Vec::new();
        for (tool, expected) in [
            ("panics", "tool `panics` failed"),
            ("hangs", "did not answer within 0.3 s"),
            ("gives_no_json", "cannot be written as JSON"),
        ] {
            house.fake.will_call(tool, &json!({}));
            let sorry = format!("Sorry, {tool}.");
            call.turn(&house, &sorry).await;
            said.push(sorry);
            let peer = house.fake.peer(0).await;
            let is_told = |event: &Value| event.to_string().contains(expected);
            let told = peer.wait_for_event(is_told).await.unwrap();
            assert!(
                !told.json.to_string().contains("defect"),
                "details stay here"
            );
        }
        call.turn(&house, "Anything else?").await;
        said.push("Anything else?".into());
        assert_eq!(call.finals(Role::Assistant), said);
        assert_eq!(house.fake.peers().len(), 1, "on one connection");
        call.end(house).await;
    })
    .await;
}
