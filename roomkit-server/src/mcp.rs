//! The MCP servers of the configuration.

use std::time::Duration;

use roomkit::{
    error::ConfigError,
    mcp::{McpError, McpServer, McpTools},
};

use crate::error::ServerError;

/// Connects to all of them. None: there are none. The channel gives a call that much time.
pub(crate) async fn connect(
    servers: &[McpServer],
    tool_timeout: Duration,
) -> Result<Option<McpTools>, ServerError> {
    check_times(servers, tool_timeout)?;
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
pub(crate) fn check(
    servers: &[McpServer],
    tool_timeout: Duration,
) -> Result<Vec<String>, ConfigError> {
    check_times(servers, tool_timeout)?;
    McpTools::check(servers.iter().cloned()).map_err(in_file)
}

/// More time than the channel gives is never used. But who gives less to all tools need not say so of
/// each server that has the default.
fn check_times(servers: &[McpServer], tool_timeout: Duration) -> Result<(), ConfigError> {
    let default = McpServer::default().timeout;
    let is_cut = |server: &McpServer| server.timeout > tool_timeout && server.timeout != default;
    let Some(place) = servers.iter().position(is_cut) else {
        return Ok(());
    };
    let problem = format!(
        "is {}; must be at most `channel.tool_timeout_s`, which is {} and ends every call before; lower it, raise \
         that, or give tools that take long a `timeout_ms` of their own in `mcp[{place}].rules`",
        servers[place].timeout.as_secs_f64(),
        tool_timeout.as_secs()
    );
    Err(ConfigError::field(
        format!("mcp[{place}].timeout_s"),
        problem,
    ))
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

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn k3_more_time_than_the_channel_gives_a_call_is_refused() {
        let with_timeout = |seconds| McpServer {
            timeout: Duration::from_secs_f32(seconds),
            ..McpServer::process("/no/such/program", [""; 0])
        };
        let servers = [with_timeout(30.0), with_timeout(60.5)];
        let refused = check(&servers, LIMIT).unwrap_err().to_string();
        for part in [
            "60.5",
            "`channel.tool_timeout_s`, which is 30",
            "mcp[1].rules",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        assert!(refused.starts_with("mcp[1].timeout_s: "), "{refused}");
        let error = connect(&servers, LIMIT).await.unwrap_err();
        assert_eq!((error.to_string(), error.exit_code()), (refused, 2));

        assert!(check(&servers, Duration::from_secs(61)).is_ok());
        // Nothing is said of this one's time.
        let silent = McpServer::process("true", [""; 0]);
        assert!(check(&[silent], Duration::from_secs(5)).is_ok());
    }

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
            let checked = check(&servers, LIMIT).unwrap_err();
            let error = connect(&servers, LIMIT).await.unwrap_err();
            assert_eq!(error.to_string(), checked.to_string());
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().starts_with(place), "{error}");
        }
    }

    #[tokio::test]
    async fn a_required_server_that_is_absent_stops_the_start() {
        let absent = McpServer::process("/no/such/program", [""; 0]);
        let error = connect(&[absent], LIMIT).await.unwrap_err();
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
