//! Plugins by name.
//!
//! A plugin crate submits a descriptor with [`inventory::submit!`]; [`Registry::linked`] finds
//! all that are linked into the program.
//!
//! **A crate that no line of source names is not linked**, whatever `Cargo.toml` says: the facade
//! re-exports its plugins for that reason, and an app that uses a third party's crate needs
//! `use the_crate as _;`. Where link-time registration is not available,
//! [`Registry::register_provider`] and its siblings do the same by hand.

use std::{collections::BTreeMap, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use inventory;

pub use crate::error::ConfigError;
use crate::{
    provider::RealtimeVoiceProvider, recording::RecordingSink, tool::ToolSource,
    transport::RealtimeAudioTransport,
};

macro_rules! plugins {
    ($($(#[$doc:meta])* $plugin:ident, $builds:ty, $what:literal,
        $register:ident, $get:ident, $names:ident, $field:ident;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $plugin {
                /// The name hosts ask for.
                pub name: &'static str,
                /// What it is, in one line.
                pub about: &'static str,
                /// Builds it from its configuration, which is an object or null.
                pub build: fn(Value) -> Result<Arc<$builds>, ConfigError>,
            }

            inventory::collect!($plugin);
        )+

        /// The plugins a program has, by name.
        #[derive(Debug, Clone, Default)]
        pub struct Registry {
            $($field: BTreeMap<&'static str, $plugin>,)+
        }

        impl Registry {
            /// All plugins linked into the program; two of one name are refused.
            pub fn linked() -> Result<Self, ConfigError> {
                let mut registry = Self::default();
                $(for plugin in inventory::iter::<$plugin> {
                    registry.$register(*plugin)?;
                })+
                Ok(registry)
            }

            $(
                #[doc = concat!("Adds a ", $what, " by hand.")]
                pub fn $register(&mut self, plugin: $plugin) -> Result<(), ConfigError> {
                    match self.$field.insert(plugin.name, plugin) {
                        None => Ok(()),
                        Some(first) => {
                            self.$field.insert(first.name, first);
                            Err(ConfigError::Duplicate { what: $what, name: plugin.name.into() })
                        }
                    }
                }

                #[doc = concat!("Builds the ", $what, " of that name from its configuration.")]
                pub fn $get(&self, name: &str, config: Value) -> Result<Arc<$builds>, ConfigError> {
                    let plugin = self.$field.get(name).ok_or_else(|| ConfigError::Unknown {
                        what: $what,
                        name: name.into(),
                        linked: listed(self.$field.keys()),
                    })?;
                    (plugin.build)(config)
                }

                #[doc = concat!("Every ", $what, " there is, in order of names.")]
                pub fn $names(&self) -> impl Iterator<Item = &$plugin> {
                    self.$field.values()
                }
            )+
        }
    };
}

plugins! {
    /// A provider that can be built by name.
    ProviderPlugin, dyn RealtimeVoiceProvider, "provider",
        register_provider, provider, providers, providers;
    /// A transport that can be built by name.
    TransportPlugin, dyn RealtimeAudioTransport, "transport",
        register_transport, transport, transports, transports;
    /// A source of tools that can be built by name.
    ToolSourcePlugin, dyn ToolSource, "tool source",
        register_tool_source, tool_source, tool_sources, tool_sources;
    /// A sink of recordings that can be built by name.
    RecordingSinkPlugin, dyn RecordingSink, "recording sink",
        register_recording_sink, recording_sink, recording_sinks, recording_sinks;
}

fn listed<'a>(names: impl Iterator<Item = &'a &'static str>) -> String {
    let names: Vec<&str> = names.copied().collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

/// Reads a plugin's configuration into its own struct; null stands for an empty object. The error
/// names the field.
pub fn read_config<T: DeserializeOwned>(config: Value) -> Result<T, ConfigError> {
    let config = match config {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::Object(_) => config,
        // Not shown: it may be a key that was meant to be a field (contract X1).
        _ => return Err(ConfigError::field("config", "must be a table of settings")),
    };
    serde_path_to_error::deserialize(config).map_err(|error| {
        let (path, problem) = (error.path().to_string(), error.inner().to_string());
        // Some say themselves which field of a section it is.
        let says_itself = problem
            .strip_prefix(&path)
            .is_some_and(|rest| rest.starts_with(['.', ':']));
        let is_all = path == "." || says_itself;
        ConfigError::field(if is_all { "config".into() } else { path }, problem)
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Deserializer, de::Error};
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        ports: Vec<u16>,
        #[serde(deserialize_with = "section")]
        section: u8,
    }

    fn section<'de, D: Deserializer<'de>>(_: D) -> Result<u8, D::Error> {
        Err(D::Error::custom("section.size: is 9; use 0 to 1"))
    }

    #[test]
    fn x1_what_cannot_be_used_is_named_and_settings_that_are_no_table_are_not_shown() {
        for (config, refused) in [
            (
                json!({"ports": [1, 70_000]}),
                "ports[1]: invalid value: integer `70000`, expected u16",
            ),
            (json!({"prots": []}), "prots: unknown field `prots`"),
            (json!({"section": {}}), "config: section.size: is 9"),
            (json!("hunter2"), "config: must be a table of settings"),
        ] {
            let error = read_config::<Settings>(config).unwrap_err().to_string();
            assert!(error.starts_with(refused), "{error}");
        }
        let settings = read_config::<Settings>(Value::Null).unwrap();
        assert!(settings.ports.is_empty() && settings.section == 0);
    }
}
