//! A configuration that is read again while calls run.

use std::future::pending;

use roomkit_server::{Server, config::Config};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::support::{
    Socket,
    program::{File, Running},
    refusal, request, soon,
    tls::Identity,
};

const DONE: &str = "the configuration was read again";
const REFUSED: &str = "the configuration cannot be used; all stays as it was";

async fn status(server: &Running, path: &str) -> u16 {
    request(server.address, "GET", path, &[], "").await.status
}

#[tokio::test]
async fn x7_a_hang_up_changes_tokens_limits_and_log_and_no_call_that_runs() {
    let file = File::new(
        "reload",
        "log = 'warn'\n[auth]\ntokens = ['old']\n[limits]\nmax_sessions = 2\nmax_rooms = 9",
    );
    let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
    let mut caller = Socket::open(server.address, "/ws?token=old", &[])
        .await
        .unwrap();
    caller.until("session_started").await;
    assert_eq!(status(&server, "/readyz").await, 200);

    file.write(
        "log = 'info'\n[auth]\ntokens = ['new']\n[limits]\nmax_sessions = 1\nretry_after_seconds = 7",
    );
    server.signal("HUP").await;
    // With the filter of before, this would not be in the log.
    log.until(DONE).await;
    assert_eq!(status(&server, "/rooms?token=old").await, 401);
    assert_eq!(status(&server, "/rooms?token=new").await, 200);
    let full = request(server.address, "GET", "/readyz", &[], "").await;
    full.is_error(503, "full");
    assert_eq!(full.header("retry-after"), Some("7"));
    caller
        .send(json!({"type": "text", "text": "still here"}))
        .await;
    caller.words("assistant", "still here").await;
    caller.hang_up().await;
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn x7_a_hang_up_reads_the_file_of_tokens_again_and_says_whether_it_could() {
    let tokens = File::new("tokens", "old\nkept\n");
    let file = File::new(
        "token-file",
        &format!("[auth]\ntoken_file = '{}'", tokens.path()),
    );
    let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
    let successful = async || {
        let shown = request(server.address, "GET", "/metrics?token=kept", &[], "").await;
        let mut lines = shown.body.lines();
        let value = lines
            .find_map(|line| line.strip_prefix("roomkit_server_config_last_reload_successful "));
        value.map(str::to_owned)
    };
    assert_eq!(status(&server, "/rooms?token=old").await, 200);
    tokens.write("kept\nnew\n");
    server.signal("HUP").await;
    log.until(DONE).await;
    assert_eq!(status(&server, "/rooms?token=old").await, 401);
    assert_eq!(status(&server, "/rooms?token=kept").await, 200);
    assert_eq!(status(&server, "/rooms?token=new").await, 200);
    assert_eq!(successful().await.as_deref(), Some("1"));

    // As of one that is just being written.
    tokens.write("");
    server.signal("HUP").await;
    log.until(REFUSED).await;
    assert_eq!(status(&server, "/rooms?token=kept").await, 200);
    assert_eq!(successful().await.as_deref(), Some("0"));
    tokens.write("kept\n");
    server.signal("HUP").await;
    log.until(DONE).await;
    assert_eq!(successful().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn x7_fewer_rooms_may_be_open_after_a_hang_up() {
    let file = File::new("rooms", "");
    let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
    let mut caller = Socket::open(server.address, "/ws?room=one", &[])
        .await
        .unwrap();
    caller.until("session_started").await;
    file.write("[limits]\nmax_rooms = 1\nretry_after_seconds = 3");
    server.signal("HUP").await;
    log.until(DONE).await;
    let refused = request(server.address, "GET", "/ws?room=two", &UPGRADE, "").await;
    refused.is_error(503, "too_many_rooms");
    assert_eq!(refused.header("retry-after"), Some("3"));
}

#[tokio::test]
async fn x7_what_one_address_may_have_changes_with_a_hang_up() {
    const WATCH: &str = "/rooms/one/events";
    let file = File::new("addresses", "");
    let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
    let mut caller = Socket::open(server.address, "/ws?room=one", &[])
        .await
        .unwrap();
    caller.until("session_started").await;
    let _dashboard = Socket::open(server.address, WATCH, &[]).await.unwrap();
    file.write("[limits]\nmax_rooms_per_address = 1\nmax_dashboards_per_address = 1");
    server.signal("HUP").await;
    log.until(DONE).await;
    for (path, code) in [
        ("/ws?room=two", "too_many_rooms_of_address"),
        (WATCH, "too_many_dashboards_of_address"),
    ] {
        let (status, body, _) = refusal(Socket::open(server.address, path, &[]).await);
        assert_eq!((status, &body["code"]), (429, &json!(code)));
    }
    caller.ping().await;
    caller.hang_up().await;
}

#[tokio::test]
async fn x7_c5_a_proxy_that_is_gone_is_one_client_as_others_are() {
    const OF_ONE_CLIENT: usize = 256;
    let file = File::new("proxies", "[limits]\ntrusted_proxies = 1");
    let flags = [
        "--config",
        file.path(),
        "--log",
        "info,roomkit_server=debug",
    ];
    let (server, mut log) = Running::with_lines(&flags).await;
    let connect = || TcpStream::connect(server.address);
    let mut of_the_proxy = Vec::new();
    for _ in 0..OF_ONE_CLIENT {
        of_the_proxy.push(connect().await.unwrap());
    }
    assert_eq!(status(&server, "/healthz").await, 200, "one more");
    file.write("[limits]\ntrusted_proxies = 0");
    server.signal("HUP").await;
    log.until(DONE).await;
    let mut one_more = connect().await.unwrap();
    let read = soon(one_more.read(&mut [0; 1])).await;
    // Cut off, whichever way the system tells it.
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    log.until("a connection was refused").await;
    file.write("[limits]\ntrusted_proxies = 1");
    server.signal("HUP").await;
    log.until(DONE).await;
    let metrics = request(server.address, "GET", "/metrics", &[], "").await;
    let counted = "roomkit_admission_refused_total{reason=\"too_many_connections_of_address\"} 1";
    assert!(metrics.body.contains(counted), "{}", metrics.body);
}

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn x7_what_cannot_be_used_changes_nothing_and_is_in_the_log() {
    let file = File::new("broken", "[auth]\ntokens = ['old']");
    let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
    for (text, named) in [
        ("[auth]\ntokens = ['hunter2']\nlissten = 1", "lissten"),
        (
            "[auth]\ntokens = ['hunter2']\n[limits]\nmax_sessions = 0",
            "limits.max_sessions",
        ),
        (
            "[auth]\ntokens = ['hunter2']\n[channel]\nseed_turns = 0",
            "channel.seed_turns",
        ),
        ("log = 'loud=x'\n[auth]\ntokens = ['hunter2']", "log"),
        ("log = 'warning'\n[auth]\ntokens = ['hunter2']", "warning"),
    ] {
        file.write(text);
        server.signal("HUP").await;
        let lines = log.until(REFUSED).await;
        let line = lines.last().unwrap();
        assert!(line.contains("ERROR") && line.contains(named), "{line}");
        assert!(!line.contains("hunter2"), "x1: {line}");
        assert_eq!(status(&server, "/rooms?token=hunter2").await, 401);
        assert_eq!(status(&server, "/rooms?token=old").await, 200);
    }
    std::fs::remove_file(file.path()).unwrap();
    server.signal("HUP").await;
    let lines = log.until(REFUSED).await;
    assert!(lines.last().unwrap().contains(file.path()), "{lines:?}");
    file.write("[auth]\ntokens = ['new']");
    server.signal("HUP").await;
    log.until(DONE).await;
    assert_eq!(status(&server, "/rooms?token=new").await, 200);
}

#[tokio::test]
async fn x7_that_no_token_opens_anything_any_more_is_in_the_log() {
    for (name, without) in [("opened", "no_auth = true"), ("emptied", "tokens = []")] {
        let file = File::new(name, "[auth]\ntokens = ['old']");
        let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
        file.write(&format!("[auth]\n{without}"));
        server.signal("HUP").await;
        let lines = log.until(DONE).await;
        let of_tokens = |line: &&String| line.contains("no token opens anything until a restart");
        let told = lines.iter().find(of_tokens).unwrap();
        assert!(told.contains("WARN"), "{told}");
        assert!(
            !lines.iter().any(|line| line.contains("stays as it was")),
            "{lines:?}"
        );
        assert_eq!(status(&server, "/rooms?token=old").await, 401);
    }
}

#[tokio::test]
async fn x7_what_cannot_change_is_named_and_a_flag_still_wins_over_the_file() {
    let file = File::new("restart", "drain_s = 7");
    let (server, mut log) = Running::with_lines(&["--config", file.path(), "--drain-s", "9"]).await;
    file.write(
        "listen = '127.0.0.1:1'\ndrain_s = 8\n[channel]\nvoice = 'x'\n[rooms]\nmax_closed = 1",
    );
    server.signal("HUP").await;
    let lines = log.until(DONE).await;
    let named: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("needs a restart"))
        .collect();
    // Neither the address nor the time to drain: those flags hold.
    assert_eq!(named.len(), 2, "{named:?}");
    for (line, setting) in named.into_iter().zip(["channel", "rooms"]) {
        assert!(line.contains("WARN"), "{line}");
        assert!(line.contains(&format!("setting=\"{setting}\"")), "{line}");
    }
    assert_eq!(status(&server, "/healthz").await, 200);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn s7_reading_the_configuration_again_leaves_nothing_open() {
    let file = File::new("open", "");
    let (server, mut log) = Running::with_lines(&["--config", file.path()]).await;
    let folder = format!("/proc/{}/fd", server.id());
    let open = || std::fs::read_dir(&folder).unwrap().count();
    let before = open();
    for _ in 0..3 {
        server.signal("HUP").await;
        log.until(DONE).await;
    }
    // What was opened for the checks, such as UDP ports, goes when their tasks do.
    let all_closed = async {
        while open() > before {
            status(&server, "/healthz").await;
        }
    };
    soon(all_closed).await;
}

// ----- in a program of one's own

async fn server(settings: &str) -> Server {
    let mut config: Config = toml::from_str(settings).unwrap();
    config.listen = "127.0.0.1:0".into();
    Server::bind(config).await.unwrap()
}

fn config(settings: &str) -> Config {
    let mut config: Config = toml::from_str(settings).unwrap();
    config.listen = "127.0.0.1:0".into();
    config
}

#[tokio::test]
async fn x7_each_setting_that_needs_a_restart_is_named_and_no_other() {
    let server = server("[[mcp]]\ncommand = '/no/such'\nrequired = false").await;
    let reload = server.reload(None);
    let pem = Identity::new().file("restart-tls");
    let pem = pem.path();
    let same = "[[mcp]]\ncommand = '/no/such'\nrequired = false\n";
    let same_and = |more: &str| format!("{more}\n{same}");
    for (text, expected) in [
        (
            same_and("log = 'debug'\n[limits]\nmax_sessions = 5"),
            &[][..],
        ),
        (
            same_and("[provider]\nname = 'openai'\nconfig = { api_key = 'x' }"),
            &["provider"],
        ),
        (
            same_and("[[transports]]\nname = 'websocket'\npath = '/ws'"),
            &["transports"],
        ),
        (
            same_and("[[agents]]\nname = 'a'\nsystem_prompt = 'b'"),
            &["agents"],
        ),
        (
            "[[mcp]]\ncommand = '/other'\nrequired = false".into(),
            &["mcp"],
        ),
        (
            same_and("[[tool_sources]]\nname = 'oracle'\nconfig = { tool = 'a', answer = 'b' }"),
            &["tool_sources"],
        ),
        (same_and("[auth]\ntokens = ['a']"), &["auth"]),
        (same_and("log_format = 'json'"), &["log_format"]),
        (
            same_and(&format!("[tls]\ncert = '{pem}'\nkey = '{pem}'")),
            &["tls"],
        ),
        (
            same_and("drain_s = 1\n[metrics]\nenabled = false\n[rooms]\nmax_closed = 1"),
            &["rooms", "metrics", "drain_s"],
        ),
        (
            same_and("drain_min_s = 1\n[operations]\nlisten = '127.0.0.1:9090'"),
            &["operations", "drain_min_s"],
        ),
    ] {
        let config = config(&text);
        let reloaded = reload.take_over(&config).await.unwrap();
        assert_eq!(reloaded.needs_restart, expected, "{text}");
    }
}

#[tokio::test]
async fn x7_tokens_that_are_taken_away_open_nothing_and_the_door_goes_on_asking() {
    let server = server("[auth]\ntokens = ['a']").await;
    let (address, reload) = (server.address(), server.reload(None));
    let running = tokio::spawn(server.run(pending()));
    let status = async |token: &str| {
        let path = format!("/rooms?token={token}");
        request(address, "GET", &path, &[], "").await.status
    };
    assert_eq!(soon(status("a")).await, 200);
    let reloaded = reload.take_over(&config("")).await.unwrap();
    assert_eq!(reloaded.needs_restart, ["auth"]);
    assert_eq!(soon(status("a")).await, 401);
    assert_eq!(soon(status("")).await, 401);
    let more = "[auth]\ntokens = ['b', { token = 'c', scopes = ['call'] }]";
    let reloaded = reload.take_over(&config(more)).await.unwrap();
    assert!(reloaded.needs_restart.is_empty());
    assert_eq!(soon(status("b")).await, 200);
    assert_eq!(soon(status("c")).await, 403);
    running.abort();
}
