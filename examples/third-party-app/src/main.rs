//! Lists what can be used by name.

use roomkit::registry::ConfigError;

#[allow(clippy::print_stdout)] // That is what it is for.
fn main() -> Result<(), ConfigError> {
    let plugins = third_party_app::plugins()?;
    for plugin in plugins.providers() {
        println!("provider  {}: {}", plugin.name, plugin.about);
    }
    for plugin in plugins.transports() {
        println!("transport {}: {}", plugin.name, plugin.about);
    }
    Ok(())
}
