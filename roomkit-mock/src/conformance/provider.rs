//! The rules of a provider.

mod talk;
mod wire;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use roomkit_core::{
    audio::check_rate,
    id::SessionId,
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderCommand, ProviderEvent, ProviderSink,
        RealtimeVoiceProvider, SessionSetup, SessionUpdate,
    },
    registry::ProviderPlugin,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Broken, Findings, PATIENCE, Rule, UNKNOWN, assert_none,
    listening::{Heard, Listening},
};
use crate::fault_proxy::{Cut, FaultProxy};

/// What is said in the checks, and must be read in no error.
const SPOKEN: &str = "words-that-somebody-said";

/// Checks of a provider; see the [module](super).
#[must_use]
pub struct ProviderChecks {
    plugin: ProviderPlugin,
    config: Box<dyn Fn(SocketAddr) -> Value + Send + Sync>,
    vendor: Option<SocketAddr>,
    setup: SessionSetup,
    secrets: Vec<String>,
    patience: Duration,
}

impl ProviderChecks {
    /// Of a provider whose vendor is part of it, so that there is no wire to break.
    pub fn in_process(plugin: ProviderPlugin, config: Value) -> Self {
        Self::new(plugin, None, move |_| config.clone())
    }

    /// Of a provider that reaches its vendor over TCP. `config` builds its configuration for a vendor
    /// at the address it is given, where the checks stand between the two: it should give a `connect`
    /// a shorter time than their [patience](Self::patience).
    ///
    /// The fake at `vendor` takes one connection after the other, is ready for each, answers pings and
    /// changes as the real one does, and hangs up when its client has.
    pub fn with_vendor(
        plugin: ProviderPlugin,
        vendor: SocketAddr,
        config: impl Fn(SocketAddr) -> Value + Send + Sync + 'static,
    ) -> Self {
        Self::new(plugin, Some(vendor), config)
    }

    fn new(
        plugin: ProviderPlugin,
        vendor: Option<SocketAddr>,
        config: impl Fn(SocketAddr) -> Value + Send + Sync + 'static,
    ) -> Self {
        Self {
            plugin,
            config: Box::new(config),
            vendor,
            setup: SessionSetup::new(SessionId::from("conformance")),
            secrets: vec![SPOKEN.to_owned()],
            patience: PATIENCE,
        }
    }

    /// What each connection is set up with, where the provider needs more than nothing.
    pub fn setup(mut self, setup: SessionSetup) -> Self {
        self.setup = setup;
        self
    }

    /// A key or token of the configuration, which no error may show.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// How long something may take that has to come; 10 s unless set.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs the checks.
    ///
    /// # Panics
    /// If the plugin breaks a rule; it says which, where each stands and what was seen.
    pub async fn assert_kept(&self) {
        assert_none(self.plugin.name, &self.run().await);
    }

    /// Runs the checks and returns what was found, in their order.
    pub async fn run(&self) -> Vec<Broken> {
        let mut run = Run {
            checks: self,
            findings: Findings::default(),
        };
        run.all().await;
        run.findings.broken
    }
}

impl fmt::Debug for ProviderChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderChecks")
            .field("plugin", &self.plugin.name)
            .field("vendor", &self.vendor)
            .finish_non_exhaustive()
    }
}

struct Run<'a> {
    checks: &'a ProviderChecks,
    findings: Findings,
}

/// A connection, as the engine has one.
struct Open {
    info: ConnectionInfo,
    sink: Box<dyn ProviderSink>,
    events: Listening<ProviderEvent>,
}

