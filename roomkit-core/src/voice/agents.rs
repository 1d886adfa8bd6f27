//! The agents of a channel, checked and ready to take over.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::Value;

use super::agent::{Agent, AgentRef, Which};
use crate::{
    call::{AgentTools, Change, Entry, Listed, Resets, Toolbox, ToolsFrom, ToolsOf, greeting_note},
    error::{ConfigError, UpdateError},
    provider::{RealtimeVoiceProvider, SessionSetup, SessionUpdate, UpdateSupport, UpdateWay},
    tool::{ToolHandler, ToolSearch},
};

/// The agents of a channel, and the tools that they may share.
#[derive(Default)]
pub(crate) struct Agents {
    by_name: HashMap<String, Arc<Known>>,
    /// The channel's tools and those of its sources, as they were listed last.
    listed: RwLock<Arc<Listed>>,
}

/// An agent as sessions become it.
pub(super) struct Known {
    pub(super) name: Arc<str>,
    about: String,
    /// The whole of it: what it does not set is the channel's.
    pub(super) update: SessionUpdate,
    support: UpdateSupport,
    /// Its own tools.
    toolbox: Arc<Toolbox>,
    /// What makes another toolbox of them, if it has the channel's tools too.
    shared: Option<Arc<AgentTools>>,
    pub(super) greeting: Option<String>,
}

/// What agents are laid over.
pub(super) struct Ground<'a> {
    pub(super) setup: &'a SessionSetup,
    pub(super) provider: &'a dyn RealtimeVoiceProvider,
    pub(super) tool_handler: Option<&'a Arc<dyn ToolHandler>>,
    pub(super) tool_search: Option<&'a ToolSearch>,
}

impl Agents {
    /// Checks the agents of a channel: their names, their tools, what the provider thinks of them,
    /// and whom they hand callers to.
    pub(super) fn new(agents: &[Agent], ground: &Ground<'_>) -> Result<Self, ConfigError> {
        let mut known = HashMap::new();
        let about = |name: &str| {
            let agent = agents.iter().find(|agent| agent.name == name);
            agent.map(|agent| agent.about.clone()).unwrap_or_default()
        };
        for agent in agents {
            for name in &agent.successors {
                if !agents.iter().any(|agent| agent.name == *name) {
                    let field = format!("agents.{}.hands_off_to", agent.name);
                    let problem = format!("names `{name}`, which is no agent of the channel");
                    return Err(ConfigError::field(field, problem));
                }
            }
            let ready = Arc::new(Known::new(agent, ground, about)?);
            if known.insert(agent.name.clone(), ready).is_some() {
                let problem = format!("two agents are called `{}`; rename one", agent.name);
                return Err(ConfigError::field("agents", problem));
            }
        }
        Ok(Self {
            by_name: known,
            listed: RwLock::default(),
        })
    }

    /// Whether any of them has the channel's tools too.
    pub(super) fn share_tools(&self) -> bool {
        self.by_name.values().any(|agent| agent.shares_tools())
    }

    /// These are the channel's tools now, unless newer ones are known.
    pub(super) fn set_channel_tools(&self, tools: &Arc<Listed>) {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        if tools.changes >= listed.changes {
            *listed = Arc::clone(tools);
        }
    }

    /// The tools of a session that is this agent, and whose they are.
    pub(super) fn tools(&self, agent: &Known) -> Result<(Arc<Toolbox>, ToolsOf), ConfigError> {
        Ok(match &agent.shared {
            Some(shared) => {
                let toolbox = shared.beside(&self.channel_tools())?;
                (toolbox, ToolsOf::Agent(Arc::clone(shared)))
            }
            None => (Arc::clone(&agent.toolbox), ToolsOf::Session),
        })
    }

    /// What makes a session this agent.
    pub(super) fn change(&self, agent: &Known) -> Result<Change, ConfigError> {
        Ok(match &agent.shared {
            Some(shared) => {
                let listed = self.channel_tools();
                let toolbox = shared.beside(&listed)?;
                let from = ToolsFrom::Agent(Arc::clone(shared), listed);
                agent.change(toolbox, from)
            }
            None => agent.change(Arc::clone(&agent.toolbox), ToolsFrom::Host),
        })
    }

