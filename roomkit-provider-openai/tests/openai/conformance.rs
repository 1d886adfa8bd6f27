//! The rules of `docs/write-a-plugin.md` that no compiler sees.

use roomkit_core::registry::Registry;
use roomkit_mock::{conformance::ProviderChecks, fake_openai::FakeOpenAi};
use roomkit_provider_openai as _;
use serde_json::json;

use crate::support::KEY;

#[tokio::test]
async fn it_keeps_the_rules_of_the_guide() {
    let server = FakeOpenAi::builder().api_key(KEY).start().await.unwrap();
    let registry = Registry::linked().unwrap();
    let mut plugins = registry.providers();
    let plugin = plugins.find(|plugin| plugin.name == "openai").unwrap();
    ProviderChecks::with_vendor(*plugin, server.address(), |address| {
        let base_url = format!("ws://{address}/v1/realtime");
        json!({ "base_url": base_url, "api_key": KEY, "connect_timeout_ms": 2000 })
    })
    .secret(KEY)
    .assert_kept()
    .await;
}
