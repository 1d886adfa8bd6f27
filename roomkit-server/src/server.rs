//! A server from its first breath to its last.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use axum::Router;
use roomkit::{error::ConfigError, http::Admission};
use tokio::{
    net::{TcpListener, lookup_host},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    app::App,
    config::{Config, OperationsConfig, OtelConfig, TlsConfig},
    error::ServerError,
    load::{Doorkeeper, LoadLimits},
    log::{self, Log},
    mcp,
    places::Places,
    plan::Plan,
    reload::Reload,
    routes,
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
    /// Where those who run the server ask, and its address.
    operations: Option<(TcpListener, SocketAddr)>,
    pub(crate) app: App,
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    /// For connections, whatever is asked over them.
    pub(crate) connections: Places,
    /// Above which load new calls are refused; can change while the server runs.
    pub(crate) load_limits: watch::Sender<LoadLimits>,
    /// How long it drains at least, and at most.
    drain: RangeInclusive<Duration>,
    pub(crate) config: Config,
}

impl Server {
    /// Builds everything the configuration names, and takes the address.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used, or the address is taken.
    pub async fn bind(config: Config) -> Result<Self, ServerError> {
        let drain = config.drain()?;
        let wanted = resolve("listen", &config.listen).await?;
        let tls = config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let mcp = mcp::connect(&config.mcp, config.channel.tool_timeout()).await?;
        let (app, router) = App::build(&config, wanted, mcp)?;
        if let Some(jwt) = &app.jwt {
            jwt.fetch().await?;
        }
        let operations = operations(&config, wanted, &app).await?;
        let (listener, address) = listen(wanted).await?;
        let operations = match operations {
            Some(wanted) => Some(listen(wanted).await?),
            None => None,
        };
        app.expect_metrics(&config)?;
        app.start_tidying(&config);
        Ok(Self {
            listener,
            address,
            operations,
            app,
            router,
            load_limits: watch::Sender::new(LoadLimits::from(&config.limits)),
            tls: tls.map(Tls::new),
            connections: serve::places(config.limits.trusted_proxies),
            drain,
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
        config.drain()?;
        let address = resolve("listen", &config.listen).await?;
        config.tls.as_ref().map(TlsConfig::load).transpose()?;
        let mcp = mcp::check(&config.mcp, config.channel.tool_timeout())?;
        let (app, _router) = App::build(&on_free_ports(config), address, None)?;
        let operations = operations(config, address, &app).await;
        let plan = Plan::new(config, address, mcp, app.admission.authenticates());
        app.kit.close().await;
        operations?;
        Ok(plan)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where those ask who run the server, if it has such an address.
    pub fn operations_address(&self) -> Option<SocketAddr> {
        self.operations.as_ref().map(|(_, address)| *address)
    }

    /// The same as [`address`](Self::address), as browsers write it: `http://127.0.0.1:8080`.
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
        let Self { app, drain, .. } = self;
        let (stopping, is_stopping) = watch::channel(false);
        let mut serving = JoinSet::new();
        if let Some((listener, address)) = self.operations {
            let door = Door::of_operations(app.admission.clone());
            let router = routes::operations(app.clone());
            serving.spawn(serve(listener, router, door, is_stopping.clone()));
            tracing::info!(%address, "ready for those who run the server");
        }
        let door = Door::new(app.admission.clone(), self.tls, self.connections);
        serving.spawn(serve(self.listener, self.router, door, is_stopping));
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
            drain_s = drain.end().as_secs(),
            "stopping: new calls are refused"
        );
        app.admission.drain();
        if !drained(&app.admission, drain).await {
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
        let served = async { while serving.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, served).await.is_err() {
            serving.shutdown().await;
        }
        tracing::info!("stopped");
    }
}

/// Waits until the last call is over, for at least and at most so long; says whether it is.
async fn drained(admission: &Admission, drain: RangeInclusive<Duration>) -> bool {
    let (least, most) = drain.into_inner();
    let (idle, ()) = tokio::join!(timeout(most, admission.wait_idle()), sleep(least));
    idle.is_ok()
}

async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let refused = |source| ServerError::Listen {
        address: wanted.to_string(),
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// The address for those who run the server, if there is one and it may be used.
async fn operations(
    config: &Config,
    callers: SocketAddr,
    app: &App,
) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(operations) = &config.operations else {
        return Ok(None);
    };
    let address = resolve("operations.listen", &operations.listen).await?;
    let open = config.metrics.enabled && app.keys.is_none() && !config.auth.no_auth;
    OperationsConfig::check(address, callers, open)?;
    Ok(Some(address))
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

async fn resolve(field: &str, listen: &str) -> Result<SocketAddr, ConfigError> {
    let refused = |problem: String| {
        let remedy = "write an address and a port, such as 127.0.0.1:8080";
        ConfigError::field(field, format!("`{listen}`: {problem}; {remedy}"))
    };
    let mut addresses = lookup_host(listen)
        .await
        .map_err(|error| refused(error.to_string()))?;
    addresses
        .next()
        .ok_or_else(|| refused("has no address".into()))
}

#[cfg(test)]
mod tests {
    use roomkit::http::AdmissionConfig;
    use tokio::time::Instant;

    use super::*;

    const LEAST: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn x4_without_calls_it_drains_for_as_long_as_it_has_to_listen() {
        let admission = Admission::new(&AdmissionConfig::default()).unwrap();
        let began = Instant::now();
        assert!(drained(&admission, LEAST..=Duration::from_secs(30)).await);
        assert_eq!(began.elapsed().as_secs(), LEAST.as_secs());
        let began = Instant::now();
        assert!(drained(&admission, Duration::ZERO..=LEAST).await);
        assert_eq!(began.elapsed().as_secs(), 0);
    }
}