    /// The channel's tools as they were listed last.
    pub(super) fn channel_tools(&self) -> Arc<Listed> {
        Arc::clone(&self.listed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The agent that is meant.
    pub(super) fn find(
        &self,
        agent: &AgentRef,
        ground: &Ground<'_>,
    ) -> Result<Arc<Known>, UpdateError> {
        match &agent.0 {
            Which::Named(name) => self.named(name),
            Which::Given(agent) => {
                for name in &agent.successors {
                    self.named(name)?;
                }
                let about = |name: &str| self.named(name).map(|known| known.about.clone());
                let known = Known::new(agent, ground, |name| about(name).unwrap_or_default())?;
                Ok(Arc::new(known))
            }
        }
    }

    /// What becomes of a session whose model hands the caller over. The greeting goes into what the
    /// model reads: so it is asked to go on once, and does with it (contract K7).
    pub(crate) fn hand_off(&self, name: &str, answer: &mut Value) -> Result<Change, UpdateError> {
        let known = self.named(name)?;
        if let Some(greeting) = &known.greeting {
            let note = greeting_note(greeting);
            match answer {
                Value::Object(answer) => {
                    answer.insert("next".to_owned(), note.into());
                }
                Value::String(answer) => {
                    answer.push('\n');
                    answer.push_str(&note);
                }
                answer => *answer = serde_json::json!({ "result": answer.take(), "next": note }),
            }
        }
        Ok(Change {
            greeting: None,
            ..self.change(&known)?
        })
    }

    fn named(&self, name: &str) -> Result<Arc<Known>, UpdateError> {
        self.by_name.get(name).cloned().ok_or_else(|| {
            let mut known: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
            known.sort_unstable();
            UpdateError::UnknownAgent {
                name: name.to_owned(),
                known: if known.is_empty() {
                    "none; add some with `agents` of its builder".to_owned()
                } else {
                    known.join(", ")
                },
            }
        })
    }
}

impl Known {
    fn new(
        agent: &Agent,
        ground: &Ground<'_>,
        about: impl Fn(&str) -> String,
    ) -> Result<Self, ConfigError> {
        if agent.name.trim().is_empty() {
            return Err(ConfigError::field("agents.name", "is empty; name it"));
        }
        let place = |error: ConfigError| {
            ConfigError::field(format!("agents.{}", agent.name), error.to_string())
        };
        let own = Entry::all(agent.all_tools(about)).map_err(place)?;
        let toolbox = Toolbox::of(own.clone(), ground.tool_handler)
            .and_then(|toolbox| toolbox.searched(ground.tool_search))
            .map_err(place)?;
        let config = &agent.provider_config;
        let update = SessionUpdate {
            system_prompt: Some(agent.system_prompt.clone()),
            voice: agent.voice.clone().or_else(|| ground.setup.voice.clone()),
            temperature: agent.temperature.or(ground.setup.temperature),
            tools: Some(Arc::clone(toolbox.definitions())),
            provider_config: (!config.is_empty()).then(|| config.clone()),
        };
        super::update::check(&update).map_err(place)?;
        let support = ground
            .provider
            .check_update(ground.setup, &update)
            .map_err(place)?;
        if let Some(temperature) = agent.temperature
            && support.temperature == UpdateWay::Never
            && ground.setup.temperature != Some(temperature)
        {
            let name = ground.provider.name();
            let problem = format!(
                "is {temperature}, and the provider `{name}` changes none in a session; leave it out"
            );
            return Err(place(ConfigError::field("temperature", problem)));
        }
        Ok(Self {
            name: agent.name.as_str().into(),
            about: agent.about.clone(),
            update,
            support,
            toolbox: Arc::new(toolbox),
            shared: (!agent.channel_tools.is_empty()).then(|| {
                Arc::new(AgentTools {
                    own,
                    names: agent.channel_tools.clone(),
                    tool_handler: ground.tool_handler.cloned(),
                    tool_search: ground.tool_search.cloned(),
                })
            }),
            greeting: agent.greeting.clone(),
        })
    }

    pub(super) fn shares_tools(&self) -> bool {
        self.shared.is_some()
    }

    /// Lays the agent over what a new session is asked to be, but for its tools.
    pub(super) fn apply(&self, setup: &mut SessionSetup) {
        let update = SessionUpdate {
            tools: None,
            ..self.update.clone()
        };
        setup.update(&update);
        setup.provider_changes.extend(update.provider_config);
    }

    fn change(&self, toolbox: Arc<Toolbox>, tools_from: ToolsFrom) -> Change {
        let mut update = self.update.clone();
        update.tools = Some(Arc::clone(toolbox.definitions()));
        let takes_temperature = self.support.temperature != UpdateWay::Never;
        if !takes_temperature {
            // It is the channel's, and no vendor changes it that takes one at all.
            update.temperature = None;
        }
        // What neither it nor the channel sets is not what another agent has set.
        let resets = Resets {
            voice: update.voice.is_none(),
            temperature: takes_temperature && update.temperature.is_none(),
        };
        Change {
            resets,
            toolbox: Some(toolbox),
            tools_from,
            agent: Some(Arc::clone(&self.name)),
            greeting: self.greeting.clone(),
            ..Change::new(update, self.support)
        }
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("name", &self.name)
            .field("toolbox", &self.toolbox)
            .finish_non_exhaustive()
    }
}
