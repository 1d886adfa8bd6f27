//! Live sessions are changed, or it is said why not (contract S5), through the public API.

use roomkit_core::{
    error::{ProviderError, ProviderErrorKind, SessionError, UpdateError},
    provider::{
        HistorySupport, ProviderCommand, ProviderEvent, RealtimeVoiceProvider, SessionUpdate,
        UpdateSupport, UpdateWay,
    },
    voice::Updated,
};
use roomkit_mock::{MockRealtimeProvider, MockRealtimeTransport, provider::ConnectOutcome};

use crate::support::{House, Notes, settle, soon};

fn voice(voice: &str) -> SessionUpdate {
    SessionUpdate {
        voice: Some(voice.into()),
        ..SessionUpdate::default()
    }
}

async fn house(way: UpdateWay, overlaps: bool) -> (House, Notes) {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.updates = UpdateSupport::all(way);
    capabilities.history = HistorySupport::Full;
    capabilities.overlaps = overlaps;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let notes = Notes::default();
    let errors = notes.clone();
    house.voice.on_error(move |event| {
        errors.add(event.code);
        async {}
    });
    (house, notes)
}

#[tokio::test(start_paused = true)]
async fn s5_it_is_told_how_a_change_is_made() {
    let (house, _) = house(UpdateWay::NewConnection, false).await;
    let call = house.call().await;
    let updated = soon(house.voice.update_session(&call.session, voice("bass"))).await;
    assert_eq!(updated, Ok(Updated::OnHandOver));
    house.provider.wait_for_attempts(2).await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(setup.voice.as_deref(), Some("bass"));
    settle().await;
    soon(house.voice.end_session(&call.session)).await;
    let ended = soon(house.voice.update_session(&call.session, voice("alto"))).await;
    assert_eq!(ended, Err(UpdateError::Ended(call.session.id().clone())));
}

#[tokio::test(start_paused = true)]
async fn s5_what_cannot_be_used_is_refused_before_anything_is_sent() {
    let (never, _) = house(UpdateWay::Never, false).await;
    let call = never.call().await;
    let refused = soon(never.voice.update_session(&call.session, voice("bass"))).await;
    assert_eq!(refused, Err(UpdateError::Unsupported { field: "voice" }));
    let hot = SessionUpdate {
        temperature: Some(9.0),
        ..SessionUpdate::default()
    };
    for (update, problem) in [
        (voice(" "), "voice: is empty"),
        (hot, "temperature: is 9; use 0 to 2"),
    ] {
        let refused = soon(never.voice.update_session(&call.session, update)).await;
        let Err(UpdateError::Invalid(error)) = refused else {
            panic!("{refused:?}");
        };
        assert!(error.to_string().contains(problem), "{error}");
    }
    settle().await;
    assert_eq!(call.ai.commands(), []);
}

#[tokio::test(start_paused = true)]
async fn s5_a_refusal_that_comes_later_is_told_and_the_session_stays_as_it_was() {
    let (house, errors) = house(UpdateWay::Live, false).await;
    let call = house.call().await;
    let updated = soon(house.voice.update_session(&call.session, voice("nobody"))).await;
    assert_eq!(updated, Ok(Updated::Live));
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::Update(_)))
        .await;
    let no = ProviderError::new(ProviderErrorKind::InvalidRequest, "no such voice");
    call.ai.simulate(ProviderEvent::UpdateRefused(no));
    settle().await;
    assert_eq!(errors.all(), ["update_refused"]);
    call.ai.simulate_closed(None);
    house.provider.wait_for_attempts(2).await;
    assert_eq!(house.provider.connects()[1].voice, None);
}

#[tokio::test(start_paused = true)]
async fn s5_a_change_that_cannot_even_be_sent_is_a_refusal() {
    let (house, errors) = house(UpdateWay::Live, false).await;
    let call = house.call().await;
    let no = ProviderError::new(ProviderErrorKind::Unsupported, "not this one");
    call.ai.fail_sends(no);
    soon(house.voice.update_session(&call.session, voice("nobody")))
        .await
        .unwrap();
    settle().await;
    assert_eq!(errors.all(), ["update_refused"]);
    assert_eq!(house.voice.sessions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s5_h3_a_connection_that_is_refused_as_changed_is_had_as_it_was() {
    for overlaps in [false, true] {
        let (house, errors) = house(UpdateWay::NewConnection, overlaps).await;
        let call = house.call().await;
        let no = ProviderError::new(ProviderErrorKind::InvalidConfig, "no such voice");
        house.provider.next_connect(ConnectOutcome::Fail(no));
        soon(house.voice.update_session(&call.session, voice("nobody")))
            .await
            .unwrap();
        let attempts = if overlaps { 2 } else { 3 };
        house.provider.wait_for_attempts(attempts).await;
        settle().await;
        assert_eq!(errors.all()[0], "update_refused");
        assert_eq!(house.provider.connects().len(), attempts);
        let setup = house.provider.connects().pop().unwrap();
        assert_eq!(setup.voice.is_some(), overlaps);
        // The caller is still answered.
        house
            .voice
            .inject_text(
                &call.session,
                "hello",
                roomkit_core::provider::Role::User,
                false,
            )
            .unwrap();
        let ai = house.provider.session(call.session.id());
        ai.wait_for_command(|c| *c == ProviderCommand::Respond)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn s5_turns_are_the_hosts_only_where_the_session_leaves_them_to_it() {
    let mut automatic = MockRealtimeProvider::new().capabilities();
    automatic.manual_turns = false;
    let provider = MockRealtimeProvider::new().with_connection_capabilities(automatic);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let call = house.call().await;
    for refused in [
        house.voice.activity_start(&call.session),
        house.voice.activity_end(&call.session),
    ] {
        let Err(SessionError::Provider(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), ProviderErrorKind::Unsupported);
        for part in ["mock", "provider_config"] {
            assert!(error.to_string().contains(part), "no {part}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_the_provider_cannot_use_is_refused_and_nothing_is_answered() {
    let blind = ProviderError::new(ProviderErrorKind::InvalidRequest, "no picture");
    let provider = MockRealtimeProvider::new().refusing_images(blind.clone());
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let call = house.call().await;
    let shown = house
        .voice
        .inject_image(&call.session, "image/heic", vec![1], None, false);
    assert_eq!(shown, Err(SessionError::Provider(blind)));
    settle().await;
    assert_eq!(call.ai.commands(), []);
}
