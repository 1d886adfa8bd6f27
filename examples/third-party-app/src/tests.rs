//! What an optimised program finds by name. CI runs this with link-time optimisation as well: a
//! linker that throws a registration away would show here. It is in the program itself because with
//! that each further program takes a minute and a half to build.

use roomkit::registry::{ConfigError, Registry};

#[test]
fn every_plugin_that_is_named_in_source_is_found_by_name() {
    let plugins = Registry::linked().unwrap();
    let providers: Vec<_> = plugins.providers().map(|plugin| plugin.name).collect();
    assert_eq!(providers, ["echo", "gemini", "openai", "tin_can"]);
    let transports: Vec<_> = plugins.transports().map(|plugin| plugin.name).collect();
    assert_eq!(transports, ["pipe", "webrtc", "websocket"]);
    let tool_sources: Vec<_> = plugins.tool_sources().map(|plugin| plugin.name).collect();
    assert_eq!(tool_sources, ["mcp"]);
    let sinks: Vec<_> = plugins
        .recording_sinks()
        .map(|plugin| plugin.name)
        .collect();
    assert_eq!(sinks, ["ogg_opus", "wav"]);
}

#[test]
fn an_unknown_name_tells_what_there_is_and_how_to_get_more() {
    let Err(error) = Registry::linked()
        .unwrap()
        .provider("elevenlabs", ().into())
    else {
        panic!("there is no such provider")
    };
    assert!(matches!(error, ConfigError::Unknown { .. }), "{error:?}");
    let told = error.to_string();
    for part in [
        "elevenlabs",
        "tin_can",
        "Cargo feature",
        "use your_crate as _;",
    ] {
        assert!(told.contains(part), "`{part}` is missing in: {told}");
    }
}

#[test]
fn two_plugins_of_one_name_are_refused() {
    let mut plugins = Registry::linked().unwrap();
    let error = plugins
        .register_provider(third_party_provider::PLUGIN)
        .unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("tin_can") && told.contains("only one"),
        "{told}"
    );
}
