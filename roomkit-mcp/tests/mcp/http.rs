//! Servers that are absent, go away and come back; tokens; over HTTP.

use std::{
    path::PathBuf,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use roomkit_core::tool::{ToolError, ToolHandler, ToolOutput, ToolSource};
use roomkit_mcp::{McpError, McpServer, McpTools, TokenError};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    server::{Forgets, Http, Server, tool},
    support::{
        call, connect, free_port, invocation, names, next_change, soon, until, until_connected,
        until_lost,
    },
};

#[tokio::test]
async fn an_absent_server_is_a_typed_error_that_says_what_to_do() {
    let url = format!("http://127.0.0.1:{}/mcp?key=hunter2", free_port().await);
    let error = soon(McpTools::connect([McpServer::http(url)]))
        .await
        .unwrap_err();
    assert!(matches!(&error, McpError::Unreachable { server, .. } if server == "127.0.0.1"));
    let error = error.to_string();
    assert!(
        error.contains("required = false") && error.contains("refused"),
        "{error}"
    );
    assert!(!error.contains("rmcp"), "{error}");
    assert!(!error.contains("hunter2"), "contract X1: {error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let began = Instant::now();
    let connecting = McpTools::connect([McpServer {
        connect_timeout: Duration::from_millis(300),
        ..McpServer::http(url)
    }]);
    let error = soon(connecting).await.unwrap_err().to_string();
    assert!(error.contains("within 0.3 s"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_tools_of_a_server_that_is_not_required_come_when_it_does() {
    let port = free_port().await;
    let tools = connect(McpServer {
        required: false,
        ..McpServer::http(format!("http://127.0.0.1:{port}/mcp"))
    })
    .await;
    assert!(names(&tools).await.is_empty());
    let status = &tools.status()[0];
    assert!(
        !status.is_connected && status.problem.is_some(),
        "{status:?}"
    );
    let mut changes = tools.changes().unwrap();
    let http = Http::on(&Server::new(&["echo"]), port).await;
    next_change(&mut changes).await;
    assert_eq!(names(&tools).await, ["echo"]);
    until_connected(&tools).await;
    assert!(call(&tools, "echo", json!({"text": "a"})).await.is_ok());
    tools.close().await;
    http.stop().await;
}

#[tokio::test]
async fn a_server_that_is_lost_answers_at_once_and_is_connected_to_again() {
    let server = Server::new(&["echo", "sleep"]);
    let http = Http::start(&server).await;
    let port = http.port;
    let tools = connect(McpServer {
        ping: Duration::from_millis(100),
        ..McpServer::http(&http.url)
    })
    .await;
    let running = tokio::spawn({
        let tools = tools.clone();
        async move { tools.call(invocation("sleep", json!({}))).await }
    });
    until(async || server.calls() == 1).await;
    http.stop().await;
    let error = soon(running).await.unwrap().unwrap_err().0;
    assert!(error.contains("broke during `sleep`"), "{error}");
    until_lost(&tools).await;
    let began = Instant::now();
    let error = call(&tools, "echo", json!({"text": "a"}))
        .await
        .unwrap_err();
    assert!(error.contains("not available at the moment"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(1), "at once");
    assert_eq!(names(&tools).await, ["echo", "sleep"], "the list is kept");

    // Another process on the same port, with other tools.
    let other = Server::new(&["echo", "new"]);
    let http = Http::on(&other, port).await;
    until_connected(&tools).await;
    assert_eq!(names(&tools).await, ["echo", "new"]);
    assert_eq!(
        call(&tools, "echo", json!({"text": "b"})).await,
        Ok(json!("b"))
    );
    assert_eq!(server.calls(), 1, "contract K1: no call is made again");
    tools.close().await;
    http.stop().await;
}

#[tokio::test]
async fn k1_a_call_that_the_new_process_never_saw_is_made_once() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let port = http.port;
    // No ping tells that the server was started anew: the call finds it out.
    let tools = connect(McpServer {
        ping: Duration::from_secs(600),
        ..McpServer::http(&http.url)
    })
    .await;
    http.stop().await;
    let other = Server::new(&["echo"]);
    let http = Http::on(&other, port).await;
    until(async || call(&tools, "echo", json!({"text": "a"})).await == Ok(json!("a"))).await;
    assert_eq!(other.calls(), 1);
    tools.close().await;
    http.stop().await;
}

/// What a server that was started anew says to a session it does not know.
async fn forgets(how: Forgets) {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let port = http.port;
    let tools = connect(McpServer {
        ping: Duration::from_secs(600),
        ..McpServer::http(&http.url)
    })
    .await;
    http.stop().await;
    let mut other = Server::new(&["echo"]);
    other.forgets = how;
    let http = Http::on(&other, port).await;
    until(async || call(&tools, "echo", json!({"text": "a"})).await == Ok(json!("a"))).await;
    assert_eq!(other.calls(), 1);
    tools.close().await;
    http.stop().await;
}

#[tokio::test]
async fn an_unknown_session_told_by_an_error_of_no_request_is_replaced() {
    forgets(Forgets::NoRequest).await;
}

#[tokio::test]
async fn an_unknown_session_told_by_an_error_of_the_request_is_replaced() {
    forgets(Forgets::TheRequest).await;
}

#[tokio::test]
async fn an_unknown_session_told_in_words_is_replaced() {
    forgets(Forgets::InWords).await;
}

#[tokio::test]
async fn a_request_that_breaks_off_ends_no_other() {
    let server = Server::new(&["echo", "sleep"]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        ping: Duration::from_secs(600),
        ..McpServer::http(&http.url)
    })
    .await;
    let other = running(&tools, &server).await;
    server.cutting.store(1, Ordering::SeqCst);
    let error = call(&tools, "echo", json!({"text": "a"})).await;
    let error = error.unwrap_err();
    assert!(error.contains("may have been done or not"), "{error}");
    let said = call(&tools, "echo", json!({"text": "b"})).await;
    assert_eq!(said, Ok(json!("b")));
    assert!(!other.is_finished());
    other.abort();
    tools.close().await;
}

#[tokio::test]
async fn s8_a_token_source_that_panics_costs_the_one_request() {
    let server = Server::new(&["echo", "sleep"]);
    let http = Http::start(&server).await;
    let panics = Arc::new(AtomicBool::new(false));
    let source = {
        let panics = Arc::clone(&panics);
        move || {
            let panics = panics.load(Ordering::SeqCst);
            async move {
                assert!(!panics, "hunter2");
                Ok("sesame".into())
            }
        }
    };
    let tools = connect(McpServer {
        ping: Duration::from_secs(600),
        token_source: Some(Arc::new(source)),
        ..McpServer::http(&http.url)
    })
    .await;
    let other = running(&tools, &server).await;
    panics.store(true, Ordering::SeqCst);
    let error = call(&tools, "echo", json!({"text": "a"})).await;
    let error = error.unwrap_err();
    assert!(error.contains("there is no bearer token"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    panics.store(false, Ordering::SeqCst);
    let said = call(&tools, "echo", json!({"text": "b"})).await;
    assert_eq!(said, Ok(json!("b")));
    assert!(!other.is_finished());
    other.abort();
    tools.close().await;
}

#[tokio::test]
async fn k8_changes_are_noticed_after_the_stream_of_events_was_away() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    server.mute.store(usize::MAX, Ordering::SeqCst);
    let tools = connect(McpServer::http(&http.url)).await;
    until(async || server.mute.load(Ordering::SeqCst) < usize::MAX).await;
    let mut changes = tools.changes().unwrap();
    // Nobody hears of it.
    let late = tool("late", &json!({"type": "object"}));
    server.tools.lock().unwrap().push(late);
    server.mute.store(0, Ordering::SeqCst);
    next_change(&mut changes).await;
    assert_eq!(names(&tools).await, ["echo", "late"]);
    tools.close().await;
}

/// A call that runs until it is aborted.
async fn running(tools: &McpTools, server: &Server) -> JoinHandle<Result<ToolOutput, ToolError>> {
    let tools = tools.clone();
    let call = tokio::spawn(async move { tools.call(invocation("sleep", json!({}))).await });
    until(async || server.calls() == 1).await;
    call
}

#[tokio::test]
async fn pings_that_fail_for_a_while_end_no_connection() {
    let server = Server::new(&["sleep"]);
    let http = Http::start(&server).await;
    let has_token = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let source = {
        let (has_token, asked) = (Arc::clone(&has_token), Arc::clone(&asked));
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            let token = has_token.load(Ordering::SeqCst).then(|| "token".into());
            async move { token.ok_or_else(|| TokenError("the vault is sealed".into())) }
        }
    };
    let tools = connect(McpServer {
        ping: Duration::from_millis(50),
        token_source: Some(Arc::new(source)),
        ..McpServer::http(&http.url)
    })
    .await;
    let call = running(&tools, &server).await;

    server.failing.store(5, Ordering::SeqCst);
    until(async || server.failing.load(Ordering::SeqCst) == 0).await;
    has_token.store(false, Ordering::SeqCst);
    let before = asked.load(Ordering::SeqCst);
    until(async || asked.load(Ordering::SeqCst) >= before + 5).await;
    has_token.store(true, Ordering::SeqCst);
    let before = server.requests();
    until(async || server.requests() >= before + 3).await;
    assert!(!call.is_finished());
    call.abort();
    tools.close().await;
}

#[tokio::test]
async fn an_idle_server_that_only_fails_is_connected_to_again() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        ping: Duration::from_millis(50),
        ..McpServer::http(&http.url)
    })
    .await;
    server.failing.store(usize::MAX, Ordering::SeqCst);
    until_lost(&tools).await;
    let problem = tools.status()[0].problem.clone().unwrap();
    assert!(problem.contains("503"), "{problem}");
    server.failing.store(0, Ordering::SeqCst);
    until_connected(&tools).await;
    tools.close().await;
}

