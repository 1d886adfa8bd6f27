//! How one server is reached, and which of its tools are offered.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use roomkit_core::registry::ConfigError;
use roomkit_dial::{Redactor, Roots};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::{
    child::Program,
    connection::Target,
    filter::Filter,
    http_client::{Http, Token},
    token::TokenSource,
};

/// One MCP server: at a `url` (streamable HTTP), or a `command` that is started and spoken to over
/// its standard input and output.
///
/// [`McpTools`](crate::McpTools) checks it. `Debug` shows no token, no header's value, no
/// variable's value and no query of `url` (contract X1).
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct McpServer {
    /// What it is called in errors, logs and metrics; default the host of `url`, or `command`.
    pub name: String,
    /// Where it listens: `https://` or `http://`.
    pub url: Option<String>,
    /// Headers of every HTTP request. Their values are treated as secrets.
    pub headers: BTreeMap<String, SecretString>,
    /// The bearer token of every HTTP request.
    pub bearer_token: Option<SecretString>,
    /// The environment variable that holds the bearer token, read when the server is built.
    pub bearer_token_env: Option<String>,
    /// Gives the bearer token of each HTTP request; for tokens that expire.
    #[serde(skip)]
    pub token_source: Option<Arc<dyn TokenSource>>,
    /// A file of further certificate authorities to trust, in PEM or DER. It is read once.
    pub ca_file: Option<PathBuf>,
    /// The program to start.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside a few harmless variables of this process such as `PATH` and `HOME`.
    /// Values are treated as secrets.
    pub env: BTreeMap<String, SecretString>,
    /// Further variables of this process that the program gets. It does not get all of them, because
    /// they hold the keys of others.
    pub inherit_env: Vec<String>,
    /// The directory the program runs in; default this process's.
    pub working_dir: Option<PathBuf>,
    /// The tools to offer, as names or globs such as `get_*`; empty: all.
    pub include: Vec<String>,
    /// The tools not to offer, as names or globs.
    pub exclude: Vec<String>,
    /// Begins the name of every tool that is not renamed.
    pub prefix: String,
    /// New names by the server's own.
    pub renames: BTreeMap<String, String>,
    /// Whether there is nothing without this server: then it is an error if it cannot be reached at
    /// the start. Otherwise its tools come when it does. Default true.
    pub required: bool,
    /// How long a call may take; default 25 s, a little less than the channel allows, so that the
    /// server is told. `timeout_s` in JSON.
    #[serde(rename = "timeout_s", deserialize_with = "seconds")]
    pub timeout: Duration,
    /// How long connecting and listing may take together; default 10 s. `connect_timeout_s` in
    /// JSON.
    #[serde(rename = "connect_timeout_s", deserialize_with = "seconds")]
    pub connect_timeout: Duration,
    /// How often it is asked whether it is still there; default 10 s. `ping_s` in JSON.
    #[serde(rename = "ping_s", deserialize_with = "seconds")]
    pub ping: Duration,
    /// How many tools are offered at most; default 128, which is what vendors take.
    pub max_tools: usize,
    /// How many characters of a result are passed on; default 65536. The channel has a limit of its
    /// own.
    pub max_result_chars: usize,
    /// The largest message taken from the server, in bytes; default 16 MiB.
    pub max_message_bytes: usize,
}

impl Default for McpServer {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: None,
            headers: BTreeMap::new(),
            bearer_token: None,
            bearer_token_env: None,
            token_source: None,
            ca_file: None,
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            working_dir: None,
            include: Vec::new(),
            exclude: Vec::new(),
            prefix: String::new(),
            renames: BTreeMap::new(),
            required: true,
            timeout: Duration::from_secs(25),
            connect_timeout: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            max_tools: 128,
            max_result_chars: 65_536,
            max_message_bytes: 16 * 1024 * 1024,
        }
    }
}

/// A server whose settings have been checked.
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) filter: Filter,
    pub(crate) redactor: Redactor,
    pub(crate) required: bool,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) ping: Duration,
    pub(crate) max_tools: usize,
    pub(crate) max_result_chars: usize,
}

