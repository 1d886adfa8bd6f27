//! Another configuration for a server that runs: what can change does, the rest is named.

use std::net::SocketAddr;

use metrics::gauge;
use roomkit::{WeakRoomKit, http::Admission};
use tokio::sync::watch;

use crate::{
    Server,
    cli::Settings,
    config::{Config, TlsConfig},
    dashboards::Dashboards,
    error::ServerError,
    hang_up::HangUps,
    jwt::Jwt,
    keys::Keys,
    load::LoadLimits,
    log::Log,
    makers::Makers,
    places::Places,
    serve,
    tls::Tls,
};

/// Gives a running server another configuration; from [`Server::reload`].
#[derive(Debug)]
pub struct Reload {
    /// What the server was started with, which is what still holds of what cannot change.
    started: Config,
    address: SocketAddr,
    kit: WeakRoomKit,
    admission: Admission,
    dashboards: Dashboards,
    makers: Makers,
    connections: Places,
    load_limits: watch::Sender<LoadLimits>,
    keys: Option<Keys>,
    /// The issuer of the start, whether or not its tokens are taken now.
    jwt: Option<Jwt>,
    tls: Option<Tls>,
    log: Option<Log>,
}

/// For whoever watches the server: a signal has no answer.
fn tell(successful: bool) {
    let successful = if successful { 1.0 } else { 0.0 };
    gauge!("roomkit_server_config_last_reload_successful").set(successful);
}

/// What became of another configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The settings that differ from those the server was started with and cannot change while it
    /// runs. They stayed as they were.
    pub needs_restart: Vec<&'static str>,
    /// Whether the tokens there were are gone and what takes their place needs a restart, so that nobody
    /// comes in but by a token that was minted before.
    pub locks_out: bool,
}

impl Reload {
    pub(crate) fn new(server: &Server, log: Option<Log>) -> Self {
        let app = &server.app;
        Self {
            started: server.config.clone(),
            address: server.address,
            kit: app.kit.downgrade(),
            admission: app.admission.clone(),
            dashboards: app.dashboards.clone(),
            makers: app.makers.clone(),
            connections: server.connections.clone(),
            load_limits: server.load_limits.clone(),
            keys: app.keys.clone(),
            jwt: app.jwt.clone(),
            tls: server.tls.clone(),
            log,
        }
    }

    /// Reads the configuration again at each hang-up, and writes to the log what became of it. Ends
    /// when no hang-up can come any more.
    pub async fn at(self, mut hang_ups: HangUps, settings: Settings) {
        tell(true);
        while hang_ups.next().await {
            let reloaded = match settings.clone().into_config() {
                Ok(config) => self.take_over(&config).await,
                Err(error) => Err(error),
            };
            tell(reloaded.is_ok());
            match reloaded {
                Ok(Reloaded {
                    needs_restart,
                    locks_out,
                }) => {
                    for setting in needs_restart {
                        tracing::warn!(setting, "needs a restart");
                    }
                    if locks_out {
                        tracing::warn!(
                            "no token opens anything until a restart, but those minted before: the \
                             others are taken away, and what takes their place needs one"
                        );
                    }
                    tracing::info!("the configuration was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration cannot be used; all stays as it was");
                }
            }
        }
    }