impl Run<'_> {
    async fn all(&mut self) {
        let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut proxy = None;
        if let Some(vendor) = self.checks.vendor {
            match FaultProxy::start(vendor).await {
                Ok(started) => {
                    address = started.address();
                    proxy = Some(started);
                }
                Err(error) => return self.broke(Rule::Ready, format!("no socket: {error}")),
            }
        }
        let plugin = &self.checks.plugin;
        let config = (self.checks.config)(address);
        self.findings.config(config, plugin.build);
        let Some(provider) = self.build(address) else {
            return;
        };
        self.findings.name(plugin.name, provider.name());
        self.rates("`capabilities()`", &provider.capabilities());
        self.settings(&*provider);
        self.talks(&*provider, proxy.as_ref()).await;
        self.refuses(&*provider).await;
        if let Some(proxy) = proxy {
            for cut in [Cut::Reset, Cut::Finish] {
                self.is_hung_up_on(&*provider, &proxy, cut).await;
            }
            self.is_dropped(&*provider, &proxy).await;
            self.waits_in_vain().await;
        }
    }

    fn broke(&mut self, rule: Rule, what: impl Into<String>) {
        self.findings.broke(rule, what);
    }

    fn build(&mut self, address: SocketAddr) -> Option<Arc<dyn RealtimeVoiceProvider>> {
        match (self.checks.plugin.build)((self.checks.config)(address)) {
            Ok(provider) => Some(provider),
            Err(error) => {
                self.quiet("a configuration", &error);
                let what = "refuses the configuration that was given to the checks";
                self.broke(Rule::Config, what);
                None
            }
        }
    }

    fn rates(&mut self, whose: &str, capabilities: &ProviderCapabilities) {
        for (field, rate) in [
            ("input_rate", capabilities.input_rate),
            ("output_rate", capabilities.output_rate),
        ] {
            if let Err(error) = check_rate(field, rate) {
                self.broke(Rule::Rates, format!("{whose}: {error}"));
            }
        }
    }

    fn settings(&mut self, provider: &dyn RealtimeVoiceProvider) {
        let mut setup = self.checks.setup.clone();
        setup.provider_config.insert(UNKNOWN.into(), json!(true));
        match provider.check_update(&setup, &SessionUpdate::default()) {
            Ok(_) => self.broke(
                Rule::Settings,
                format!("`check_update` takes `provider_config.{UNKNOWN}`"),
            ),
            Err(error) if !error.to_string().contains(UNKNOWN) => self.broke(
                Rule::Settings,
                format!("`check_update` refuses `provider_config.{UNKNOWN}` without naming it"),
            ),
            Err(_) => {}
        }
    }

    /// Nothing secret and nothing that was said stands in it.
    fn quiet<E: fmt::Debug + fmt::Display>(&mut self, about: &str, error: &E) {
        let shown = format!("{error} {error:?}");
        if self
            .checks
            .secrets
            .iter()
            .any(|secret| shown.contains(secret))
        {
            let what = format!("the error about {about} shows a secret, or what was said");
            self.broke(Rule::Quiet, what);
        }
    }

    async fn open(&mut self, provider: &dyn RealtimeVoiceProvider) -> Option<Open> {
        let patience = self.checks.patience;
        let connecting = provider.connect(self.checks.setup.clone());
        match timeout(patience, connecting).await {
            Ok(Ok(connection)) => {
                let open = Open {
                    info: connection.info,
                    sink: connection.sink,
                    events: Listening::to(connection.events),
                };
                // It is listened to before anything is said.
                tokio::task::yield_now().await;
                Some(open)
            }
            Ok(Err(error)) => {
                self.quiet("`connect`", &error);
                let what = format!("`connect` fails at a vendor that is there: {error}");
                self.broke(Rule::Ready, what);
                None
            }
            Err(_) => {
                let what = format!("not ready within {patience:?} at a vendor that is there");
                self.broke(Rule::Ready, what);
                None
            }
        }
    }

    /// `None`: it could not be sent.
    async fn send(&mut self, sink: &mut dyn ProviderSink, command: ProviderCommand) -> Option<()> {
        let kind = kind_of(&command);
        match timeout(self.checks.patience, sink.send(command)).await {
            Ok(Ok(())) => Some(()),
            Ok(Err(error)) => {
                self.quiet(kind, &error);
                let what = format!("`send` of {kind} fails at a vendor that takes it: {error}");
                self.broke(Rule::Refusals, what);
                None
            }
            Err(_) => {
                self.broke(Rule::Refusals, format!("`send` of {kind} does not return"));
                None
            }
        }
    }

    /// Whether it came, by a stream that told so.
    async fn comes<R>(
        &mut self,
        events: &Listening<ProviderEvent>,
        look: impl FnMut(&mut Heard<ProviderEvent>) -> Option<R>,
    ) -> bool {
        let waited = events.until(self.checks.patience, look).await;
        if waited.slept {
            let what = "its stream had an event and did not wake the waker of its last poll";
            self.broke(Rule::Wakers, what);
        }
        waited.found.is_some()
    }
}

fn kind_of(command: &ProviderCommand) -> &'static str {
    match command {
        ProviderCommand::Audio(_) => "audio",
        ProviderCommand::Text { .. } => "a text",
        ProviderCommand::Image { .. } => "an image",
        ProviderCommand::ActivityStart | ProviderCommand::ActivityEnd => "a turn of the host's",
        ProviderCommand::Truncate { .. } => "a truncation",
        ProviderCommand::Update(_) => "an update",
        ProviderCommand::Ping => "a ping",
        _ => "a command",
    }
}