impl McpServer {
    /// A server that listens at this URL.
    pub fn http(url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            ..Self::default()
        }
    }

    /// A server that is a program with arguments.
    pub fn process<A: Into<String>>(
        command: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            command: Some(command.into()),
            args: args.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn check(&self) -> Result<Checked, ConfigError> {
        for (field, is_zero) in [
            ("timeout_s", self.timeout.is_zero()),
            ("connect_timeout_s", self.connect_timeout.is_zero()),
            ("ping_s", self.ping.is_zero()),
            ("max_tools", self.max_tools == 0),
            ("max_result_chars", self.max_result_chars == 0),
            ("max_message_bytes", self.max_message_bytes == 0),
        ] {
            if is_zero {
                return Err(ConfigError::field(
                    field,
                    "is 0; give it more, or leave it out",
                ));
            }
        }
        let filter = Filter {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            prefix: self.prefix.clone(),
            renames: self.renames.clone(),
        };
        filter.check()?;
        let (name, target) = match (&self.url, &self.command) {
            (Some(url), None) => self.http_target(url)?,
            (None, Some(command)) => self.process_target(command)?,
            (Some(_), Some(_)) => {
                let problem = "is given together with `url`; leave one of the two out";
                return Err(ConfigError::field("command", problem));
            }
            (None, None) => {
                let problem =
                    "is missing; give the `url` of a server or the `command` that starts one";
                return Err(ConfigError::field("url", problem));
            }
        };
        let name = match self.name.trim() {
            "" => name,
            name => name.to_owned(),
        };
        Ok(Checked {
            name,
            target,
            filter,
            redactor: Redactor::new(self.secrets()),
            required: self.required,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            ping: self.ping,
            max_tools: self.max_tools,
            max_result_chars: self.max_result_chars,
        })
    }

    fn http_target(&self, text: &str) -> Result<(String, Target), ConfigError> {
        for (field, is_given) in [
            ("args", !self.args.is_empty()),
            ("env", !self.env.is_empty()),
            ("inherit_env", !self.inherit_env.is_empty()),
            ("working_dir", self.working_dir.is_some()),
        ] {
            if is_given {
                let problem = "is for a `command`, and this server has a `url`; leave it out";
                return Err(ConfigError::field(field, problem));
            }
        }
        let wrong = || {
            let shown = text.split(['?', '#', '@']).next().unwrap_or_default();
            let problem = format!("is `{shown}`; it takes an address such as `https://host/mcp`");
            ConfigError::field("url", problem)
        };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let host = url.host_str().ok_or_else(wrong)?.to_owned();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        if !url.username().is_empty() || url.password().is_some() {
            let problem = "holds a user or password; use `bearer_token` or `headers`";
            return Err(ConfigError::field("url", problem));
        }
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let field = format!("headers.{name}");
            let parsed = name.parse::<HeaderName>().map_err(|_| {
                ConfigError::field(&field, "is not a header's name; `X-Api-Key` is one")
            })?;
            let mut value = HeaderValue::from_str(value.expose_secret().trim())
                .map_err(|_| ConfigError::field(&field, "holds characters that no header takes"))?;
            value.set_sensitive(true);
            headers.push((parsed, value));
        }
        let mut roots = Roots::public();
        if let Some(path) = &self.ca_file {
            roots = roots.with_file("ca_file", path)?;
        }
        let http = Http::new(&url, headers, self.token()?, roots, self.max_message_bytes)?;
        Ok((host, Target::Http(http)))
    }

    fn token(&self) -> Result<Token, ConfigError> {
        let given = [
            self.bearer_token.is_some(),
            self.bearer_token_env.is_some(),
            self.token_source.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            let problem = "is one of several ways the token is given; leave all but one out";
            return Err(ConfigError::field("bearer_token", problem));
        }
        let usable = |field: &str, token: &str| {
            let token = token.trim();
            if token.is_empty() || HeaderValue::from_str(token).is_err() {
                let problem = "holds no token; set it to the token alone, without `Bearer`";
                return Err(ConfigError::field(field, problem));
            }
            Ok(Token::Fixed(token.to_owned().into()))
        };
        if let Some(token) = &self.bearer_token {
            return usable("bearer_token", token.expose_secret());
        }
        if let Some(variable) = &self.bearer_token_env {
            let token = std::env::var(variable).map_err(|_| {
                let problem = format!("names the variable `{variable}`, which is not set");
                ConfigError::field("bearer_token_env", problem)
            })?;
            return usable("bearer_token_env", &token);
        }
        Ok(match &self.token_source {
            Some(source) => Token::Source(Arc::clone(source)),
            None => Token::None,
        })
    }

    fn process_target(&self, command: &str) -> Result<(String, Target), ConfigError> {
        for (field, is_given) in [
            ("headers", !self.headers.is_empty()),
            ("bearer_token", self.bearer_token.is_some()),
            ("bearer_token_env", self.bearer_token_env.is_some()),
            ("token_source", self.token_source.is_some()),
            ("ca_file", self.ca_file.is_some()),
        ] {
            if is_given {
                let problem = "is for a `url`, and this server is a `command`; leave it out";
                return Err(ConfigError::field(field, problem));
            }
        }
        if command.trim().is_empty() {
            let problem = "is empty; name the program that starts the server";
            return Err(ConfigError::field("command", problem));
        }
        let program = Program {
            command: command.to_owned(),
            args: self.args.clone(),
            env: self.env.clone(),
            inherit_env: self.inherit_env.clone(),
            working_dir: self.working_dir.clone(),
            max_message_bytes: self.max_message_bytes,
        };
        let file = command.rsplit(['/', '\\']).next().unwrap_or(command);
        Ok((file.to_owned(), Target::Process(program)))
    }

    fn secrets(&self) -> Vec<SecretString> {
        let variables = self.bearer_token_env.iter().filter_map(|variable| {
            let value = std::env::var(variable).ok()?;
            Some(SecretString::from(value))
        });
        let query = self.url.iter().filter_map(|url| url.split_once('?'));
        self.headers
            .values()
            .chain(self.env.values())
            .chain(&self.bearer_token)
            .cloned()
            .chain(variables)
            .chain(query.map(|(_, query)| SecretString::from(query.to_owned())))
            .collect()
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_deref().map(|url| {
            let url = url.split(['?', '#']).next().unwrap_or_default();
            // Nor what stands before an `@`.
            url.rsplit('@').next().unwrap_or_default()
        });
        f.debug_struct("McpServer")
            .field("name", &self.name)
            .field("url", &url)
            .field("headers", &self.headers)
            .field("bearer_token", &self.bearer_token)
            .field("bearer_token_env", &self.bearer_token_env)
            .field("token_source", &self.token_source.is_some())
            .field("command", &self.command)
            // Programs are given keys in their arguments too.
            .field("args", &self.args.len())
            .field("env", &self.env)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

/// A duration in seconds, whole or not.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| serde::de::Error::custom(format_args!("{seconds} is no number of seconds")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error_of(config: serde_json::Value) -> String {
        let server: Result<McpServer, _> = serde_json::from_value(config);
        match server {
            Ok(server) => server.check().err().unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_error_names_field_value_and_remedy() {
        for (config, parts) in [
            (json!({}), vec!["url", "command"]),
            (
                json!({"url": "http://a", "command": "b"}),
                vec!["command", "leave one"],
            ),
            (
                json!({"url": "ftp://a/b"}),
                vec!["url", "ftp://a/b", "https://"],
            ),
            (
                json!({"url": "http://u:hunter2@a"}),
                vec!["url", "bearer_token"],
            ),
            (
                json!({"url": "http://a", "args": ["b"]}),
                vec!["args", "command"],
            ),
            (
                json!({"command": "a", "bearer_token": "b"}),
                vec!["bearer_token", "url"],
            ),
            (json!({"command": " "}), vec!["command", "empty"]),
            (
                json!({"url": "http://a", "timeout_s": 0}),
                vec!["timeout_s", "0"],
            ),
            (
                json!({"url": "http://a", "timeout_s": -1}),
                vec!["-1", "seconds"],
            ),
            (
                json!({"url": "http://a", "tiemout_s": 1}),
                vec!["unknown field `tiemout_s`"],
            ),
            (
                json!({"url": "http://a", "headers": {"a b": "c"}}),
                vec!["headers.a b"],
            ),
            (
                json!({"url": "http://a", "bearer_token": "a", "bearer_token_env": "B"}),
                vec!["bearer_token"],
            ),
            (
                json!({"url": "http://a", "bearer_token_env": "ROOMKIT_NO_SUCH"}),
                vec!["ROOMKIT_NO_SUCH"],
            ),
            (
                json!({"url": "http://a", "ca_file": "/no/such"}),
                vec!["ca_file", "/no/such"],
            ),
        ] {
            let error = error_of(config);
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_comes_from_the_address_or_the_program() {
        let name = |server: McpServer| server.check().unwrap().name;
        assert_eq!(
            name(McpServer::http("https://crm.example/mcp")),
            "crm.example"
        );
        assert_eq!(name(McpServer::process("/usr/bin/tool", ["x"])), "tool");
    }

    #[test]
    fn x1_debug_shows_no_secret() {
        let server: McpServer = serde_json::from_value(json!({
            "url": "https://me:hunter2@host/mcp?key=hunter2",
            "headers": {"X-Key": "hunter2"},
            "bearer_token": "hunter2",
            "env": {"KEY": "hunter2"},
            "args": ["--key=hunter2"],
        }))
        .unwrap();
        let shown = format!("{server:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
