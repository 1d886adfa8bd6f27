//! A server from its first breath to its last.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use roomkit::error::ConfigError;
use tokio::{
    net::{TcpListener, lookup_host},
    sync::watch,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    app::App,
    config::{Config, OtelConfig, TlsConfig},
    error::ServerError,
    load::{Doorkeeper, LoadLimits},
    log::{self, Log},
    mcp,
    places::Places,
    plan::Plan,
    reload::Reload,
    serve::{self, Door, serve},
    tls::Tls,
};

/// How long dashboards and requests at hand may take to end once all calls are over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    /// For connections, whatever is asked over them.
    pub(crate) connections: Places,
    /// Above which load new calls are refused; can change while the server runs.
    pub(crate) load_limits: watch::Sender<LoadLimits>,
    pub(crate) config: Config,
}

impl Server {
    /// Builds everything the configuration names, and takes the address.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used, or the address is taken.
    pub async fn bind(config: Config) -> Result<Self, ServerError> {
        let wanted = resolve(&config.listen).await?;
        let tls = config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let mcp = mcp::connect(&config.mcp).await?;
        let (app, router) = App::build(&config, wanted, mcp)?;
        if let Some(jwt) = &app.jwt {
            jwt.fetch().await?;
        }
        let refused = |source| ServerError::Listen {
            address: config.listen.clone(),
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        app.start_tidying(&config);
        Ok(Self {
            listener,
            address,
            app,
            router,
            load_limits: watch::Sender::new(LoadLimits::from(&config.limits)),
            tls: tls.map(Tls::new),
            connections: serve::places(config.limits.trusted_proxies),
            config,
        })
    }

    /// Checks a configuration as [`bind`](Self::bind) would, short of its effects: it listens nowhere,
    /// contacts neither MCP servers nor vendors, and needs no port that a running server has: a
    /// transport with UDP ports takes free ones for a moment. What remains, as far as the
    /// configuration asks for it: the directory of recordings is made, and metrics are collected
    /// from then on.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used.
    pub async fn check(config: &Config) -> Result<Plan, ServerError> {
        log::check(&config.log)?;
        config.otel.as_ref().map_or(Ok(()), OtelConfig::check)?;
        let address = resolve(&config.listen).await?;
        config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let mcp = mcp::check(&config.mcp)?;
        let (app, _router) = App::build(&on_free_ports(config), address, None)?;
        let plan = Plan::new(config, address, mcp, app.admission.authenticates());
        app.kit.close().await;
        Ok(plan)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as browsers write it: `http://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.config.scheme(), self.address)
    }

    /// What gives this server another configuration while it runs, and `log` another filter.
    pub fn reload(&self, log: Option<Log>) -> Reload {
        Reload::new(self, log)
    }

    /// Serves until `stop` is ready; then refuses new calls, lets those that are running finish for
    /// as long as the configuration says, ends the rest, and returns (contract X4).
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { app, config, .. } = self;
        let drain = Duration::from_secs(config.drain_s);
        let (stopping, is_stopping) = watch::channel(false);
        let door = Door::new(app.admission.clone(), self.tls, self.connections);
        let serving = serve(self.listener, self.router, door, is_stopping);
        let mut serving = tokio::spawn(serving);
        let exporter = app.exporter.clone();
        let _tidying = exporter.map(|it| AbortOnDropHandle::new(tokio::spawn(it.tidy())));
        let jwt = app.jwt.clone();
        let _reading_keys = jwt.map(|it| AbortOnDropHandle::new(tokio::spawn(it.keep_fresh())));
        let doorkeeper = Doorkeeper::new(app.admission.clone(), self.load_limits.subscribe());
        let _watching = AbortOnDropHandle::new(tokio::spawn(doorkeeper.watch()));
        tracing::info!(address = %self.address, "ready");

        stop.await;
        let calls = app.admission.sessions();
        tracing::info!(
            calls,
            drain_s = drain.as_secs(),
            "stopping: new calls are refused"
        );
        app.admission.drain();
        if timeout(drain, app.admission.wait_idle()).await.is_err() {
            let calls = app.admission.sessions();
            tracing::warn!(calls, "the time to finish is over; the rest is ended");
        }
        app.kit.close().await;
        if let Some(mcp) = &app.mcp {
            mcp.close().await;
        }
        // Dashboards read the end, then requests get their answers.
        let _ = timeout(LAST_WORDS, app.dashboards.wait_idle()).await;
        stopping.send_replace(true);
        if timeout(LAST_WORDS, &mut serving).await.is_err() {
            serving.abort();
        }
        tracing::info!("stopped");
    }
}

/// The same, but transports with a port of their own take a free one: theirs may be in use by the
/// server whose next configuration this is.
fn on_free_ports(config: &Config) -> Config {
    let mut config = config.clone();
    for transport in &mut config.transports {
        if let Some(port) = transport.config.get_mut("udp_port")
            // What is no port is the transport's to refuse.
            && port.as_u64().is_some_and(|port| u16::try_from(port).is_ok())
        {
            *port = 0.into();
        }
    }
    config
}

async fn resolve(listen: &str) -> Result<SocketAddr, ConfigError> {
    let refused = |problem: String| {
        let remedy = "write an address and a port, such as 127.0.0.1:8080";
        ConfigError::field("listen", format!("`{listen}`: {problem}; {remedy}"))
    };
    let mut addresses = lookup_host(listen)
        .await
        .map_err(|error| refused(error.to_string()))?;
    addresses
        .next()
        .ok_or_else(|| refused("has no address".into()))
}
