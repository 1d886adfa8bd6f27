//! Changes of a live session (contract S5).

mod agents;
mod sources;

use tokio::sync::oneshot;

use super::*;
use crate::{
    call::{change::Change, io::Dial},
    error::UpdateError,
    event::{EndReason, HandOverOutcome, HandOverPhase, HandOverReason},
    provider::{
        Continuation, HistoryItem, HistorySupport, ProviderError, ProviderErrorKind, ResumeToken,
        SessionUpdate, UpdateSupport, UpdateWay,
    },
    voice::Updated,
};

type Answer = oneshot::Receiver<Result<Updated, UpdateError>>;

/// Tells everything, and changes nothing on a live connection.
fn rigid() -> ProviderCapabilities {
    let mut capabilities = capabilities();
    capabilities.history = HistorySupport::Full;
    capabilities
}

/// Says of each change whether it was made.
fn confirming() -> ProviderCapabilities {
    let mut capabilities = rigid();
    capabilities.confirms_updates = true;
    capabilities
}

fn prompt(prompt: &str) -> SessionUpdate {
    SessionUpdate {
        system_prompt: Some(prompt.into()),
        ..SessionUpdate::default()
    }
}

fn voice(voice: &str) -> SessionUpdate {
    SessionUpdate {
        voice: Some(voice.into()),
        ..SessionUpdate::default()
    }
}

fn all(way: UpdateWay) -> UpdateSupport {
    UpdateSupport::all(way)
}

fn agent(name: &str, way: UpdateWay) -> Change {
    Change {
        agent: Some(name.into()),
        ..Change::new(prompt(&format!("you are {name}")), all(way))
    }
}

fn refusal(kind: ProviderErrorKind) -> ProviderError {
    ProviderError::new(kind, "no").with_code("not_so")
}

impl Scripted {
    fn change(&mut self, mut change: Change) -> Answer {
        let (reply, answer) = oneshot::channel();
        change.reply = Some(reply);
        self.command(Command::Update(Box::new(change)));
        answer
    }

    fn connected(&mut self, capabilities: ProviderCapabilities) -> &mut Self {
        self.feed(Input::Connected(ConnectionInfo::new(capabilities)))
    }

    fn fails(&mut self, kind: ProviderErrorKind) -> &mut Self {
        self.feed(Input::DialFailed(refusal(kind)))
    }

    fn dialled(&self) -> Vec<Dial> {
        self.log
            .iter()
            .filter_map(|(_, action)| match action {
                Action::Dial(dial) => Some(Dial::clone(dial)),
                _ => None,
            })
            .collect()
    }

    fn updates(&self) -> Vec<SessionUpdate> {
        self.to_provider()
            .into_iter()
            .filter_map(|command| match command {
                ProviderCommand::Update(update) => Some(update),
                _ => None,
            })
            .collect()
    }

    /// The codes of the errors that only the host is told.
    fn complaints(&self) -> Vec<String> {
        self.news()
            .into_iter()
            .filter_map(|news| match news {
                News::Unnoticed(error) => Some(error.code().to_owned()),
                _ => None,
            })
            .collect()
    }

    fn agents(&self) -> Vec<String> {
        self.news()
            .into_iter()
            .filter_map(|news| match news {
                News::AgentChanged { to, .. } => Some(to.unwrap_or("nobody".into()).to_string()),
                _ => None,
            })
            .collect()
    }

    fn outcomes(&self) -> Vec<(HandOverReason, HandOverOutcome)> {
        self.news()
            .into_iter()
            .filter_map(|news| match news {
                News::HandOver(HandOverPhase::Finished {
                    reason, outcome, ..
                }) => Some((reason, outcome)),
                _ => None,
            })
            .collect()
    }

    /// A tool that hands the caller over has its answer.
    fn hands_off(&mut self, call_id: &str, change: Change) -> &mut Self {
        let answer = ToolAnswer {
            output: "handed over".into(),
            is_error: false,
        };
        self.feed(Input::ToolChanges(call_id.into(), answer, Box::new(change)))
    }

