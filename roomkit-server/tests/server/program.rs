//! The real program: its command line, its exit codes, its end.

use std::{ffi::OsStr, fs, net::SocketAddr, os::unix::ffi::OsStrExt, path::Path};

use roomkit::mock::fake_gemini::FakeGemini;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Child,
    task::yield_now,
};

use crate::support::{
    self, Socket,
    program::{File, Running, is_refusal, output, program, signal},
    soon,
};

#[tokio::test]
async fn x1_a_variable_that_holds_no_text_is_named_and_not_shown() {
    let mut command = program(&["--auth-token-env", "ROOMKIT_TEST_TOKENS"]);
    command.env("ROOMKIT_TEST_TOKENS", OsStr::from_bytes(b"hunter2\xff"));
    let refused = soon(command.output()).await.unwrap();
    is_refusal(
        &refused,
        2,
        &["auth.token_env", "ROOMKIT_TEST_TOKENS", "UTF-8"],
    );
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("hunter2"));
}

#[tokio::test]
async fn what_is_wrong_on_the_command_line_is_one_line_and_exit_code_2() {
    for (arguments, named) in [
        (&["--lissten", "x"][..], &["--lissten"][..]),
        (&["--max-sessions", "many"], &["many", "--max-sessions"]),
        (&["--max-sessions", "0"], &["limits.max_sessions"]),
        (&["--max-rooms", "0"], &["limits.max_rooms"]),
        (&["--listen", "nonsense"], &["listen", "nonsense"]),
        (&["--listen", "127.0.0.1:99999"], &["listen", "99999"]),
        (&["--listen", "0.0.0.0:0"], &["listen", "--no-auth"]),
        (
            &["--provider", "opnai"],
            &["provider.name: ", "opnai", "echo", "gemini", "openai"],
        ),
        (&["--provider", "openai"], &["api_key", "OPENAI_API_KEY"]),
        (&["--provider", "gemini"], &["api_key", "GOOGLE_API_KEY"]),
        (
            &["--provider", "echo", "--model", "x"],
            &["provider.config", "model"],
        ),
        (
            &["--allow-origin", "app.example"],
            &["limits.allowed_origins", "app.example"],
        ),
        (
            &["--auth-token-env", "ROOMKIT_NO_SUCH"],
            &["auth.token_env", "ROOMKIT_NO_SUCH"],
        ),
        (&["--log", "roomkit=loud"], &["log", "loud"]),
        (&["--log", "warning"], &["log", "`warning` is no level"]),
        (&["--log", "info,hyper"], &["log", "`hyper` is no level"]),
        (&["--log", " , "], &["log", "empty"]),
        (
            &["--config", "/nowhere/roomkit.toml"],
            &["/nowhere/roomkit.toml"],
        ),
    ] {
        is_refusal(&output(arguments).await, 2, named);
    }
}

#[tokio::test]
async fn what_is_wrong_in_the_file_names_file_and_field() {
    for (name, text, named) in [
        ("syntax", "listen = ", &["syntax.toml", "line 1"][..]),
        (
            "field",
            "\nlissten = 'x'",
            &["field.toml", "line 2", "lissten"],
        ),
        ("section", "[channel]\nvoise = 'x'", &["line 2", "voise"]),
        ("type", "[limits]\nmax_sessions = 'x'", &["line 2"]),
        (
            "limit",
            "[limits]\nhandshake_ms = 0",
            &["limits.handshake_ms"],
        ),
        (
            "zero",
            "[channel]\nidle_timeout_s = 0",
            &["channel.idle_timeout_s", "leave it out"],
        ),
        (
            "azure",
            "[provider]\nname = 'openai'\nconfig = { preset = 'azure', resource = 'r', model = 'm' }",
            &["api_key", "AZURE_OPENAI_API_KEY"],
        ),
        (
            "preset",
            "[provider]\nname = 'openai'\nconfig = { preset = 'azur' }",
            &["provider.config", "azur", "azure", "xai"],
        ),
        (
            "gemini",
            "[provider]\nname = 'gemini'\nconfig = { api_key = 'x', modle = 'm' }",
            &["provider.config", "modle", "model"],
        ),
        (
            "provider",
            "[provider]\nname = 'echo'\nconfig = { speeed = 1 }",
            &["provider.config", "speeed"],
        ),
        (
            "transport",
            "[[transports]]\nname = 'webscoket'\npath = '/ws'",
            &["transports[0].name: ", "webscoket", "websocket"],
        ),
        (
            "tool-source",
            "[[tool_sources]]\nname = 'crm'",
            &["tool_sources[0].name: ", "crm", "mcp"],
        ),
        (
            "transport-config",
            "[[transports]]\nname = 'websocket'\npath = '/ws'\nconfig = { lead = 1 }",
            &["transports[0].config", "lead"],
        ),
        (
            "path",
            "[[transports]]\nname = 'websocket'\npath = '/rooms/ws'",
            &["transports[0].path", "/rooms/ws"],
        ),
        (
            "twice",
            "[[transports]]\nname = 'websocket'\npath = '/a'\n[[transports]]\nname = 'websocket'\npath = '/a'",
            &["transports[1].path"],
        ),
        (
            "plain-path",
            "[[transports]]\nname = 'websocket'\npath = '/{a}'",
            &["transports[0].path"],
        ),
        ("none", "transports = []", &["transports"]),
    ] {
        let file = File::new(name, text);
        is_refusal(&output(&["--config", file.path()]).await, 2, named);
    }
}

