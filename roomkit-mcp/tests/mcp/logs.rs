//! What is logged while a server over HTTP is used and lost, by us and by what is beneath.

use std::{
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use roomkit_mcp::{McpServer, McpTools};
use tracing::{level_filters::LevelFilter, subscriber::DefaultGuard};

use crate::{
    server::{Http, Server},
    support::{connect, free_port, soon, until, until_lost},
};

/// What this thread logs, on every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens as long as the guard lives.
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn x1_no_log_holds_the_query_of_a_url() {
    // `tracing` asks only the thread that comes by first, and for all, as long as nobody else listens.
    let _other = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    let (log, _listening) = Log::listen();
    let server = Server::new(&["echo"]);
    server.mute.store(1, Ordering::SeqCst);
    let http = Http::start(&server).await;
    let tools = connect(McpServer {
        ping: Duration::from_millis(100),
        ..McpServer::http(format!("{}?key=hunter2", http.url))
    })
    .await;
    until(async || log.text().contains("are not there yet")).await;
    http.stop().await;
    until_lost(&tools).await;
    soon(tools.close()).await;
    let absent = format!("http://127.0.0.1:{}/mcp?key=hunter2", free_port().await);
    soon(McpTools::connect([McpServer::http(absent)]))
        .await
        .unwrap_err();
    until(async || log.text().contains("worker quit with fatal")).await;
    let text = log.text();
    assert!(text.contains("delete session"), "{text}");
    let telling: Vec<_> = text.lines().filter(|it| it.contains("hunter2")).collect();
    assert!(telling.is_empty(), "{telling:#?}");
}