    /// What of these kinds went to the provider, in order.
    fn order(&self) -> Vec<&'static str> {
        self.to_provider()
            .iter()
            .filter_map(|command| match command {
                ProviderCommand::ToolResult { .. } => Some("result"),
                ProviderCommand::Update(_) => Some("update"),
                ProviderCommand::Respond => Some("respond"),
                ProviderCommand::Text { .. } => Some("text"),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn s5_what_can_be_changed_live_is_sent_at_once_and_kept_for_later_connections() {
    let mut call = Scripted::with(settings(), rigid());
    let mut answer = call.change(Change::new(prompt("be kind"), all(UpdateWay::Live)));
    assert_eq!(answer.try_recv().unwrap(), Ok(Updated::Live));
    assert_eq!(call.updates(), [prompt("be kind")]);
    call.provider(ProviderEvent::Closed(None));
    let dial = call.dialled().pop().unwrap();
    assert_eq!(dial.setup.system_prompt.as_deref(), Some("be kind"));
}

#[test]
fn s5_what_is_so_already_is_not_sent() {
    let mut call = Scripted::with(settings(), rigid());
    for _ in 0..2 {
        call.change(Change::new(voice("bass"), all(UpdateWay::Live)));
    }
    assert_eq!(call.updates(), [voice("bass")]);
}

#[test]
fn s5_h1_what_takes_another_connection_waits_for_a_quiet_moment() {
    let mut call = Scripted::with(settings(), rigid());
    call.response("r1").voice("r1", "i1", ms(400));
    let change = Change::new(voice("bass"), all(UpdateWay::NewConnection));
    let mut answer = call.change(change);
    assert_eq!(answer.try_recv().unwrap(), Ok(Updated::OnHandOver));
    // What comes later waits behind it, whatever it takes.
    let mut later = call.change(Change::new(voice("alto"), all(UpdateWay::Live)));
    assert_eq!(later.try_recv().unwrap(), Ok(Updated::OnHandOver));
    call.pass(ms(100));
    assert_eq!(call.dialled(), [], "the AI speaks");
    call.response_ends("r1", ResponseStatus::Completed)
        .pass(ms(600));
    let dial = call.dialled().pop().unwrap();
    assert_eq!(dial.setup.voice.as_deref(), Some("alto"));
    call.connected(rigid());
    let expected = (HandOverReason::Changed, HandOverOutcome::Replayed);
    assert_eq!(call.outcomes(), [expected]);
    assert_eq!(call.updates(), []);
    assert_eq!(call.dialled().len(), 1);
}

#[test]
fn s5_a_voice_is_changed_live_until_it_was_heard() {
    let mut call = Scripted::with(settings(), rigid());
    let change = |name: &str| Change::new(voice(name), all(UpdateWay::LiveUntilVoice));
    let mut early = call.change(change("bass"));
    assert_eq!(early.try_recv().unwrap(), Ok(Updated::Live));
    call.answer("r1", "hello", ms(100)).pass(ms(500));
    let mut late = call.change(change("alto"));
    assert_eq!(late.try_recv().unwrap(), Ok(Updated::OnHandOver));
}

#[test]
fn s5_what_cannot_be_changed_is_refused_with_its_name() {
    let mut call = Scripted::with(settings(), rigid());
    let mut never = call.change(Change::new(voice("bass"), all(UpdateWay::Never)));
    let unsupported = Err(UpdateError::Unsupported { field: "voice" });
    assert_eq!(never.try_recv().unwrap(), unsupported);
    // A provider that can be told nothing would forget the caller.
    let mut call = Scripted::new();
    let mut lost = call.change(Change::new(voice("bass"), all(UpdateWay::NewConnection)));
    assert_eq!(lost.try_recv().unwrap(), unsupported);
    call.pass(Duration::from_secs(60));
    assert_eq!((call.dialled(), call.updates()), (vec![], vec![]));
}

#[test]
fn s5_a_change_that_is_refused_later_is_told_and_taken_back() {
    let mut call = Scripted::with(settings(), confirming());
    call.change(Change::new(voice("bass"), all(UpdateWay::Live)));
    call.change(Change::new(prompt("be kind"), all(UpdateWay::Live)));
    let refused = refusal(ProviderErrorKind::InvalidRequest);
    call.provider(ProviderEvent::UpdateRefused(refused))
        .provider(ProviderEvent::Updated);
    assert_eq!(call.complaints(), ["update_refused"]);
    assert!(call.to_client().is_empty(), "the caller need not know");
    call.provider(ProviderEvent::Closed(None));
    let setup = call.dialled().pop().unwrap().setup;
    assert_eq!(setup.voice, None);
    assert_eq!(setup.system_prompt.as_deref(), Some("be kind"));
}

#[test]
fn s5_h3_a_changed_connection_that_is_refused_costs_the_change_and_not_the_call() {
    for overlaps in [false, true] {
        let mut capabilities = rigid();
        capabilities.overlaps = overlaps;
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.change(Change::new(voice("nobody"), all(UpdateWay::NewConnection)));
        call.fails(ProviderErrorKind::InvalidConfig);
        if overlaps {
            let expected = (HandOverReason::Changed, HandOverOutcome::Kept);
            assert_eq!(call.outcomes(), [expected]);
            assert_eq!(call.dialled().len(), 1, "the old connection is good");
        } else {
            let dials = call.dialled();
            let voices: Vec<_> = dials
                .iter()
                .map(|dial| dial.setup.voice.as_deref())
                .collect();
            assert_eq!(voices, [Some("nobody"), None]);
            call.connected(capabilities);
        }
        assert_eq!(call.complaints()[0], "update_refused");
        call.text("hello", false);
        assert_eq!(call.asked(), 1, "the call goes on");
        call.pass(Duration::from_secs(60));
    }
}

#[test]
fn s5_h2_a_network_that_is_down_costs_no_change() {
    let mut capabilities = rigid();
    capabilities.overlaps = true;
    let mut call = Scripted::with(settings(), capabilities.clone());
    call.change(Change::new(voice("bass"), all(UpdateWay::NewConnection)));
    call.fails(ProviderErrorKind::Network)
        .pass(Duration::from_secs(21));
    let dials = call.dialled();
    assert_eq!(dials.len(), 2);
    assert_eq!(dials[1].setup.voice.as_deref(), Some("bass"));
}

#[test]
fn s5_a_token_of_the_session_as_it_was_is_not_used_where_it_would_bring_that_back() {
    for resumes_changed in [false, true] {
        let mut capabilities = rigid();
        capabilities.resumes = true;
        capabilities.resumes_changed = resumes_changed;
        let mut call = Scripted::with(settings(), capabilities);
        call.text("remember me", true).answer("r1", "Yes", ms(100));
        call.provider(ProviderEvent::Resumable(ResumeToken::new("t")));
        call.change(Change::new(voice("bass"), all(UpdateWay::NewConnection)));
        call.pass(Duration::from_secs(20));
        let setup = call.dialled().pop().unwrap().setup;
        assert_eq!(setup.resume.is_some(), resumes_changed);
        assert_eq!(setup.history.is_empty(), resumes_changed);
    }
}

#[test]
fn s5_what_is_changed_while_there_is_no_connection_is_part_of_the_next_one() {
    let mut call = Scripted::with(settings(), rigid());
    call.provider(ProviderEvent::Closed(None));
    call.change(Change::new(prompt("be kind"), all(UpdateWay::Live)));
    call.connected(rigid());
    assert_eq!(call.updates(), [prompt("be kind")], "it was dialled before");
    call.provider(ProviderEvent::Closed(None)).pass(ms(1_000));
    let setup = call.dialled().pop().unwrap().setup;
    assert_eq!(setup.system_prompt.as_deref(), Some("be kind"));
}

#[test]
fn s5_a_change_that_cannot_be_sent_is_the_one_that_is_given_up() {
    for (capabilities, behind, kept) in [
        // The first is not answered yet, and the second does not get out.
        (confirming(), 0, ("you are here", None)),
        (rigid(), 0, ("you are here", None)),
        // Both were given out, and the first does not get out.
        (confirming(), 1, ("", Some("bass"))),
        (rigid(), 1, ("", Some("bass"))),
    ] {
        let confirms = capabilities.confirms_updates;
        let mut call = Scripted::with(settings(), capabilities);
        call.change(Change::new(prompt("you are here"), all(UpdateWay::Live)));
        call.change(Change::new(voice("bass"), all(UpdateWay::Live)));
        let error = refusal(ProviderErrorKind::Unsupported);
        call.feed(Input::UpdateFailed(error, behind));
        if confirms {
            call.provider(ProviderEvent::Updated);
        }
        assert_eq!(call.complaints(), ["update_refused"]);
        let setup = call.call.setup();
        let is = (
            setup.system_prompt.as_deref().unwrap_or_default(),
            setup.voice.as_deref(),
        );
        assert_eq!(is, kept, "confirms: {confirms}, {behind} behind it");
    }
}

#[test]
fn s5_a_change_that_is_refused_while_another_connection_is_dialled_does_not_come_back() {
    for is_sent in [true, false] {
        let mut overlapping = confirming();
        overlapping.overlaps = true;
        let mut call = Scripted::with(settings(), overlapping.clone());
        call.change(Change::new(voice("nobody"), all(UpdateWay::Live)));
        call.command(Command::HandOver);
        let dialled = call.dialled().pop().unwrap().setup;
        assert_eq!(dialled.voice.as_deref(), Some("nobody"));
        let error = refusal(ProviderErrorKind::InvalidRequest);
        call.feed(if is_sent {
            Input::Provider(ProviderEvent::UpdateRefused(error))
        } else {
            Input::UpdateFailed(error, 0)
        });
        assert_eq!(call.complaints(), ["update_refused"]);
        let dialled = call.dialled().pop().unwrap().setup;
        assert_eq!(dialled.voice, None, "sent: {is_sent}");
        call.connected(overlapping);
        assert_eq!(call.call.setup().voice, None);
        assert_eq!(
            call.outcomes(),
            [(HandOverReason::Host, HandOverOutcome::Replayed)]
        );
    }
}

#[test]
fn s5_what_a_provider_goes_on_with_it_has_taken() {
    let mut call = Scripted::with(settings(), rigid());
    call.change(Change::new(prompt("you are here"), all(UpdateWay::Live)));
    call.change(Change::new(voice("bass"), all(UpdateWay::Live)));
    call.answer("r1", "hello", ms(100)).pass(ms(1000));
    // All that it has not taken is given up with the connection.
    call.provider(ProviderEvent::Closed(None))
        .fails(ProviderErrorKind::InvalidConfig);
    let setup = call.dialled().pop().unwrap().setup;
    assert_eq!(setup.system_prompt.as_deref(), Some("you are here"));
    assert_eq!(setup.voice, None, "the last may yet have been refused");
}

#[test]
fn s10_h3_an_outage_takes_back_no_change_that_has_worked() {
    let mut call = Scripted::with(settings(), rigid());
    call.change(agent("billing", UpdateWay::Live));
    call.answer("r1", "hello, this is billing", ms(100))
        .pass(ms(60_000));
    call.provider(ProviderEvent::Closed(Some(refusal(
        ProviderErrorKind::Server,
    ))));
    for _ in 0..3 {
        call.fails(ProviderErrorKind::Server).pass(ms(10_000));
    }
    assert!(!call.complaints().contains(&"update_refused".to_owned()));
    let setup = call.dialled().pop().unwrap().setup;
    assert_eq!(setup.system_prompt.as_deref(), Some("you are billing"));
}

#[test]
fn s5_h3_a_provider_that_refuses_a_change_by_hanging_up_ends_no_call() {
    for kind in [
        ProviderErrorKind::InvalidConfig,
        ProviderErrorKind::Unsupported,
    ] {
        let mut call = Scripted::with(settings(), confirming());
        call.change(agent("billing", UpdateWay::Live));
        call.take();
        call.provider(ProviderEvent::Closed(Some(refusal(kind))));
        assert_eq!(call.complaints(), ["update_refused"]);
        let setup = call.dialled().pop().unwrap().setup;
        assert_eq!(setup.system_prompt, None, "as it was before");
        assert_eq!(call.order(), ["update"], "nothing for who is gone");
        call.connected(confirming());
        assert_eq!(call.order(), ["update", "text", "respond"]);
        call.provider(ProviderEvent::Closed(Some(refusal(kind))));
        assert!(
            matches!(
                call.take().last(),
                Some(Action::End(EndReason::Provider(_)))
            ),
            "without a change it would end the same way again"
        );
    }
}
