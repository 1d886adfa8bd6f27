//! Presets: what Azure and xAI want instead, and that a field that is given wins.

use roomkit_core::provider::{
    ProviderCommand, ProviderErrorKind, ProviderEvent, RealtimeVoiceProvider,
};
use roomkit_mock::fake_openai::{FakeOpenAi, Reply};
use roomkit_provider_openai::{Dialect, OpenAIConfig, OpenAIRealtimeProvider};
use serde_json::{Value, json};

use crate::support::{KEY, next, setup};

fn config(json: Value) -> OpenAIConfig {
    serde_json::from_value(json).unwrap()
}

fn refusal(json: Value) -> String {
    match serde_json::from_value::<OpenAIConfig>(json) {
        Ok(config) => OpenAIRealtimeProvider::new(config)
            .map(|_| ())
            .unwrap_err()
            .to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_default_preset_is_openai() {
    let plain = config(json!({}));
    let named = config(json!({ "preset": "openai" }));
    for config in [plain, named] {
        let default = OpenAIConfig::default();
        assert_eq!(config.base_url, default.base_url);
        assert_eq!(config.model, default.model);
        assert_eq!(config.session, default.session);
        assert_eq!(config.dialect, Dialect::OpenAI);
    }
}

#[test]
fn azure_is_built_from_resource_and_deployment() {
    let azure = config(json!({ "preset": "azure", "resource": "my-resource", "model": "mine" }));
    assert_eq!(
        azure.base_url,
        "wss://my-resource.openai.azure.com/openai/v1/realtime"
    );
    assert_eq!(azure.model, "mine");
    assert_eq!(azure.auth_header, "api-key");
    assert_eq!(azure.api_key_env, "AZURE_OPENAI_API_KEY");
    assert!(azure.model_in_query);
    assert_eq!(azure.dialect, Dialect::OpenAI);
    let named = OpenAIConfig::azure("my-resource", "mine");
    assert_eq!(format!("{azure:?}"), format!("{named:?}"));
}

#[test]
fn xai_is_complete_but_for_the_key() {
    let xai = config(json!({ "preset": "xai" }));
    assert_eq!(xai.base_url, "wss://api.x.ai/v1/realtime");
    assert_eq!(xai.auth_header, "Authorization: Bearer");
    assert_eq!(xai.api_key_env, "XAI_API_KEY");
    assert_eq!(xai.model, "grok-voice-latest");
    assert_eq!(xai.dialect, Dialect::XAi);
    let transcription = xai.session.transcription.as_ref().unwrap();
    assert_eq!(transcription.model, "grok-transcribe");
    assert_eq!(xai.session.noise_reduction, None);
    assert_eq!(format!("{xai:?}"), format!("{:?}", OpenAIConfig::xai()));
}

#[test]
fn a_field_that_is_given_wins_over_the_preset() {
    let own = json!({ "api_key_env": "MINE", "model": "m", "base_url": "ws://host/p",
        "auth_header": "x-key", "model_in_query": false, "dialect": "openai",
        "connect_timeout_ms": 7, "session": { "stt_model": "mine", "voice": "eve",
            "noise_reduction": "near_field" } });
    for preset in ["openai", "azure", "xai"] {
        let mut json = own.clone();
        json["preset"] = preset.into();
        let config = config(json);
        assert_eq!(config.api_key_env, "MINE");
        assert_eq!(config.model, "m");
        assert_eq!(config.base_url, "ws://host/p");
        assert_eq!(config.auth_header, "x-key");
        assert_eq!(config.dialect, Dialect::OpenAI);
        assert_eq!(config.connect_timeout.as_millis(), 7);
        assert!(!config.model_in_query);
        assert_eq!(config.session.transcription.unwrap().model, "mine");
        assert!(config.session.noise_reduction.is_some());
    }
}

#[test]
fn a_preset_says_what_it_misses_and_which_there_are() {
    let key = "k";
    let table = [
        (
            json!({ "preset": "azur" }),
            "unknown variant `azur`, expected one of `openai`, `azure`, `xai`",
        ),
        (
            json!({ "preset": "azure", "model": "m" }),
            "resource: is missing, and the preset `azure` cannot guess it; set it to the name \
             before `.openai.azure.com`, or set `base_url`",
        ),
        (
            json!({ "preset": "azure", "resource": "r" }),
            "model: is missing, and the preset `azure` cannot guess it; set it to the name of your \
             deployment",
        ),
        (
            json!({ "preset": "azure", "resource": "r", "base_url": "wss://h", "model": "m" }),
            "resource: is given beside `base_url`",
        ),
        (
            json!({ "preset": "azure", "resource": "r.evil.com/", "model": "m" }),
            "resource: is `r.evil.com/`, which is no name of a resource",
        ),
        (
            json!({ "resource": "r" }),
            "resource: is a name of Azure's; set `preset` to `azure`",
        ),
        (
            json!({ "preset": "xai", "dialect": "beta" }),
            "unknown variant `beta`, expected `openai` or `xai`",
        ),
        (
            json!({ "api_key": key, "session": { "input_rate": 16_000 } }),
            "session.input_rate: is 16000; the vendor's PCM has 24000 Hz",
        ),
        (
            json!({ "api_key": key, "preset": "xai", "session": { "output_rate": 96_000 } }),
            "session.output_rate: is 96000; use 8000 to 48000, a multiple of 25",
        ),
        (
            json!({ "api_key": key, "preset": "xai",
                "session": { "codec": "pcmu", "output_rate": 16_000 } }),
            "session.output_rate: is 16000; G.711 has 8000 Hz",
        ),
        (
            json!({ "api_key": key, "ca_file": "no/such/file" }),
            "ca_file: the file `no/such/file` cannot be read",
        ),
    ];
    for (json, expected) in table {
        let error = refusal(json.clone());
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn traces_name_who_serves_it() {
    for (settings, name) in [
        (json!({}), "openai"),
        (json!({ "base_url": "wss://gateway.example.com" }), "openai"),
        (
            json!({ "preset": "azure", "resource": "mine", "model": "m" }),
            "azure.ai.openai",
        ),
        (json!({ "preset": "xai" }), "x_ai"),
    ] {
        let config = OpenAIConfig {
            api_key: Some(KEY.into()),
            ..config(settings)
        };
        let provider = OpenAIRealtimeProvider::new(config).unwrap();
        assert_eq!(provider.telemetry_name(), name);
    }
}

#[test]
fn a_model_of_another_protocol_is_refused_where_it_is_certain() {
    let live = |base_url: Option<&str>| {
        let mut config = OpenAIConfig {
            api_key: Some(KEY.into()),
            model: "gpt-live-1".into(),
            ..OpenAIConfig::default()
        };
        if let Some(url) = base_url {
            config.base_url = url.into();
        }
        OpenAIRealtimeProvider::new(config).map(|_| ())
    };
    let error = live(None).unwrap_err().to_string();
    for part in [
        "model: is `gpt-live-1`",
        "protocol of its own",
        "gpt-realtime-2.1",
    ] {
        assert!(error.contains(part), "no {part}: {error}");
    }
    assert_eq!(live(Some("wss://gateway.example.com/v1/realtime")), Ok(()));
}

#[test]
fn x1_no_secret_of_a_wrong_configuration_is_repeated() {
    let error = refusal(json!({ "preset": "azure", "api_key": "secret-1",
        "headers": { "x": "secret-2" } }));
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn h3_a_turn_with_azure_and_its_refusals_before_the_upgrade() {
    let server = FakeOpenAi::builder()
        .azure()
        .api_key(KEY)
        .model("mine")
        .model("gpt-4o-mini-transcribe")
        .reply(Reply::speech("Hello.", 100))
        .start()
        .await
        .unwrap();
    let connect = async |key: &str, model: &str| {
        let config = config(json!({ "preset": "azure", "api_key": key, "model": model,
            "base_url": server.url() }));
        let provider = OpenAIRealtimeProvider::new(config).unwrap();
        provider.connect(setup()).await
    };
    let mut connection = connect(KEY, "mine").await.unwrap();
    let respond = ProviderCommand::Respond;
    connection.sink.send(respond).await.unwrap();
    while !matches!(
        next(&mut connection).await,
        ProviderEvent::ResponseEnded { .. }
    ) {}
    let peer = server.wait_for_connection(0).await.unwrap();
    assert_eq!(peer.request().header("api-key"), Some(KEY));
    assert_eq!(peer.request().header("authorization"), None);
    assert_eq!(peer.violations(), []);

    let error = connect("wrong-key-000", "mine").await.map(|_| ());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Authentication, "{error}");
    let error = connect(KEY, "not-there").await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig, "{error}");
    assert!(error.message().contains("404"), "{error}");
    assert!(!error.is_retryable());
    server.refuse_upgrade(503);
    let error = connect(KEY, "mine").await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Server, "{error}");
}

#[tokio::test]
async fn h3_what_transcribes_on_azure_is_a_deployment_too() {
    let server = FakeOpenAi::builder()
        .azure()
        .api_key(KEY)
        .model("mine")
        .start()
        .await
        .unwrap();
    let config = config(json!({ "preset": "azure", "api_key": KEY, "model": "mine",
        "base_url": server.url() }));
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    let error = provider.connect(setup()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig, "{error}");
    assert!(
        error.message().contains("gpt-4o-mini-transcribe"),
        "{error}"
    );
}
