//! Why the server does not start, and how the library's errors read over HTTP.

use std::{io, path::PathBuf};

use axum::http::StatusCode;
use roomkit::{
    error::{ConfigError, RoomError},
    http::Rejection,
    mcp::McpError,
};

/// Why the server does not start, in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The command line is wrong.
    #[error("{0}; see --help")]
    Usage(String),
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A required MCP server is not there, or two offer the same.
    #[error(transparent)]
    Mcp(McpError),
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration file is no TOML, or holds what it must not.
    #[error("{}: {problem}", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        problem: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not let the program hear signals.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// The system gives the program no threads.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// A defect: the parts of the server do not fit.
    #[error("cannot set up the rooms: {0}")]
    Setup(#[from] RoomError),
}

impl ServerError {
    /// 2 when the command line or the configuration is at fault, so that another start ends the same way;
    /// else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Config(_)
            | Self::Mcp(McpError::Clash { .. })
            | Self::ConfigFile { .. }
            | Self::ConfigSyntax { .. } => 2,
            Self::Mcp(_)
            | Self::Listen { .. }
            | Self::Signals(_)
            | Self::Runtime(_)
            | Self::Setup(_) => 1,
        }
    }
}

/// The error of a plugin as the reader of the file knows it: `name` is where the plugin is named, `section`
/// where its settings are.
pub(crate) fn of_plugin(error: ConfigError, name: &str, section: &str) -> ConfigError {
    match error {
        ConfigError::Unknown { .. } => ConfigError::field(name, error.to_string()),
        error => error.in_section(section),
    }
}

impl From<clap::Error> for ServerError {
    /// clap explains itself over several paragraphs; the first says what is wrong.
    fn from(error: clap::Error) -> Self {
        let text = error.to_string();
        let lines = text.lines().map(str::trim);
        let first: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        let line = first.join(" ");
        Self::Usage(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
    }
}

/// The answer to a room operation that failed.
pub(crate) fn room_rejection(error: &RoomError) -> Rejection {
    let (status, code) = match error {
        RoomError::NotFound(_) => (StatusCode::NOT_FOUND, "room_not_found"),
        RoomError::Exists(_) => (StatusCode::CONFLICT, "room_exists"),
        RoomError::Closed(_) => (StatusCode::CONFLICT, "room_closed"),
        RoomError::Open(_) => (StatusCode::CONFLICT, "room_open"),
        RoomError::TooManyRooms(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_rooms"),
        RoomError::NotAttached { .. } => (StatusCode::CONFLICT, "channel_not_attached"),
        RoomError::KitClosed => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
        // The server's own channels are there for as long as the kit is.
        RoomError::ChannelNotRegistered(_) => return room_rejection(&RoomError::KitClosed),
        other => {
            tracing::error!(error = %other, "a room operation failed");
            let (status, code) = (StatusCode::INTERNAL_SERVER_ERROR, "internal");
            return Rejection::new(status, code, "the server could not do this");
        }
    };
    Rejection::new(status, code, error.to_string())
}
