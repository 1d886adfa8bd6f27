//! What operators need: a checked configuration, a log that machines read, readiness.

use std::{
    future::pending,
    net::{SocketAddr, UdpSocket},
};

use clap::Parser;
use jiff::Timestamp;
use roomkit_server::{
    Server,
    cli::{Cli, Task},
    config::Config,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    Socket, TestServer,
    program::{File, Running, is_refusal, output, program},
    request, soon,
};

// ----- check-config

#[tokio::test]
async fn x1_check_config_says_what_would_be_served_and_no_secret() {
    // As beside a running server: its ports are taken.
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let (listen, port) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap().port());
    let recordings = std::env::temp_dir();
    let recordings = recordings.display();
    let file = File::new(
        "check",
        &format!(
            r#"
            listen = "{listen}"
            log_format = "json"
            [provider]
            name = "openai"
            config = {{ model = "gpt-realtime-2.1", api_key = "hunter2" }}
            [[transports]]
            name = "webrtc"
            path = "/rtc"
            config = {{ udp_port = {port} }}
            [[transports]]
            name = "websocket"
            path = "/voice"
            [channel]
            first_agent = "triage"
            [[agents]]
            name = "triage"
            system_prompt = "Say nothing of hunter2."
            hands_off_to = ["billing"]
            [[agents]]
            name = "billing"
            system_prompt = "Be exact."
            [[mcp]]
            url = "https://crm.example/hunter2"
            bearer_token = "hunter2"
            [[mcp]]
            command = "/no/such/program"
            args = ["hunter2"]
            required = false
            [recording]
            sink = "wav"
            config = {{ directory = "{recordings}" }}
            [auth]
            tokens = ["hunter2"]
            [limits]
            max_sessions = 7
            max_rooms = 8
            "#
        ),
    );
    let checked = output(&["check-config", "--config", file.path(), "--log", "warn"]).await;
    let said = String::from_utf8_lossy(&checked.stdout);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert_eq!((checked.status.code(), &*errors), (Some(0), ""), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let lines: Vec<(&str, &str)> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(key, value)| (key, value.trim_start()))
        .collect();
    let expected = [
        ("listen", &*format!("http://{listen}")),
        ("operations", "none"),
        ("provider", "openai, model gpt-realtime-2.1"),
        ("transports", "webrtc at /rtc, websocket at /voice"),
        ("agents", "triage, billing; calls begin with triage"),
        ("mcp", "crm.example (required), program"),
        ("tool_sources", "none"),
        ("recording", "wav, of callers who consent"),
        ("auth", "on: calls and rooms need a token"),
        ("limits", "7 calls, 8 rooms"),
        ("metrics", "at /metrics"),
        ("traces", "off"),
        ("log", "warn, as JSON"),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn the_file_to_begin_with_can_be_used() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/roomkit.toml");
    let mut check = program(&["check-config", "--config", file]);
    check.envs([
        ("OPENAI_API_KEY", "sk-a-key"),
        ("ROOMKIT_TOKENS", "a-token"),
    ]);
    let checked = soon(check.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert_eq!((checked.status.code(), &*errors), (Some(0), ""));
}

#[tokio::test]
async fn check_config_without_a_file_is_about_the_defaults() {
    let checked = output(&["check-config"]).await;
    assert_eq!(checked.status.code(), Some(0));
    let said = String::from_utf8(checked.stdout).unwrap();
    for part in [
        "echo",
        "webrtc at /rtc, websocket at /ws",
        "auth         off",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn x1_a_secret_in_the_wrong_place_is_refused_and_not_shown() {
    for (name, text, named) in [
        (
            "credential",
            "[[transports]]\nname = 'webrtc'\npath = '/a'\nconfig = { ice_servers = \
             [{ urls = ['turn:a'], username = 'u', credential = 47114711 }] }",
            "transports[0].config.ice_servers[0].credential: ",
        ),
        (
            "no-table",
            "[provider]\nname = 'openai'\nconfig = 'sk-47114711'",
            "provider.config: ",
        ),
        (
            "provider-variable",
            "[provider]\nname = 'openai'\nconfig = { api_key_env = 'sk-47114711' }",
            "provider.config.api_key_env: ",
        ),
        (
            "google-variable",
            "[provider]\nname = 'gemini'\nconfig = { api_key_env = 'sk-47114711' }",
            "provider.config.api_key_env: ",
        ),
        (
            "google-token",
            "[provider]\nname = 'gemini'\n\
             config.auth = { kind = 'ephemeral_token', token = { env = 'sk-47114711' } }",
            "provider.config.auth.token: ",
        ),
        (
            "mcp-variable",
            "[[mcp]]\nurl = 'http://a'\nbearer_token_env = 'sk-47114711'",
            "mcp[0].bearer_token_env: ",
        ),
        (
            "token-variable",
            "[auth]\ntoken_env = 'sk-47114711'",
            "auth.token_env: ",
        ),
        (
            "signing-variable",
            "[auth]\nsigning_key_env = 'sk-47114711'",
            "auth.signing_key_env: ",
        ),
        (
            "cert",
            "[tls]\nkey = 'a'\ncert = \"\"\"-----BEGIN PRIVATE KEY-----\n47114711\"\"\"",
            "tls.cert: ",
        ),
    ] {
        let file = File::new(name, text);
        let refused = output(&["check-config", "--config", file.path()]).await;
        is_refusal(&refused, 2, &[named]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!said.contains("4711"), "{said}");
    }
}

#[tokio::test]
async fn check_config_refuses_what_a_start_refuses_in_the_same_words() {
    for (name, text, named) in [
        ("syntax", "listen = ", "line 1"),
        ("listen", "listen = 'nonsense'", "listen"),
        ("open", "listen = '0.0.0.0:0'", "--no-auth"),
        ("log", "log = 'roomkit=loud'", "log"),
        ("format", "log_format = 'xml'", "`text` or `json`"),
        ("provider", "[provider]\nname = 'openai'", "OPENAI_API_KEY"),
        (
            "port",
            "[[transports]]\nname = 'webrtc'\npath = '/a'\nconfig = { udp_port = 70000 }",
            "transports[0].config.udp_port: ",
        ),
        ("agent", "[channel]\nfirst_agent = 'nobody'", "nobody"),
        (
            "setting",
            "[channel]\nprovider_config = { silence = 5 }",
            "channel.provider_config.silence",
        ),
        ("mcp", "[[mcp]]\nurl = 'crm'", "mcp[0].url"),
        (
            "source",
            "[[tool_sources]]\nname = 'crm'",
            "use your_crate as _;",
        ),
        (
            "recording",
            "[recording]\nsink = 'wav'\nconfig = { directory = '/proc/none' }",
            "recording.config.directory",
        ),
        (
            "token",
            "[auth]\ntoken_env = 'ROOMKIT_NO_SUCH'",
            "auth.token_env",
        ),
        ("limit", "[limits]\nmax_sessions = 0", "limits.max_sessions"),
        (
            "time",
            "[[mcp]]\ncommand = 'true'\ntimeout_s = 40",
            "mcp[0].timeout_s",
        ),
    ] {
        let file = File::new(&format!("check-{name}"), text);
        let checked = output(&["check-config", "--config", file.path()]).await;
        is_refusal(&checked, 2, &[named]);
        let started = output(&["--config", file.path()]).await;
        assert_eq!(started.stderr, checked.stderr);
    }
}

// ----- completions

#[tokio::test]
async fn shells_learn_the_command_line() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = output(&["completions", shell]).await;
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        for part in ["roomkit-server", "check-config", "max-sessions"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
    is_refusal(&output(&["completions", "csh"]).await, 2, &["csh", "bash"]);
}

// ----- the log

#[tokio::test]
async fn x1_x6_a_json_log_is_an_object_per_line_without_secrets_and_words() {
    let file = File::new(
        "json-log",
        "log = 'debug'\nlog_format = 'json'\n[auth]\ntokens = ['hunter2']",
    );
    let (server, log) = Running::with_log(&["--config", file.path()]).await;
    let path = "/ws?token=hunter2";
    let mut caller = Socket::open(server.address, path, &[]).await.unwrap();
    caller.until("session_started").await;
    caller
        .send(json!({"type": "text", "text": "tell nobody"}))
        .await;
    caller.words("assistant", "tell nobody").await;
    caller.hang_up().await;
    let address = server.address.to_string();
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));

    let log = soon(log).await.unwrap();
    for secret in ["hunter2", "tell nobody"] {
        assert!(!log.contains(secret), "{log}");
    }
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for event in &events {
        let text = |key: &str| {
            event[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key}: {event}"))
        };
        text("timestamp").parse::<Timestamp>().unwrap();
        let levels = ["ERROR", "WARN", "INFO", "DEBUG"];
        assert!(levels.contains(&text("level")), "{event}");
        assert!(!text("target").is_empty());
    }
    let event = |message: &str| {
        let mut events = events.iter();
        let found = events.find(|event| event["message"] == message);
        found.unwrap_or_else(|| panic!("{message}: {log}"))
    };
    let ready = event("ready");
    assert_eq!(ready["level"], "INFO");
    assert_eq!(ready["target"], "roomkit_server::server");
    assert_eq!(ready["address"], address);
    assert_eq!(event("stopping: new calls are refused")["drain_s"], 30);
}

// ----- readiness

#[tokio::test]
async fn c5_a_full_server_is_not_ready_until_a_place_is_free() {
    let server = TestServer::start("[limits]\nmax_sessions = 1\nretry_after_seconds = 7").await;
    assert_eq!(server.get("/readyz").await.status, 200);
    let (caller, _) = server.session("").await;
    let full = server.get("/readyz").await;
    full.is_error(503, "full");
    assert_eq!(full.header("retry-after"), Some("7"));
    assert_eq!(server.get("/healthz").await.status, 200, "it works");
    caller.hang_up().await;
    soon(async { while server.get("/readyz").await.status != 200 {} }).await;
}

#[tokio::test]
async fn x4_an_idle_server_listens_until_a_load_balancer_has_asked() {
    let mut server = TestServer::start("drain_s = 3600\ndrain_min_s = 3600").await;
    server.stop();
    // Without the least time it would be gone, and the connection refused.
    while server.get("/readyz").await.status == 200 {}
    server.get("/readyz").await.is_error(503, "draining");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn x4_it_does_not_listen_for_longer_than_calls_may_go_on() {
    let file = File::new("drain", "drain_s = 5\ndrain_min_s = 6");
    let refused = output(&["check-config", "--config", file.path()]).await;
    is_refusal(
        &refused,
        2,
        &["drain_min_s: ", "6", "`drain_s`, which is 5"],
    );
}

// ----- an address for those who run it

/// A server with an address for operations, the callers' and that one.
async fn with_operations(settings: &str) -> (SocketAddr, SocketAddr) {
    let settings =
        format!("listen = '127.0.0.1:0'\n{settings}\n[operations]\nlisten = '127.0.0.1:0'");
    let server = Server::bind(toml::from_str(&settings).unwrap())
        .await
        .unwrap();
    let addresses = (server.address(), server.operations_address().unwrap());
    tokio::spawn(server.run(pending()));
    addresses
}

#[tokio::test]
async fn health_and_metrics_are_asked_for_there_and_nothing_else() {
    let (callers, operations) = with_operations("").await;
    let get = async |path: &str| request(operations, "GET", path, &[], "").await;
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/readyz").await.status, 200);
    let shown = get("/metrics").await;
    assert_eq!(shown.status, 200);
    let open = r#"roomkit_server_connections{listener="operations"} "#;
    assert!(shown.body.contains(open), "{}", shown.body);
    for path in ["/", "/rooms", "/ws"] {
        get(path).await.is_error(404, "not_found");
    }
    // Load balancers ask where they send callers.
    let ready = request(callers, "GET", "/readyz", &[], "").await;
    assert_eq!(ready.status, 200);
}

#[tokio::test]
async fn x2_metrics_need_a_token_there_too() {
    let (_, operations) = with_operations("[auth]\ntokens = ['hunter2']").await;
    let get = async |path: &str| request(operations, "GET", path, &[], "").await;
    get("/metrics").await.is_error(401, "unauthorized");
    assert_eq!(get("/metrics?token=hunter2").await.status, 200);
    assert_eq!(get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_address_that_cannot_be_used_for_operations_is_refused() {
    for (text, named) in [
        (
            "listen = '127.0.0.1:9'\n[operations]\nlisten = '127.0.0.1:9'",
            "another port",
        ),
        ("[operations]\nlisten = '0.0.0.0:9'", "--no-auth"),
        ("[operations]\nlisten = 'nonsense'", "address and a port"),
    ] {
        let file = File::new("operations", text);
        let refused = output(&["check-config", "--config", file.path()]).await;
        is_refusal(&refused, 2, &["operations.listen: ", named]);
    }
}

// ----- what goes with the program

/// A file beside the program that runs it.
fn of_ops(name: &str) -> String {
    let ops = concat!(env!("CARGO_MANIFEST_DIR"), "/ops");
    std::fs::read_to_string(format!("{ops}/{name}")).unwrap()
}

#[test]
fn x4_the_unit_runs_the_program_and_waits_longer_than_calls_may_go_on() {
    let unit = of_ops("roomkit-server.service");
    let value = |key: &str| {
        let mut lines = unit.lines();
        let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{key}: {unit}"))
    };
    let start = Cli::try_parse_from(value("ExecStart").split(' ')).unwrap();
    let reload = Cli::try_parse_from(value("ExecReload").split(' ')).unwrap();
    let Some(Task::CheckConfig(checked)) = reload.task else {
        panic!("a reload begins with a check");
    };
    assert_eq!(checked.config, start.settings.config);
    assert!(unit.contains("\nExecReload=/bin/kill -HUP $MAINPID\n"));
    let patience: u64 = value("TimeoutStopSec").parse().unwrap();
    // Beyond the calls, dashboards and requests have 2 s each to end, MCP servers 10, traces 5.
    assert!(patience > Config::default().drain_s + 19);
    // Also after 2: what the configuration names may be there a moment later.
    assert!(value("Restart") == "on-failure" && !unit.contains("RestartPrevent"));
}

#[test]
fn the_container_runs_the_program() {
    let file = of_ops("Containerfile");
    let words = |key: &str| -> Vec<String> {
        let mut lines = file.lines();
        let list = lines.find_map(|line| line.strip_prefix(key));
        serde_json::from_str(list.unwrap()).unwrap()
    };
    Cli::try_parse_from([words("ENTRYPOINT "), words("CMD ")].concat()).unwrap();
}