    /// Takes over what can change while the server runs: `limits`, the tokens of `auth`, an issuer's
    /// keys, the certificate and key of `tls`, and `log`. Calls that run are not touched; events
    /// sockets are closed whose token opens them no longer.
    ///
    /// # Errors
    ///
    /// When a start with this configuration would be refused, whichever setting it is; then all
    /// stays as it was.
    pub async fn take_over(&self, config: &Config) -> Result<Reloaded, ServerError> {
        let mut checked = config.clone();
        // A check would begin to collect metrics, which nobody here would come for.
        checked.metrics = self.started.metrics.clone();
        Server::check(&checked).await?;
        let tokens = config.auth.tokens_for(self.address)?;
        let needs_restart = self.what_needs_a_restart(config, tokens.is_some());

        // All that can still be refused comes before what takes effect.
        let certificate = config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let mut limits = config.admission(self.address, self.keys.is_some())?;
        limits.https = self.tls.is_some();
        self.admission
            .reconfigure(&limits)
            .map_err(|error| error.in_section("limits"))?;
        self.load_limits
            .send_replace(LoadLimits::from(&config.limits));
        self.dashboards
            .set_per_client(config.limits.max_dashboards_per_address);
        self.connections
            .set_per_client(serve::of_one_client(config.limits.trusted_proxies));
        self.makers.set_most(config.limits.rooms_per_address());
        if let Some(kit) = self.kit.upgrade() {
            kit.set_max_rooms(config.limits.max_rooms);
        }
        let read = tokens.as_ref().and_then(|tokens| tokens.jwt.clone());
        let issuer = self.issuer(config);
        let tokens = tokens.map(|tokens| tokens.with_issuer(issuer.clone()));
        // Whoever has the signing key's variable knows of other servers that mint.
        let opens = config.auth.signing_key_env.is_some()
            || tokens
                .as_ref()
                .is_some_and(|tokens| !tokens.is_only_minted());
        let locks_out = self.keys.is_some() && !opens;
        if let Some(keys) = &self.keys {
            keys.replace(tokens);
        }
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.replace(certificate);
        }
        if let Some(log) = &self.log {
            log.set_filter(&config.log)?;
        }
        if let (Some(issuer), Some(read)) = (issuer, read)
            && config.auth.jwt == self.started.auth.jwt
        {
            issuer.read_as(&read).await;
        }
        Ok(Reloaded {
            needs_restart,
            locks_out,
        })
    }

    /// The issuer whose tokens are taken under this configuration: the one of the start where it is
    /// configured as it was then. Another needs a restart, until which the one in force stays, if one
    /// is.
    fn issuer(&self, config: &Config) -> Option<Jwt> {
        let wanted = config.auth.jwt.as_ref()?;
        if Some(wanted) == self.started.auth.jwt.as_ref() {
            return self.jwt.clone();
        }
        self.keys.as_ref().and_then(Keys::issuer)
    }

    fn what_needs_a_restart(&self, config: &Config, authenticates: bool) -> Vec<&'static str> {
        // Each setting has its name here, so that a new one is not forgotten.
        let Config {
            listen,
            tls,
            operations,
            provider,
            transports,
            channel,
            agents,
            mcp,
            tool_sources,
            recording,
            limits: _,
            auth,
            rooms,
            metrics,
            otel,
            log: _,
            log_format,
            drain_s,
            drain_min_s,
        } = config;
        let started = &self.started;
        let key = &auth.signing_key_env;
        let settings = [
            ("listen", *listen != started.listen),
            ("tls", tls.is_some() != self.tls.is_some()),
            ("operations", *operations != started.operations),
            ("provider", *provider != started.provider),
            ("transports", *transports != started.transports),
            ("channel", *channel != started.channel),
            ("agents", *agents != started.agents),
            ("mcp", *mcp != started.mcp),
            ("tool_sources", *tool_sources != started.tool_sources),
            ("recording", *recording != started.recording),
            ("auth", authenticates != self.keys.is_some()),
            (
                "auth.jwt",
                auth.jwt.is_some() && auth.jwt != started.auth.jwt,
            ),
            ("auth.signing_key_env", *key != started.auth.signing_key_env),
            ("rooms", *rooms != started.rooms),
            ("metrics", *metrics != started.metrics),
            ("otel", *otel != started.otel),
            ("log_format", *log_format != started.log_format),
            ("drain_s", *drain_s != started.drain_s),
            ("drain_min_s", *drain_min_s != started.drain_min_s),
        ];
        let changed = settings.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(setting, _)| setting).collect()
    }
}
