//! An app that uses plugins by name: those of the facade, and two of third parties.

// Without these two lines the crates are not linked, whatever `Cargo.toml` says, and their names
// do not exist.
use third_party_provider as _;
use third_party_transport as _;

use roomkit::registry::{ConfigError, Registry};

/// Everything that can be used by name in this app.
///
/// # Errors
///
/// When two plugins claim one name.
pub fn plugins() -> Result<Registry, ConfigError> {
    Registry::linked()
}