#[tokio::test]
async fn a_call_that_the_server_fails_at_ends_no_other() {
    let server = Server::new(&["echo", "sleep"]);
    let http = Http::start(&server).await;
    // No ping takes the failure from the call.
    let tools = connect(McpServer {
        ping: Duration::from_secs(600),
        ..McpServer::http(&http.url)
    })
    .await;
    let other = running(&tools, &server).await;
    for (status, told) in [
        (503, "may have been done or not"),
        (401, "give it a valid `bearer_token`"),
        (403, "its token allows too little"),
    ] {
        server.failure.store(status, Ordering::SeqCst);
        server.failing.store(1, Ordering::SeqCst);
        let error = call(&tools, "echo", json!({"text": "a"})).await;
        let error = error.unwrap_err();
        assert!(error.contains(&status.to_string()), "{error}");
        assert!(error.contains(told), "{error}");
    }
    let said = call(&tools, "echo", json!({"text": "b"})).await;
    assert_eq!(said, Ok(json!("b")));
    assert!(!other.is_finished());
    other.abort();
    tools.close().await;
}

#[tokio::test]
async fn headers_and_tokens_go_with_every_request() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let source = {
        let asked = Arc::clone(&asked);
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, TokenError>(format!("token-{number}").into()) }
        }
    };
    let tools = connect(McpServer {
        headers: [("X-Tenant".to_owned(), "acme".into())].into(),
        token_source: Some(Arc::new(source)),
        ..McpServer::http(&http.url)
    })
    .await;
    assert!(call(&tools, "echo", json!({"text": "a"})).await.is_ok());
    let headers = server.headers.lock().unwrap().clone();
    let mut tokens: Vec<_> = headers
        .iter()
        .map(|headers| headers["authorization"].clone())
        .collect();
    tokens.sort();
    tokens.dedup();
    assert!(
        tokens.len() >= 3,
        "a token that expires is asked for anew: {tokens:?}"
    );
    assert!(headers.iter().all(|headers| headers["x-tenant"] == "acme"));
    tools.close().await;
}

