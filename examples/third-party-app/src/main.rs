//! An app that uses plugins by name, those of the facade and two of third parties: lists what there is.

#[cfg(test)]
mod tests;

// Without these two lines the crates are not linked, whatever `Cargo.toml` says, and their names
// do not exist.
use third_party_provider as _;
use third_party_transport as _;

use roomkit::registry::{ConfigError, Registry};

#[allow(clippy::print_stdout)] // That is what it is for.
fn main() -> Result<(), ConfigError> {
    let plugins = Registry::linked()?;
    for plugin in plugins.providers() {
        println!("provider       {}: {}", plugin.name, plugin.about);
    }
    for plugin in plugins.transports() {
        println!("transport      {}: {}", plugin.name, plugin.about);
    }
    for plugin in plugins.tool_sources() {
        println!("tool source    {}: {}", plugin.name, plugin.about);
    }
    for plugin in plugins.recording_sinks() {
        println!("recording sink {}: {}", plugin.name, plugin.about);
    }
    Ok(())
}
