//! What goes wrong at the vendor's end, played by its strict fake over real sockets.

use std::time::Duration;

use roomkit_core::provider::{
    ProviderCommand, ProviderErrorKind, ProviderEvent, RealtimeVoiceProvider, ResponseStatus, Role,
};
use roomkit_mock::fake_openai::{
    FakeOpenAi, FakeOpenAiBuilder, Fault, FaultAction, FaultPoint, Reply,
};
use roomkit_provider_openai::{OpenAIConfig, OpenAIRealtimeProvider};

use crate::support::{
    KEY,
    call::{Call, finals, status, text},
    setup,
};

#[tokio::test]
async fn h3_refusals_while_connecting() {
    let refused = async |server: FakeOpenAiBuilder, change: fn(&mut OpenAIConfig)| {
        let server = server.start().await.unwrap();
        let mut config = OpenAIConfig {
            api_key: Some(KEY.into()),
            base_url: server.url(),
            ..OpenAIConfig::default()
        };
        change(&mut config);
        let provider = OpenAIRealtimeProvider::new(config).unwrap();
        let error = provider.connect(setup()).await.map(|_| ()).unwrap_err();
        assert!(!error.to_string().contains(KEY), "{error}");
        (error.kind(), error.code().to_owned())
    };
    let fake = FakeOpenAi::builder;
    assert_eq!(
        refused(fake().api_key("another"), |_| ()).await,
        (ProviderErrorKind::Authentication, "invalid_api_key".into())
    );
    assert_eq!(
        refused(fake(), |config| config.auth_header.clear()).await.0,
        ProviderErrorKind::Authentication
    );
    assert_eq!(
        refused(fake(), |config| config.model = "gpt-nothing".into()).await,
        (ProviderErrorKind::InvalidConfig, "invalid_model".into())
    );
    let beta = |config: &mut OpenAIConfig| {
        config.headers = [("OpenAI-Beta".to_owned(), "realtime=v1".into())].into();
    };
    assert_eq!(
        refused(fake(), beta).await,
        (
            ProviderErrorKind::InvalidConfig,
            "beta_api_shape_disabled".into()
        )
    );
    assert_eq!(
        refused(fake().refuse_upgrade(403), |_| ()).await.0,
        ProviderErrorKind::Authentication
    );
    let mute = Fault::new(
        FaultPoint::BeforeSessionCreated,
        FaultAction::IgnoreSessionUpdates,
    );
    let hurry = |config: &mut OpenAIConfig| config.connect_timeout = Duration::from_millis(200);
    assert_eq!(
        refused(fake().fault(mute), hurry).await.0,
        ProviderErrorKind::Timeout
    );
}

#[tokio::test]
async fn h3_losses_during_an_answer() {
    let table = [
        (FaultAction::Drop, ProviderErrorKind::Network),
        (
            FaultAction::ExpireSession,
            ProviderErrorKind::SessionExpired,
        ),
        (
            FaultAction::Close {
                code: 1011,
                reason: "internal error".into(),
            },
            ProviderErrorKind::Server,
        ),
    ];
    for (action, kind) in table {
        let server = FakeOpenAi::builder()
            .reply(Reply::speech("A long story.", 2_000))
            .fault(Fault::new(FaultPoint::AfterAudioDeltas(2), action));
        let mut call = Call::start(server, setup()).await;
        call.send(text("tell me")).await;
        call.send(ProviderCommand::Respond).await;
        assert_eq!(call.closed().await.kind(), kind);
    }
}

#[tokio::test]
async fn h2_the_end_of_a_session_after_its_time_or_without_a_word() {
    let expected = "Your session hit the maximum duration of 60 minutes.";
    let table = [
        (
            FaultAction::ExpireSession,
            ProviderErrorKind::SessionExpired,
            expected,
        ),
        (FaultAction::Drop, ProviderErrorKind::Network, "broke"),
    ];
    for (action, kind, told) in table {
        let server = FakeOpenAi::builder()
            .announced_lifetime(Some(Duration::from_secs(120)))
            .fault(Fault::new(FaultPoint::AfterMs(20), action));
        let mut call = Call::start(server, setup()).await;
        let left = call.connection.info.expires_in.unwrap();
        assert!(left <= Duration::from_secs(120), "{left:?}");
        let error = call.closed().await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(told), "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn x5_a_broken_frame_is_told_and_the_call_goes_on() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("Still here.", 200))
        .fault(Fault::new(
            FaultPoint::AfterAudioDeltas(1),
            FaultAction::malformed_json(),
        ));
    let mut call = Call::start(server, setup()).await;
    call.send(text("hi")).await;
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    let is_protocol_error = |event: &ProviderEvent| matches!(event, ProviderEvent::Error(error) if error.kind() == ProviderErrorKind::Protocol);
    assert_eq!(
        events
            .iter()
            .filter(|event| is_protocol_error(event))
            .count(),
        1
    );
    assert_eq!(finals(&events, Role::Assistant), ["Still here."]);
    call.end().await;
}

#[tokio::test]
async fn a_failed_response_says_why() {
    let server = FakeOpenAi::builder()
        .reply(Reply::failed("insufficient_quota"))
        .reply(Reply::incomplete("Cut", 100, "max_output_tokens"));
    let mut call = Call::start(server, setup()).await;
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    let ResponseStatus::Failed(error) = status(&events) else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind(), ProviderErrorKind::Quota);
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    assert_eq!(
        *status(&events),
        ResponseStatus::Incomplete("max_output_tokens".into())
    );
    call.end().await;
}
