//! The command line. A flag wins over the same setting of the file, the file over the default.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::{Map, Value};

use crate::{
    config::{Config, LogFormat, ProviderConfig, TlsConfig},
    error::ServerError,
};

/// A speech-to-speech server: callers in a browser, a speech AI, and a room around them.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "roomkit-server",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// How to serve.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program does besides serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Check the configuration as a start would, and say what would be served
    ///
    /// Listens nowhere and contacts neither MCP servers nor vendors. Exit code 0, or 2 and one line
    /// that names the setting.
    CheckConfig(Box<Settings>),
    /// Print what completes this program's command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The settings, as flags.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Configuration file (TOML); its settings are named like these flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080] [file: `listen`]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// PEM file of the server's certificate; the server then speaks https [file: `tls.cert`]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its private key [file: `tls.key`]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The speech AI, by its registered name [default: echo] [file: `provider.name`]
    ///
    /// When the file configures another provider, that configuration is left out.
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// The provider's model [file: `provider.config.model`]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The AI's voice, by the vendor's name [file: `channel.voice`]
    #[arg(long, value_name = "NAME")]
    pub voice: Option<String>,
    /// Instructions for the AI [file: `channel.system_prompt`]
    #[arg(long, value_name = "TEXT")]
    pub system_prompt: Option<String>,
    /// Calls the server takes at a time [default: 1000] [file: `limits.max_sessions`]
    #[arg(long, value_name = "COUNT")]
    pub max_sessions: Option<usize>,
    /// Rooms that may be open at a time [default: 10000] [file: `limits.max_rooms`]
    #[arg(long, value_name = "COUNT")]
    pub max_rooms: Option<usize>,
    /// Seconds that a closed room can still be read [default: 3600] [file: `rooms.keep_closed_s`]
    #[arg(long, value_name = "SECONDS")]
    pub keep_closed_s: Option<u64>,
    /// Closed rooms that are kept at most [default: 1000] [file: `rooms.max_closed`]
    #[arg(long, value_name = "COUNT")]
    pub max_closed: Option<usize>,
    /// Web pages that may connect: an origin, `same-origin` or `*`; may be given several times
    /// [default: same-origin] [file: `limits.allowed_origins`]
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Environment variable that holds the access tokens, with commas between [file: `auth.token_env`]
    #[arg(long, value_name = "VARIABLE")]
    pub auth_token_env: Option<String>,
    /// Let everybody in, on any address [file: `auth.no_auth`]
    #[arg(long)]
    pub no_auth: bool,
    /// What to log to standard error, such as `debug` or `info,roomkit_core=debug`
    /// [default: info] [file: `log`]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// What the log looks like [default: text] [file: `log_format`]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Seconds that calls may go on after SIGTERM [default: 30] [file: `drain_s`]
    #[arg(long, value_name = "SECONDS")]
    pub drain_s: Option<u64>,
}

impl Cli {
    /// The script that completes this command line, for a shell to read.
    pub fn completions(shell: Shell) -> Vec<u8> {
        let mut command = Self::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name, &mut script);
        script
    }
}

impl Settings {
    /// The file's settings, or the defaults, with the flags laid over them.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds what it must not.
    pub fn into_config(self) -> Result<Config, ServerError> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if let Some(name) = self.provider
            && name != config.provider.name
        {
            let none = Value::Object(Map::new());
            config.provider = ProviderConfig { name, config: none };
        }
        if let (Some(cert), Some(key)) = (self.tls_cert, self.tls_key) {
            config.tls = Some(TlsConfig { cert, key });
        }
        if let Some(model) = self.model {
            config.provider.set("model", model);
        }
        set(&mut config.listen, self.listen);
        set(&mut config.log, self.log);
        set(&mut config.log_format, self.log_format);
        set(&mut config.drain_s, self.drain_s);
        set(&mut config.limits.max_sessions, self.max_sessions);
        set(&mut config.limits.max_rooms, self.max_rooms);
        set(&mut config.rooms.keep_closed_s, self.keep_closed_s);
        set(&mut config.rooms.max_closed, self.max_closed);
        config.channel.voice = self.voice.or(config.channel.voice);
        config.channel.system_prompt = self.system_prompt.or(config.channel.system_prompt);
        config.auth.token_env = self.auth_token_env.or(config.auth.token_env);
        config.auth.no_auth |= self.no_auth;
        if !self.allow_origin.is_empty() {
            config.limits.allowed_origins = self.allow_origin;
        }
        Ok(config)
    }
}

fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Cli, ServerError> {
        let program = ["roomkit-server"];
        Ok(Cli::try_parse_from(program.iter().chain(arguments))?)
    }

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_flags_and_file_the_defaults_apply() {
        let config = parsed(&[]).unwrap().settings.into_config().unwrap();
        assert_eq!(config.listen, "127.0.0.1:8080");
        assert_eq!(config.provider.name, "echo");
        let ways: Vec<(&str, &str)> = config
            .transports
            .iter()
            .map(|way| (way.name.as_str(), way.path.as_str()))
            .collect();
        assert_eq!(ways, [("webrtc", "/rtc"), ("websocket", "/ws")]);
        assert_eq!(config.drain_s, 30);
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let config = parsed(&[
            "--listen=0.0.0.0:9",
            "--tls-cert=cert.pem",
            "--tls-key=key.pem",
            "--provider=openai",
            "--model=gpt-realtime",
            "--voice=marin",
            "--system-prompt=Be kind.",
            "--max-sessions=7",
            "--max-rooms=8",
            "--keep-closed-s=9",
            "--max-closed=10",
            "--allow-origin=same-origin",
            "--allow-origin=https://app.example",
            "--auth-token-env=TOKENS",
            "--no-auth",
            "--log=debug",
            "--log-format=json",
            "--drain-s=5",
        ])
        .unwrap()
        .settings
        .into_config()
        .unwrap();
        assert_eq!(config.listen, "0.0.0.0:9");
        let tls = config.tls.unwrap();
        assert_eq!(tls.cert.to_str(), Some("cert.pem"));
        assert_eq!(tls.key.to_str(), Some("key.pem"));
        assert_eq!(config.provider.name, "openai");
        assert_eq!(config.provider.config["model"], "gpt-realtime");
        assert_eq!(config.channel.voice.as_deref(), Some("marin"));
        assert_eq!(config.channel.system_prompt.as_deref(), Some("Be kind."));
        assert_eq!(config.limits.max_sessions, 7);
        assert_eq!(config.limits.max_rooms, 8);
        assert_eq!(
            (config.rooms.keep_closed_s, config.rooms.max_closed),
            (9, 10)
        );
        assert_eq!(
            config.limits.allowed_origins,
            ["same-origin", "https://app.example"]
        );
        assert_eq!(config.auth.token_env.as_deref(), Some("TOKENS"));
        assert!(config.auth.no_auth);
        assert_eq!((config.log.as_str(), config.drain_s), ("debug", 5));
        assert_eq!(config.log_format, LogFormat::Json);
    }

    #[test]
    fn a_wrong_command_line_is_one_line() {
        for (arguments, named) in [
            (&["--lissten=1"][..], "--lissten"),
            (&["--max-sessions=many"], "many"),
            (&["--listen"], "--listen"),
            (&["--tls-cert=a"], "--tls-key"),
            (&["--tls-key=a"], "--tls-cert"),
            (&["stray"], "stray"),
            (&["--log-format=xml"], "json"),
            (&["check-config", "stray"], "stray"),
            (&["--drain-s=1", "check-config"], "check-config"),
            (&["completions"], "SHELL"),
            (&["completions", "csh"], "bash"),
        ] {
            let error = parsed(arguments).unwrap_err();
            let line = error.to_string();
            assert!(line.contains(named) && !line.contains('\n'), "{line}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
