//! The program; see the library of the same name for what it is made of.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use roomkit_server::{Server, ServerError, Signals, cli::Cli};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => {
            // `--help` and `--version`: there is nothing to do when nobody reads the answer.
            let _ = asked.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&ServerError::from(error)),
    };
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> Result<(), ServerError> {
    let config = cli.into_config()?;
    roomkit_server::log_to_stderr(&config.log)?;
    let signals = Signals::listen()?;
    let server = Server::bind(config).await?;
    // The one line for programs; when nobody reads it, the server is no worse.
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "listening on http://{}", server.address());
    let _ = stdout.flush();
    server.run(signals.stop()).await;
    Ok(())
}

fn fail(error: &ServerError) -> ExitCode {
    let line = error.to_string().replace('\n', " ");
    let _ = writeln!(io::stderr(), "error: {line}");
    ExitCode::from(error.exit_code())
}
