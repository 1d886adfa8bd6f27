//! What is said on a connection, both ways.

use std::time::Duration;

use roomkit_core::{
    audio::bytes_for,
    provider::{
        ProviderCapabilities, ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent,
        RealtimeVoiceProvider, Role, SessionUpdate, UpdateWay,
    },
};
use serde_json::json;
use tokio::time::timeout;

use super::{Run, SPOKEN, kind_of, wire::newest};
use crate::{
    conformance::{
        Rule, UNKNOWN,
        listening::{Heard, Listening},
    },
    fault_proxy::FaultProxy,
};

/// Pings sent in a row.
const PINGS: usize = 3;
/// Updates sent in a row.
const UPDATES: usize = 2;

impl Run<'_> {
    /// A connection on which all goes well.
    pub(super) async fn talks(
        &mut self,
        provider: &dyn RealtimeVoiceProvider,
        proxy: Option<&FaultProxy>,
    ) {
        let Some(mut open) = self.open(provider).await else {
            return;
        };
        let socket = proxy.and_then(newest);
        let capabilities = open.info.capabilities.clone();
        self.rates("a connection's", &capabilities);
        let mut pings = 0;
        while capabilities.pings
            && pings < PINGS
            && self
                .send(&mut *open.sink, ProviderCommand::Ping)
                .await
                .is_some()
        {
            pings += 1;
            if pings == 1 {
                // By itself, so that the stream is polled in vain once more before there is anything.
                self.comes(&open.events, |heard| (pongs(heard) > 0).then_some(()))
                    .await;
            }
        }
        let mut updates = 0;
        while let Some(update) = live_update(&capabilities)
            && updates < UPDATES
            && self.send(&mut *open.sink, update).await.is_some()
        {
            updates += 1;
        }
        if !capabilities.confirms_updates {
            updates = 0;
        }
        self.comes(&open.events, |heard| {
            let all = pongs(heard) >= pings && answers(heard) >= updates;
            all.then_some(())
        })
        .await;

        if timeout(self.checks.patience, open.sink.close())
            .await
            .is_err()
        {
            self.broke(Rule::LeavesNothing, "`close` does not return");
        }
        drop(open.sink);
        self.ends(&open.events, "after `close`").await;
        let (ponged, answered) = open.events.read(|heard| (pongs(heard), answers(heard)));
        if ponged != pings {
            let what = format!("{pings} pings were sent, and `Pong` came {ponged} times");
            self.broke(Rule::Pongs, what);
        }
        if capabilities.confirms_updates && answered != updates {
            let what = format!("{updates} updates were sent, and {answered} were answered");
            self.broke(Rule::Updates, what);
        }
        drop(open.events);
        self.is_closed(socket, "after `close`").await;
    }

    /// A connection that is told what it says it cannot do, and goes on.
    pub(super) async fn refuses(&mut self, provider: &dyn RealtimeVoiceProvider) {
        let Some(mut open) = self.open(provider).await else {
            return;
        };
        let capabilities = open.info.capabilities.clone();
        let mut goes_on = true;
        for command in denied(&capabilities) {
            let kind = kind_of(&command);
            match timeout(self.checks.patience, open.sink.send(command)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.quiet(kind, &error);
                    if !refuses(&error) {
                        goes_on = false;
                        let kind_of_error = error.kind().as_str();
                        let what = format!(
                            "`send` of {kind} answers with `{kind_of_error}`, which ends the connection"
                        );
                        self.broke(Rule::Refusals, what);
                    }
                }
                Err(_) => {
                    goes_on = false;
                    self.broke(Rule::Refusals, format!("`send` of {kind} does not return"));
                }
            }
        }
        if goes_on {
            let frame = bytes_for(Duration::from_millis(20), capabilities.input_rate);
            let silence = ProviderCommand::Audio(vec![0; frame].into());
            self.send(&mut *open.sink, silence).await;
            if capabilities.pings
                && self
                    .send(&mut *open.sink, ProviderCommand::Ping)
                    .await
                    .is_some()
            {
                // By then the vendor has had its say to what came before.
                let word = |heard: &mut Heard<_>| (heard.ended || pongs(heard) > 0).then_some(());
                self.comes(&open.events, word).await;
            }
            if open.events.read(|heard| heard.ended) {
                let what = "the connection ends after commands that it says it cannot send";
                self.broke(Rule::Refusals, what);
            }
        }
        // Nothing of it is known to the vendor; what becomes of the connection is not looked at.
        let raw = ProviderCommand::Raw(json!({ UNKNOWN: SPOKEN }));
        if let Ok(Err(error)) = timeout(self.checks.patience, open.sink.send(raw)).await {
            self.quiet("a raw message", &error);
        }
    }

    /// How the stream ended, if it did as it should.
    pub(super) async fn ends(
        &mut self,
        events: &Listening<ProviderEvent>,
        when: &str,
    ) -> Option<Option<ProviderError>> {
        self.comes(events, |heard| heard.ended.then_some(())).await;
        let (ended, closed, after) = events.read(|heard| {
            let mut events = heard.events.iter();
            let closed = events.find_map(|event| match event {
                ProviderEvent::Closed(error) => Some(error.clone()),
                _ => None,
            });
            (heard.ended, closed, events.count())
        });
        if let Some(Some(error)) = &closed {
            self.quiet("the end of a connection", error);
        }
        match (ended, &closed, after) {
            (_, Some(_), 1..) => {
                self.broke(
                    Rule::Closed,
                    format!("{after} events came after `Closed` {when}"),
                );
            }
            (true, None, _) => {
                self.broke(
                    Rule::Closed,
                    format!("its stream ended without `Closed` {when}"),
                );
            }
            (false, None, _) => {
                let patience = self.checks.patience;
                let what = format!("`Closed` did not come within {patience:?} {when}");
                self.broke(Rule::Closed, what);
            }
            (false, Some(_), _) => {
                self.broke(
                    Rule::Closed,
                    format!("its stream goes on after `Closed` {when}"),
                );
            }
            (true, Some(_), 0) => {}
        }
        closed
    }
}

