//! The MCP servers of the configuration.

use roomkit::{
    error::ConfigError,
    mcp::{McpError, McpServer, McpTools},
};

use crate::error::ServerError;

/// Connects to all of them. None: there are none.
pub(crate) async fn connect(servers: &[McpServer]) -> Result<Option<McpTools>, ServerError> {
    if servers.is_empty() {
        return Ok(None);
    }
    let tools = McpTools::connect(servers.iter().cloned()).await;
    tools.map(Some).map_err(|error| match error {
        McpError::Config(error) => in_file(error).into(),
        other => ServerError::Mcp(other),
    })
}

/// Finds out whether the settings can be used, without contacting anybody. Gives the servers' names.
pub(crate) fn check(servers: &[McpServer]) -> Result<Vec<String>, ConfigError> {
    McpTools::check(servers.iter().cloned()).map_err(in_file)
}

/// The library counts in `servers`, and does not where there is one.
fn in_file(error: ConfigError) -> ConfigError {
    error.rename_field(|field| match field.strip_prefix("servers") {
        Some(place) => format!("mcp{place}"),
        None => format!("mcp[0].{field}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_file_are_servers() {
        let config: crate::config::Config = toml::from_str(
            r#"
            [[mcp]]
            url = "https://crm.example/mcp"
            bearer_token = "hunter2"
            timeout_s = 5
            [[mcp]]
            command = "tool"
            args = ["--key=hunter2"]
            env = { KEY = "hunter2" }
            connect_timeout_s = 0.5
            "#,
        )
        .unwrap();
        assert_eq!(config.mcp.len(), 2);
        assert_eq!(config.mcp[0].timeout.as_secs(), 5);
        assert_eq!(config.mcp[1].connect_timeout.as_millis(), 500);
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2"), "contract X1: {shown}");
    }

    #[tokio::test]
    async fn an_error_names_the_place_in_the_file() {
        let good = McpServer::process("true", [""; 0]);
        for (servers, place) in [
            (vec![McpServer::default()], "mcp[0].url"),
            (vec![good, McpServer::default()], "mcp[1].url"),
        ] {
            let checked = check(&servers).unwrap_err();
            let error = connect(&servers).await.unwrap_err();
            assert_eq!(error.to_string(), checked.to_string());
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().starts_with(place), "{error}");
        }
    }

    #[tokio::test]
    async fn a_required_server_that_is_absent_stops_the_start() {
        let absent = McpServer::process("/no/such/program", [""; 0]);
        let error = connect(&[absent]).await.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("required = false"), "{error}");
    }

    #[test]
    fn two_tools_of_one_name_are_the_configurations_fault() {
        let clash = McpError::Clash {
            tool: "search".into(),
            first: "crm".into(),
            second: "shop".into(),
        };
        assert_eq!(ServerError::Mcp(clash).exit_code(), 2);
    }
}
