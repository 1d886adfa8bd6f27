//! The rules of `docs/write-a-plugin.md` that no compiler sees.

use roomkit_core::registry::Registry;
use roomkit_mock::{conformance::ProviderChecks, fake_gemini::FakeGemini};
use roomkit_provider_gemini as _;
use serde_json::json;

use crate::support::{LIVE_38, NATIVE_25, server::KEY};

#[tokio::test]
async fn it_keeps_the_rules_of_the_guide() {
    let server = FakeGemini::builder().api_key(KEY).start().await.unwrap();
    let registry = Registry::linked().unwrap();
    let mut plugins = registry.providers();
    let plugin = *plugins.find(|plugin| plugin.name == "gemini").unwrap();
    for model in [NATIVE_25, LIVE_38] {
        ProviderChecks::with_vendor(plugin, server.address(), move |address| {
            let base_url = format!("ws://{address}");
            json!({
                "base_url": base_url, "model": model, "api_key": KEY, "connect_timeout_ms": 2000
            })
        })
        .secret(KEY)
        .assert_kept()
        .await;
    }
}