fn pongs(heard: &Heard<ProviderEvent>) -> usize {
    let pongs = heard.events.iter();
    pongs.filter(|event| **event == ProviderEvent::Pong).count()
}

fn answers(heard: &Heard<ProviderEvent>) -> usize {
    let answers = heard.events.iter().filter(|event| {
        matches!(
            event,
            ProviderEvent::Updated | ProviderEvent::UpdateRefused(_)
        )
    });
    answers.count()
}

/// Whether a connection goes on after this error of `send`.
fn refuses(error: &ProviderError) -> bool {
    matches!(
        error.kind(),
        ProviderErrorKind::Unsupported
            | ProviderErrorKind::InvalidRequest
            | ProviderErrorKind::InvalidConfig
    )
}

fn prompt() -> ProviderCommand {
    ProviderCommand::Update(SessionUpdate {
        system_prompt: Some(SPOKEN.to_owned()),
        ..SessionUpdate::default()
    })
}

/// A change that it takes on a live connection.
fn live_update(capabilities: &ProviderCapabilities) -> Option<ProviderCommand> {
    let way = capabilities.updates.system_prompt;
    matches!(way, UpdateWay::Live | UpdateWay::LiveUntilVoice).then(prompt)
}

/// What it says that it does not take, and a text, which not every vendor does.
fn denied(capabilities: &ProviderCapabilities) -> Vec<ProviderCommand> {
    let mut denied = Vec::new();
    if !capabilities.images {
        denied.push(ProviderCommand::Image {
            mime_type: "image/png".into(),
            data: SPOKEN.into(),
            prompt: Some(SPOKEN.to_owned()),
            respond: false,
        });
    }
    if !capabilities.manual_turns {
        denied.extend([ProviderCommand::ActivityStart, ProviderCommand::ActivityEnd]);
    }
    if !capabilities.truncates {
        denied.push(ProviderCommand::Truncate {
            item_id: "no-such-item".into(),
            content_index: 0,
            heard: Duration::ZERO,
        });
    }
    if live_update(capabilities).is_none() {
        denied.push(prompt());
    }
    denied.push(ProviderCommand::Text {
        role: Role::System,
        text: SPOKEN.to_owned(),
        respond: false,
    });
    denied
}
