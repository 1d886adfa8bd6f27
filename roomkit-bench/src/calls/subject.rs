//! The programs under measurement, and the fake vendor behind them.

use std::{net::SocketAddr, path::PathBuf};

use super::load::Mode;
use crate::{
    Outcome,
    process::{CORE, OTHERS, Process, words},
    settings::SETTINGS,
};

const VENDOR_PORT: u16 = 18_811;
const SERVER_PORT: u16 = 18_812;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Floor,
    Server,
}

/// A subject that runs.
pub(super) struct Running {
    pub(super) process: Process,
    /// Where it takes offers.
    pub(super) address: SocketAddr,
    vendor: Process,
}

impl Subject {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Server => "server",
        }
    }

    pub(super) async fn start(self, mode: Mode) -> Outcome<Running> {
        // In a conversation it hears turns and repeats them; else it repeats at once.
        let relay = if mode == Mode::Conversation {
            "--no-noise"
        } else {
            "--relay"
        };
        let arguments = words(&format!("{relay} --listen 127.0.0.1:{VENDOR_PORT}"));
        let mut vendor = Process::start("roomkit-fake-openai", OTHERS, &arguments)?;
        vendor.wait_for_port(VENDOR_PORT).await?;
        let mut process = match self {
            Self::Floor => {
                let arguments = format!(
                    "floor-webrtc --listen 127.0.0.1:{SERVER_PORT} --upstream {}",
                    base_url()
                );
                Process::start("roomkit-bench", CORE, &words(&arguments))?
            }
            Self::Server => {
                let arguments = ["--config".to_owned(), config()?.display().to_string()];
                Process::start("roomkit-server", CORE, &arguments)?
            }
        };
        process.wait_for_port(SERVER_PORT).await?;
        Ok(Running {
            process,
            address: ([127, 0, 0, 1], SERVER_PORT).into(),
            vendor,
        })
    }
}

impl Running {
    /// Callers, as a program of their own.
    pub(super) fn callers(
        &self,
        mode: &str,
        sessions: usize,
        measured: usize,
        seconds: u64,
    ) -> Outcome<Process> {
        let arguments = format!(
            "load-webrtc --server {} --mode {mode} --sessions {sessions} --measured {measured} \
             --seconds {seconds}",
            self.address
        );
        Process::start("roomkit-bench", OTHERS, &words(&arguments))
    }

    pub(super) async fn stop(self) -> Outcome<()> {
        self.process.stop().await?;
        self.vendor.stop().await
    }
}

fn base_url() -> String {
    format!("ws://127.0.0.1:{VENDOR_PORT}/v1/realtime")
}

fn config() -> Outcome<PathBuf> {
    let path = std::env::temp_dir().join("roomkit-bench-webrtc.toml");
    std::fs::write(
        &path,
        format!(
            "listen = \"127.0.0.1:{SERVER_PORT}\"\n\
             transports = [{{ name = \"webrtc\", path = \"/rtc\", config = {{ interfaces = [\"127.0.0.1\"] }} }}]\n\
             [provider]\nname = \"openai\"\n\
             config = {{ base_url = \"{}\" }}\n{SETTINGS}",
            base_url()
        ),
    )?;
    Ok(path)
}
