//! Sources of tools in the configuration file.

use std::{fmt, sync::Arc};

use roomkit::{error::ConfigError, registry::Registry, tool::ToolSource};
use serde::Deserialize;
use serde_json::Value;

use crate::error::of_plugin;

/// A source of tools.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSourceConfig {
    /// The registered name.
    pub name: String,
    /// The source's own settings.
    #[serde(default)]
    pub config: Value,
}

impl ToolSourceConfig {
    /// The source; `place` is that of its table in the file.
    pub(crate) fn build(
        &self,
        place: usize,
        registry: &Registry,
    ) -> Result<Arc<dyn ToolSource>, ConfigError> {
        // It would be connected to by a mere check, and could not be required.
        if self.name == "mcp" {
            let field = format!("tool_sources[{place}].name");
            let problem = "`mcp` has tables of its own; write each server as `[[mcp]]`";
            return Err(ConfigError::field(field, problem));
        }
        registry
            .tool_source(&self.name, self.config.clone())
            .map_err(|error| {
                let table = format!("tool_sources[{place}]");
                of_plugin(error, &format!("{table}.name"), &format!("{table}.config"))
            })
    }
}

impl fmt::Debug for ToolSourceConfig {
    /// Without its settings, which may hold a key (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolSourceConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
