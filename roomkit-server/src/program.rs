//! The program from its command line to its exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::{
    HangUps, Server, ServerError, Signals,
    cli::{Cli, Settings, Task},
};

/// How long the program waits at its end for what cannot be interrupted, such as a disk that hangs.
const UNINTERRUPTIBLE: Duration = Duration::from_secs(1);

/// All that the program `roomkit-server` does, for a program of one's own that links further plugins:
/// the command line, the log, signals, reloads, and the exit code. It makes its own runtime, so call
/// it outside of any.
///
/// ```no_run
/// # mod your_crate {}
/// // Without this line the crate is not linked, whatever `Cargo.toml` says.
/// use your_crate as _;
///
/// fn main() -> std::process::ExitCode {
///     roomkit_server::main()
/// }
/// ```
pub fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&ServerError::Runtime(error)),
    };
    let code = runtime.block_on(start());
    runtime.shutdown_timeout(UNINTERRUPTIBLE);
    code
}

async fn start() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => {
            // `--help` and `--version`: there is nothing to do when nobody reads the answer.
            let _ = asked.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&ServerError::from(error)),
    };
    run(cli).await.unwrap_or_else(|error| fail(&error))
}

async fn run(cli: Cli) -> Result<ExitCode, ServerError> {
    match cli.task {
        None => return serve(cli.settings).await,
        Some(Task::CheckConfig(settings)) => {
            let plan = Server::check(&settings.into_config()?).await?;
            print(plan.to_string().as_bytes());
        }
        Some(Task::Completions { shell }) => print(&Cli::completions(shell)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(settings: Settings) -> Result<ExitCode, ServerError> {
    let config = settings.clone().into_config()?;
    let log = crate::observe(&config)?;
    let mut signals = Signals::listen()?;
    // Where neither the configuration nor the certificate is in a file there is nothing to read again, and
    // a hang-up ends the program as it always did.
    let reads_files = settings.config.is_some() || settings.tls_cert.is_some();
    let hang_ups = reads_files.then(HangUps::listen).transpose()?;
    let server = tokio::select! {
        server = Server::bind(config) => server?,
        // It may wait for MCP servers or an issuer's keys, and there is nothing yet to be drained.
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    // The one line for programs.
    print(format!("listening on {}\n", server.url()).as_bytes());
    if let Some(hang_ups) = hang_ups {
        tokio::spawn(server.reload(Some(log.clone())).at(hang_ups, settings));
    }
    let stop = CancellationToken::new();
    let serving = async {
        server.run(stop.cancelled()).await;
        log.finish().await;
    };
    let second_signal = async {
        signals.next().await;
        stop.cancel();
        signals.next().await
    };
    tokio::select! {
        () = serving => Ok(ExitCode::SUCCESS),
        signal = second_signal => {
            tracing::warn!("a second signal: stopping at once");
            // Not by `process::exit`, which drops nothing: the programs of MCP servers would go on.
            // The exit code is the one that shells give for it.
            Ok(u8::try_from(128 + signal).map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

/// When nobody reads it, the program is no worse.
fn print(text: &[u8]) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text).and_then(|()| stdout.flush());
}

fn fail(error: &ServerError) -> ExitCode {
    let line = error.to_string().replace('\n', " ");
    let _ = writeln!(io::stderr(), "error: {line}");
    ExitCode::from(error.exit_code())
}
