//! A speech AI that refuses, goes away, or says nothing: one call's trouble, and nobody else's.

use roomkit::mock::fake_openai::{FakeOpenAi, FakeOpenAiBuilder, Fault, FaultAction, FaultPoint};
use serde_json::{Value, json};

use crate::support::TestServer;

const KEY: &str = "sk-test-right";

struct House {
    vendor: FakeOpenAi,
    server: TestServer,
}

impl House {
    /// A server whose AI is this vendor; `key` is what it shows there.
    async fn open(vendor: FakeOpenAiBuilder, key: &str) -> Self {
        Self::with(vendor, key, "").await
    }

    /// The same, with a setting more for its calls.
    async fn with(vendor: FakeOpenAiBuilder, key: &str, setting: &str) -> Self {
        let vendor = vendor.api_key(KEY).start().await.unwrap();
        let url = vendor.url();
        let server = TestServer::start(&format!(
            "[channel]\nconnect_timeout_s = 2\n{setting}\n[provider]\nname = 'openai'\n\
             config = {{ api_key = '{key}', base_url = '{url}' }}"
        ))
        .await;
        Self { vendor, server }
    }

    /// A call that fails to start: what the caller read, and the close code.
    async fn failed_call(&self) -> (Value, Option<u16>) {
        let mut caller = self.server.call("").await;
        let error = caller.until("error").await;
        while caller.next().await.is_some() {}
        (error, caller.close_code)
    }

    /// The next caller is served, and no room is left open by those before.
    async fn is_well(&self) {
        let (mut caller, room) = self.server.session("").await;
        caller.ping().await;
        let rooms = self.server.get("/rooms?status=active").await.json();
        let rooms = rooms["rooms"].as_array().unwrap();
        assert_eq!(rooms.len(), 1);
        assert_eq!(rooms[0]["id"], room.as_str());
    }
}

#[tokio::test]
async fn s1_x1_a_wrong_key_is_the_servers_trouble_and_the_caller_reads_that_much() {
    let house = House::open(FakeOpenAi::builder(), "sk-test-wrong").await;
    let (error, code) = house.failed_call().await;
    assert_eq!(error["message"], "the AI service is not available");
    assert!(!error.to_string().contains("sk-test"), "{error}");
    assert_eq!(code, Some(1011));
    assert_eq!(house.server.get("/healthz").await.status, 200);
    let rooms = house.server.get("/rooms?status=active").await.json();
    assert_eq!(rooms, json!({"rooms": []}));
}

#[tokio::test]
async fn s1_a_vendor_that_refuses_the_connection_spoils_one_call() {
    let house = House::open(FakeOpenAi::builder().refuse_upgrade(503), KEY).await;
    let (error, code) = house.failed_call().await;
    assert_eq!(error["message"], "the AI service has a problem; try again");
    assert_eq!(code, Some(1011));
    house.is_well().await;
}

#[tokio::test]
async fn s1_a_vendor_that_is_silent_at_the_start_times_out() {
    let silent = Fault::new(
        FaultPoint::BeforeSessionCreated,
        FaultAction::IgnoreSessionUpdates,
    );
    let house = House::open(FakeOpenAi::builder().fault(silent), KEY).await;
    let (error, code) = house.failed_call().await;
    assert_eq!(error["code"], "timeout");
    assert_eq!(error["message"], "the AI service has a problem; try again");
    assert_eq!(code, Some(1011));
    house.is_well().await;
}

#[tokio::test]
async fn s3_a_vendor_that_closes_in_mid_call_ends_that_call_with_its_reason() {
    let leaves = Fault::new(
        FaultPoint::AfterSending("response.created".into()),
        FaultAction::Close {
            code: 1008,
            reason: "your organization org-4711 may not do this".into(),
        },
    );
    let house = House::open(FakeOpenAi::builder().fault(leaves), KEY).await;
    let (mut caller, _) = house.server.session("").await;
    let (mut bystander, _) = house.server.session("").await;
    caller
        .send(json!({"type": "text", "text": "say hello"}))
        .await;
    assert_eq!(
        caller.until("session_ended").await["reason"],
        "provider_error"
    );
    let told = caller.passed.iter().find(|told| told["type"] == "error");
    let told = told.expect("why, in words for a caller");
    assert!(!told.to_string().contains("org-4711"), "{told}");
    while caller.next().await.is_some() {}
    assert_eq!(
        caller.close_code,
        Some(1000),
        "it had begun, and its end was told"
    );
    bystander.ping().await;
}

/// The first connection breaks when the first answer begins.
fn breaks() -> Fault {
    let point = FaultPoint::AfterSending("response.created".into());
    Fault::new(point, FaultAction::Drop)
}

#[tokio::test]
async fn h2_a_vendor_whose_connection_breaks_is_connected_again_and_the_caller_told() {
    let house = House::open(FakeOpenAi::builder().fault(breaks()), KEY).await;
    let (mut caller, _) = house.server.session("").await;
    caller
        .send(json!({"type": "text", "text": "say hello"}))
        .await;
    caller.until("reconnecting").await;
    caller.until("reconnected").await;
    caller.words("assistant", "say hello").await;
    assert!(caller.passed.iter().all(|told| told["type"] != "error"));
    caller.hang_up().await;
    assert!(house.vendor.violations().is_empty());
}

#[tokio::test]
async fn h2_s3_with_no_attempts_left_a_broken_connection_ends_that_call_only() {
    let vendor = FakeOpenAi::builder().fault(breaks());
    let house = House::with(vendor, KEY, "reconnect_attempts = 0").await;
    let (mut caller, _) = house.server.session("").await;
    let (mut bystander, _) = house.server.session("").await;
    let text = json!({"type": "text", "text": "say hello"});
    caller.send(text.clone()).await;
    assert_eq!(
        caller.until("session_ended").await["reason"],
        "provider_error"
    );
    bystander.send(text).await;
    bystander.words("assistant", "say hello").await;
    assert!(house.vendor.violations().is_empty());
}

#[tokio::test]
async fn x5_a_vendor_that_sends_garbage_does_not_end_the_call() {
    let garbage = Fault::new(
        FaultPoint::AfterServerEvents(2),
        FaultAction::malformed_json(),
    );
    let house = House::open(FakeOpenAi::builder().fault(garbage), KEY).await;
    let (mut caller, _) = house.server.session("").await;
    caller
        .send(json!({"type": "text", "text": "say hello"}))
        .await;
    caller.words("assistant", "").await;
}
