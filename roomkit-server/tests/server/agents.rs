//! As which agent a call begins: who mints the token or configures it says so, and never the caller.

use roomkit::mock::Counters;
use roomkit_server::{Server, config::Config};
use serde_json::{Value, json};

use crate::{
    call::AGENTS,
    support::TestServer,
    tokens::{ask, call, in_a_minute, signed_for},
};

const KEYS: &str = "
[auth]
signing_key_env = 'CARGO_PKG_DESCRIPTION'
tokens = [
    'master-key',
    { token = 'billing-key', scopes = ['mint', 'call'], agent = 'billing' },
]
";

async fn server() -> TestServer {
    TestServer::start(&format!("{AGENTS}{KEYS}")).await
}

async fn minted(server: &TestServer, key: &str, wish: Value) -> String {
    let answer = ask(server, key, "POST", "/tokens", &wish.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["token"].as_str().unwrap().into()
}

/// As which agent a call with this token has begun.
async fn begins_as(server: &TestServer, token: &str, query: &str) -> Value {
    let caller = call(server, token, query).await;
    let mut caller = caller.unwrap_or_else(|(status, body)| panic!("{status} {body}"));
    let started = caller.until("session_started").await;
    let path = format!("/rooms/{}", started["room_id"].as_str().unwrap());
    let room = ask(server, "master-key", "GET", &path, "").await.json();
    caller.hang_up().await;
    room["sessions"][0]["agent"].clone()
}

#[tokio::test]
async fn s10_x2_a_token_says_as_which_agent_its_call_begins() {
    let server = server().await;
    let wish = json!({"scopes": ["call", "watch"], "room": "lobby", "agent": "billing"});
    let token = minted(&server, "master-key", wish).await;
    let mut caller = call(&server, &token, "").await.ok().unwrap();
    caller.words("assistant", "Billing here.").await;
    let room = ask(&server, &token, "GET", "/rooms/lobby", "").await.json();
    assert_eq!(room["sessions"][0]["agent"], "billing");
    caller.hang_up().await;
    // Another caller's, in the same room, is another.
    let token = minted(&server, "master-key", json!({"scopes": ["call"]})).await;
    assert_eq!(begins_as(&server, &token, "?room=lobby").await, "triage");
}

#[tokio::test]
async fn s10_x2_a_key_of_the_configuration_says_it_too_and_mints_for_no_other() {
    let server = server().await;
    assert_eq!(begins_as(&server, "billing-key", "").await, "billing");
    assert_eq!(begins_as(&server, "master-key", "").await, "triage");
    let wish = json!({"scopes": ["call"]});
    let token = minted(&server, "billing-key", wish).await;
    assert_eq!(begins_as(&server, &token, "").await, "billing");
    let wish = json!({"scopes": ["call"], "agent": "triage"}).to_string();
    let refused = ask(&server, "billing-key", "POST", "/tokens", &wish).await;
    let message = refused.is_error(403, "forbidden");
    assert!(message.starts_with("agent: "), "{message}");
}

#[tokio::test]
async fn x2_a_caller_chooses_no_agent() {
    let server = server().await;
    let query = "?agent=billing&first_agent=billing";
    assert_eq!(begins_as(&server, "master-key", query).await, "triage");
    let plain = minted(&server, "master-key", json!({"scopes": ["call"]})).await;
    assert_eq!(begins_as(&server, &plain, query).await, "triage");
    let wish = json!({"scopes": ["call"], "agent": "billing"});
    let token = minted(&server, "master-key", wish).await;
    assert_eq!(
        begins_as(&server, &token, "?agent=triage&first_agent=triage").await,
        "billing"
    );

    // Metadata may be what a backend was told by its page: it says nothing of agents.
    let wish = json!({"scopes": ["call"], "metadata": {"first_agent": "billing"}});
    let refused = ask(&server, "master-key", "POST", "/tokens", &wish.to_string()).await;
    let message = refused.is_error(400, "bad_request");
    assert!(message.starts_with("metadata: ") && message.contains("`agent`"));
    let token = signed_for(&wish, "sly", in_a_minute());
    assert_eq!(begins_as(&server, &token, "").await, "triage");
}

#[tokio::test]
async fn x2_an_agent_that_is_not_there_is_refused_with_those_that_are() {
    let server = server().await;
    for (key, agent) in [("master-key", "sales"), ("billing-key", "")] {
        let wish = json!({"scopes": ["call"], "agent": agent}).to_string();
        let refused = ask(&server, key, "POST", "/tokens", &wish).await;
        let message = refused.is_error(400, "bad_request");
        assert!(message.starts_with("agent: "), "{message}");
        for part in [format!("`{agent}`").as_str(), "triage, billing"] {
            assert!(message.contains(part), "{message}");
        }
    }
    // One that another server minted, or this one under another configuration.
    let grant = json!({"scopes": ["call"], "agent": "sales"});
    let token = signed_for(&grant, "elsewhere", in_a_minute());
    for _ in 0..2 {
        let counters = Counters::default();
        let counting = counters.here();
        let (status, body) = call(&server, &token, "").await.err().unwrap();
        drop(counting);
        let refused = counters.all("roomkit_admission_refused_total");
        assert_eq!(refused, [("unknown_agent".to_owned(), 1)].into());
        assert_eq!((status, &body["code"]), (403, &json!("unknown_agent")));
        assert!(body["message"].as_str().unwrap().contains("`sales`"));
    }

    let server = TestServer::start("[auth]\ntokens = ['master-key']").await;
    let wish = json!({"scopes": ["call"], "agent": "billing"}).to_string();
    let refused = ask(&server, "master-key", "POST", "/tokens", &wish).await;
    let message = refused.is_error(400, "bad_request");
    assert!(message.contains("`[[agents]]`"), "{message}");
}

#[tokio::test]
async fn x2_settings_that_name_no_agent_of_the_server_are_refused() {
    for (settings, says) in [
        (
            format!(
                "{AGENTS}[auth]\ntokens = ['a', {{ token = 'b', scopes = ['call'], agent = 'sales' }}]"
            ),
            ["auth.tokens[1].agent: `sales`", "triage, billing"],
        ),
        (
            "[auth]\ntokens = [{ token = 'b', scopes = ['call'], agent = 'sales' }]".to_owned(),
            ["auth.tokens[0].agent: `sales`", "[[agents]]"],
        ),
        #[cfg(feature = "jwt")]
        (
            "[auth.jwt]\nissuer = 'i'\naudience = 'a'\nsecret_env = 'CARGO_PKG_DESCRIPTION'\n\
             agent_claim = 'agent'"
                .to_owned(),
            ["auth.jwt.agent_claim: ", "[[agents]]"],
        ),
    ] {
        let config: Config = toml::from_str(&settings).unwrap();
        let refused = Server::check(&config).await.unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        for part in says {
            assert!(refused.to_string().contains(part), "{refused}");
        }
    }
}

#[tokio::test]
async fn s10_an_agent_has_the_tools_that_it_names_and_no_others() {
    let server = TestServer::start(
        "[[agents]]\nname = 'clock'\nsystem_prompt = ''\ntools = ['current_*', 'crm_*']\n\
         [[agents]]\nname = 'crm'\nsystem_prompt = ''\ntools = ['crm_*']\n\
         [[mcp]]\ncommand = '/no/such/program'\nprefix = 'crm_'\nrequired = false\n\
         [auth]\ntokens = ['master-key']",
    )
    .await;
    // The echo calls a tool that it has been told of, and otherwise repeats the words.
    for (agent, kind) in [("clock", "tool_call"), ("crm", "transcription")] {
        let wish = json!({"scopes": ["call"], "agent": agent});
        let token = minted(&server, "master-key", wish).await;
        let mut caller = call(&server, &token, "").await.ok().unwrap();
        let words = "use current_time {}";
        caller.send(json!({"type": "text", "text": words})).await;
        let answer = caller
            .find(|message| message["type"] == "tool_call" || message["role"] == "assistant")
            .await;
        assert_eq!(answer["type"], kind, "{agent}: {answer}");
    }
}
