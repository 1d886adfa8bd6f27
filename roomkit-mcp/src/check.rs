//! The settings of a server, checked, and what comes of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use roomkit_core::{registry::ConfigError, tool::ToolRules};
use roomkit_dial::{Roots, secret_from_env};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    child::Program,
    config::McpServer,
    connection::Target,
    filter::Filter,
    http_client::{Http, Token},
    secrets::{Secrets, Tokens, in_arguments, in_header, in_query},
};

/// A server whose settings have been checked.
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) filter: Filter,
    pub(crate) rules: BTreeMap<String, ToolRules>,
    pub(crate) tell_progress: bool,
    pub(crate) secrets: Secrets,
    pub(crate) required: bool,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) ping: Duration,
    pub(crate) max_tools: usize,
}

impl McpServer {
    pub(crate) fn check(&self) -> Result<Checked, ConfigError> {
        for (field, is_zero) in [
            ("timeout_s", self.timeout.is_zero()),
            ("connect_timeout_s", self.connect_timeout.is_zero()),
            ("ping_s", self.ping.is_zero()),
            ("max_tools", self.max_tools == 0),
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
        for (tool, rules) in &self.rules {
            rules.check(&format!("rules.{tool}"))?;
        }
        let tokens = Tokens::default();
        let (name, target) = match (&self.url, &self.command) {
            (Some(url), None) => self.http_target(url, &tokens)?,
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
            rules: self.rules.clone(),
            tell_progress: self.tell_progress,
            secrets: Secrets::new(self.secrets(), tokens),
            required: self.required,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            ping: self.ping,
            max_tools: self.max_tools,
        })
    }

    fn http_target(&self, text: &str, tokens: &Tokens) -> Result<(String, Target), ConfigError> {
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
            // People write keys before `@` and behind `?`.
            let address = text.rsplit('@').next().unwrap_or_default();
            let shown = address.split(['?', '#']).next().unwrap_or_default();
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
        let http = Http::new(
            &url,
            headers,
            self.token(tokens)?,
            roots,
            self.max_message_bytes,
        )?;
        Ok((host, Target::Http(http)))
    }

    fn token(&self, tokens: &Tokens) -> Result<Token, ConfigError> {
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
            let field = "bearer_token_env";
            let token = secret_from_env(field, variable)?.ok_or_else(|| {
                let problem = format!("names the variable `{variable}`, which is not set");
                ConfigError::field(field, problem)
            })?;
            return usable(field, token.expose_secret());
        }
        Ok(match &self.token_source {
            Some(source) => Token::Source(Arc::clone(source), tokens.clone()),
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
        let inherited = self
            .inherit_env
            .iter()
            .filter_map(|it| std::env::var(it).ok());
        self.env
            .values()
            .chain(&self.bearer_token)
            .cloned()
            .chain(variables)
            .chain(inherited.map(SecretString::from))
            .chain(self.headers.values().flat_map(in_header))
            .chain(self.url.iter().flat_map(|url| in_query(url)))
            .chain(in_arguments(&self.args))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn x1_variables_that_are_passed_on_are_secrets() {
        let server = McpServer {
            inherit_env: vec!["CARGO_PKG_DESCRIPTION".into()],
            ..McpServer::process("tool", [""; 0])
        };
        let secrets = server.check().unwrap().secrets;
        let key = env!("CARGO_PKG_DESCRIPTION");
        let told = secrets.redact(&format!("`{key}` was refused"));
        assert!(!told.contains(key), "{told}");
    }

    #[test]
    fn x1_parts_of_headers_and_queries_are_secrets() {
        let server: McpServer = serde_json::from_value(json!({
            "url": "https://host/mcp?api_key=hunter2%21&x=1#top",
            "headers": {"Authorization": " Basic hunter3 ", "X-Api-Key": "hunter4"},
        }))
        .unwrap();
        let secrets = server.check().unwrap().secrets;
        for quoted in ["hunter2!", "hunter2%21", "hunter3", "hunter4"] {
            let told = secrets.redact(&format!("nobody knows `{quoted}`, 1 of 2"));
            assert!(!told.contains(quoted), "{told}");
            assert!(told.contains("nobody knows"), "{told}");
        }
    }

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
                json!({"url": "ws://me:hunter2@host/mcp?key=hunter2"}),
                vec!["url", "`host/mcp`", "https://"],
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
}