#[tokio::test]
async fn what_is_wrong_about_connections_that_end_names_field_and_remedy() {
    for (name, setting, named) in [
        (
            "hold",
            "hold_s = 0",
            &["channel.hold_s", "leave it out"][..],
        ),
        ("hold-text", "hold_s = '30 s'", &["line 2", "30 s"]),
        ("attempts", "reconnect_attempts = -1", &["line 2", "-1"]),
        (
            "age",
            "max_connection_age_s = 0",
            &["channel.max_connection_age_s", "leave it out"],
        ),
        (
            "turns",
            "seed_turns = 0",
            &["channel.seed_turns", "leave it out"],
        ),
        (
            "tokens",
            "seed_tokens = 0",
            &["channel.seed_tokens", "leave it out"],
        ),
        (
            "both",
            "seed_turns = 5\nseed_tokens = 500",
            &["channel.seed_tokens", "seed_turns", "leave one"],
        ),
    ] {
        let file = File::new(name, &format!("[channel]\n{setting}"));
        is_refusal(&output(&["--config", file.path()]).await, 2, named);
    }
}

#[tokio::test]
async fn a_port_in_use_is_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    is_refusal(
        &output(&["--listen", &address]).await,
        1,
        &["cannot listen", &address],
    );
}

#[tokio::test]
async fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version"] {
        let output = output(&[argument]).await;
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[tokio::test]
async fn flags_win_over_the_file() {
    let file = File::new(
        "flags",
        "log = 'off'\n[auth]\ntoken_env = 'ROOMKIT_NO_SUCH'\n[provider]\nname = 'openai'\nconfig = { api_key = 'x' }",
    );
    let mut command = program(&[
        "--config",
        file.path(),
        "--listen",
        "127.0.0.1:0",
        "--provider",
        "echo",
        "--auth-token-env",
        "ROOMKIT_TEST_TOKEN",
    ]);
    let mut child = command
        .env("ROOMKIT_TEST_TOKEN", "a-token")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let address = line
        .strip_prefix("listening on http://")
        .unwrap()
        .parse()
        .unwrap();
    let refused = support::request(address, "GET", "/rooms", &[], "").await;
    refused.is_error(401, "unauthorized");
    let mut caller = Socket::open(address, "/ws?token=a-token", &[])
        .await
        .unwrap();
    caller.until("session_started").await;
}

/// A server whose AI is this vendor, chosen by flags; the key comes from where it is expected.
async fn with_gemini(vendor: &FakeGemini, name: &str, key: &str) -> (Child, SocketAddr) {
    let url = vendor.base_url();
    let config = format!("[provider]\nname = 'gemini'\nconfig = {{ base_url = '{url}' }}");
    let file = File::new(name, &config);
    let mut command = program(&[
        "--config",
        file.path(),
        "--listen",
        "127.0.0.1:0",
        "--provider",
        "gemini",
        "--model",
        "gemini-3.8-live",
        "--voice",
        "Aoede",
        "--system-prompt",
        "Be kind.",
    ]);
    let mut child = command.env("GOOGLE_API_KEY", key).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();
    (child, address.parse().unwrap())
}

