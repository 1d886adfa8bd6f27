//! The tools of a channel and its sources, and agents that have them beside their own (contract K8).

use std::{fmt, sync::Arc};

use super::{entry::Entry, gate::Toolbox};
use crate::{
    error::ConfigError,
    tool::{ToolHandler, ToolSearch, is_named},
};

/// The channel's tools and those of its sources, as they were at some time.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// How often the sources had changed when they were asked: of two lists the higher one is newer.
    pub(crate) changes: u64,
    pub(crate) tools: Vec<Arc<Entry>>,
}

/// The tools of an agent that has the channel's too.
pub(crate) struct AgentTools {
    /// Of two tools of one name the agent's own counts.
    pub(crate) own: Vec<Arc<Entry>>,
    /// Which of the channel's are meant for it, as [`is_named`] reads them.
    pub(crate) names: Vec<String>,
    pub(crate) tool_handler: Option<Arc<dyn ToolHandler>>,
    pub(crate) tool_search: Option<ToolSearch>,
}

/// The sources have changed: what their channel lists now, and the sessions have that are no agent.
#[derive(Debug, Clone)]
pub(crate) struct Redeclared {
    pub(crate) listed: Arc<Listed>,
    pub(crate) toolbox: Arc<Toolbox>,
}

impl AgentTools {
    /// Its own, and those of these that are meant for it and have another name. Sessions do this in their
    /// calls: no schema is read.
    pub(crate) fn beside(&self, channel: &Listed) -> Result<Arc<Toolbox>, ConfigError> {
        let is_own = |tool: &&Arc<Entry>| self.own.iter().any(|own| own.name() == tool.name());
        let is_meant = |tool: &&Arc<Entry>| {
            let mut names = self.names.iter();
            names.any(|glob| is_named(tool.name(), glob))
        };
        let others = channel.tools.iter();
        let others = others.filter(|tool| is_meant(tool) && !is_own(tool));
        let tools = self.own.iter().chain(others).cloned().collect();
        let toolbox = Toolbox::of(tools, self.tool_handler.as_ref())?;
        Ok(Arc::new(toolbox.searched(self.tool_search.as_ref())?))
    }
}

impl fmt::Debug for AgentTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentTools")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}
