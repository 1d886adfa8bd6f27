use roomkit::voice::HistorySeed;

use super::*;

fn parsed(text: &str) -> Result<Config, toml::de::Error> {
    toml::from_str(text)
}

#[test]
fn x1_a_value_in_the_place_of_a_table_is_not_shown() {
    for (text, kind) in [
        ("auth = 'hunter2'", "string"),
        (
            "tls = \"-----BEGIN PRIVATE KEY-----\\nhunter2, expected \\\"\"",
            "string",
        ),
        ("otel = 'https://user:hunter2@host'", "string"),
        ("[auth]\njwt = 'hunter2'", "string"),
        ("agents = 'hunter2'", "string"),
        ("recording = 4711", "integer"),
        ("log = 4711", "integer"),
    ] {
        let problem = Config::parse(text).unwrap_err();
        assert!(
            !problem.contains("hunter2") && !problem.contains("4711"),
            "{problem}"
        );
        let says = problem.starts_with("line ") && problem.contains(kind);
        assert!(says && problem.contains("expected "), "{problem}");
    }
}

#[test]
fn a_whole_file() {
    let config = parsed(
        r#"
        listen = "127.0.0.1:0"
        log = "debug"
        drain_s = 5
        [provider]
        name = "openai"
        config = { model = "gpt-realtime", api_key_env = "OPENAI_API_KEY" }
        [[transports]]
        name = "websocket"
        path = "/ws"
        config = { lead_ms = 100 }
        [channel]
        system_prompt = "You are a helpful voice assistant."
        voice = "marin"
        temperature = 0.7
        idle_timeout_s = 60
        max_duration_s = 3600
        [limits]
        max_sessions = 10
        max_rooms = 20
        max_dashboards_per_address = 3
        allowed_origins = ["https://app.example"]
        [auth]
        tokens = ["letmein"]
        [rooms]
        close_empty_after_s = 5
        keep_closed_s = 60
        max_closed = 10
        "#,
    )
    .unwrap();
    assert_eq!(config.provider.config["api_key_env"], "OPENAI_API_KEY");
    assert_eq!(config.transports[0].config["lead_ms"], 100);
    assert_eq!(config.limits.max_sessions, 10);
    assert_eq!(config.limits.handshake_ms, 10_000);
    assert_eq!(config.limits.max_rooms, 20);
    assert_eq!(config.limits.max_dashboards_per_address, 3);
    assert_eq!(config.limits.admission().unwrap().max_sessions, 10);
    assert_eq!(
        (config.rooms.keep_closed_s, config.rooms.max_closed),
        (60, 10)
    );
    assert!(config.rooms.close_empty);
}

#[test]
fn a_limit_of_nothing_is_refused_by_its_name() {
    for limit in [
        "max_rooms",
        "max_rooms_per_address",
        "max_dashboards_per_address",
    ] {
        let config = parsed(&format!("[limits]\n{limit} = 0")).unwrap();
        let error = config.limits.admission().unwrap_err().to_string();
        assert!(error.starts_with(&format!("limits.{limit}: ")), "{error}");
    }
}

#[test]
fn x5_a_timeline_of_nothing_is_refused_by_its_name() {
    let config = parsed("[rooms]\nmax_timeline_bytes = 0").unwrap();
    let error = config.rooms.store().unwrap_err().to_string();
    assert!(
        error.starts_with("rooms.max_timeline_bytes: is 0"),
        "{error}"
    );
    assert!(parsed("").unwrap().rooms.store().is_ok());
}

#[test]
fn one_client_may_make_a_tenth_of_all_rooms_or_one_for_each_of_its_calls() {
    for (limits, rooms) in [
        ("", 1000),
        ("max_rooms = 2000", 200),
        ("max_rooms = 2000\nmax_sessions_per_address = 500", 500),
        ("max_rooms_per_address = 7", 7),
    ] {
        let config = parsed(&format!("[limits]\n{limits}")).unwrap();
        assert_eq!(config.limits.rooms_per_address(), rooms, "{limits}");
    }
}

#[test]
fn a_calls_past_is_measured_in_one_way() {
    let config = parsed("[channel]\nseed_turns = 5\nhold_s = 10\nreconnect_attempts = 0");
    let channel = config.unwrap().channel;
    assert_eq!(channel.seed(), Some(HistorySeed::Turns(5)));
    assert_eq!(channel.check(), Ok(()));
    let both = parsed("[channel]\nseed_turns = 5\nseed_tokens = 500");
    let error = both.unwrap().channel.check().unwrap_err();
    assert!(error.to_string().contains("seed_tokens"), "{error}");
}

#[test]
fn c5_limits_are_what_the_contract_says_unless_they_are_set() {
    let limits = parsed("").unwrap().limits;
    assert_eq!(limits.max_dashboards_per_address, 64);
    assert_eq!(limits.ipv6_prefix, 56);
}

#[test]
fn an_unknown_field_is_named_wherever_it_stands() {
    for (text, field) in [
        ("lissten = 1", "lissten"),
        ("[provider]\nnmae = 1", "nmae"),
        ("[[transports]]\nname='a'\npath='/b'\nroute=1", "route"),
        ("[channel]\nsystem_promt = 'a'", "system_promt"),
        ("[limits]\nmax_session = 1", "max_session"),
        ("[auth]\ntoken = 'a'", "token"),
        ("[rooms]\nclose = true", "close"),
        ("[recording]\nsink = 'wav'\nconsnt = 'ask'", "consnt"),
        ("[[mcp]]\nurl = 'http://a'\nprefx = 'a'", "prefx"),
    ] {
        let error = parsed(text).unwrap_err();
        let message = error.message();
        assert!(
            message.contains(&format!("unknown field `{field}`")),
            "{message}"
        );
    }
}

#[test]
fn x1_debug_shows_no_secret() {
    for text in [
        "[provider]\nname='openai'\nconfig={api_key='hunter2'}",
        "[auth]\ntokens=['hunter2']",
        "[[transports]]\nname='webrtc'\npath='/a'\n\
         config={ice_servers=[{urls=['turn:a'],username='u',credential='hunter2'}]}",
        "[recording]\nsink='cloud'\nconfig={key='hunter2'}",
        "[otel]\nendpoint='https://a.example/hunter2'",
        "[auth.jwt]\nissuer='i'\naudience='a'\njwks='https://a.example/keys?key=hunter2'",
        "[[tool_sources]]\nname='crm'\nconfig={key='hunter2'}",
        "[[mcp]]\nurl='http://a'\nbearer_token='hunter2'",
    ] {
        let shown = format!("{:?}", parsed(text).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn x1_debug_shows_no_settings_of_plugins() {
    let config = parsed(
        r#"
        [provider]
        config = { api_key = "hunter2" }
        [[transports]]
        name = "webrtc"
        path = "/rtc"
        config = { credential = "hunter2" }
        [channel]
        voice = "marin"
        provider_config = { api_key = "hunter2" }
        [[agents]]
        name = "billing"
        system_prompt = ""
        provider_config = { tools = [{ authorization = "hunter2" }] }
        [[tool_sources]]
        name = "crm"
        config = { api_key = "hunter2" }
        [recording]
        sink = "wav"
        consent = "ask"
        config = { api_key = "hunter2" }
        [auth]
        tokens = ["hunter2", { token = "hunter2", scopes = ["call"], agent = "billing" }]
        "#,
    )
    .unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("marin") && shown.contains("billing"),
        "{shown}"
    );
}