#[tokio::test]
async fn x1_a_refused_token_is_told_without_it() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let server = McpServer {
        bearer_token: Some("wrong-hunter2".into()),
        ..McpServer::http(&http.url)
    };
    let error = soon(McpTools::connect([server])).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert!(error.to_string().contains("401"), "{error}");
}

#[tokio::test]
async fn x1_a_token_of_a_source_that_the_server_repeats_is_not_told() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let source = || async { Ok::<_, TokenError>("unknown-hunter2".into()) };
    let server = McpServer {
        token_source: Some(Arc::new(source)),
        ..McpServer::http(&http.url)
    };
    let error = soon(McpTools::connect([server])).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("nobody has the token"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn after_the_end_tools_say_so() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let tools = connect(McpServer::http(&http.url)).await;
    tools.close().await;
    let error = call(&tools, "echo", json!({})).await.unwrap_err();
    assert!(error.contains("it is closed"), "{error}");
}

/// What ends TLS before a server, with a certificate of its own making.
async fn with_tls(port: u16) -> (u16, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = std::env::temp_dir().join(format!("roomkit-mcp-ca-{}.der", std::process::id()));
    // DER, which `ca_file` takes as well as PEM.
    std::fs::write(&file, made.cert.der()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((caller, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                if let Ok(mut caller) = acceptor.accept(caller).await {
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
                }
            });
        }
    });
    (tls_port, file)
}

#[tokio::test]
async fn tls_trusts_the_authority_it_is_told_of_and_no_other() {
    let server = Server::new(&["echo"]);
    let http = Http::start(&server).await;
    let (port, file) = with_tls(http.port).await;
    let url = format!("https://localhost:{port}/mcp");
    let error = soon(McpTools::connect([McpServer::http(&url)]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let tools = connect(McpServer {
        ca_file: Some(file.clone()),
        ..McpServer::http(&url)
    })
    .await;
    let said = call(&tools, "echo", json!({"text": "a"})).await;
    assert_eq!(said, Ok(json!("a")));
    tools.close().await;
    let _ = std::fs::remove_file(file);
}
