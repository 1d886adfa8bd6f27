//! The parts of the server, put together from their names.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    error::ConfigError,
    http::{self, Admission, MountContext, MountableTransport, SessionHost},
    mcp::McpTools,
    registry::Registry,
    subscriber::SubscriberChannel,
};
use serde::Serialize;

use crate::{
    agent_tools,
    any_transport::AnyTransport,
    config::{AgentConfig, ChannelConfig, Config, TransportConfig},
    dashboards::Dashboards,
    demo_tools,
    error::{ServerError, of_plugin},
    first_agent::AgentNames,
    host::{Host, SUPERVISOR, TransportHost, VOICE},
    jwt::Jwt,
    keys::Keys,
    makers::Makers,
    metrics::Exporter,
    minted::Minted,
    routes,
    tidy::Tidying,
};

/// What the routes work on. Cheap handles all of them.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) kit: RoomKit,
    pub(crate) voice: RealtimeVoiceChannel,
    /// The door: calls take a place, everybody else is only looked at.
    pub(crate) admission: Admission,
    /// The places of those who watch rooms: calls cannot lock them out, nor the other way round.
    pub(crate) dashboards: Dashboards,
    /// Whose calls made the rooms that are open.
    pub(crate) makers: Makers,
    /// The mounted transports, in the order of the configuration.
    pub(crate) ways_in: Arc<[WayIn]>,
    /// Who the AI can be.
    pub(crate) agents: AgentNames,
    /// The tokens in force; none where nobody is asked for one.
    pub(crate) keys: Option<Keys>,
    /// What mints tokens; none where nobody is asked for one.
    pub(crate) minted: Option<Minted>,
    /// The issuer of other tokens, if there is one.
    pub(crate) jwt: Option<Jwt>,
    /// The MCP servers, if there are any.
    pub(crate) mcp: Option<McpTools>,
    /// What shows the metrics, if they are shown.
    pub(crate) exporter: Option<Exporter>,
    /// What the provider calls itself in them.
    provider: Arc<str>,
}

/// A mounted transport, as a client has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WayIn {
    name: String,
    path: String,
}

impl From<&TransportConfig> for WayIn {
    fn from(config: &TransportConfig) -> Self {
        Self {
            name: config.name.clone(),
            path: config.path.clone(),
        }
    }
}

impl App {
    /// Builds everything but the socket. Needs a runtime.
    pub(crate) fn build(
        config: &Config,
        address: SocketAddr,
        mcp: Option<McpTools>,
    ) -> Result<(Self, Router), ServerError> {
        let registry = Registry::linked()?;
        let provider = registry
            .provider(&config.provider.name, config.provider.config.clone())
            .map_err(|error| of_plugin(error, "provider.name", "provider.config"))?;
        let provider_name = provider.name().into();
        let transports = transports(&config.transports)?;
        let all = transports
            .iter()
            .map(MountableTransport::transport)
            .collect();

        let voice =
            RealtimeVoiceChannel::builder(VOICE, provider, Arc::new(AnyTransport::new(all)));
        let voice = if config.demo_tools() {
            voice.tool(demo_tools::current_time())
        } else {
            voice
        };
        let mut voice = match &mcp {
            Some(tools) => voice.tool_source(Arc::new(tools.clone())),
            None => voice,
        };
        for (place, source) in config.tool_sources.iter().enumerate() {
            voice = voice.tool_source(source.build(place, &registry)?);
        }
        let voice = match &config.recording {
            Some(recording) => voice.recording(recording.build(&registry)?),
            None => voice,
        };
        config.channel.check()?;
        agent_tools::check(config)?;
        let voice = voice.agents(config.agents.iter().map(AgentConfig::agent));
        let voice = configured(voice, &config.channel).build();
        let voice = voice
            .map_err(|error| error.rename_field(|field| config.channel.name_in_file(field)))?;

        let agents = AgentNames::of(&config.agents);
        agents.check_auth(&config.auth)?;
        let tokens = config.auth.tokens_for(address)?;
        let minted = tokens.as_ref().map(|tokens| tokens.minted.clone());
        let jwt = tokens.as_ref().and_then(|tokens| tokens.jwt.clone());
        let keys = tokens.map(Keys::new);
        let limits = config.admission(address, keys.is_some())?;
        let admission = match &keys {
            Some(keys) => Admission::with_authentication(&limits, keys.clone()),
            None => Admission::new(&limits),
        };
        let kit = RoomKit::builder()
            .max_rooms(config.limits.max_rooms)
            .store(Arc::new(config.rooms.store()?))
            .build();
        kit.register_channel(voice.clone())?;
        kit.register_channel(SubscriberChannel::new(SUPERVISOR))?;
        let exporter = config.metrics.enabled.then(Exporter::start).transpose()?;
        let app = Self {
            admission: admission.map_err(|error| error.in_section("limits"))?,
            dashboards: Dashboards::new(config.limits.max_dashboards_per_address),
            makers: Makers::new(config.limits.rooms_per_address()),
            agents,
            keys,
            minted,
            jwt,
            mcp,
            exporter,
            provider: provider_name,
            ways_in: config.transports.iter().map(WayIn::from).collect(),
            kit,
            voice,
        };

        // Pages of allowed origins may read what they may ask for.
        let mut router = app.admission.with_cors(routes::router(app.clone()));
        let host = Host::new(&app);
        for (place, (transport, config)) in
            transports.into_iter().zip(&config.transports).enumerate()
        {
            let host: Arc<dyn SessionHost> = Arc::new(TransportHost {
                host: host.clone(),
                transport: place,
            });
            let context = MountContext::new(&config.path, app.admission.clone(), host)
                .map_err(|error| error.in_section(&format!("transports[{place}]")))?;
            router = router.merge(transport.mount(context));
        }
        Ok((app, router))
    }

