//! Relays of other makes: see `peers/README.md`.

use std::path::Path;

use tokio::process::Command;

use crate::{
    Outcome,
    process::{CORE, Process},
};

/// Says which versions this Python has.
const VERSIONS: &str = "from importlib.metadata import version
print(', '.join(name + ' ' + version(name) for name in ['roomkit', 'pipecat-ai', 'uvicorn', 'websockets']))";

/// Starts one, which listens on that port and relays to `upstream`.
pub(crate) fn start(python: &Path, script: &str, port: u16, upstream: String) -> Outcome<Process> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(script);
    let arguments = [script.display().to_string(), port.to_string(), upstream];
    Process::start_at(python, CORE, &arguments)
}

/// What they are made of, with versions.
pub(crate) async fn versions(python: &Path) -> Outcome<String> {
    let asked = Command::new(python).args(["-c", VERSIONS]).output().await?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(format!("{}: {}", python.display(), said.trim()).into());
    }
    Ok(String::from_utf8(asked.stdout)?.trim().to_owned())
}
