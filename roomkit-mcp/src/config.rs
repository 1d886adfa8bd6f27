//! How one server is reached, and which of its tools are offered.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use roomkit_core::tool::ToolRules;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use crate::token::TokenSource;

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
    #[serde(deserialize_with = "roomkit_dial::secrets")]
    pub headers: BTreeMap<String, SecretString>,
    /// The bearer token of every HTTP request.
    #[serde(deserialize_with = "roomkit_dial::secret")]
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
    /// Its arguments. A mistake in them is told without them, as one may be a key.
    #[serde(deserialize_with = "arguments")]
    pub args: Vec<String>,
    /// Its environment, beside a few harmless variables of this process such as `PATH` and `HOME`.
    /// Values are treated as secrets.
    #[serde(deserialize_with = "roomkit_dial::secrets")]
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
    /// How calls of its tools are run, by the server's own names. A tool with a time of its own has
    /// that in place of `timeout_s`.
    pub rules: BTreeMap<String, ToolRules>,
    /// Whether the model is told, silently, what the server says of a call's progress. Default false:
    /// the words of a foreign server would stand in the conversation where instructions do.
    pub tell_progress: bool,
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
    /// How often it is asked whether it is still there; default 10 s. After three times without an
    /// answer it is connected to again. `ping_s` in JSON.
    #[serde(rename = "ping_s", deserialize_with = "seconds")]
    pub ping: Duration,
    /// How many tools are offered at most; default 128, which is what vendors take.
    pub max_tools: usize,
    /// The largest message taken from the server, in bytes; default 16 MiB. How much of a result the
    /// model reads is the channel's to say (`tool_result_max_length`).
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
            rules: BTreeMap::new(),
            tell_progress: false,
            required: true,
            timeout: Duration::from_secs(25),
            connect_timeout: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            max_tools: 128,
            max_message_bytes: 16 * 1024 * 1024,
        }
    }
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
}

impl PartialEq for McpServer {
    /// Whether both are the same server, reached in the same way and offering the same. Two sources of
    /// tokens are equal where they are one.
    fn eq(&self, other: &Self) -> bool {
        // Each field has its name here, so that a new one is not forgotten.
        let Self {
            name,
            url,
            headers,
            bearer_token,
            bearer_token_env,
            token_source,
            ca_file,
            command,
            args,
            env,
            inherit_env,
            working_dir,
            include,
            exclude,
            prefix,
            renames,
            rules,
            tell_progress,
            required,
            timeout,
            connect_timeout,
            ping,
            max_tools,
            max_message_bytes,
        } = self;
        let secrets = |of: &BTreeMap<String, SecretString>| -> Vec<(String, String)> {
            of.iter()
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect()
        };
        let token = |of: &Option<SecretString>| of.as_ref().map(|it| it.expose_secret().to_owned());
        let same_source = match (token_source, &other.token_source) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_source
            && token(bearer_token) == token(&other.bearer_token)
            && secrets(headers) == secrets(&other.headers)
            && secrets(env) == secrets(&other.env)
            && *name == other.name
            && *url == other.url
            && *command == other.command
            && *args == other.args
            && *ca_file == other.ca_file
            && *inherit_env == other.inherit_env
            && *working_dir == other.working_dir
            && *include == other.include
            && *exclude == other.exclude
            && *prefix == other.prefix
            && *renames == other.renames
            && *rules == other.rules
            && *tell_progress == other.tell_progress
            && *required == other.required
            && *bearer_token_env == other.bearer_token_env
            && *timeout == other.timeout
            && *connect_timeout == other.connect_timeout
            && *ping == other.ping
            && *max_tools == other.max_tools
            && *max_message_bytes == other.max_message_bytes
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

fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let given = serde_json::Value::deserialize(deserializer)?;
    serde_json::from_value(given).map_err(|_| {
        serde::de::Error::custom("`args` must be a list of strings; put each into quotes")
    })
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

    #[test]
    fn x1_a_secret_that_is_no_string_is_refused_without_being_shown() {
        for config in [
            json!({"bearer_token": 47_114_711}),
            json!({"bearer_token": ["hunter2"]}),
            json!({"headers": {"X-Key": 47_114_711}}),
            json!({"headers": 47_114_711}),
            json!({"env": {"KEY": {"hunter2": 47_114_711}}}),
            json!({"args": "--api-key=hunter2"}),
            json!({"args": ["--pin", 47_114_711]}),
        ] {
            let error = serde_json::from_value::<McpServer>(config).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("string"), "{error}");
            assert!(
                !error.contains("4711") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_server_is_equal_to_itself_and_to_no_other() {
        let read = |text| serde_json::from_value::<McpServer>(text).unwrap();
        let whole = json!({"url": "https://a", "headers": {"k": "v"}, "bearer_token": "b", "env": {"k": "v"}});
        assert_eq!(read(whole.clone()), read(whole.clone()));
        for (field, other) in [
            ("url", json!("https://b")),
            ("headers", json!({"k": "w"})),
            ("bearer_token", json!("c")),
            ("env", json!({"l": "v"})),
            ("max_tools", json!(7)),
        ] {
            let mut changed = whole.clone();
            changed[field] = other;
            assert_ne!(read(changed), read(whole.clone()), "{field}");
        }
    }
}