    /// Shows from now on what will be counted, where metrics are shown. Not for a mere check: the server
    /// whose next configuration that is would show counters of a provider that it does not have.
    pub(crate) fn expect_metrics(&self, config: &Config) -> Result<(), ConfigError> {
        if self.exporter.is_some() {
            Exporter::expect(
                &self.provider,
                &crate::mcp::check(&config.mcp, config.channel.tool_timeout())?,
            );
        }
        Ok(())
    }

    /// Watches over rooms until the kit is closed.
    pub(crate) fn start_tidying(&self, config: &Config) {
        tokio::spawn(Tidying::of(self, &config.rooms).run());
    }
}

fn transports(configs: &[TransportConfig]) -> Result<Vec<MountableTransport>, ConfigError> {
    if configs.is_empty() {
        let problem = "is empty; without a transport nobody can call";
        return Err(ConfigError::field("transports", problem));
    }
    let mut built = Vec::with_capacity(configs.len());
    for (place, config) in configs.iter().enumerate() {
        let path = config.path.as_str();
        let taken = routes::is_reserved(path)
            || configs
                .iter()
                .take(place)
                .any(|other| overlap(path, &other.path));
        if taken {
            let problem = format!("`{path}` is taken by another route; choose another");
            return Err(ConfigError::field(
                format!("transports[{place}].path"),
                problem,
            ));
        }
        let section = format!("transports[{place}]");
        let plugin = http::routes(&config.name)
            .map_err(|error| of_plugin(error, &format!("{section}.name"), &section))?;
        let mountable = (plugin.build)(config.config.clone());
        let section = format!("{section}.config");
        built.push(mountable.map_err(|error| error.in_section(&section))?);
    }
    Ok(built)
}

/// Whether one of the paths is the other, or lies beneath it.
fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_end_matches('/'), other.trim_end_matches('/'));
    let beneath = |path: &str, root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    beneath(one, other) || beneath(other, one)
}

fn configured(
    mut voice: roomkit::voice::RealtimeVoiceChannelBuilder,
    config: &ChannelConfig,
) -> roomkit::voice::RealtimeVoiceChannelBuilder {
    if let Some(seconds) = config.connect_timeout_s {
        voice = voice.connect_timeout(Duration::from_secs(seconds));
    }
    if let Some(prompt) = &config.system_prompt {
        voice = voice.system_prompt(prompt);
    }
    if let Some(name) = &config.voice {
        voice = voice.voice(name);
    }
    if let Some(temperature) = config.temperature {
        voice = voice.temperature(temperature);
    }
    if let Some(greeting) = &config.greeting {
        voice = voice.greeting(greeting);
    }
    if let Some(agent) = &config.first_agent {
        voice = voice.first_agent(agent);
    }
    if let Some(seconds) = config.idle_timeout_s {
        voice = voice.idle_timeout(Duration::from_secs(seconds));
    }
    if let Some(seconds) = config.max_duration_s {
        voice = voice.max_duration(Duration::from_secs(seconds));
    }
    voice = voice.tool_timeout(config.tool_timeout());
    if let Some(search) = &config.tool_search {
        voice = voice.tool_search(search.clone());
    }
    if let Some(milliseconds) = config.playout_lead_ms {
        voice = voice.playout_lead(Duration::from_millis(milliseconds));
    }
    if let Some(allowed) = config.interruptions {
        voice = voice.interruptions(allowed);
    }
    if let Some(allowed) = config.greeting_interruptions {
        voice = voice.greeting_interruptions(allowed);
    }
    if let Some(emit) = config.emit_partials {
        voice = voice.emit_partials(emit);
    }
    voice = voice.client_stats(config.client_stats.unwrap_or(true));
    if let Some(seconds) = config.hold_s {
        voice = voice.hold(Duration::from_secs(seconds));
    }
    if let Some(attempts) = config.reconnect_attempts {
        voice = voice.reconnect_attempts(attempts);
    }
    if let Some(seconds) = config.max_connection_age_s {
        voice = voice.max_connection_age(Duration::from_secs(seconds));
    }
    if let Some(seed) = config.seed() {
        voice = voice.seed_history(seed);
    }
    voice.provider_config(config.provider_config.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_where_one_lies_beneath_the_other() {
        assert!(overlap("/ws", "/ws"));
        assert!(overlap("/ws/", "/ws"));
        assert!(overlap("/ws/a", "/ws"));
        assert!(overlap("/ws", "/ws/a"));
        assert!(!overlap("/ws", "/wss"));
        assert!(!overlap("/rtc", "/ws"));
    }
}