#[tokio::test]
async fn gemini_is_chosen_by_flags_and_takes_its_key_from_the_environment() {
    let vendor = FakeGemini::builder().api_key("AIza-test");
    let vendor = vendor.start().await.unwrap();
    let (_child, address) = with_gemini(&vendor, "gemini-flags", "AIza-test").await;
    let mut caller = Socket::open(address, "/ws", &[]).await.unwrap();
    caller.until("session_started").await;
    let connection = vendor.wait_for_connection(0).await.unwrap();
    let setup = connection.session().to_string();
    for part in ["models/gemini-3.8-live", "Aoede", "Be kind."] {
        assert!(setup.contains(part), "{part}: {setup}");
    }
    caller.hang_up().await;
}

#[tokio::test]
async fn x1_a_key_that_google_refuses_is_in_the_log_as_such_and_not_itself() {
    let vendor = FakeGemini::builder().api_key("AIza-test");
    let vendor = vendor.start().await.unwrap();
    let (mut child, address) = with_gemini(&vendor, "gemini-key", "AIza-wrong").await;
    let mut caller = Socket::open(address, "/ws", &[]).await.unwrap();
    caller.until("error").await;
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = soon(log.next_line()).await.unwrap();
        let line = line.expect("the refusal is in the log");
        assert!(!line.contains("AIza-wrong"), "{line}");
        if line.contains("API key not valid") {
            break;
        }
    }
}

#[tokio::test]
async fn x4_sigterm_lets_calls_finish_and_exits_with_0() {
    let server = Running::start(&[]).await;
    let mut caller = Socket::open(server.address, "/ws", &[]).await.unwrap();
    caller.until("session_started").await;
    server.signal("TERM").await;
    let draining = async || {
        let ready = support::request(server.address, "GET", "/readyz", &[], "").await;
        ready.status == 503
    };
    while !draining().await {}
    caller
        .send(json!({"type": "text", "text": "one more thing"}))
        .await;
    caller.words("assistant", "one more thing").await;
    caller.hang_up().await;
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn x4_sigint_without_calls_exits_at_once() {
    let server = Running::start(&[]).await;
    server.signal("INT").await;
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn x4_a_signal_ends_a_start_that_waits() {
    // An MCP server that takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let text = format!("[[mcp]]\nurl = '{url}'\nrequired = true\nconnect_timeout_s = 3600");
    let file = File::new("waits", &text);
    let arguments = ["--listen", "127.0.0.1:0", "--config", file.path()];
    let mut server = program(&arguments).spawn().unwrap();
    let _connection = soon(silent.accept()).await.unwrap();
    signal(server.id().unwrap(), "TERM").await;
    assert_eq!(soon(server.wait()).await.unwrap().code(), Some(0));
}

/// An MCP server that neither the end of its input nor a polite word ends. It leaves its id in `FILE`.
const DEAF: &str = r#"[[mcp]]
command = 'sh'
args = ['-c', '''
trap '' TERM
echo $$ > FILE
while read -r line; do
    id=$(echo "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    answer() { echo '{"jsonrpc":"2.0","id":'"$id,$1}"; }
    case "$line" in
    *'"initialize"'*)
        about='"capabilities":{"tools":{}},"serverInfo":{"name":"deaf","version":"1"}'
        answer '"result":{"protocolVersion":"2025-06-18",'"$about}";;
    *'"tools/list"'*) answer '"result":{"tools":[]}';;
    *'"id":'*) answer '"error":{"code":-32601,"message":"unknown"}';;
    esac
done
sleep 3600
''']
"#;

#[tokio::test]
async fn x4_a_second_signal_does_not_wait_and_leaves_no_program_behind() {
    let told = File::new("deaf-id", "");
    let config = File::new("deaf", &DEAF.replace("FILE", told.path()));
    let server = Running::start(&["--drain-s", "3600", "--config", config.path()]).await;
    let program = fs::read_to_string(told.path()).unwrap();
    let program = Path::new("/proc").join(program.trim()).join("stat");
    let runs = || fs::read_to_string(&program).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(runs());
    let mut caller = Socket::open(server.address, "/ws", &[]).await.unwrap();
    caller.until("session_started").await;
    server.signal("TERM").await;
    while support::request(server.address, "GET", "/readyz", &[], "")
        .await
        .status
        != 503
    {}
    server.signal("TERM").await;
    assert_eq!(server.exit_code().await, Some(128 + 15));
    soon(async {
        while runs() {
            yield_now().await;
        }
    })
    .await;
}
