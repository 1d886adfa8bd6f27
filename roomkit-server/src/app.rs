//! The parts of the server, put together from their names.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use roomkit::{
    RealtimeVoiceChannel, RoomKit,
    error::ConfigError,
    http::{self, Admission, AdmissionConfig, MountContext, MountableTransport, SessionHost},
    registry::Registry,
    subscriber::SubscriberChannel,
};

use crate::{
    any_transport::AnyTransport,
    auth::Tokens,
    config::{ChannelConfig, Config, TransportConfig},
    demo_tools,
    error::{ServerError, within},
    host::{Host, SUPERVISOR, TransportHost, VOICE},
    routes, tidy,
};

/// Requests and dashboards the API serves at a time: calls must not be able to lock out those who
/// watch them, nor the other way round.
const API_PLACES: usize = 1024;

/// What the routes work on. Cheap handles all of them.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) kit: RoomKit,
    pub(crate) voice: RealtimeVoiceChannel,
    /// The door for calls.
    pub(crate) calls: Admission,
    /// The door for everybody who reads or writes rooms: same origins, same tokens, own places.
    pub(crate) api: Admission,
}

impl App {
    /// Builds everything but the socket. Needs a runtime.
    pub(crate) fn build(
        config: &Config,
        address: SocketAddr,
    ) -> Result<(Self, Router), ServerError> {
        let registry = Registry::linked()?;
        let provider = registry
            .provider(&config.provider.name, config.provider.config.clone())
            .map_err(within("provider.config"))?;
        let transports = transports(&config.transports)?;
        let all = transports
            .iter()
            .map(MountableTransport::transport)
            .collect();

        let voice =
            RealtimeVoiceChannel::builder(VOICE, provider, Arc::new(AnyTransport::new(all)));
        let with_demo_tools = config
            .channel
            .demo_tools
            .unwrap_or(config.provider.name == "echo");
        let voice = if with_demo_tools {
            voice.tool(demo_tools::current_time())
        } else {
            voice
        };
        let voice = configured(voice, &config.channel)
            .build()
            .map_err(within("channel"))?;

        let tokens = config.auth.tokens_for(address)?;
        let kit = RoomKit::new();
        kit.register_channel(voice.clone())?;
        kit.register_channel(SubscriberChannel::new(SUPERVISOR))?;
        let app = Self {
            calls: door(&config.limits, tokens.clone())?,
            api: door(&api_limits(&config.limits), tokens)?,
            kit,
            voice,
        };

        let mut router = routes::router(app.clone());
        let host = Host::new(app.kit.clone(), app.voice.clone());
        for (place, (transport, config)) in
            transports.into_iter().zip(&config.transports).enumerate()
        {
            let host: Arc<dyn SessionHost> = Arc::new(TransportHost {
                host: host.clone(),
                transport: place,
            });
            let context = MountContext::new(&config.path, app.calls.clone(), host)
                .map_err(within(&format!("transports[{place}]")))?;
            router = router.merge(transport.mount(context));
        }
        Ok((app, router))
    }

    /// Watches over rooms until the kit is closed.
    pub(crate) fn start_tidying(&self, config: &Config) {
        if config.rooms.close_empty {
            tokio::spawn(tidy::close_empty_rooms(
                self.kit.downgrade(),
                self.kit.framework_events(),
                self.voice.clone(),
                Duration::from_secs(config.rooms.close_empty_after_s),
            ));
        }
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
        let section = format!("transports[{place}].config");
        let plugin = http::routes(&config.name)?;
        built.push((plugin.build)(config.config.clone()).map_err(within(&section))?);
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
    if let Some(prompt) = &config.system_prompt {
        voice = voice.system_prompt(prompt);
    }
    if let Some(name) = &config.voice {
        voice = voice.voice(name);
    }
    if let Some(temperature) = config.temperature {
        voice = voice.temperature(temperature);
    }
    if let Some(seconds) = config.idle_timeout_s {
        voice = voice.idle_timeout(Duration::from_secs(seconds));
    }
    if let Some(seconds) = config.max_duration_s {
        voice = voice.max_duration(Duration::from_secs(seconds));
    }
    if let Some(seconds) = config.connect_timeout_s {
        voice = voice.connect_timeout(Duration::from_secs(seconds));
    }
    if let Some(seconds) = config.tool_timeout_s {
        voice = voice.tool_timeout(Duration::from_secs(seconds));
    }
    if let Some(milliseconds) = config.playout_lead_ms {
        voice = voice.playout_lead(Duration::from_millis(milliseconds));
    }
    if let Some(allowed) = config.interruptions {
        voice = voice.interruptions(allowed);
    }
    if let Some(emit) = config.emit_partials {
        voice = voice.emit_partials(emit);
    }
    voice.provider_config(config.provider_config.clone())
}

fn api_limits(calls: &AdmissionConfig) -> AdmissionConfig {
    AdmissionConfig {
        max_sessions: API_PLACES,
        max_sessions_per_address: API_PLACES / 4,
        ..calls.clone()
    }
}

fn door(limits: &AdmissionConfig, tokens: Option<Tokens>) -> Result<Admission, ConfigError> {
    let door = match tokens {
        Some(tokens) => Admission::with_authentication(limits, tokens),
        None => Admission::new(limits),
    };
    door.map_err(within("limits"))
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
