//! A provider without a wire, with one fault at a time.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use roomkit_core::{
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderCommand, ProviderConnection, ProviderError,
        ProviderErrorKind, ProviderEvent, ProviderSink, RealtimeVoiceProvider, SessionSetup,
        SessionUpdate, UpdateSupport, UpdateWay,
    },
    registry::{ConfigError, ProviderPlugin, Registry, read_config},
};
use roomkit_mock::conformance::{ProviderChecks, Rule};
use serde::Deserialize;
use serde_json::{Value, json};

use super::rules;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Faulty {
    fault: String,
}

const PLUGIN: ProviderPlugin = ProviderPlugin {
    name: "faulty",
    about: "has one fault at a time",
    build: |config| Ok(Arc::new(read_config::<Faulty>(config)?)),
};

impl Faulty {
    fn has(&self, fault: &str) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl RealtimeVoiceProvider for Faulty {
    fn name(&self) -> &str {
        if self.has("name") {
            "another"
        } else {
            "faulty"
        }
    }

    fn capabilities(&self) -> ProviderCapabilities {
        let rate = if self.has("rate") { 47_999 } else { 24_000 };
        let mut capabilities = ProviderCapabilities::new(rate, 24_000);
        capabilities.pings = true;
        capabilities.confirms_updates = true;
        capabilities.updates = UpdateSupport::all(UpdateWay::Live);
        capabilities
    }

    fn check_update(
        &self,
        setup: &SessionSetup,
        _: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        match setup.provider_config.keys().next() {
            Some(key) if !self.has("settings") => Err(ConfigError::field(key, "is not known")),
            _ => Ok(self.capabilities().updates),
        }
    }

    async fn connect(&self, _: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        if self.has("never ready") {
            std::future::pending::<()>().await;
        }
        let wire = Arc::new(Mutex::new(Wire::default()));
        let (reading, sleeps) = (Arc::clone(&wire), self.has("sleeps"));
        let events = stream::poll_fn(move |context| {
            let mut wire = reading.lock().unwrap();
            match wire.events.pop_front() {
                Some(event) => Poll::Ready(Some(event)),
                None if wire.is_over => Poll::Ready(None),
                None => {
                    // The first waker stays, where that is the fault.
                    if !sleeps || wire.reader.is_none() {
                        wire.reader = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
            }
        });
        Ok(ProviderConnection {
            info: ConnectionInfo::new(self.capabilities()),
            sink: Box::new(Sink(self.clone(), wire)),
            events: events.boxed(),
        })
    }
}

#[derive(Default)]
struct Wire {
    events: VecDeque<ProviderEvent>,
    is_over: bool,
    reader: Option<Waker>,
}

struct Sink(Faulty, Arc<Mutex<Wire>>);

impl Sink {
    fn say(&self, events: impl IntoIterator<Item = ProviderEvent>) {
        let mut wire = self.1.lock().unwrap();
        wire.events.extend(events);
        if let Some(reader) = &wire.reader {
            reader.wake_by_ref();
        }
    }
}

#[async_trait]
impl ProviderSink for Sink {
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError> {
        let fault = &self.0;
        match command {
            ProviderCommand::Ping if fault.has("no pong") => {}
            ProviderCommand::Ping if fault.has("two pongs") => {
                self.say([ProviderEvent::Pong, ProviderEvent::Pong]);
            }
            ProviderCommand::Ping => self.say([ProviderEvent::Pong]),
            ProviderCommand::Update(_) if fault.has("no answer") => {}
            ProviderCommand::Update(_) => self.say([ProviderEvent::Updated]),
            ProviderCommand::Audio(_) | ProviderCommand::Text { .. } => {}
            ProviderCommand::Image { prompt, .. } if fault.has("tells") => {
                let problem = format!("no image for {prompt:?}");
                return Err(ProviderError::new(ProviderErrorKind::Unsupported, problem));
            }
            // As a vendor may that is sent what it does not know.
            _ if fault.has("hung up on") => self.close().await,
            _ => {
                let kind = if fault.has("ends") {
                    ProviderErrorKind::Protocol
                } else {
                    ProviderErrorKind::Unsupported
                };
                return Err(ProviderError::new(kind, "it cannot"));
            }
        }
        Ok(())
    }

    async fn close(&mut self) {
        self.1.lock().unwrap().is_over = true;
        let closed = (!self.0.has("no closed")).then_some(ProviderEvent::Closed(None));
        let late = self.0.has("late").then_some(ProviderEvent::TurnPassed);
        self.say(closed.into_iter().chain(late));
    }
}

fn checks(config: Value) -> ProviderChecks {
    ProviderChecks::in_process(PLUGIN, config).patience(Duration::from_secs(5))
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_a_fault_keeps_every_rule() {
    checks(json!({})).assert_kept().await;
    let registry = Registry::linked().unwrap();
    let mut plugins = registry.providers();
    let echo = plugins.find(|plugin| plugin.name == "echo").unwrap();
    let checks = ProviderChecks::in_process(*echo, json!({}));
    checks.assert_kept().await;
}

#[tokio::test(start_paused = true)]
async fn each_fault_breaks_its_rule_and_no_other() {
    for (fault, rule) in [
        ("name", Rule::Name),
        ("settings", Rule::Settings),
        ("never ready", Rule::Ready),
        ("sleeps", Rule::Wakers),
        ("no closed", Rule::Closed),
        ("late", Rule::Closed),
        ("no pong", Rule::Pongs),
        ("two pongs", Rule::Pongs),
        ("no answer", Rule::Updates),
        ("ends", Rule::Refusals),
        ("hung up on", Rule::Refusals),
        ("tells", Rule::Quiet),
        ("rate", Rule::Rates),
    ] {
        let broken = checks(json!({ "fault": fault })).run().await;
        let mut rules = rules(&broken);
        rules.dedup();
        assert_eq!(rules, [rule], "{fault}: {broken:?}");
        let told = broken[0].to_string();
        let place = format!("(docs/write-a-plugin.md, \"{}\")", broken[0].section);
        assert!(
            told.contains(rule.as_str()) && told.ends_with(&place),
            "{told}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_nobody_knows_is_refused_by_its_name() {
    let careless = ProviderPlugin {
        build: |_| Ok(Arc::new(Faulty::default())),
        ..PLUGIN
    };
    let broken = ProviderChecks::in_process(careless, json!({})).run().await;
    assert_eq!(rules(&broken), [Rule::Config]);
    let vague = ProviderPlugin {
        build: |config| match read_config::<Faulty>(config) {
            Ok(faulty) => Ok(Arc::new(faulty)),
            Err(_) => Err(ConfigError::field("config", "is wrong")),
        },
        ..PLUGIN
    };
    let broken = ProviderChecks::in_process(vague, json!({})).run().await;
    assert_eq!(rules(&broken), [Rule::Config]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`faulty` breaks rules:\n- closed: its stream ended without `Closed`")]
async fn who_breaks_a_rule_is_told_which_and_where_it_stands() {
    checks(json!({ "fault": "no closed" })).assert_kept().await;
}
